//! The command line: one struct for each command, as data. Called by `main`, which passes each command its struct.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Records, replays and shows the memory maps of real programs, and runs scenarios.
///
/// `vmaple replay` without arguments rebuilds a recorded Python start-up in the index while other threads resolve that
/// program's page faults against it, checks every answer, and prints what it measured.
#[derive(Debug, Parser)]
#[command(name = "vmaple", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Arguments {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command and record its memory map as it changes
    Record(crate::record::RecordArgs),
    /// Rebuild a recorded history in the index, check it, and measure it
    Replay(ReplayArgs),
    /// Execute scenarios against an address space of the library, and print what differs from them
    ///
    /// A scenario is a trace with assertions: written by hand, or by a test that failed. Each assertion that does not hold is printed
    /// with its file and line, what was expected, what was found, and the layout around it. For an operation without a recorded result
    /// the result is printed.
    Run(RunArgs),
    /// Show the memory map of a running process, or a saved one
    Maps(MapsArgs),
    /// Show the properties of this machine that the other commands depend on: settings, privileges, refused system calls
    ///
    /// The variable `VMAPLE_WITHOUT`, a comma list of the words under `has`, makes all commands behave as on a machine that lacks those.
    Host,
}

const EXIT_STATUS: &str = "Exit status: 0 everything held, 1 something differed or was not found, 2 the input could not be read.";

/// The arguments of `vmaple replay`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub struct ReplayArgs {
    /// The trace to replay, plain or `.gz`; without it, a recorded Python start-up that comes with the program
    pub trace: Option<PathBuf>,

    /// The number of threads that resolve addresses beside the writer [default: one per core, at least two]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub readers: Option<u16>,

    /// The time to replay at full speed after the checked rebuild, in seconds
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    pub seconds: f64,

    /// Write the results as one self-contained page with pictures
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Write the results as JSON; `-` is the standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The arguments of `vmaple run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub struct RunArgs {
    /// The scenarios, plain or `.gz`; each is executed to its end, even if something differs
    #[arg(value_name = "FILE", required_unless_present = "fuzz")]
    pub scenarios: Vec<PathBuf>,

    /// Execute them with the system calls of a process, and compare with its layout in /proc
    #[arg(long, conflicts_with = "diff")]
    pub kernel: bool,

    /// Execute them with the library and the kernel in step, and print where the two differ
    #[arg(long)]
    pub diff: bool,

    /// Execute random operations with both in step until one differs; the sequence is shortened and written as a scenario
    #[arg(long, conflicts_with_all = ["kernel", "diff", "scenarios"])]
    pub fuzz: bool,

    /// The random operations
    #[command(flatten)]
    pub random: FuzzArgs,
}

/// The arguments of `vmaple run --fuzz`.
#[derive(Clone, Debug, Args)]
pub struct FuzzArgs {
    /// The number of random operations
    #[arg(long, value_name = "N", default_value_t = 100_000, requires = "fuzz")]
    pub ops: u64,

    /// The seed of the random operations [default: another one each time]
    #[arg(long, value_name = "S", requires = "fuzz")]
    pub seed: Option<u64>,

    /// The number of differences after which to stop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), requires = "fuzz")]
    pub differences: u64,

    /// The directory for the scenarios of differences
    #[arg(long, value_name = "DIR", default_value = ".", requires = "fuzz")]
    pub out: PathBuf,
}

/// The arguments of `vmaple maps`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub struct MapsArgs {
    /// A process, by its number or `self`, or a file with the text of a /proc/PID/maps; `-` is the standard input
    #[arg(value_name = "PID|FILE")]
    pub source: String,

    /// Addresses to resolve, hexadecimal with or without `0x`, as everywhere in /proc
    #[arg(value_name = "ADDR", value_parser = address)]
    pub addresses: Vec<u64>,

    /// Print every area, in the kernel's format, instead of a summary
    #[arg(long)]
    pub list: bool,

    /// Load the map again every SECS seconds and print what changed, until interrupted or until the process ends
    #[arg(long, value_name = "SECS", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = seconds)]
    pub watch: Option<f64>,
}

/// Reads a number of seconds from 0 to one day.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected a number of seconds from 0 to 86400".to_owned()),
    }
}

/// Reads an address in hexadecimal, with or without `0x`.
fn address(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    crate::procmaps::hexadecimal(digits).ok_or_else(|| "expected an address of 64 bits in hexadecimal".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn addresses_and_seconds_are_strict() {
        assert_eq!(address("0x7f00"), Ok(0x7f00));
        assert_eq!(address("7f00"), Ok(0x7f00));
        assert_eq!(address("10000000"), Ok(0x1000_0000), "as /proc prints it");
        assert_eq!(address("0xffffffffffffffff"), Ok(u64::MAX));
        for bad in ["", "0x", "0x0x1", "-1", "+1", "7g", "0x10000000000000000", "1 2"] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
        assert_eq!(seconds("0.5"), Ok(0.5));
        for bad in ["", "-1", "NaN", "inf", "1e9"] {
            assert!(seconds(bad).is_err(), "{bad:?}");
        }
    }
}
