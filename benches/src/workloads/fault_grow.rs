//! `fault-grow`: faults a page below regions, which grow: found under the read lock, upgraded or retaken, grown, downgraded. When all gaps
//! are filled, the address space is built again, which is not measured.

use crate::regions::{Growth, PAGE, RegionSet};
use crate::subject::{Faults, Held, Serves};
use crate::subjects::locked_faults::LockedFaults;
use crate::subjects::vmaple_mm::{Retake, Upgrade, VmapleMm};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Workload};
use std::sync::Arc;
use std::time::Instant;

pub(super) const WORKLOAD: Workload =
    Workload { name: "fault-grow", row: "fault-grow", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: &[] };

fn candidates() -> Vec<Candidate> {
    vec![
        candidate::<VmapleMm<Upgrade>>(),
        candidate::<VmapleMm<Retake>>(),
        candidate::<LockedFaults<parking_lot::RwLock<_>>>(),
        candidate::<LockedFaults<std::sync::RwLock<_>>>(),
    ]
}

fn candidate<S: Faults>() -> Candidate {
    Candidate {
        name: S::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Grow { space: S::of(set.shuffled()), set: Arc::clone(set), growths: set.growths(PAGE), done: 0 }),
    }
}

struct Grow<S> {
    space: S,
    set: Arc<RegionSet>,
    growths: Vec<Growth>,
    done: usize,
}

impl<S: Faults> Grow<S> {
    /// Grows `ops` times.
    fn run(&mut self, ops: u64) -> Pace {
        let mut pace = Pace::default();
        while pace.ops < ops {
            if self.done == self.growths.len() {
                self.space = S::of(self.set.shuffled());
                self.done = 0;
            }
            let left = usize::try_from(ops - pace.ops).unwrap_or(usize::MAX);
            let some = &self.growths[self.done..][..left.min(self.growths.len() - self.done)];
            let mut server = self.space.server();
            let begin = Instant::now();
            for growth in some {
                let held = server.fault(growth.start).expect("there is room");
                assert_eq!(held.region().start, growth.start, "it has grown to the address");
            }
            pace.elapsed += begin.elapsed();
            pace.ops += some.len() as u64;
            self.done += some.len();
        }
        pace
    }
}

impl<S: Faults> Bench for Grow<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        self.run(ops / 2);
        self.run(ops).into()
    }
}
