//! The command `run`: executes scenarios, or random operations, and prints what differs. Called by `main`.
//!
//! The crate `vmaple-scenario` executes and compares; here are the command's files, its output and its exit status.

use crate::args::{FuzzArgs, RunArgs};
use anyhow::Result;
use std::io::{self, Write};
use std::process::ExitCode;
use vmaple_scenario::fuzz::{self, Options};
use vmaple_scenario::report::{Report, Tally, also};
use vmaple_scenario::{Executor, RunError, execute};
use vmaple_trace::Reader;

/// Runs the command. The status is 1 if something differed, and 2 if a file could not be read or executed; the other files still are.
///
/// # Errors
/// If the output cannot be written, or the random operations cannot be executed.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if (args.fuzz || args.kernel || args.diff)
        && let Some(remark) = vmaple_scenario::other_release()
    {
        eprintln!("vmaple: {remark}");
    }
    if args.fuzz {
        let found = fuzz::run(&options(&args.random), &mut out)?;
        out.flush()?;
        return Ok(ExitCode::from(u8::from(found > 0)));
    }
    let executor = match (args.kernel, args.diff) {
        (false, false) => Executor::Library,
        (true, _) => Executor::Kernel,
        (false, true) => Executor::Both,
    };
    let mut total = Tally::default();
    let mut unreadable = 0_u64;
    for path in &args.scenarios {
        let mut report = Report::new(&mut out, path.display().to_string());
        let ended = Reader::open(path).map_err(Into::into).and_then(|reader| execute(reader, executor, &mut report));
        total.add(report.tally());
        match ended {
            Ok(()) => report.summary()?,
            Err(RunError::Output(error)) => return Err(error.into()),
            Err(error) => {
                unreadable += 1;
                // flushed first, so that a terminal shows both in order
                out.flush()?;
                eprintln!("vmaple: {error}");
            }
        }
    }
    if args.scenarios.len() > 1 {
        writeln!(out, "{} files: {total}{}", args.scenarios.len(), also(unreadable, "not executed to the end"))?;
    }
    out.flush()?;
    Ok(ExitCode::from(match (unreadable, total.differing) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    }))
}

fn options(args: &FuzzArgs) -> Options {
    Options { operations: args.ops, seed: args.seed, differences: args.differences, out: args.out.clone() }
}
