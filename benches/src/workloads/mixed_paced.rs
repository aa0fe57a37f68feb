//! `mixed-paced`: one reader beside a writer held to a million changes a second, replaces in one row and in-place growths in the other.
//! The reader is also measured alone, in the same lap. The goals are about the part of that rate that it keeps.

use super::lookup::{ask, ask_timed};
use super::mixed::replace_next;
use crate::cores;
use crate::regions::{CHUNK, Growth, RegionSet};
use crate::subject::{Edits, Grows};
use crate::subjects::{VmapleBatch, VmapleHeld, VmaplePin, VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, NO_WRITER, Pace, Round, Workload, chunks};
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) const REPLACE: Workload = Workload {
    name: "mixed-paced",
    row: "mixed-paced-replace",
    writer_row: None,
    threads: 2,
    measure: Measure::Laps(replacing),
    left_out: NO_WRITER,
};

pub(super) const GROW: Workload = Workload { row: "mixed-paced-grow", measure: Measure::Laps(growing), ..REPLACE };

/// The time between two changes.
const PERIOD: Duration = Duration::from_micros(1);

/// The number of bytes by which a region grows: small, so that the gaps last.
const STEP: u64 = 16;

fn replacing() -> Vec<Candidate> {
    with_peers!(replacing_candidate: [VmaplePin, VmapleReader, VmapleHeld, VmapleBatch] peers [])
}

fn growing() -> Vec<Candidate> {
    with_peers!(growing_candidate: [VmaplePin, VmapleReader, VmapleHeld, VmapleBatch] peers [])
}

fn replacing_candidate<I: Edits>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| {
            Box::new(Replacing { index: I::of(set.shuffled()), set: Arc::clone(set), rounds: [Round::from(0), Round::from(0)], fresh: 0 })
        },
    }
}

fn growing_candidate<I: Edits>() -> Candidate
where
    for<'i> I::Writer<'i>: Grows,
{
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| {
            let growths = set.growths(STEP);
            Box::new(Growing { index: I::of(set.shuffled()), set: Arc::clone(set), growths, done: 0, round: Round::from(0) })
        },
    }
}

struct Replacing<I> {
    index: I,
    set: Arc<RegionSet>,
    rounds: [Round; 2],
    fresh: u64,
}

impl<I: Edits> Bench for Replacing<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let (index, set, fresh) = (&self.index, &self.set, &mut self.fresh);
        let [asked, replaced] = &mut self.rounds;
        read_beside(index, set, asked, ops, |due| {
            let mut writer = index.writer();
            due.serve(|| {
                replace_next(&mut writer, set.shuffled(), replaced, fresh);
                true
            })
        })
    }
}

struct Growing<I> {
    index: I,
    set: Arc<RegionSet>,
    growths: Vec<Growth>,
    done: usize,
    round: Round,
}

impl<I: Edits> Bench for Growing<I>
where
    for<'i> I::Writer<'i>: Grows,
{
    fn lap(&mut self, ops: u64) -> Lap {
        if self.done > self.growths.len() / 2 {
            // Built again, with all its gaps.
            self.index = I::of(self.set.shuffled());
            self.done = 0;
        }
        let (index, growths, done) = (&self.index, &self.growths, &mut self.done);
        read_beside(index, &self.set, &mut self.round, ops, |due| {
            let mut writer = index.writer();
            due.serve(|| {
                let Some(growth) = growths.get(*done) else { return false };
                writer.grow(growth.address, growth.start);
                *done += 1;
                true
            })
        })
    }
}

/// Paces a writer, until the reader has finished.
struct Due<'s> {
    begin: Instant,
    stop: &'s AtomicBool,
}

impl Due<'_> {
    /// Makes each change when it is due, late ones at once. Ends when there are no more changes.
    fn serve(self, mut change: impl FnMut() -> bool) -> Pace {
        let mut ops = 0;
        let mut next = Duration::ZERO;
        while !self.stop.load(Ordering::Relaxed) {
            if self.begin.elapsed() < next {
                spin_loop();
                continue;
            }
            if !change() {
                break;
            }
            ops += 1;
            next += PERIOD;
        }
        Pace { ops, elapsed: self.begin.elapsed() }
    }
}

/// Measures the reader alone, then beside the writer.
fn read_beside<I: Edits>(index: &I, set: &RegionSet, round: &mut Round, ops: u64, write: impl FnOnce(Due<'_>) -> Pace + Send) -> Lap {
    let chunks = chunks(ops / 2);
    let ops = chunks * CHUNK as u64;
    let alone = {
        let mut reader = index.reader();
        ask(&mut reader, set.addresses(), round, chunks / 2 + 1);
        ask_timed(&mut reader, set.addresses(), round, chunks)
    };
    let stop = AtomicBool::new(false);
    let ((pace, hits), writer) = cores::beside(
        |ready| {
            let mut reader = index.reader();
            ask(&mut reader, set.addresses(), round, 1);
            ready.wait();
            let mut hits = 0;
            let pace = Pace::of(ops, || hits = ask(&mut reader, set.addresses(), round, chunks));
            // Relaxed: it publishes nothing.
            stop.store(true, Ordering::Relaxed);
            (pace, hits)
        },
        |ready| {
            ready.wait();
            write(Due { begin: Instant::now(), stop: &stop })
        },
    );
    Lap { pace, lost: ops - hits, alone: Some(alone), writer: Some(writer), ..Lap::default() }
}
