//! `lookup-2`: two readers on two cores. The figure is of both together: half of one reader's if they do not disturb each other.

use super::lookup::{ask, ask_timed};
use crate::cores;
use crate::regions::RegionSet;
use crate::subject::Index;
use crate::subjects::floor_flat::FloorFlat;
use crate::subjects::floor_pin::FloorPin;
use crate::subjects::floor_stree::FloorStree;
use crate::subjects::vm_memory::VmMemory;
use crate::subjects::{VmapleBatch, VmapleHeld, VmaplePin, VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload, chunks};
use std::sync::{Arc, Barrier};
use std::time::Duration;

pub(super) const WORKLOAD: Workload =
    Workload { name: "lookup-2", row: "lookup-2", writer_row: None, threads: 2, measure: Measure::Laps(candidates), left_out: &[] };

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmaplePin, VmapleReader, VmapleHeld, VmapleBatch] peers [VmMemory, FloorStree, FloorFlat, FloorPin])
}

fn candidate<I: Index>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| {
            let rounds = [Round::from(0), Round::from(set.addresses().len() / 2)];
            Box::new(Two { index: I::of(set.shuffled()), set: Arc::clone(set), rounds })
        },
    }
}

struct Two<I> {
    index: I,
    set: Arc<RegionSet>,
    rounds: [Round; 2],
}

impl<I: Index> Bench for Two<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let (index, addresses) = (&self.index, self.set.addresses());
        let chunks_each = chunks(ops / 2);
        let run = |round: &mut Round, ready: &Barrier| {
            let mut reader = index.reader();
            ask(&mut reader, addresses, round, chunks_each / 2 + 1);
            ready.wait();
            ask_timed(&mut reader, addresses, round, chunks_each)
        };
        let [mine, other] = &mut self.rounds;
        let alone = run(mine, &Barrier::new(1));
        let (mine, other) = cores::beside(|ready| run(mine, ready), |ready| run(other, ready));
        Lap { alone: Some(alone), ..together(mine, other).into() }
    }
}

/// Returns the pace of two readers: their rates added.
pub(super) fn together(a: Pace, b: Pace) -> Pace {
    let ops = a.ops + b.ops;
    let ns = 1.0 / (1.0 / a.ns_per_op() + 1.0 / b.ns_per_op());
    #[allow(clippy::cast_precision_loss, reason = "counts of a lap are far below 2^52")]
    Pace { ops, elapsed: Duration::from_secs_f64(ns * ops as f64 / 1e9) }
}
