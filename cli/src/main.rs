//! The `vmaple` program: it reads the command line, hands it on, and turns what comes back into an exit status.

use clap::Parser as _;
use std::process::ExitCode;
use vmaple_cli::args::{Arguments, Command};
use vmaple_host::Host;

/// An error with its causes, each but once: many say their cause in their own words already.
fn told_once(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match told.as_str() {
            "" => cause,
            told if told.contains(&cause) => told.to_owned(),
            told => format!("{told}: {cause}"),
        }
    })
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(unknown) = Host::try_probe() {
        eprintln!("vmaple: {}: {unknown}", vmaple_host::WITHOUT);
        return ExitCode::from(2);
    }
    let outcome = match &arguments.command {
        Command::Record(args) => vmaple_cli::record::run(args).map_err(Into::into),
        Command::Replay(args) => vmaple_cli::replay::run(args),
        Command::Run(args) => vmaple_cli::run::run(args),
        Command::Maps(args) => vmaple_cli::maps::run(args),
        Command::Host => vmaple_cli::host::run(),
    };
    outcome.unwrap_or_else(|error| {
        let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe) {
            // whoever read the output has seen enough
            return ExitCode::SUCCESS;
        }
        eprintln!("vmaple: {}", told_once(&error));
        ExitCode::from(2)
    })
}
