//! The program `vmaple`: parses the command line, runs the command, and turns its result into an exit status.

use clap::Parser as _;
use std::process::ExitCode;
use vmaple_cli::args::{Arguments, Command};
use vmaple_host::Host;

/// Returns an error with its causes. A cause whose text is already in the message is not repeated.
fn message_of(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |message, cause| {
        let cause = cause.to_string();
        match message.as_str() {
            "" => cause,
            message if message.contains(&cause) => message.to_owned(),
            message => format!("{message}: {cause}"),
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
            // the reader of the output has closed it
            return ExitCode::SUCCESS;
        }
        eprintln!("vmaple: {}", message_of(&error));
        ExitCode::from(2)
    })
}
