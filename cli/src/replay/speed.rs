//! The history at full speed: readers alone first, then beside a writer that replays the history and leads it back to its start,
//! repeatedly. Called by `replay::run` after `checked` has led the index back to its start.
//!
//! Here the readers share only the index with the writer, so an answer cannot be compared with its moment. What holds at every moment is
//! still checked: an answer contains its address, an address that is mapped in the whole round is never missed, and an address that is never
//! mapped has no answer.

use super::figures::rate;
use super::history::{History, Step};
use super::index::{Handles, Indexes, Totals};
use super::latency::{Latency, Timer, clock_cost};
use super::lifetimes::{Fate, Lifetimes};
use super::progress::Progress;
use super::samples::Samples;
use crossbeam_utils::CachePadded;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// About one lookup in this many is timed, and one write in this many.
const LOOKUP_STRIDE: u32 = 64;
const WRITE_STRIDE: u32 = 16;
/// The number of lookups between two checks of whether the reader must stop.
const BATCH: usize = 256;
/// The time between two notes of the throughput, and the largest number of notes.
const NOTE: Duration = Duration::from_millis(100);
const NOTES: u32 = 1200;

/// Whether a writer runs beside the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Alone,
    BesideWriter,
}

/// The measurements at full speed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Speed {
    pub(super) readers_alone: Reading,
    pub(super) readers_beside_writer: Reading,
    /// The share of the rate per second of processor time that the readers keep beside the writer.
    pub(super) readers_keep: f64,
    pub(super) writer: Writing,
    /// The most bytes that were retired and waiting at one of the notes.
    pub(super) held_bytes_peak: usize,
    /// The cost of two readings of the clock, which was subtracted from every measurement.
    pub(super) clock_ns: u64,
    #[serde(skip)]
    pub(super) notes: Vec<Note>,
    /// Where the index refused an edit.
    #[serde(skip)]
    pub(super) refused: Option<String>,
}

/// One phase of the readers.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Reading {
    pub(super) seconds: f64,
    pub(super) lookups: u64,
    pub(super) lookups_per_second: f64,
    /// The rate of one reader per second of processor time.
    pub(super) lookups_per_processor_second: f64,
    /// Answers that cannot be true.
    pub(super) wrong: u64,
    pub(super) latency: Latency,
    #[serde(skip)]
    processor_seconds: f64,
}

/// The measurements of the writer.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Writing {
    pub(super) seconds: f64,
    pub(super) writes: u64,
    pub(super) writes_per_second: f64,
    pub(super) writes_per_processor_second: f64,
    /// The number of times that the whole history was replayed.
    pub(super) rounds: u64,
    pub(super) latency: Latency,
}

/// The throughput so far at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// Seconds since the first phase began.
    pub(super) at: f64,
    pub(super) lookups: u64,
    pub(super) writes: u64,
    pub(super) totals: Totals,
}

/// One address to look up.
#[derive(Clone, Copy)]
struct Target {
    address: u64,
    space: u32,
    fate: Fate,
}

/// What the threads of one phase share.
struct Board<'a> {
    targets: &'a [Target],
    indexes: &'a Indexes,
    clock: Duration,
    over: AtomicBool,
    lookups: Vec<CachePadded<AtomicU64>>,
    writes: CachePadded<AtomicU64>,
}

/// Measures the readers alone for a while, then readers and writer for `time`.
pub(super) fn run(history: &History, samples: &Samples, lifetimes: &Lifetimes, indexes: &Indexes, readers: usize, time: Duration) -> Speed {
    let fates: Vec<Fate> = (0..samples.len()).map(|sample| lifetimes.fate(sample)).collect();
    let target = |(sample, _): &(u32, u32)| {
        let (space, address) = samples.address(*sample as usize);
        Target { address, space, fate: fates[*sample as usize] }
    };
    let targets: Vec<Target> = samples.touches().iter().map(target).collect();
    let clock = clock_cost();
    let mut speed = Speed { clock_ns: u64::try_from(clock.as_nanos()).unwrap_or(u64::MAX), ..Speed::default() };
    let began = Instant::now();
    let board = || Board {
        targets: &targets,
        indexes,
        clock,
        over: AtomicBool::new(false),
        lookups: (0..readers).map(|_| CachePadded::default()).collect(),
        writes: CachePadded::default(),
    };
    let round: Vec<Step> = history.steps.iter().chain(&lifetimes.restore).copied().collect();
    let alone = time.div_f64(4.0);
    let progress = Progress::new("readers alone      ", alone);
    speed.readers_alone = phase(&board(), &[], Company::Alone, alone, began, &progress, &mut speed.notes).0;
    progress.finish();
    let progress = Progress::new("readers and writer ", time);
    let beside = phase(&board(), &round, Company::BesideWriter, time, began, &progress, &mut speed.notes);
    progress.finish();
    (speed.readers_beside_writer, (speed.writer, speed.refused)) = beside;
    let own = |reading: &Reading| reading.lookups_per_processor_second;
    if own(&speed.readers_alone) > 0.0 {
        speed.readers_keep = own(&speed.readers_beside_writer) / own(&speed.readers_alone);
    }
    speed.held_bytes_peak = speed.notes.iter().map(|note| note.totals.held_bytes).max().unwrap_or(0);
    speed
}

