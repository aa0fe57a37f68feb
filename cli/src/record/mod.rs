//! The command `record`: runs a command and writes the history of its memory maps, one trace per process image. Called by `main` through
//! [`run`].
//!
//! `launch` starts the command and `tracer` watches it to its end with ptrace; a filter in the kernel (`filter`) stops only memory calls.
//! `calls`, `lifecycle` and `ends` handle the stops; `space` and `image` write the traces. All `unsafe` is in `sys`.
//!
//! A trace is true for three reasons:
//! - at most one thread of an address space is inside a memory call (`calls`);
//! - each trace begins and ends with a layout that is read while the threads are stopped (`lifecycle`, `ends`), or with a note that no thread
//!   was left to read the last layout from;
//! - a model of the effects of the calls is compared with these layouts (`coverage`, `space`): a difference is the growth of a stack, or is
//!   reported as unexplained.

#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
compile_error!("the program reads registers and system calls as they are on x86-64 Linux; the library does not");

mod abi;
mod attach;
mod base;
mod call;
mod calls;
mod clock;
mod coverage;
mod decode;
mod effect;
mod ends;
mod error;
mod faults;
mod filter;
mod image;
mod keys;
mod launch;
mod layout;
mod lifecycle;
mod marks;
mod memory;
mod objects;
mod opens;
mod prctl;
mod space;
mod stop;
mod sys;
mod task;
mod tracer;
mod userfault;

pub use error::RecordError;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use vmaple_host::{Host, Need};

use clock::Clock;
use faults::Faults;
use image::{Ending, Files};
use launch::Launch;
use tracer::Tracer;

