//! The parts that the workloads of address spaces share. Called by `mmap-munmap`, `mprotect`, `brk`, `fork` and `replay`. An address space
//! is in this process or, for the kernel's, in a process of its own.

use crate::calls::{Call, Setup, layout};
use crate::regions::RegionSet;
use crate::subject::Space;
use crate::subjects::KERNEL_ENTRY;
use crate::subjects::child::Child;
use crate::subjects::kernel::{Kernel, enter, room_for_vmas};
use crate::subjects::locked_space::LockedSpace;
use crate::subjects::vmaple_space::VmapleSpace;
use crate::workload::{Bench, Candidate, Lap, Pace, Round};
use std::marker::PhantomData;
use std::sync::Arc;

/// The reason for leaving the kernel out of rows with many VMAs.
pub(super) const TOO_MANY: &[(&str, &str)] =
    &[("kernel-calls", "above vm.max_map_count: a process may not have so many VMAs; and where it may not move its heap")];

/// A bench on an address space that has the regions of a set.
pub(super) trait OfSet: Bench {
    fn of(set: &Arc<RegionSet>) -> Self;
}

/// A bench in this process.
pub(super) fn here<S: Space, B: OfSet + 'static>() -> Candidate {
    Candidate { name: S::NAME, limit: usize::MAX, make: |set| Box::new(B::of(set)) }
}

/// A bench of the kernel. It is created before all others, so that the fork copies the least of this process.
pub(super) fn in_child<B: OfSet>(name: &'static str) -> Candidate {
    Candidate { name, limit: room_for_vmas(), make: |set| Box::new(Child::start(|| B::of(set))) }
}

/// The cost of entering the kernel, `TIMES` times per operation.
pub(super) fn entries<const TIMES: usize>() -> Candidate {
    Candidate { name: KERNEL_ENTRY, limit: room_for_vmas(), make: |_| Box::new(Entries::<TIMES>) }
}

struct Entries<const TIMES: usize>;

impl<const TIMES: usize> Bench for Entries<TIMES> {
    fn lap(&mut self, ops: u64) -> Lap {
        Pace::of(ops, || (0..ops).for_each(|_| (0..TIMES).for_each(|_| enter()))).into()
    }
}

/// An address space with the regions of a set.
pub(super) fn filled<S: Space>(set: &RegionSet) -> S {
    let calls: Vec<Call> = layout(set).collect();
    let space = S::new(&Setup::of(set));
    for call in &calls {
        space.call(call);
    }
    space
}

/// A list of calls that leaves the layout as it was.
pub(super) trait List: 'static {
    /// The number of calls of one operation.
    const TIMES: usize;

    fn of(set: &RegionSet) -> Vec<Call>;
}

/// Makes the calls of a list, again and again.
pub(super) struct Listed<S, L> {
    calls: Vec<Call>,
    round: Round,
    space: S,
    list: PhantomData<L>,
}

impl<S: Space, L: List> OfSet for Listed<S, L> {
    fn of(set: &Arc<RegionSet>) -> Self {
        // The list first, so that its allocation does not change the layout later.
        Self { calls: L::of(set), round: Round::from(0), space: filled(set), list: PhantomData }
    }
}

impl<S: Space, L: List> Listed<S, L> {
    fn run(&mut self, ops: u64) {
        for _ in 0..ops {
            for _ in 0..L::TIMES {
                self.space.call(self.round.next(&self.calls));
            }
        }
    }
}

impl<S: Space, L: List> Bench for Listed<S, L> {
    fn lap(&mut self, ops: u64) -> Lap {
        self.run(ops / 2);
        Pace::of(ops, || self.run(ops)).into()
    }
}

/// Returns the subjects with a list of calls, for all address spaces.
pub(super) fn listed<L: List>() -> Vec<Candidate> {
    vec![
        in_child::<Listed<Kernel, L>>(Kernel::NAME),
        match L::TIMES {
            1 => entries::<1>(),
            _ => entries::<2>(),
        },
        here::<VmapleSpace, Listed<VmapleSpace, L>>(),
        here::<LockedSpace, Listed<LockedSpace, L>>(),
    ]
}
