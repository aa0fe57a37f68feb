//! `replay`: the recorded histories under `traces/`, one after the other, call by call, in one row alone and in another beside a reader
//! that resolves the recorded page faults. The histories have their own layouts, so the number of regions makes no difference, and the
//! rows stop at a thousand. Preparing an address space for the next history is not measured.

use super::spaces::{OfSet, entries, here, in_child};
use crate::cores;
use crate::histories::{Histories, histories};
use crate::regions::{CHUNK, RegionSet};
use crate::subject::{Resolves, Space};
use crate::subjects::kernel::Kernel;
use crate::subjects::locked_space::LockedSpace;
use crate::subjects::vmaple_space::VmapleSpace;
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload, chunks};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(super) const ALONE: Workload =
    Workload { name: "replay", row: "replay", writer_row: None, threads: 1, measure: Measure::Laps(alone), left_out: &[] };

pub(super) const BESIDE: Workload = Workload {
    row: "replay-reader",
    writer_row: Some("replay-writer"),
    threads: 2,
    measure: Measure::Laps(beside),
    left_out: &[("kernel-calls", "nothing asks it where an address is mapped but a page fault, which does more")],
    ..ALONE
};

/// The most regions to measure with: more would only repeat the rows.
const LIMIT: usize = 1_000;

/// The number of calls between two checks of whether the reader has finished.
const STRETCH: u64 = 64;

/// The number of layouts in which the reader is measured alone.
const STOPS: u64 = 16;

fn limited(candidates: impl IntoIterator<Item = Candidate>) -> Vec<Candidate> {
    candidates.into_iter().map(|candidate| Candidate { limit: LIMIT, ..candidate }).collect()
}

fn alone() -> Vec<Candidate> {
    limited([
        in_child::<Alone<Kernel>>(Kernel::NAME),
        entries::<1>(),
        here::<VmapleSpace, Alone<VmapleSpace>>(),
        here::<LockedSpace, Alone<LockedSpace>>(),
    ])
}

fn beside() -> Vec<Candidate> {
    limited([here::<VmapleSpace, Beside<VmapleSpace>>(), here::<LockedSpace, Beside<LockedSpace>>()])
}

/// The position of an address space in the histories.
struct Progress {
    histories: &'static Histories,
    history: usize,
    call: usize,
}

impl Progress {
    /// Returns the position at the beginning of the first history.
    fn begin<S: Space>() -> (Self, S) {
        let progress = Self { histories: histories(), history: 0, call: 0 };
        let space = S::new(&progress.histories.setup);
        progress.set_up(&space);
        (progress, space)
    }

    fn set_up(&self, space: &impl Space) {
        self.histories.all[self.history].begin.iter().for_each(|call| _ = space.call(call));
    }

    /// Returns the number of calls of all histories.
    fn round(&self) -> u64 {
        self.histories.all.iter().map(|history| history.calls.len() as u64).sum()
    }

    /// Makes at most `wanted` calls, at most to the end of the history. Returns their number and time.
    fn some(&mut self, space: &impl Space, wanted: u64) -> Pace {
        let history = &self.histories.all[self.history];
        let calls = history.calls[self.call..].iter().take(usize::try_from(wanted).unwrap_or(usize::MAX));
        let (begin, count) = (Instant::now(), calls.len());
        for call in calls {
            space.call(call);
        }
        let pace = Pace { ops: count as u64, elapsed: begin.elapsed() };
        self.call += count;
        if self.call == history.calls.len() {
            history.end.iter().for_each(|call| _ = space.call(call));
            (self.history, self.call) = ((self.history + 1) % self.histories.all.len(), 0);
            self.set_up(space);
        }
        pace
    }

    /// Makes `wanted` calls.
    fn many(&mut self, space: &impl Space, wanted: u64) -> Pace {
        let mut pace = Pace::default();
        while pace.ops < wanted {
            let some = self.some(space, wanted - pace.ops);
            pace = Pace { ops: pace.ops + some.ops, elapsed: pace.elapsed + some.elapsed };
        }
        pace
    }
}

struct Alone<S> {
    progress: Progress,
    space: S,
}

impl<S: Space> OfSet for Alone<S> {
    fn of(_: &Arc<RegionSet>) -> Self {
        let (progress, space) = Progress::begin();
        Self { progress, space }
    }
}

impl<S: Space> Bench for Alone<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        // Whole rounds, because a part of one has another mixture of calls.
        let round = self.progress.round();
        self.progress.many(&self.space, ops.div_ceil(round) * round).into()
    }
}

struct Beside<S> {
    progress: Progress,
    space: S,
    faults: Vec<u64>,
    round: Round,
}

impl<S: Resolves> OfSet for Beside<S> {
    fn of(_: &Arc<RegionSet>) -> Self {
        let (progress, space) = Progress::begin();
        let mut faults: Vec<u64> = progress.histories.all.iter().flat_map(|history| history.faults.iter().copied()).collect();
        faults.truncate(faults.len() / CHUNK * CHUNK);
        Self { progress, space, faults, round: Round::from(0) }
    }
}

/// Resolves `chunks` chunks of addresses.
fn resolve(space: &impl Resolves, faults: &[u64], round: &mut Round, chunks: u64) -> Pace {
    Pace::of(chunks * CHUNK as u64, || {
        for _ in 0..chunks {
            black_box(round.chunk(faults).iter().filter(|&&address| space.is_mapped(address)).count());
        }
    })
}

impl<S: Resolves> Bench for Beside<S> {
    fn lap(&mut self, ops: u64) -> Lap {
        let Self { progress, space, faults, round } = self;
        let (space, faults) = (&*space, &faults[..]);
        let some = chunks(ops / 2 / STOPS);
        resolve(space, faults, round, some);
        // The reader alone, in layouts that also occur beside the writer: at several places of a round.
        let mut alone = Pace::default();
        for _ in 0..STOPS {
            progress.many(space, progress.round() / STOPS);
            let at_stop = resolve(space, faults, round, some);
            alone = Pace { ops: alone.ops + at_stop.ops, elapsed: alone.elapsed + at_stop.elapsed };
        }
        let stop = AtomicBool::new(false);
        let (pace, writer) = cores::beside(
            |ready| {
                ready.wait();
                let pace = resolve(space, faults, round, some * STOPS);
                // Relaxed, here and below: it publishes nothing.
                stop.store(true, Ordering::Relaxed);
                pace
            },
            |ready| {
                ready.wait();
                let (mut ops, mut elapsed) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let some = progress.some(space, STRETCH);
                    (ops, elapsed) = (ops + some.ops, elapsed + some.elapsed);
                }
                Pace { ops, elapsed }
            },
        );
        Lap { pace, alone: Some(alone), writer: Some(writer), ..Lap::default() }
    }
}