type Written = (Writing, Option<String>);

fn phase(
    board: &Board<'_>,
    round: &[Step],
    company: Company,
    time: Duration,
    origin: Instant,
    progress: &Progress,
    notes: &mut Vec<Note>,
) -> (Reading, Written) {
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..board.lookups.len()).map(|number| scope.spawn(move || read(board, number))).collect();
        let writer = (company == Company::BesideWriter).then(|| scope.spawn(move || write(board, round)));
        watch(board, time, origin, progress, notes);
        board.over.store(true, Ordering::Relaxed);
        let mut timer = Timer::new(LOOKUP_STRIDE, board.clock, 0);
        let mut reading = Reading::default();
        for reader in readers {
            match reader.join() {
                Ok((one, timed)) => {
                    timer.absorb(&timed);
                    reading.add(&one);
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        reading.latency = timer.latency();
        let written = match writer.map(std::thread::ScopedJoinHandle::join) {
            None => Written::default(),
            Some(Ok(written)) => written,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        };
        (reading, written)
    })
}

/// Notes the throughput until the time is over.
fn watch(board: &Board<'_>, time: Duration, origin: Instant, progress: &Progress, notes: &mut Vec<Note>) {
    let began = Instant::now();
    let interval = NOTE.max(time / NOTES);
    loop {
        let elapsed = began.elapsed();
        let lookups = board.lookups.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        let writes = board.writes.load(Ordering::Relaxed);
        notes.push(Note { at: origin.elapsed().as_secs_f64(), lookups, writes, totals: board.indexes.totals() });
        progress.speed(elapsed, lookups, writes);
        let left = time.saturating_sub(elapsed);
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(interval));
    }
}

/// Returns the processor time of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

fn read(board: &Board<'_>, number: usize) -> (Reading, Timer) {
    let mut handles = board.indexes.handles();
    let mut timer = Timer::new(LOOKUP_STRIDE, board.clock, 1 + number as u64);
    let mut reading = Reading::default();
    let (began, processor) = (Instant::now(), processor_time());
    // all readers look up the same touches again and again, each from another place on
    let from = board.targets.len() * number / board.lookups.len();
    let mut targets = board.targets[from..].iter().chain(board.targets.iter().cycle());
    loop {
        for target in targets.by_ref().take(BATCH) {
            reading.wrong += u64::from(!timer.call(|| holds(&mut handles, target)));
        }
        reading.lookups += BATCH as u64;
        // Relaxed: it is only shown
        board.lookups[number].store(reading.lookups, Ordering::Relaxed);
        if board.over.load(Ordering::Relaxed) {
            break;
        }
    }
    reading.seconds = began.elapsed().as_secs_f64();
    reading.processor_seconds = processor_time().saturating_sub(processor).as_secs_f64();
    (reading, timer)
}

/// Looks up an address, and returns whether the answer can be true.
fn holds(handles: &mut Handles<'_>, target: &Target) -> bool {
    match (handles.lookup(target.space, target.address), target.fate) {
        (Some(area), Fate::Always | Fate::Sometimes) => (area.start..=area.last).contains(&target.address),
        (Some(_), Fate::Never) | (None, Fate::Always) => false,
        (None, Fate::Never | Fate::Sometimes) => true,
    }
}

fn write(board: &Board<'_>, round: &[Step]) -> Written {
    let mut timer = Timer::new(WRITE_STRIDE, board.clock, 0);
    let mut writing = Writing::default();
    let mut refused = None;
    let (began, processor) = (Instant::now(), processor_time());
    // a round is always completed, so that the index is back at its start
    while !round.is_empty() && refused.is_none() && !board.over.load(Ordering::Relaxed) {
        for step in round {
            if let Err(refusal) = timer.call(|| board.indexes.apply(step)) {
                refused.get_or_insert_with(|| format!("the index refused {:?}: {refusal}", step.edit));
            }
            writing.writes += 1;
            board.writes.store(writing.writes, Ordering::Relaxed);
        }
        writing.rounds += 1;
    }
    writing.seconds = began.elapsed().as_secs_f64();
    writing.writes_per_second = rate(writing.writes, writing.seconds);
    writing.writes_per_processor_second = rate(writing.writes, processor_time().saturating_sub(processor).as_secs_f64());
    writing.latency = timer.latency();
    (writing, refused)
}

impl Reading {
    fn add(&mut self, one: &Self) {
        self.seconds = self.seconds.max(one.seconds);
        self.processor_seconds += one.processor_seconds;
        self.lookups += one.lookups;
        self.wrong += one.wrong;
        self.lookups_per_second += rate(one.lookups, one.seconds);
        self.lookups_per_processor_second = rate(self.lookups, self.processor_seconds);
    }
}
