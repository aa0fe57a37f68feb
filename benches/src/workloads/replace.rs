//! `replace`: one thread alone replaces random regions one after the other, and takes the lock for each.

use super::mixed::replace_next;
use crate::regions::RegionSet;
use crate::subject::Edits;
use crate::subjects::{VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, NO_WRITER, Pace, Round, Workload};
use std::sync::Arc;

pub(super) const WORKLOAD: Workload =
    Workload { name: "replace", row: "replace", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: NO_WRITER };

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmapleReader] peers [])
}

fn candidate<I: Edits>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Replace { index: I::of(set.shuffled()), set: Arc::clone(set), round: Round::from(0), fresh: 0 }),
    }
}

struct Replace<I> {
    index: I,
    set: Arc<RegionSet>,
    round: Round,
    fresh: u64,
}

impl<I: Edits> Bench for Replace<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let mut writer = self.index.writer();
        for _ in 0..ops / 2 {
            replace_next(&mut writer, self.set.shuffled(), &mut self.round, &mut self.fresh);
        }
        let run = || {
            for _ in 0..ops {
                replace_next(&mut writer, self.set.shuffled(), &mut self.round, &mut self.fresh);
            }
        };
        Pace::of(ops, run).into()
    }
}
