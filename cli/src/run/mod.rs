//! The verb `run`: executes scenarios against an address space and says where it is not as they have it. `main` comes in through [`run`].
//!
//! Two rooms, and a door between them. What *executes* is a `Space`: it does an operation, and tells its layout. `model` is
//! the library's; `apply` has an arm for each system call. What *compares* is the `runner`: it reads the records, keeps the address
//! spaces by name (`spaces`), asks, compares (`layout`), and hands what differs to the `report`. It does not know who executes.
//!
//! `replay` comes in, too: it has the library's space follow a recording (`replay::exact`). So do the fuzz targets: `scenario_parse` through
//! [`against_library`], `kernel_diff` through [`in_step`].

pub(crate) mod apply;
pub(crate) mod area;
mod diff;
mod exact;
mod fault;
mod fuzz;
mod kernel;
pub(crate) mod layout;
#[cfg(test)]
mod linear;
pub(crate) mod low;
mod marks;
pub(crate) mod model;
pub(crate) mod placement;
mod report;
pub(crate) mod runner;
pub(crate) mod settings;
pub(crate) mod space;
pub(crate) mod spaces;

use crate::args::RunArgs;
use anyhow::Result;
use diff::Both;
pub use fuzz::in_step;
use kernel::KernelSpace;
use model::MmSpace;
use report::{Report, Tally};
use std::io::{self, Write};
use std::process::ExitCode;
use vmaple_trace::Reader;

/// Who executes.
#[derive(Clone, Copy)]
enum Executes {
    Library,
    Kernel,
    Both,
}

/// Runs the verb. The status is 1 where something differed, and 2 where a file could not be read or executed; the others still are.
///
/// # Errors
/// Where a result cannot be written.
pub fn run(args: &RunArgs) -> Result<ExitCode> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if args.fuzz || args.kernel || args.diff {
        kernel::name_another();
    }
    if args.fuzz {
        let status = fuzz::run(&args.random, &mut out)?;
        out.flush()?;
        return Ok(status);
    }
    let executes = match (args.kernel, args.diff) {
        (false, false) => Executes::Library,
        (true, _) => Executes::Kernel,
        (false, true) => Executes::Both,
    };
    let mut total = Tally::default();
    let mut unreadable = 0_u64;
    for path in &args.scenarios {
        let mut report = Report::new(&mut out, path.display().to_string());
        let ended = Reader::open(path).map_err(Into::into).and_then(|reader| match executes {
            Executes::Library => runner::run::<MmSpace>(reader, &mut report),
            Executes::Kernel => runner::run::<KernelSpace>(reader, &mut report),
            Executes::Both => runner::run::<Both>(reader, &mut report),
        });
        total.add(report.tally());
        match ended {
            Ok(()) => report.summary()?,
            Err(runner::RunError::Output(error)) => return Err(error.into()),
            Err(error) => {
                unreadable += 1;
                // in the order in which a terminal is to show the two
                out.flush()?;
                eprintln!("vmaple: {error}");
            }
        }
    }
    if args.scenarios.len() > 1 {
        writeln!(out, "{} files: {total}{}", args.scenarios.len(), report::also(unreadable, "not executed to the end"))?;
    }
    out.flush()?;
    Ok(ExitCode::from(match (unreadable, total.differing) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 2,
    }))
}

/// Executes a scenario against an address space of the library, and writes down what differs. Tells how many address spaces it left whose
/// invariants do not hold: none, whatever the scenario says.
///
/// # Errors
/// Where the scenario cannot be read or executed, or what differs cannot be written.
pub fn against_library(reader: Reader, out: &mut dyn Write) -> Result<u64> {
    let name = reader.file().to_owned();
    let mut report = Report::new(out, name);
    runner::run::<MmSpace>(reader, &mut report)?;
    Ok(report.tally().broken)
}

#[cfg(test)]
mod children;
#[cfg(test)]
mod hostile;
