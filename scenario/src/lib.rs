//! Executes traces and test scenarios: against an address space of the library, against a process of the running kernel, or against both in
//! step.
//!
//! Called by the program's `run` ([`execute`], [`fuzz::run`]), by its `replay`, which follows a recording in an [`mm_space::MmSpace`], by the
//! benchmarks and by the fuzz targets ([`against_library`], [`fuzz::in_step`]).
//!
//! There are two parts. A [`space::Space`] executes: it performs one operation at a time and shows its layout. `model` implements it for the
//! library's address space ([`mm_space`]), `kernel` for a process that makes the system calls, and `diff` for both side by side. The `runner`
//! compares: it reads the records, keeps the address spaces by name (`spaces`), compares the layouts with the expected ones (`layout`), and
//! writes differences to a `report`. It does not depend on which space executes.

#[cfg(test)]
mod adversarial;
pub mod apply;
pub mod area;
#[cfg(test)]
mod children;
pub mod convert;
mod diff;
mod exact;
mod fault;
pub mod fuzz;
mod kernel;
pub mod layout;
#[cfg(test)]
mod linear_cost;
pub mod low;
mod marks;
pub mod mm_space;
mod model;
pub mod placement;
pub mod report;
mod runner;
pub mod settings;
pub mod space;
pub mod spaces;

pub use kernel::other_release;
pub use runner::{RunError, asked_for};

use diff::Both;
use kernel::KernelSpace;
use mm_space::MmSpace;
use report::Report;
use std::io::Write;
use vmaple_trace::Reader;

/// What executes a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// An address space of the library.
    Library,
    /// A process of the running kernel.
    Kernel,
    /// Both, compared after each record.
    Both,
}

/// Executes a scenario and writes what differs to the report.
///
/// # Errors
/// [`RunError`] if the scenario cannot be read, a record cannot be executed, or the report cannot be written. Differences are not errors.
pub fn execute(reader: Reader, executor: Executor, report: &mut Report<'_>) -> Result<(), RunError> {
    match executor {
        Executor::Library => runner::run::<MmSpace>(reader, report),
        Executor::Kernel => runner::run::<KernelSpace>(reader, report),
        Executor::Both => runner::run::<Both>(reader, report),
    }
}

/// Executes a scenario against an address space of the library and writes what differs to `out`. Returns the number of address spaces whose
/// invariants did not hold at their end: 0 for every scenario, unless the library has a bug.
///
/// # Errors
/// [`RunError`] if the scenario cannot be read, a record cannot be executed, or `out` cannot be written.
pub fn against_library(reader: Reader, out: &mut dyn Write) -> Result<u64, RunError> {
    let name = reader.file().to_owned();
    let mut report = Report::new(out, name);
    execute(reader, Executor::Library, &mut report)?;
    Ok(report.tally().broken)
}
