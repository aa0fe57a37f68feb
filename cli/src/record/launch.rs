//! Starts the command: a child that waits until it is traced, installs the filter, and executes the command. Called by `record::run` before
//! anything else.

use std::ffi::{CString, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;

use nix::sys::ptrace;
use nix::sys::signal::SigSet;
use nix::unistd::{ForkResult, Pid, execvp};

use super::{RecordError, filter, stop, sys};

/// The command before it runs.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) root: Pid,
    go: PipeWriter,
    trouble: PipeReader,
}

/// Creates the child and traces it. The child waits for [`Launch::go`]. `mask` is the signal mask that the command gets.
pub(super) fn prepare(command: &[OsString], mask: &SigSet) -> Result<Launch, RecordError> {
    let arguments: Vec<CString> = command
        .iter()
        .map(|word| CString::new(word.as_bytes()))
        .collect::<Result<_, _>>()
        .map_err(|error| RecordError::Start { command: shown(command), error: error.into() })?;
    let failed = |what| move |error: io::Error| RecordError::Setup { what, error };
    let (mut go_reader, go) = io::pipe().map_err(failed("make a pipe"))?;
    let (trouble, mut trouble_writer) = io::pipe().map_err(failed("make a pipe"))?;
    match sys::fork().map_err(|errno| RecordError::Setup { what: "fork", error: errno.into() })? {
        ForkResult::Child => {
            drop(go);
            drop(trouble);
            let error = become_command(&mut go_reader, &arguments, mask);
            // only the parent reads this
            drop(trouble_writer.write_all(&error.raw_os_error().unwrap_or(0).to_le_bytes()));
            std::process::exit(127);
        }
        ForkResult::Parent { child } => {
            // the command does not outlive the recorder, because its memory calls would fail without it
            let options = stop::options() | ptrace::Options::PTRACE_O_TRACESECCOMP | ptrace::Options::PTRACE_O_EXITKILL;
            ptrace::seize(child, options)
                .map_err(|errno| RecordError::Setup { what: "trace the command with ptrace", error: errno.into() })?;
            Ok(Launch { root: child, go, trouble })
        }
    }
}

/// What the child does. Returns only if the command cannot be executed.
fn become_command(go: &mut PipeReader, arguments: &[CString], mask: &SigSet) -> io::Error {
    let mut byte = [0];
    if let Err(error) = go.read_exact(&mut byte) {
        return error;
    }
    if let Err(errno) = mask.thread_set_mask().and_then(|()| sys::restore_broken_pipe()) {
        return errno.into();
    }
    if let Err(error) = seccompiler::apply_filter(&filter::program()) {
        return match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => error,
            other => io::Error::other(other),
        };
    }
    let Some(program) = arguments.first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    match execvp(program, arguments) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

impl Launch {
    /// Lets the command begin.
    pub(super) fn go(&mut self) -> Result<(), RecordError> {
        self.go.write_all(&[1]).map_err(|error| RecordError::Setup { what: "start the command", error })
    }

    /// Returns why the command did not begin. Called when the child has ended.
    pub(super) fn trouble(mut self) -> Option<io::Error> {
        let mut number = [0; 4];
        self.trouble.read_exact(&mut number).ok()?;
        Some(io::Error::from_raw_os_error(i32::from_le_bytes(number)))
    }
}

/// Formats a command for a message.
pub(super) fn shown(command: &[OsString]) -> String {
    command.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default()
}
