//! The verb `host`: shows what of this machine the other verbs depend on. `main` comes in through [`run`].

use anyhow::Result;
use std::io::{self, Write as _};
use std::process::ExitCode;
use vmaple_host::Host;

/// Runs the verb.
///
/// # Errors
/// Where the output cannot be written.
pub fn run() -> Result<ExitCode> {
    write!(io::stdout().lock(), "{}", Host::probe())?;
    Ok(ExitCode::SUCCESS)
}
