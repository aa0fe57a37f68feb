//! `gap`: the highest gap of 1 to 512 pages below a random region, as an `mmap` searches from the top.

use crate::regions::{GapQuestion, RegionSet};
use crate::subject::FindsGaps;
use crate::subjects::arcswap_imbl::ArcSwapImbl;
use crate::subjects::concurrent_map::Concurrent;
use crate::subjects::left_right::LeftRight;
use crate::subjects::locked_rangemap::LockedRangeMap;
use crate::subjects::skipmap::Skip;
use crate::subjects::{ArcSwapVec, Base, StdLocked, VmapleReader};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload};
use std::hint::black_box;

pub(super) const WORKLOAD: Workload = Workload {
    name: "gap",
    row: "gap",
    writer_row: None,
    threads: 1,
    measure: Measure::Laps(candidates),
    left_out: &[
        ("arcswap-vec-cache", "asks as arcswap-vec does"),
        ("scc-treeindex", "a step back can walk from the end of the map"),
        ("masstree", "has no way back that one can stop"),
        ("vm-memory", "a collection of regions cannot be entered in the middle"),
    ],
};

fn candidates() -> Vec<Candidate> {
    vec![
        candidate::<VmapleReader>(),
        candidate::<Base>(),
        candidate::<StdLocked>(),
        candidate::<LockedRangeMap>(),
        candidate::<ArcSwapVec>(),
        candidate::<ArcSwapImbl>(),
        candidate::<Skip>(),
        candidate::<Concurrent>(),
        candidate::<LeftRight>(),
    ]
}

fn candidate<I: FindsGaps>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Gap { index: I::of(set.shuffled()), questions: RegionSet::gap_questions(set), round: Round::from(0) }),
    }
}

struct Gap<I> {
    index: I,
    questions: Vec<GapQuestion>,
    round: Round,
}

impl<I: FindsGaps> Gap<I> {
    fn run(&mut self, ops: u64) {
        for _ in 0..ops {
            black_box(self.index.highest_gap(*self.round.next(&self.questions)));
        }
    }
}

impl<I: FindsGaps> Bench for Gap<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        self.run(ops / 2);
        Pace::of(ops, || self.run(ops)).into()
    }
}
