//! `fault-mixed`: one thread that faults beside a writer that maps into the gaps and unmaps again, without a pause. Both have a row. The writer
//! never touches a region on which a fault happens, so a fault leaves its path only because of a write elsewhere. Those faults are counted.

use super::fault_hit::{Served, by_road, serve, serve_timed};
use crate::cores;
use crate::regions::{CHUNK, Region, RegionSet};
use crate::subject::Faults;
use crate::subjects::locked_faults::LockedFaults;
use crate::subjects::vmaple_mm::{MmLock, PerVma, PerVmaReader, VmapleMm};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload, chunks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(super) const WORKLOAD: Workload = Workload {
    name: "fault-mixed",
    row: "fault-mixed",
    writer_row: Some("fault-mixed-writer"),
    threads: 2,
    measure: Measure::Laps(candidates),
    left_out: &[],
};

fn candidates() -> Vec<Candidate> {
    by_road!(candidate)
}

fn candidate<S: Faults>() -> Candidate {
    Candidate {
        name: S::NAME,
        limit: usize::MAX,
        make: |set| {
            let rounds = [Round::from(0), Round::from(0)];
            Box::new(Mixed { space: S::of(set.shuffled()), set: Arc::clone(set), holes: set.holes(), rounds })
        },
    }
}

struct Mixed<S> {
    space: S,
    set: Arc<RegionSet>,
    holes: Vec<Region>,
    rounds: [Round; 2],
}

impl<S: Faults> Bench for Mixed<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        let (space, addresses, holes) = (&self.space, self.set.addresses(), &self.holes);
        let [faulted, mapped] = &mut self.rounds;
        let chunks = chunks(ops / 2);
        let ops = chunks * CHUNK as u64;
        serve(space, addresses, faulted, chunks / 2 + 1);
        let alone = serve_timed(space, addresses, faulted, chunks);
        let stop = AtomicBool::new(false);
        let ((pace, served), writer) = cores::beside(
            |ready| {
                ready.wait();
                let mut served = Served::default();
                let pace = Pace::of(ops, || served = serve(space, addresses, faulted, chunks));
                // Relaxed, here and below: it publishes nothing.
                stop.store(true, Ordering::Relaxed);
                (pace, served)
            },
            |ready| {
                ready.wait();
                let begin = Instant::now();
                let mut ops = 0;
                while !stop.load(Ordering::Relaxed) {
                    let hole = *mapped.next(holes);
                    space.map(hole);
                    space.unmap(hole);
                    ops += 2;
                }
                Pace { ops, elapsed: begin.elapsed() }
            },
        );
        assert_eq!(served.hits, ops, "a fault at a mapped address was not served");
        Lap { pace, detours: Some(served.detours), alone: Some(alone), writer: Some(writer), ..Lap::default() }
    }
}
