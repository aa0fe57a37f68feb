//! Why a stopped thread is stopped, and how it is resumed. Called by `calls`, `lifecycle`, `ends` and `tracer`.
//!
//! SIGKILL ends every stop: a thread that was seen to stop may now be at its last stop. Resuming it from there would lose
//! the last view of its address space, and the message that the kernel gives with a stop would then be another stop's. So only [`release`]
//! resumes a thread from its last stop.

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use super::error::RecordError;
use super::sys::{self, Resume};

/// `PTRACE_EVENT_*`, as a wait status carries them.
pub(super) const EVENT_FORK: i32 = 1;
pub(super) const EVENT_VFORK: i32 = 2;
pub(super) const EVENT_CLONE: i32 = 3;
pub(super) const EVENT_EXEC: i32 = 4;
pub(super) const EVENT_EXIT: i32 = 6;
pub(super) const EVENT_SECCOMP: i32 = 7;
pub(super) const EVENT_STOP: i32 = 128;

/// What the kernel must report of every traced thread: threads, children, new programs and ends. It
/// marks stops at calls, so that they differ from other stops.
pub(super) fn options() -> ptrace::Options {
    ptrace::Options::PTRACE_O_TRACESYSGOOD
        | ptrace::Options::PTRACE_O_TRACECLONE
        | ptrace::Options::PTRACE_O_TRACEFORK
        | ptrace::Options::PTRACE_O_TRACEVFORK
        | ptrace::Options::PTRACE_O_TRACEEXEC
        | ptrace::Options::PTRACE_O_TRACEEXIT
}

/// Lets a thread continue, unless it is at its last stop, which the kernel reports separately.
///
/// It may be killed between the check and the request, and resume from its last stop. `ends` handles threads whose last stop is never reported.
pub(super) fn resume(tid: Pid, how: Resume, signal: i32) -> Result<(), RecordError> {
    if is_last(tid) { Ok(()) } else { go_on(tid, how, signal) }
}

/// Lets a thread continue from its last stop, which was reported.
pub(super) fn release(tid: Pid) -> Result<(), RecordError> {
    go_on(tid, Resume::Run, 0)
}

fn go_on(tid: Pid, how: Resume, signal: i32) -> Result<(), RecordError> {
    match sys::resume(tid, how, signal) {
        // killed meanwhile, which the kernel reports separately
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(RecordError::Trace { what: "resume", tid, errno }),
    }
}

/// Returns the kernel's message with a stop other than the last, or `None` if the thread was killed meanwhile.
pub(super) fn message(tid: Pid) -> Option<i64> {
    let message = ptrace::getevent(tid).ok()?;
    // checked after the message was read, because a thread does not leave its last stop for another
    (!is_last(tid)).then_some(message)
}

/// The status with which a thread at its last stop ends, as a wait status.
pub(super) fn exit_status(tid: Pid) -> Option<i32> {
    ptrace::getevent(tid).ok().and_then(|status| i32::try_from(status).ok())
}

fn is_last(tid: Pid) -> bool {
    let last = |info: libc::siginfo_t| info.si_signo == libc::SIGTRAP && info.si_code == libc::SIGTRAP | (EVENT_EXIT << 8);
    ptrace::getsiginfo(tid).is_ok_and(last)
}
