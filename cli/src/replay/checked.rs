//! The checked rebuild: the writer applies the history to the index edit by edit while readers look up the sampled addresses. Every answer is
//! checked to have been true at a moment during its lookup. Called by `replay::run`; `lifetimes` knows what was true, and `index` is checked.
//!
//! The writer stores the number of an edit to `begun` before the edit and to `done` after it. A reader loads `done`, looks up, and loads
//! `begun`. The moments of its lookup are those in between. The numbers continue from round to round. A lookup that lasted for a whole round
//! (because its thread was not running) may have been answered at any moment, and is counted as unbounded.

use super::history::{History, Step};
use super::index::{Handles, Indexes, Totals};
use super::layout_model::Region;
use super::lifetimes::{Lifetimes, Moments, Wrong};
use super::progress::Progress;
use super::query::{FailedQuery, Mismatch, ask, range};
use super::samples::Samples;
use crossbeam_utils::CachePadded;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::time::{Duration, Instant};

/// The minimum of the duration of all rounds, and of the number of answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) time: Duration,
    pub(super) answers: u64,
}

/// The most wrong answers that one reader keeps for the report; all are counted.
const MAX_WRONG: usize = 8;
/// How far around the writer's place in the recording a reader picks half of its addresses.
const NEAR: usize = 32;
/// How many lookups a reader makes between two checks of whether to stop.
const BATCH: u64 = 64;

/// What the checked rebuild found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Checked {
    /// The number of times that the whole history was rebuilt.
    pub(super) rounds: u64,
    /// Edits made in all rounds, those back to the start included.
    pub(super) edits: u64,
    /// Answers that readers got; each was checked.
    pub(super) answers: u64,
    /// Answers during which an edit was in progress.
    pub(super) overlapped: u64,
    /// Answers that came a whole round after their lookup began, so that any moment explains them.
    pub(super) unbounded: u64,
    /// Answers that were an area.
    pub(super) hits: u64,
    /// Blocks and queries that the index answered.
    pub(super) asked: u64,
    /// Answers that were true at no moment of their lookup.
    pub(super) wrong: u64,
    pub(super) seconds: f64,
    /// The index at the end of the history.
    #[serde(skip)]
    pub(super) finish: Totals,
    /// The first of the wrong answers, in words.
    pub(super) wrong_examples: Vec<String>,
    /// Where the index refused an edit, or was not what it should have been.
    #[serde(rename = "index_faults")]
    pub(super) faults: Vec<String>,
}

/// What the writer and the readers share.
#[derive(Default)]
struct Board {
    begun: CachePadded<AtomicU64>,
    done: CachePadded<AtomicU64>,
    answers: CachePadded<AtomicU64>,
    over: AtomicBool,
}

/// What one reader found.
#[derive(Default)]
struct Findings {
    answers: u64,
    overlapped: u64,
    unbounded: u64,
    hits: u64,
    wrong: u64,
    wrong_examples: Vec<String>,
}

/// Everything that stays the same while writer and readers run.
pub(super) struct Stage<'a> {
    pub(super) history: &'a History,
    pub(super) samples: &'a Samples,
    pub(super) lifetimes: &'a Lifetimes,
    pub(super) indexes: &'a Indexes,
}

/// Rebuilds the history until both minimums of `effort` are reached. Adds the queries that the index answers wrongly to those of the plain
/// model.
pub(super) fn run(stage: &Stage<'_>, readers: usize, effort: Effort, differences: &mut Vec<FailedQuery>, progress: &Progress) -> Checked {
    let board = Board::default();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let board = &board;
        let threads: Vec<_> = (0..readers).map(|number| scope.spawn(move || read(stage, board, number))).collect();
        let mut checked = {
            let _open = OnDrop(|| board.over.store(true, Ordering::Release));
            write(stage, board, effort, differences, progress)
        };
        for thread in threads {
            match thread.join() {
                Ok(findings) => checked.add(findings),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        checked.seconds = began.elapsed().as_secs_f64();
        checked
    })
}

/// Calls a function when it is dropped, so that a panic of the writer does not leave the readers running.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl Checked {
    fn add(&mut self, findings: Findings) {
        self.answers += findings.answers;
        self.overlapped += findings.overlapped;
        self.unbounded += findings.unbounded;
        self.hits += findings.hits;
        self.wrong += findings.wrong;
        self.wrong_examples.extend(findings.wrong_examples);
    }

    /// Returns whether everything was right.
    pub(super) fn holds(&self) -> bool {
        self.wrong == 0 && self.faults.is_empty()
    }
}

fn write(stage: &Stage<'_>, board: &Board, effort: Effort, differences: &mut Vec<FailedQuery>, progress: &Progress) -> Checked {
    let mut checked = Checked::default();
    let began = Instant::now();
    for round in 1.. {
        let before = checked.edits;
        if round == 1 {
            checked.asked = first_round(stage, board, differences, &mut checked.faults);
        } else {
            apply(stage, board, before, &stage.history.steps, &mut checked.faults);
        }
        checked.finish = stage.indexes.totals();
        compare(stage, |space| &space.finish, "after the last operation", &mut checked.faults);
        let back = before + stage.history.steps.len() as u64;
        apply(stage, board, back, &stage.lifetimes.restore, &mut checked.faults);
        compare(stage, |space| &space.start, "back at the start", &mut checked.faults);
        checked.rounds = round;
        checked.edits = back + stage.lifetimes.restore.len() as u64;
        let answers = board.answers.load(Ordering::Relaxed);
        progress.checked(round, answers);
        if began.elapsed() >= effort.time && answers >= effort.answers {
            break;
        }
    }
    checked
}

