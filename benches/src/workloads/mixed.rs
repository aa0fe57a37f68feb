//! `mixed`: one reader beside one writer that replaces random regions without a pause. Both have a row. Every address that is looked up is
//! mapped throughout, so each miss is a wrong answer. Misses are counted.

use super::lookup::ask;
use crate::cores;
use crate::regions::{CHUNK, Region, RegionSet};
use crate::subject::{Changes, Edits};
use crate::subjects::{VmapleBatch, VmapleHeld, VmaplePin, VmapleReader, VmapleRests, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, NO_WRITER, Pace, Round, Workload, chunks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(super) const WORKLOAD: Workload = Workload {
    name: "mixed",
    row: "mixed-reader",
    writer_row: Some("mixed-writer"),
    threads: 2,
    measure: Measure::Laps(candidates),
    left_out: NO_WRITER,
};

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmaplePin, VmapleReader, VmapleRests, VmapleHeld, VmapleBatch] peers [])
}

fn candidate<I: Edits>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| {
            let (asked, replaced) = (Round::from(0), Round::from(0));
            Box::new(Mixed { index: I::of(set.shuffled()), set: Arc::clone(set), asked, replaced, fresh: 0 })
        },
    }
}

struct Mixed<I> {
    index: I,
    set: Arc<RegionSet>,
    asked: Round,
    replaced: Round,
    fresh: u64,
}

impl<I: Edits> Bench for Mixed<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let (index, set) = (&self.index, &self.set);
        let chunks = chunks(ops);
        let ops = chunks * CHUNK as u64;
        let stop = AtomicBool::new(false);
        let (asked, replaced, fresh) = (&mut self.asked, &mut self.replaced, &mut self.fresh);
        let ((pace, hits), writer) = cores::beside(
            |ready| {
                let mut reader = index.reader();
                ask(&mut reader, set.addresses(), asked, 1);
                ready.wait();
                let mut hits = 0;
                let pace = Pace::of(ops, || hits = ask(&mut reader, set.addresses(), asked, chunks));
                // Relaxed, here and below: it publishes nothing.
                stop.store(true, Ordering::Relaxed);
                (pace, hits)
            },
            |ready| {
                let mut writer = index.writer();
                ready.wait();
                let begin = Instant::now();
                let mut ops = 0;
                while !stop.load(Ordering::Relaxed) {
                    replace_next(&mut writer, set.shuffled(), replaced, fresh);
                    ops += 1;
                }
                Pace { ops, elapsed: begin.elapsed() }
            },
        );
        Lap { pace, lost: ops - hits, writer: Some(writer), ..Lap::default() }
    }
}

/// Replaces the next region of the stream by one with a new value.
pub(super) fn replace_next(writer: &mut impl Changes, regions: &[Region], round: &mut Round, fresh: &mut u64) {
    *fresh += 1;
    let value = FRESH + *fresh;
    writer.replace(Region { value, ..*round.next(regions) });
}

/// The first value of replacing regions. It is above those of the first filling, so that neighbours never have equal values.
const FRESH: u64 = 1 << 40;
