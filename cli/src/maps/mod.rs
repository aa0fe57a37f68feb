//! The command `maps`: loads the map of a running process, or a saved one, into the index, prints a summary, and resolves addresses with
//! the index. Called by `main`.
//!
//! `source` and `procmaps` read the map, `summary` and `resolve` produce the output, and `watch` implements `--watch`.

mod index;
mod resolve;
mod source;
mod summary;
mod watch;

use crate::args::MapsArgs;
use anyhow::{Result, bail};
use index::build;
use source::Source;
use std::io::Write as _;
use std::process::ExitCode;

/// Runs the command. The status is 1 if one of the addresses is not mapped.
///
/// # Errors
/// If the map cannot be read, or the output cannot be written.
pub fn run(args: &MapsArgs) -> Result<ExitCode> {
    let source = Source::of(&args.source);
    if args.watch.is_some() && matches!(source, Source::StandardInput) {
        bail!("--watch loads the map repeatedly, and the standard input can be read only once: name a process or a file");
    }
    let lines = source.load()?;
    let index = build(&lines)?;
    let mut out = std::io::stdout().lock();
    if args.list {
        for line in &lines {
            writeln!(out, "{line}")?;
        }
    } else {
        summary::print(&mut out, &source, &lines, &index)?;
    }
    let mut answers = resolve::all(&index, &args.addresses);
    for answer in &answers {
        writeln!(out, "{answer}")?;
    }
    out.flush()?;
    if let Some(seconds) = args.watch {
        watch::run(&mut out, &source, lines, &index, &mut answers, seconds)?;
    }
    let missed = answers.iter().any(|answer| !answer.is_hit());
    Ok(ExitCode::from(u8::from(missed)))
}
