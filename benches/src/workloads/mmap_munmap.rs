//! `mmap-munmap`: maps in a gap and unmaps again. In one row the address space chooses the gap, which is usually at the top. In the other the
//! address of a hole is given, each hole in turn. The mapping merges with nothing, so a VMA is created and removed.

use super::spaces::{List, OfSet, TOO_MANY, entries, filled, here, in_child, listed};
use crate::calls::{Call, Flags, Place, What, lengths, pairs_in_holes};
use crate::regions::RegionSet;
use crate::subject::Space;
use crate::subjects::kernel::Kernel;
use crate::subjects::locked_space::LockedSpace;
use crate::subjects::vmaple_space::VmapleSpace;
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload};
use std::sync::Arc;

pub(super) const ANYWHERE: Workload = Workload {
    name: "mmap-munmap",
    row: "mmap-munmap",
    writer_row: None,
    threads: 1,
    measure: Measure::Laps(anywhere),
    left_out: TOO_MANY,
};

pub(super) const IN_HOLES: Workload = Workload { row: "mmap-munmap-in-holes", measure: Measure::Laps(listed::<InHoles>), ..ANYWHERE };

fn anywhere() -> Vec<Candidate> {
    vec![
        in_child::<Pairs<Kernel>>(Kernel::NAME),
        entries::<2>(),
        here::<VmapleSpace, Pairs<VmapleSpace>>(),
        here::<LockedSpace, Pairs<LockedSpace>>(),
    ]
}

struct InHoles;

impl List for InHoles {
    const TIMES: usize = 2;

    fn of(set: &RegionSet) -> Vec<Call> {
        pairs_in_holes(set)
    }
}

struct Pairs<S> {
    lengths: Vec<u64>,
    round: Round,
    space: S,
}

impl<S: Space> OfSet for Pairs<S> {
    fn of(set: &Arc<RegionSet>) -> Self {
        Self { lengths: lengths(), round: Round::from(0), space: filled(set) }
    }
}

impl<S: Space> Pairs<S> {
    fn run(&mut self, ops: u64) {
        for _ in 0..ops {
            let len = *self.round.next(&self.lengths);
            let at = self.space.call(&Call::Map(Place::Anywhere, len, What::anonymous(Flags::CODE)));
            self.space.call(&Call::Unmap(at, len));
        }
    }
}

impl<S: Space> Bench for Pairs<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        self.run(ops / 2);
        Pace::of(ops, || self.run(ops)).into()
    }
}
