//! The verb `maps`: loads the map of a process that lives, or a saved one, into the index, prints what is there, and
//! resolves addresses against the index. `main` comes in through [`run`]; the text is read by `procmaps`, what is
//! printed is made in `summary` and `resolve`, and `watch` goes on where `--watch` asks for it.

mod resolve;
mod source;
mod summary;
mod watch;

use crate::args::MapsArgs;
use crate::procmaps::MapLine;
use anyhow::{Context as _, Result, bail};
use source::Source;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use vmaple::RangeMap;

/// The index of a map: its values are the lines that the kernel wrote.
type Index = RangeMap<Arc<MapLine>>;

/// Runs the verb. The status is 1 where one of the addresses resolved to nothing.
///
/// # Errors
/// Where the map cannot be read, or the output cannot be written.
pub fn run(args: &MapsArgs) -> Result<ExitCode> {
    let source = Source::of(&args.source);
    if args.watch.is_some() && matches!(source, Source::StandardInput) {
        bail!("--watch loads the map again, and standard input can be read only once: name a process or a file");
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

fn build(lines: &[Arc<MapLine>]) -> Result<Index> {
    let entries = lines.iter().map(|line| (line.start..=line.last(), Arc::clone(line)));
    let map = RangeMap::builder().build_from(entries);
    map.map_err(|error| anyhow::anyhow!("{error}")).context("the index refused the map")
}
