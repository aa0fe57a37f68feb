//! `mprotect`: a page in the middle of a VMA loses all access and gets it back: the VMA is split in three and merges again.

use super::spaces::{List, TOO_MANY, listed};
use crate::calls::{Call, splits_and_merges};
use crate::regions::RegionSet;
use crate::workload::{Measure, Workload};

pub(super) const WORKLOAD: Workload = Workload {
    name: "mprotect",
    row: "mprotect",
    writer_row: None,
    threads: 1,
    measure: Measure::Laps(listed::<SplitsAndMerges>),
    left_out: TOO_MANY,
};

struct SplitsAndMerges;

impl List for SplitsAndMerges {
    const TIMES: usize = 2;

    fn of(set: &RegionSet) -> Vec<Call> {
        splits_and_merges(set)
    }
}
