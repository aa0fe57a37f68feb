//! `fault-hit`: faults on mapped addresses, by one thread: found, held, checked, read, released.

use crate::regions::{CHUNK, RegionSet};
use crate::subject::{Faults, Held, Serves};
use crate::subjects::locked_faults::LockedFaults;
use crate::subjects::vmaple_mm::{MmLock, PerVma, PerVmaReader, VmapleMm};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload, chunks};
use std::hint::black_box;
use std::sync::Arc;

pub(super) const WORKLOAD: Workload =
    Workload { name: "fault-hit", row: "fault-hit", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: &[] };

/// The subjects that serve faults on mapped addresses.
macro_rules! by_road {
    ($each:ident) => {
        vec![
            $each::<VmapleMm<PerVmaReader>>(),
            $each::<VmapleMm<PerVma>>(),
            $each::<VmapleMm<MmLock>>(),
            $each::<LockedFaults<parking_lot::RwLock<_>>>(),
            $each::<LockedFaults<std::sync::RwLock<_>>>(),
        ]
    };
}
pub(super) use by_road;

fn candidates() -> Vec<Candidate> {
    by_road!(candidate)
}

fn candidate<S: Faults>() -> Candidate {
    Candidate {
        name: S::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Hit { space: S::of(set.shuffled()), set: Arc::clone(set), round: Round::from(0) }),
    }
}

struct Hit<S> {
    space: S,
    set: Arc<RegionSet>,
    round: Round,
}

/// The results of some faults.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    /// The number of faults served.
    pub(super) hits: u64,
    /// The number of them that left their path.
    pub(super) detours: u64,
}

/// Serves `chunks` chunks of faults.
pub(super) fn serve(space: &impl Faults, addresses: &[u64], round: &mut Round, chunks: u64) -> Served {
    let (mut served, mut sum) = (Served::default(), 0_u64);
    let mut server = space.server();
    for _ in 0..chunks {
        for &address in round.chunk(addresses) {
            if let Some(held) = server.fault(address) {
                let region = held.region();
                served.hits += 1;
                served.detours += u64::from(held.is_detour());
                sum = sum.wrapping_add(region.last ^ region.value);
            }
        }
    }
    black_box(sum);
    served
}

/// Serves `chunks` chunks of faults and measures the time. Every fault must be served.
pub(super) fn serve_timed(space: &impl Faults, addresses: &[u64], round: &mut Round, chunks: u64) -> Pace {
    let ops = chunks * CHUNK as u64;
    let mut served = Served::default();
    let pace = Pace::of(ops, || served = serve(space, addresses, round, chunks));
    assert_eq!(served.hits, ops, "a fault at a mapped address was not served");
    pace
}

impl<S: Faults> Bench for Hit<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        let addresses = self.set.addresses();
        serve(&self.space, addresses, &mut self.round, chunks(ops / 2));
        serve_timed(&self.space, addresses, &mut self.round, chunks(ops)).into()
    }
}
