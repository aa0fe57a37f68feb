//! `expand`: regions grow downward by a page, as stacks do. When all gaps are filled, the index is built again, which is not measured.

use crate::regions::{Growth, PAGE, RegionSet};
use crate::subject::{Edits, Grows};
use crate::subjects::{VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, NO_WRITER, Pace, Workload};
use std::sync::Arc;
use std::time::Instant;

pub(super) const WORKLOAD: Workload =
    Workload { name: "expand", row: "expand", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: NO_WRITER };

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmapleReader] peers [])
}

fn candidate<I: Edits>() -> Candidate
where
    for<'i> I::Writer<'i>: Grows,
{
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Expand { index: I::of(set.shuffled()), set: Arc::clone(set), growths: set.growths(PAGE), done: 0 }),
    }
}

struct Expand<I> {
    index: I,
    set: Arc<RegionSet>,
    growths: Vec<Growth>,
    done: usize,
}

impl<I: Edits> Expand<I>
where
    for<'i> I::Writer<'i>: Grows,
{
    /// Grows `ops` times.
    fn run(&mut self, ops: u64) -> Pace {
        let mut pace = Pace::default();
        while pace.ops < ops {
            if self.done == self.growths.len() {
                self.index = I::of(self.set.shuffled());
                self.done = 0;
            }
            let left = usize::try_from(ops - pace.ops).unwrap_or(usize::MAX);
            let some = &self.growths[self.done..][..left.min(self.growths.len() - self.done)];
            let mut writer = self.index.writer();
            let begin = Instant::now();
            for growth in some {
                writer.grow(growth.address, growth.start);
            }
            pace.elapsed += begin.elapsed();
            pace.ops += some.len() as u64;
            self.done += some.len();
        }
        pace
    }
}

impl<I: Edits> Bench for Expand<I>
where
    for<'i> I::Writer<'i>: Grows,
{
    fn lap(&mut self, ops: u64) -> Lap {
        self.run(ops / 2);
        self.run(ops).into()
    }
}
