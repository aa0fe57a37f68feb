//! The command `host`: shows what of this machine the other commands depend on. Called by `main`.

use anyhow::Result;
use std::io::{self, Write as _};
use std::process::ExitCode;
use vmaple_host::Host;

/// Runs the command.
///
/// # Errors
/// If the output cannot be written.
pub fn run() -> Result<ExitCode> {
    write!(io::stdout().lock(), "{}", Host::probe())?;
    Ok(ExitCode::SUCCESS)
}
