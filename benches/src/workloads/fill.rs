//! `fill-random` and `fill-ascending`: an empty index is filled one by one, the lock taken for each.

use crate::regions::{Region, RegionSet};
use crate::subject::Index;
use crate::subject::{Changes, Edits};
use crate::subjects::{ArcSwapVec, ArcSwapVecCache, VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Workload};
use std::sync::Arc;
use std::time::Instant;

pub(super) const RANDOM: Workload = Workload {
    name: "fill-random",
    row: "fill-random",
    writer_row: None,
    threads: 1,
    measure: Measure::Laps(random),
    left_out: &[
        ("vm-memory", "a subject for lookups only: a change copies and sorts everything"),
        ("arcswap-vec and its cache", "above 10,000 regions: each insertion copies everything"),
    ],
};

pub(super) const ASCENDING: Workload =
    Workload { name: "fill-ascending", row: "fill-ascending", measure: Measure::Laps(ascending), ..RANDOM };

/// The most regions with which subjects are filled that copy everything at each insertion.
pub(super) const COPIERS_LIMIT: usize = 10_000;

/// The number of regions that are inserted, in small indices, between two readings of the clock.
const REGIONS_A_LOOK: usize = 1_000;

/// Returns the most regions with which the subject is filled.
pub(super) fn limit<I: Index>() -> usize {
    if [ArcSwapVec::NAME, ArcSwapVecCache::NAME].contains(&I::NAME) { COPIERS_LIMIT } else { usize::MAX }
}

fn random() -> Vec<Candidate> {
    with_peers!(random_candidate: [VmapleReader] peers [])
}

fn ascending() -> Vec<Candidate> {
    with_peers!(ascending_candidate: [VmapleReader] peers [])
}

fn random_candidate<I: Edits>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: limit::<I>(),
        make: |set| Box::new(Fill::<I> { set: Arc::clone(set), order: RegionSet::shuffled, put: fill }),
    }
}

fn ascending_candidate<I: Edits>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: limit::<I>(),
        make: |set| Box::new(Fill::<I> { set: Arc::clone(set), order: RegionSet::ascending, put: fill }),
    }
}

struct Fill<I> {
    set: Arc<RegionSet>,
    order: fn(&RegionSet) -> &[Region],
    put: fn(&I, &[Region]),
}

fn fill<I: Edits>(index: &I, regions: &[Region]) {
    let mut writer = index.writer();
    for &region in regions {
        writer.insert(region);
    }
}

impl<I: Edits> Bench for Fill<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let regions = (self.order)(&self.set);
        let at_once = REGIONS_A_LOOK.div_ceil(regions.len());
        let mut pace = Pace::default();
        while pace.ops < ops {
            let indices: Vec<I> = (0..at_once).map(|_| I::of(&[])).collect();
            let begin = Instant::now();
            for index in &indices {
                (self.put)(index, regions);
            }
            pace.elapsed += begin.elapsed();
            pace.ops += (at_once * regions.len()) as u64;
        }
        pace.into()
    }
}
