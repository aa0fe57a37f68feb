//! `fork`: the address space is copied whole. One operation is one VMA of it. Dropping the copy is not measured.
//!
//! The kernel copies the process as well. The cost of entering the kernel is here that of a fork of the same process without these VMAs.

use super::spaces::{OfSet, TOO_MANY, filled, here, in_child};
use crate::calls::Setup;
use crate::regions::RegionSet;
use crate::subject::{Forks, Space};
use crate::subjects::KERNEL_ENTRY;
use crate::subjects::kernel::Kernel;
use crate::subjects::locked_space::LockedSpace;
use crate::subjects::vmaple_space::VmapleSpace;
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Workload};
use std::sync::Arc;

pub(super) const WORKLOAD: Workload =
    Workload { name: "fork", row: "fork", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: TOO_MANY };

fn candidates() -> Vec<Candidate> {
    vec![
        in_child::<Whole<Kernel>>(Kernel::NAME),
        in_child::<Bare<Kernel>>(KERNEL_ENTRY),
        here::<VmapleSpace, Whole<VmapleSpace>>(),
        here::<LockedSpace, Whole<LockedSpace>>(),
    ]
}

/// Makes as many copies as have about `ops` VMAs together.
fn copy(space: &impl Forks, vmas: u64, ops: u64) -> Lap {
    let times = ops.div_ceil(vmas);
    (0..times / 2).for_each(|_| _ = space.fork());
    Pace { ops: times * vmas, elapsed: (0..times).map(|_| space.fork()).sum() }.into()
}

/// With the regions of the set.
struct Whole<S> {
    space: S,
    vmas: u64,
}

impl<S: Forks> OfSet for Whole<S> {
    fn of(set: &Arc<RegionSet>) -> Self {
        Self { space: filled(set), vmas: set.count() as u64 }
    }
}

impl<S: Forks> Bench for Whole<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        copy(&self.space, self.vmas, ops)
    }
}

/// Without them.
struct Bare<S> {
    space: S,
    vmas: u64,
}

impl<S: Forks> OfSet for Bare<S> {
    fn of(set: &Arc<RegionSet>) -> Self {
        Self { space: S::new(&Setup::of(set)), vmas: set.count() as u64 }
    }
}

impl<S: Forks> Bench for Bare<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        copy(&self.space, self.vmas, ops)
    }
}
