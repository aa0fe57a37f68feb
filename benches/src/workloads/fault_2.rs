//! `fault-2`: two threads that fault, on two cores. The figure is of both together, as in `lookup-2`.

use super::fault_hit::{by_road, serve, serve_timed};
use super::lookup_2::together;
use crate::cores;
use crate::regions::RegionSet;
use crate::subject::Faults;
use crate::subjects::locked_faults::LockedFaults;
use crate::subjects::vmaple_mm::{MmLock, PerVma, PerVmaReader, VmapleMm};
use crate::workload::{Bench, Candidate, Lap, Measure, Round, Workload, chunks};
use std::sync::{Arc, Barrier};

pub(super) const WORKLOAD: Workload =
    Workload { name: "fault-2", row: "fault-2", writer_row: None, threads: 2, measure: Measure::Laps(candidates), left_out: &[] };

fn candidates() -> Vec<Candidate> {
    by_road!(candidate)
}

fn candidate<S: Faults>() -> Candidate {
    Candidate {
        name: S::NAME,
        limit: usize::MAX,
        make: |set| {
            let rounds = [Round::from(0), Round::from(set.addresses().len() / 2)];
            Box::new(Two { space: S::of(set.shuffled()), set: Arc::clone(set), rounds })
        },
    }
}

struct Two<S> {
    space: S,
    set: Arc<RegionSet>,
    rounds: [Round; 2],
}

impl<S: Faults> Bench for Two<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        let (space, addresses) = (&self.space, self.set.addresses());
        let chunks_each = chunks(ops / 2);
        let run = |round: &mut Round, ready: &Barrier| {
            serve(space, addresses, round, chunks_each / 2 + 1);
            ready.wait();
            serve_timed(space, addresses, round, chunks_each)
        };
        let [mine, other] = &mut self.rounds;
        let alone = run(mine, &Barrier::new(1));
        let (mine, other) = cores::beside(|ready| run(mine, ready), |ready| run(other, ready));
        Lap { alone: Some(alone), ..together(mine, other).into() }
    }
}
