//! `iterate`: one iteration over all regions, in order, under one pin or lock. The figure is per region.

use crate::regions::RegionSet;
use crate::subject::Iterates;
use crate::subjects::floor_flat::FloorFlat;
use crate::subjects::vm_memory::VmMemory;
use crate::subjects::{VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Workload};
use std::hint::black_box;
use std::sync::Arc;

pub(super) const WORKLOAD: Workload =
    Workload { name: "iterate", row: "iterate", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: &[] };

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmapleReader] peers [VmMemory, FloorFlat])
}

fn candidate<I: Iterates>() -> Candidate {
    Candidate { name: I::NAME, limit: usize::MAX, make: |set| Box::new(Iterate { index: I::of(set.shuffled()), set: Arc::clone(set) }) }
}

struct Iterate<I> {
    index: I,
    set: Arc<RegionSet>,
}

impl<I: Iterates> Iterate<I> {
    fn run(&self, times: u64) {
        for _ in 0..times {
            let tally = black_box(self.index.tally());
            assert_eq!(tally.hits, self.set.count() as u64, "an iteration missed a region, and nobody writes");
        }
    }
}

impl<I: Iterates> Bench for Iterate<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let regions = self.set.count() as u64;
        let times = ops.div_ceil(regions);
        self.run(times / 2);
        Pace::of(times * regions, || self.run(times)).into()
    }
}