/// Makes the edits of the first round, and asks the index every block and query of the recording at its place.
fn first_round(stage: &Stage<'_>, board: &Board, differences: &mut Vec<FailedQuery>, faults: &mut Vec<String>) -> u64 {
    let history = stage.history;
    let mut mismatches: Vec<Mismatch> = Vec::new();
    let mut made = 0;
    for check in &history.checks {
        let steps = &history.steps[made as usize..check.after as usize];
        apply(stage, board, u64::from(made), steps, faults);
        made = check.after;
        let pinned = stage.indexes.pin(check.space);
        mismatches.extend(ask(&pinned, &check.query, check.line, &history.block_lines, &history.backings));
    }
    apply(stage, board, u64::from(made), &history.steps[made as usize..], faults);
    FailedQuery::merge(differences, mismatches);
    history.checks.len() as u64
}

/// Makes edits; `before` is the number of those made so far.
fn apply(stage: &Stage<'_>, board: &Board, before: u64, steps: &[Step], faults: &mut Vec<String>) {
    for (number, step) in (before + 1..).zip(steps) {
        board.begun.store(number, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        let result = stage.indexes.apply(step);
        board.done.store(number, Ordering::SeqCst);
        if let Err(refusal) = result
            && faults.len() < MAX_WRONG
        {
            let place = place(stage.history, stage.lifetimes.moment(number));
            faults.push(format!("{place}: the index refused {:?}: {refusal}", step.edit));
        }
    }
}

/// Compares every map with a layout, entry by entry.
fn compare<'s>(stage: &Stage<'s>, layout: impl Fn(&'s super::history::Space) -> &'s Vec<Region>, when: &str, faults: &mut Vec<String>) {
    for (number, space) in (0..).zip(&stage.history.spaces) {
        let pinned = stage.indexes.pin(number);
        let mut found = pinned.areas();
        let expected = layout(space);
        let differs = expected.iter().map(|area| (Some(*area), found.next())).find(|(expected, found)| expected != found);
        let differs = differs.or_else(|| found.next().map(|area| (None, Some(area))));
        if let Some((expected, found)) = differs.filter(|_| faults.len() < MAX_WRONG) {
            let (expected, found) = (entry(expected), entry(found));
            faults.push(format!("{}: {when}: expected {expected}, found {found} in the index", stage.history.file));
        }
    }
}

fn entry(area: Option<Region>) -> String {
    match area {
        Some(area) => format!("the entry {:#x}..={:#x} {} ({:#x})", area.start, area.last, area.attrs.perm(), area.attrs.0),
        None => "no more entries".to_owned(),
    }
}

/// Returns the line that an edit comes from.
fn place(history: &History, edit: u32) -> String {
    match history.line_of_edit(edit) {
        Some(line) => format!("{}:{line}", history.file),
        None => history.file.clone(),
    }
}

fn read(stage: &Stage<'_>, board: &Board, number: usize) -> Findings {
    let mut handles = stage.indexes.handles();
    let mut findings = Findings::default();
    let mut random = fastrand::Rng::with_seed(0x5eed + number as u64);
    while !board.over.load(Ordering::Acquire) {
        for _ in 0..BATCH {
            query(stage, board, &mut handles, &mut random, &mut findings);
        }
        board.answers.fetch_add(BATCH, Ordering::Relaxed);
    }
    findings
}

fn query(stage: &Stage<'_>, board: &Board, handles: &mut Handles<'_>, random: &mut fastrand::Rng, findings: &mut Findings) {
    let lifetimes = stage.lifetimes;
    let sample = pick(stage.samples, lifetimes.moment(board.done.load(Ordering::Relaxed)), random);
    let (space, address) = stage.samples.address(sample);
    let done = board.done.load(Ordering::SeqCst);
    let answer = handles.lookup(space, address);
    // if the answer shows an edit, the load below sees the number that the writer published before it
    fence(Ordering::SeqCst);
    let begun = board.begun.load(Ordering::SeqCst);
    findings.answers += 1;
    findings.overlapped += u64::from(begun > done);
    findings.hits += u64::from(answer.is_some());
    let moments = lifetimes.moments(done, begun);
    findings.unbounded += u64::from(moments == Moments::Any);
    if let Err(wrong) = lifetimes.explain(space, sample, address, answer, moments) {
        findings.wrong += 1;
        if findings.wrong_examples.len() < MAX_WRONG {
            let edits = (lifetimes.moment(done), lifetimes.moment(begun));
            findings.wrong_examples.push(wrong_text(stage.history, address, answer, wrong, edits));
        }
    }
}

/// Picks a sample: half of the time one that the recording touches near the writer's position, half of the time any.
fn pick(samples: &Samples, done: u32, random: &mut fastrand::Rng) -> usize {
    let touches = samples.touches();
    let touch = if random.bool() {
        let near = samples.touch_after(done) + random.usize(..2 * NEAR);
        near.saturating_sub(NEAR).min(touches.len() - 1)
    } else {
        random.usize(..touches.len())
    };
    touches[touch].0 as usize
}

fn wrong_text(history: &History, address: u64, answer: Option<Region>, wrong: Wrong, edits: (u32, u32)) -> String {
    let found = match answer {
        Some(area) => {
            let bounds = super::layout_model::Bounds { start: area.start, last: area.last };
            format!("{} {}", range(bounds), area.attrs.perm())
        }
        None => "nothing".to_owned(),
    };
    let expected = match wrong {
        Wrong::Elsewhere => "an area that contains it",
        Wrong::NeverThere => "an area that was there at some moment of the lookup",
        Wrong::Missed => "an area, because the address was mapped throughout the lookup",
    };
    let (first, last) = (place(history, edits.0), place(history, edits.1));
    format!("{first}: a reader asked for {address:#x} between there and {last}: expected {expected}, found {found}")
}

#[cfg(test)]
mod tests;
