//! Reads a scenario record by record, executes each in a [`Space`], and compares the result with the expected one. Called by the crate's
//! root and by `fuzz`. It does not depend on which space executes.

use crate::layout::{compare_cover, compare_maps, within};
use crate::report::{Difference, Report, asked, counted};
use crate::space::{Answer, Failure, Gap, OnRefusal, Refusal, Space};
use crate::spaces::Spaces;
use std::io;
use thiserror::Error;
use vmaple_host::Need;
use vmaple_trace::{
    Area, Expected, Extent, ForkOutcome, Found, Line, Name, Operation, Outcome, Reader, Record, TraceError, TraceFault, VmCounts,
};

/// Why a scenario was not executed to its end.
#[derive(Debug, Error)]
pub enum RunError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] TraceError),
    /// A record cannot be executed.
    #[error("{file}:{line}: {asked}: {refusal}")]
    Refused {
        /// The file as the caller named it.
        file: String,
        /// The line, counted from 1.
        line: u64,
        /// The record, without its result.
        asked: String,
        /// The reason.
        refusal: Refusal,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Why the execution ended at a record.
#[derive(Debug, Error)]
enum Stop {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Unreadable(#[from] TraceFault),
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Executes a scenario.
///
/// # Errors
/// [`RunError`]. Differences are not errors: they are in the report.
pub(super) fn run<S: Space>(mut reader: Reader, report: &mut Report<'_>) -> Result<(), RunError> {
    let file = reader.file().to_owned();
    let stopped = |stop: Stop, line: u64, asked: String| match stop {
        Stop::Refused(refusal) => RunError::Refused { file: file.clone(), line, asked, refusal },
        Stop::Unreadable(fault) => RunError::Read(TraceError { file: file.clone(), line, fault }),
        Stop::Output(error) => RunError::Output(error),
    };
    let spaces = Spaces::<S>::begin().map_err(|refusal| stopped(refusal.into(), 1, "the first address space".to_owned()))?;
    let mut runner = Runner { spaces, window: None, report };
    let (mut last, mut is_left_out) = (1, false);
    while let Some(line) = reader.next() {
        let line = line?;
        last = line.number;
        let block = match line.record {
            Record::Maps | Record::Cover => block(&mut reader)?,
            _ => Vec::new(),
        };
        is_left_out &= !matches!(line.record, Record::Reset);
        if is_left_out && !matches!(line.record, Record::Case(_)) {
            continue;
        }
        match runner.step(&line, &block).and_then(|()| runner.diverged(&line)) {
            Err(Stop::Refused(refusal)) if S::on_refusal() == OnRefusal::SkipsTheCase => {
                match refusal {
                    Refusal::Lacks(need) => runner.report.lacks(&line, &need)?,
                    refusal => runner.report.skips(&line, &refusal.to_string())?,
                }
                is_left_out = true;
            }
            done => done.map_err(|stop| stopped(stop, line.number, asked(&line)))?,
        }
    }
    runner.settle(last).map_err(|stop| stopped(stop, last, "the end".to_owned()))
}

/// Reads the lines of a block. The reader has checked that the block has an end.
fn block(reader: &mut Reader) -> Result<Vec<Expected>, TraceError> {
    let mut lines = Vec::new();
    for line in reader.by_ref() {
        match line?.record {
            Record::Expected(line) => lines.push(line),
            _ => break,
        }
    }
    Ok(lines)
}

struct Runner<'r, 'o, S> {
    spaces: Spaces<S>,
    window: Option<Extent>,
    report: &'r mut Report<'o>,
}

impl<S: Space> Runner<'_, '_, S> {
    /// Executes one record. `block` has the lines of its block, if it begins one.
    fn step(&mut self, line: &Line, block: &[Expected]) -> Result<(), Stop> {
        match &line.record {
            Record::Set(setting) => self.spaces.current()?.set(*setting)?,
            Record::Area(area) => self.spaces.current()?.place(area)?,
            Record::With(with) => self.spaces.current()?.note(with)?,
            Record::Own(extent) => self.spaces.current()?.own(*extent)?,
            Record::Operation(operation, outcome) => {
                let found = self.spaces.current()?.apply(operation)?;
                self.outcome(line, *outcome, &found, address_of(operation))?;
            }
            Record::Fork(outcome) => self.fork(line, outcome)?,
            Record::As(name) => self.spaces.choose(name)?,
            Record::Exit => {
                let space = self.spaces.exit()?;
                self.verdict(line.number, &space)?;
            }
            Record::Grew(extent) => {
                let found = self.spaces.current()?.grow(*extent)?;
                self.found(line, Found::Area(*extent), &found, extent.start)?;
            }
            Record::Fault { addr, access, context, found } => {
                let answer = self.spaces.current()?.fault(*addr, *access, *context)?;
                self.found(line, *found, &answer, *addr)?;
            }
            Record::Lookup { addr, found } => {
                let answer = self.spaces.current()?.lookup(*addr)?;
                self.found(line, *found, &answer, *addr)?;
            }
            Record::Find { addr, found } => {
                let answer = self.spaces.current()?.find(*addr)?;
                self.found(line, *found, &answer, *addr)?;
            }
            &Record::Gap { side, min, max, len, align, outcome } => {
                let found = self.spaces.current()?.gap(&Gap { side, min, max, len, align })?;
                self.outcome(line, outcome, &found, Some(min))?;
            }
            Record::Maps => {
                let found = within(self.layout()?, self.window);
                let differing = compare_maps(block, &found);
                self.layout_as_expected(line, (block.len(), found.len()), differing)?;
            }
            Record::Cover => {
                let found = within(self.layout()?, self.window);
                let differing = compare_cover(block, &found, self.window);
                self.layout_as_expected(line, (block.len(), found.len()), differing)?;
            }
            Record::Count(count) => {
                let found = self.spaces.current()?.count(self.window)?;
                self.value(line, &count.to_string(), &found.to_string(), None)?;
            }
            Record::Vm(expected) => {
                let found = asked_for(*expected, self.spaces.current()?.vm()?);
                self.value(line, &expected.to_string(), &found.to_string(), None)?;
            }
            Record::Seq(cycles) => {
                let found = self.spaces.current()?.write_cycles()?;
                self.value(line, &format!("+{cycles}"), &format!("+{found}"), None)?;
            }
            Record::Reset => {
                self.settle(line.number)?;
                self.spaces = Spaces::begin()?;
                self.window = None;
            }
            Record::Case(words) => self.report.case(words),
            Record::Window(extent) => self.window = Some(*extent),
            Record::Needs(words) => {
                let needs = words.iter().map(need).collect::<Result<Vec<_>, _>>()?;
                self.spaces.current()?.needs(&needs)?;
            }
            // the reader gives these only inside a block, and that only a recording has
            Record::Expected(_) | Record::End | Record::Unrecorded(_) => {}
        }
        Ok(())
    }

    /// Reports the differences between library and kernel, if the space has both.
    fn diverged(&mut self, line: &Line) -> Result<(), Stop> {
        // after an exit there may be none
        let Ok(space) = self.spaces.current() else { return Ok(()) };
        for difference in space.divergences() {
            self.report.differs(line, &difference)?;
        }
        Ok(())
    }

    fn fork(&mut self, line: &Line, outcome: &ForkOutcome) -> Result<(), Stop> {
        if let ForkOutcome::Child(name) = outcome {
            self.spaces.check_free(name)?;
        }
        match (outcome, self.spaces.current()?.fork()?) {
            (ForkOutcome::Child(name), Ok(child)) => {
                self.spaces.keep(name, child);
                self.report.held();
            }
            (ForkOutcome::Unchecked, Ok(_)) => self.report.outcome(line, "a child without a name")?,
            (ForkOutcome::Unchecked, Err(failure)) => self.report.outcome(line, &failed(&failure))?,
            (expected, Err(failure)) if *expected == ForkOutcome::Failed(failure.errno) => self.report.held(),
            (expected, Err(failure)) => self.value(line, &expected.to_string(), &failed(&failure), None)?,
            (expected, Ok(_)) => self.value(line, &expected.to_string(), "a child", None)?,
        }
        Ok(())
    }

    /// Compares the result of an operation.
    fn outcome(&mut self, line: &Line, expected: Outcome, found: &Result<u64, Failure>, addr: Option<u64>) -> Result<(), Stop> {
        let outcome = match found {
            Ok(value) => Outcome::Value(*value),
            Err(failure) => Outcome::Failed(failure.errno),
        };
        let shown = found.as_ref().map_or_else(failed, |value| Outcome::Value(*value).to_string());
        if expected == Outcome::Unchecked {
            self.report.outcome(line, &shown)?;
            return Ok(());
        }
        self.holds_if(line, expected == outcome, &expected.to_string(), &shown, addr)
    }

    /// Compares the answer to a query for an area.
    fn found(&mut self, line: &Line, expected: Found, answer: &Answer, addr: u64) -> Result<(), Stop> {
        let found = answer.as_ref().map_or(Found::None, |extent| Found::Area(*extent));
        let shown = match answer {
            Err(Some(why)) => format!("none: {why}"),
            _ => found.to_string(),
        };
        if expected == Found::Unchecked {
            self.report.outcome(line, &shown)?;
            return Ok(());
        }
        self.holds_if(line, expected == found, &expected.to_string(), &shown, Some(addr))
    }

    /// Compares a value by its text.
    fn value(&mut self, line: &Line, expected: &str, found: &str, addr: Option<u64>) -> Result<(), Stop> {
        self.holds_if(line, expected == found, expected, found, addr)
    }

    /// Counts an assertion that holds, or reports the difference.
    fn holds_if(&mut self, line: &Line, holds: bool, expected: &str, found: &str, addr: Option<u64>) -> Result<(), Stop> {
        if holds {
            self.report.held();
            return Ok(());
        }
        let layout = self.spaces.current()?.around(addr)?;
        self.report.differs(line, &Difference { expected: expected.to_owned(), found: found.to_owned(), layout })?;
        Ok(())
    }

    /// Counts a block without differing lines, or reports them with the number of areas on both sides.
    fn layout_as_expected(&mut self, line: &Line, (expected, found): (usize, usize), differing: Vec<String>) -> Result<(), Stop> {
        if differing.is_empty() {
            self.report.held();
            return Ok(());
        }
        let areas = |count| counted(count as u64, "area");
        self.report.differs(line, &Difference { expected: areas(expected), found: areas(found), layout: differing })?;
        Ok(())
    }

    fn layout(&mut self) -> Result<Vec<Area>, Stop> {
        Ok(self.spaces.current()?.layout()?)
    }

    /// Checks the invariants of the address spaces that are left, before they are dropped.
    fn settle(&mut self, number: u64) -> Result<(), Stop> {
        let wrong: Vec<Failure> = self.spaces.all().filter_map(|space| space.verdict().err()).collect();
        wrong.iter().try_for_each(|failure| self.broken(number, failure))
    }

    fn verdict(&mut self, number: u64, space: &S) -> Result<(), Stop> {
        space.verdict().or_else(|failure| self.broken(number, &failure))
    }

    fn broken(&mut self, number: u64, failure: &Failure) -> Result<(), Stop> {
        self.report.broken_at(number, failed(failure))?;
        Ok(())
    }
}

/// The need that a word names.
fn need(word: &Name) -> Result<Need, TraceFault> {
    let expected = "what a case needs of the machine, by a word that `vmaple host` shows, like `keys` or `cap:ipc_lock`";
    let named = std::str::from_utf8(word.bytes()).ok().and_then(|word| word.parse().ok());
    named.ok_or_else(|| TraceFault::unexpected(&word.to_string(), expected))
}

fn failed(failure: &Failure) -> String {
    format!("-{}: {}", failure.errno, failure.why)
}

/// Returns the address at which an operation acts.
fn address_of(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::Mmap { addr, .. }
        | Operation::Munmap { addr, .. }
        | Operation::Mprotect { addr, .. }
        | Operation::PkeyMprotect { addr, .. }
        | Operation::Mremap { addr, .. }
        | Operation::Brk { addr }
        | Operation::Madvise { addr, .. }
        | Operation::Mlock { addr, .. }
        | Operation::Mlock2 { addr, .. }
        | Operation::Munlock { addr, .. }
        | Operation::Mseal { addr, .. }
        | Operation::Mark { addr, .. } => Some(*addr),
        Operation::Mlockall { .. } | Operation::Munlockall | Operation::PkeyAlloc { .. } | Operation::PkeyFree { .. } => None,
    }
}

/// Returns the counters in `found` that `expected` names.
#[must_use]
pub fn asked_for(expected: VmCounts, found: VmCounts) -> VmCounts {
    VmCounts {
        total: expected.total.and(found.total),
        locked: expected.locked.and(found.locked),
        data: expected.data.and(found.data),
        stack: expected.stack.and(found.stack),
        exec: expected.exec.and(found.exec),
    }
}
