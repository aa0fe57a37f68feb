//! The system calls that no library wraps safely. All `unsafe` of the program is here. Called by `launch`, `tracer` and others.
//!
//! Signals and wait statuses are plain numbers, because real-time signals, which language runtimes send to their threads, have no name in
//! the enumerations of the libraries.

#![allow(unsafe_code, reason = "ptrace requests with any signal, waiting for any, kcmp, pidfd_getfd and fork have no safe wrapper")]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid};

/// How a stopped thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resume {
    /// Up to the next event.
    Run,
    /// Up to the next event or the entry of the next system call.
    ToCall,
    /// Up to the end of the system call it is in.
    ToCallExit,
    /// It stays stopped with its group, and its events are reported.
    Listen,
}

/// Resumes a stopped thread, and delivers a signal unless it is 0.
pub(super) fn resume(tid: Pid, how: Resume, signal: i32) -> nix::Result<()> {
    let request = match how {
        Resume::Run => libc::PTRACE_CONT,
        Resume::ToCall | Resume::ToCallExit => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    let (none, signal) = (0_u64, i64::from(signal));
    // SAFETY: these requests read and write no memory of this process; a thread that is not ours is an error.
    let result = unsafe { libc::ptrace(request, tid.as_raw(), none, signal) };
    Errno::result(result).map(drop)
}

/// Detaches a stopped thread, and delivers a signal unless it is 0.
pub(super) fn detach(tid: Pid, signal: i32) -> nix::Result<()> {
    let (none, signal) = (0_u64, i64::from(signal));
    // SAFETY: the request reads and writes no memory of this process; a thread that is not ours is an error.
    let result = unsafe { libc::ptrace(libc::PTRACE_DETACH, tid.as_raw(), none, signal) };
    Errno::result(result).map(drop)
}

/// Returns the next thread with an event, and its wait status, or `None` if all are running.
pub(super) fn wait_any() -> nix::Result<Option<(Pid, i32)>> {
    let mut status = 0;
    // SAFETY: the status is written to a variable that lives across the call.
    let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::WNOHANG) };
    match Errno::result(tid)? {
        0 => Ok(None),
        tid => Ok(Some((Pid::from_raw(tid), status))),
    }
}

/// Returns whether two threads have one address space, or `None` if the kernel refuses to compare.
pub(super) fn same_space(one: Pid, other: Pid) -> Option<bool> {
    const KCMP_VM: libc::c_long = 1;
    compare(KCMP_VM, (one, 0), (other, 0))
}

/// Returns whether two descriptors, each of one thread, refer to one open file, or `None` if the kernel refuses to compare.
pub(super) fn same_file(one: (Pid, i32), other: (Pid, i32)) -> Option<bool> {
    const KCMP_FILE: libc::c_long = 0;
    compare(KCMP_FILE, one, other)
}

fn compare(what: libc::c_long, (one, one_index): (Pid, i32), (other, other_index): (Pid, i32)) -> Option<bool> {
    let (one, other) = (libc::c_long::from(one.as_raw()), libc::c_long::from(other.as_raw()));
    let (one_index, other_index) = (i64::from(one_index), i64::from(other_index));
    // SAFETY: the call takes numbers only.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one, other, what, one_index, other_index) };
    Errno::result(order).ok().map(|order| order == 0)
}

/// Copies a descriptor of another process into this one. Returns `None` if that is refused.
pub(super) fn own_descriptor(process: Pid, descriptor: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes numbers only.
    let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(process.as_raw()), 0_i64) };
    let pidfd = owned(opened)?;
    // SAFETY: the call takes numbers only, the first of them a descriptor that is open.
    let got = unsafe { libc::syscall(libc::SYS_pidfd_getfd, i64::from(pidfd.as_raw_fd()), i64::from(descriptor), 0_i64) };
    owned(got)
}

/// The descriptor that a call made.
fn owned(made: libc::c_long) -> Option<OwnedFd> {
    let made = Errno::result(made).ok().and_then(|made| i32::try_from(made).ok())?;
    // SAFETY: the kernel gave it to this process just now, and nothing else owns it.
    Some(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Forks this process, which must have no other thread. So the child inherits no lock of another thread, and may do anything.
pub(super) fn fork() -> nix::Result<ForkResult> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(Errno::EDEADLK);
    }
    // SAFETY: this is the only thread, as was just seen, and only this thread could start another.
    unsafe { nix::unistd::fork() }
}

/// Restores the default effect of SIGPIPE, which the start of every Rust program changes.
pub(super) fn restore_broken_pipe() -> nix::Result<()> {
    // SAFETY: the default is no handler, so nothing of this program runs in a signal.
    let result = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    result.map(drop)
}
