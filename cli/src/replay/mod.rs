//! The command `replay`: rebuilds a recorded history in an address space and in the index, checks every recorded layout and every answer of
//! concurrent readers, and then measures at full speed. Called by `main` through [`run`].
//!
//! `history` reads a trace into edits and queries, checked against the plain model of `layout_model`. `samples` chooses the addresses that
//! readers look up, and `lifetimes` knows when each was mapped. `checked` and `speed` are the two phases; only `index` uses the library's
//! index for them. `exact` performs the same records in an address space of the library. `report` and `page` present the results.

mod checked;
mod exact;
mod figures;
mod history;
mod index;
mod latency;
mod layout_model;
mod lifetimes;
mod limits;
mod packed;
mod page;
mod progress;
mod query;
mod report;
mod samples;
mod speed;

use crate::args::ReplayArgs;
use anyhow::{Context as _, Result};
use progress::Progress;
use report::{Report, Trace};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use vmaple_trace::Reader;

/// The trace that is replayed if none is named. It is part of the program, so it is always available.
const DEFAULT_NAME: &str = "traces/python.trace.gz";
const DEFAULT: &[u8] = include_bytes!("../../../traces/python.trace.gz");
/// The least duration of the checked rebuild, unless the full-speed phase is shorter; and its least number of answers.
const CHECKED_TIME: Duration = Duration::from_secs(1);
const CHECKED_ANSWERS: u64 = 10_000;

/// Runs the command. The status is 1 if something differed.
///
/// # Errors
/// If the trace cannot be read, or a result cannot be written.
pub fn run(args: &ReplayArgs) -> Result<ExitCode> {
    let reader = match &args.trace {
        Some(path) => Reader::open(path)?,
        None => Reader::gzip(DEFAULT_NAME, DEFAULT),
    };
    let mut follower = exact::Follower::new();
    let mut history = history::read(reader, |line| follower.line(line))?;
    let exact = follower.finish();
    let samples = samples::Samples::of(&history);
    let lifetimes = lifetimes::Lifetimes::of(&history, &samples);
    let indexes = index::Indexes::of(&history)?;
    let readers = args.readers.map_or_else(default_readers, usize::from);
    let time = Duration::from_secs_f64(args.seconds);

    let progress = Progress::new("checked rebuild    ", Duration::ZERO);
    let mut differences = std::mem::take(&mut history.differences);
    let stage = checked::Stage { history: &history, samples: &samples, lifetimes: &lifetimes, indexes: &indexes };
    let effort = checked::Effort { time: CHECKED_TIME.min(time), answers: CHECKED_ANSWERS };
    let checked = checked::run(&stage, readers, effort, &mut differences, &progress);
    progress.finish();
    // an index that is not what it should be is not worth measuring
    let measured = (!time.is_zero() && checked.holds()).then(|| speed::run(&history, &samples, &lifetimes, &indexes, readers, time));

    let quick_holds = measured
        .as_ref()
        .is_none_or(|speed| speed.refused.is_none() && speed.readers_alone.wrong == 0 && speed.readers_beside_writer.wrong == 0);
    let waiting = indexes.settle()?;
    let index = report::Index { at_end: checked.finish, afterwards: indexes.totals(), waiting_afterwards_bytes: waiting };
    let (differences_in_words, rest) = report::in_words(&history, &differences);
    let report = Report {
        format: 1,
        held: differences.is_empty() && checked.holds() && quick_holds && exact.holds(),
        trace: Trace::of(&history, &samples, &lifetimes),
        readers,
        exact,
        checked,
        speed: measured,
        index,
        differences: differences_in_words,
        differences_omitted: rest,
    };
    match show(args, &report) {
        // the reader of the output closed it early; the verdict stands
        Err(error) if is_broken_pipe(&error) => {}
        shown => shown?,
    }
    if let Some(path) = &args.html {
        let page = page::render(&report, &history, &lifetimes)?;
        fs::write(path, page).with_context(|| path.display().to_string())?;
    }
    Ok(ExitCode::from(u8::from(!report.held)))
}

/// Whether the reader of the output went away.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Prints the report. If JSON goes to standard output, nothing else does.
fn show(args: &ReplayArgs, report: &Report) -> Result<()> {
    report.print_differences(&mut std::io::stderr().lock())?;
    let to_output = args.json.as_deref() == Some(Path::new("-"));
    let mut out = std::io::stdout().lock();
    if let Some(path) = &args.json {
        let mut json = serde_json::to_string_pretty(report)?;
        json.push('\n');
        if to_output {
            out.write_all(json.as_bytes())?;
        } else {
            fs::write(path, json).with_context(|| path.display().to_string())?;
        }
    }
    if !to_output {
        report.print(&mut out)?;
    }
    out.flush()?;
    Ok(())
}

/// Returns the default number of readers: one per core, at least two.
fn default_readers() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2)
}

#[cfg(test)]
mod adversarial;