/// Runs a command, or attaches to a process, and records memory maps.
///
/// Writes one trace per program that a process runs, named NAME.PID.N.trace, N counting the programs of that process.
/// The exit status is that of the command, or 128 and the number of the signal that ended it; 127 if it could not be
/// started. With --pid it is 0.
#[derive(Clone, Debug, clap::Args)]
pub struct RecordArgs {
    /// Directory for the traces; made if it is not there
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Record page faults too, where the system allows it
    #[arg(long)]
    pub faults: bool,
    /// Write the exact list of areas after every N calls, for `replay` to check
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshots: Option<u64>,
    /// Compress the traces
    #[arg(short = 'z', long)]
    pub gzip: bool,
    /// Attach to this process, with all its threads, and record it and the children that it makes until all have ended or until Ctrl-C
    ///
    /// Every system call of the process stops for a moment, so it runs slower while it is recorded. A call that a thread waits in may end
    /// with EINTR when it is attached and detached, as with any debugger. The process continues in any case, also when the recorder is
    /// killed.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..), conflicts_with = "command")]
    pub pid: Option<i32>,
    /// The command and its arguments
    #[arg(last = true, required_unless_present = "pid", value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The exit status if the command could not be started, as in a shell.
const NOT_STARTED: u8 = 127;

/// Records a command, or a running process, and returns the command's exit status.
///
/// # Errors
/// If the recording cannot be set up, or the kernel refuses something meanwhile. A command that cannot be started is reported on standard
/// error, and the exit status is 127.
pub fn run(args: &RecordArgs) -> Result<ExitCode, RecordError> {
    image::make_directory(&args.output).map_err(|error| RecordError::Directory { path: args.output.clone(), error })?;
    let setup = |what| move |errno: Errno| RecordError::Setup { what, error: errno.into() };
    let mask = SigSet::thread_get_mask().map_err(setup("read the signal mask"))?;
    tracer::blocked_signals().thread_block().map_err(setup("block signals"))?;
    let ended = if Host::probe().hides(Need::Ptrace) {
        Err(RecordError::Setup { what: "trace the command with ptrace", error: io::ErrorKind::Unsupported.into() })
    } else {
        record(args, &mask)
    };
    mask.thread_set_mask().map_err(setup("restore the signal mask"))?;
    ended
}

fn record(args: &RecordArgs, mask: &SigSet) -> Result<ExitCode, RecordError> {
    if let Some(pid) = args.pid {
        return record_running(args, Pid::from_raw(pid));
    }
    let mut launch = launch::prepare(&args.command, mask)?;
    let mut tracer = tracer(args, launch.root)?;
    if args.faults {
        tracer.faults = open_faults(&BTreeSet::from([launch.root]));
    }
    let ended = launch.go().and_then(|()| tracer.run());
    // the traces are completed also after an error
    tracer.end_spaces();
    if tracer.programs.is_empty() {
        return ended.map(|()| not_started(args, launch));
    }
    report(&tracer);
    ended?;
    Ok(ExitCode::from(exit_code(tracer.root_status)))
}

/// Records a process that runs already.
fn record_running(args: &RecordArgs, process: Pid) -> Result<ExitCode, RecordError> {
    attach::check(process)?;
    let mut tracer = tracer(args, process)?;
    let ended = follow_running(args, &mut tracer);
    // all stopped threads are detached in any case
    let parted = tracer.part();
    tracer.end_spaces();
    report(&tracer);
    ended.and(parted).map(|()| ExitCode::SUCCESS)
}

/// Records from the gathering of all threads to their detachment, or until all have ended.
fn follow_running(args: &RecordArgs, tracer: &mut Tracer) -> Result<(), RecordError> {
    tracer.gather()?;
    if args.faults {
        tracer.faults = open_faults(&tracer.tasks.keys().copied().collect());
    }
    tracer.follow()?;
    tracer.run()
}

fn tracer(args: &RecordArgs, root: Pid) -> Result<Tracer, RecordError> {
    let clock = Clock::start().map_err(|errno| RecordError::Setup { what: "read the clock", error: errno.into() })?;
    let files = Files { directory: args.output.clone(), suffix: if args.gzip { ".trace.gz" } else { ".trace" } };
    let mut tracer = Tracer::new(root, clock, files);
    tracer.snapshots = args.snapshots;
    Ok(tracer)
}

fn open_faults(threads: &BTreeSet<Pid>) -> Option<Faults> {
    if Host::probe().hides(Need::Perf) {
        eprintln!("vmaple: page faults are not recorded: {} hides the tracepoint", vmaple_host::WITHOUT);
        return None;
    }
    match Faults::open(threads) {
        Ok(faults) => Some(faults),
        Err(error) => {
            eprintln!("vmaple: page faults are not recorded: the tracepoint cannot be opened: {error}");
            None
        }
    }
}

fn not_started(args: &RecordArgs, launch: Launch) -> ExitCode {
    let command = launch::shown(&args.command);
    match launch.trouble() {
        Some(error) => eprintln!("vmaple: {}", RecordError::Start { command, error }),
        None => eprintln!("vmaple: {command}: ended before it began"),
    }
    ExitCode::from(NOT_STARTED)
}

/// Prints what was written, and what is missing in it.
fn report(tracer: &Tracer) {
    for report in &tracer.reports {
        let tally = report.tally;
        eprintln!("vmaple: {}: {} calls, {} faults, {} growths", report.path.display(), tally.operations, tally.faults, tally.growths);
        if tally.unexplained != 0 {
            eprintln!("vmaple: {}: {} changes that no call explains", report.path.display(), tally.unexplained);
        }
        if report.ending == Ending::Note {
            eprintln!("vmaple: {}: ends without the last layout, which could not be read", report.path.display());
        }
    }
    let lost = tracer.faults.as_ref().map_or(0, Faults::lost);
    for (count, what) in [
        (lost, "page faults were lost"),
        (tracer.notes.stray_faults, "page faults were of unknown threads"),
        (tracer.notes.crowded, "calls were made beside one that took long: their order is not certain"),
        (tracer.notes.foreign, "calls were of 32-bit programs, which are not recorded"),
    ] {
        if count != 0 {
            eprintln!("vmaple: {count} {what}");
        }
    }
}

/// The command's exit status as a shell reports it.
fn exit_code(status: Option<i32>) -> u8 {
    let code = match status {
        Some(status) if libc::WIFEXITED(status) => libc::WEXITSTATUS(status),
        Some(status) if libc::WIFSIGNALED(status) => 128 + libc::WTERMSIG(status),
        _ => 1,
    };
    u8::try_from(code).unwrap_or(1)
}
