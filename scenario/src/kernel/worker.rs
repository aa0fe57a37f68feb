//! The process that makes the system calls: a fork of this process, without an `exec`. It reads a command from its socket, makes that one
//! call, and answers with the result. It allocates no memory, because allocating is what is being tested. It ends when its socket is
//! closed.
//!
//! Called by `process`, through [`Worker`].

#![allow(unsafe_code, reason = "fork, and system calls with the arguments that a scenario has")]
#![allow(clippy::many_single_char_names, reason = "the arguments of a system call have no other names")]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};
use rustix::process::PidfdFlags;
use std::cell::RefCell;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

/// The most processes of one scenario: their lines exist before the first one does.
const LINES: usize = 6;

/// A request's length in words: the kind, then the arguments.
const WORDS: usize = 8;
const CALL: u64 = 0;
const FORK: u64 = 1;
const EACH: u64 = 2;

/// How deep the stack of a worker is touched before it is limited.
const STACK_BYTES: usize = 16 << 10;

/// A process, and the line to it.
#[derive(Debug)]
pub(super) struct Worker {
    pid: Pid,
    /// `None` while it is being ended.
    line: Option<UnixStream>,
    /// Lines that no process has yet, with their numbers; shared with its children.
    spare: Rc<RefCell<Vec<(u64, UnixStream)>>>,
    parent: Parent,
    /// Readable once it has ended, for one whose parent does not wait.
    end: Option<OwnedFd>,
}

/// Which process waits for the end of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// This process.
    Here,
    /// Another worker, which does not wait.
    Worker,
}

impl Worker {
    /// Starts the first one.
    pub(super) fn start() -> io::Result<Self> {
        let mut pairs = Vec::with_capacity(LINES);
        for _ in 0..LINES {
            pairs.push(UnixStream::pair()?);
        }
        let mut ends: [RawFd; LINES] = [-1; LINES];
        for (end, (_, theirs)) in ends.iter_mut().zip(&pairs) {
            *end = theirs.as_raw_fd();
        }
        // SAFETY: the child makes system calls and nothing else: it touches no lock and no memory that another thread may have been using.
        match unsafe { fork() }? {
            ForkResult::Child => serve(ends),
            ForkResult::Parent { child } => {
                let ours = pairs.into_iter().map(|(ours, _)| ours);
                let mut numbered: Vec<(u64, UnixStream)> = (0..).zip(ours).collect();
                let (_, first) = numbered.remove(0);
                Ok(Self { pid: child, line: Some(first), spare: Rc::new(RefCell::new(numbered)), parent: Parent::Here, end: None })
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Has it make a system call, and returns the kernel's answer: a value, or an error below zero.
    pub(super) fn call(&self, number: libc::c_long, arguments: [u64; 6]) -> io::Result<i64> {
        let mut words = [0; WORDS];
        (words[0], words[1]) = (CALL, number.cast_unsigned());
        words[2..].copy_from_slice(&arguments);
        self.ask(words)
    }

    /// Has it make a system call `times` times, or until one fails; the first of its three arguments grows by `step` each time.
    pub(super) fn call_each(&self, number: libc::c_long, [first, second, third]: [u64; 3], step: u64, times: u64) -> io::Result<i64> {
        self.ask([EACH, number.cast_unsigned(), first, second, third, step, times, 0])
    }

    /// Has it fork. Returns `None` if there are too many workers already.
    pub(super) fn fork(&self) -> io::Result<Option<Self>> {
        let Some((number, line)) = self.spare.borrow_mut().pop() else { return Ok(None) };
        let pid = self.ask([FORK, number, 0, 0, 0, 0, 0, 0])?;
        let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or_else(|| io::Error::other("the worker cannot fork"))?;
        let own = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
        let end = rustix::process::pidfd_open(own, PidfdFlags::empty()).ok();
        Ok(Some(Self { pid: Pid::from_raw(pid), line: Some(line), spare: Rc::clone(&self.spare), parent: Parent::Worker, end }))
    }

    fn ask(&self, words: [u64; WORDS]) -> io::Result<i64> {
        let mut line = self.line.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let mut command = [0; 8 * WORDS];
        for (bytes, word) in command.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        line.write_all(&command)?;
        let mut answer = [0; 8];
        line.read_exact(&mut answer)?;
        Ok(i64::from_ne_bytes(answer))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.line = None;
        if self.parent == Parent::Here {
            // it ends when its line closes; it may have ended before
            _ = waitpid(self.pid, None);
        } else if let Some(end) = &self.end {
            // what it had of the whole system, huge pages, is free then
            _ = poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        }
    }
}

/// The life of a worker.
#[allow(clippy::large_stack_arrays, reason = "so that the stack is as large as it will be, before anything is looked at")]
fn serve(ends: [RawFd; LINES]) -> ! {
    let deep = [0_u8; STACK_BYTES];
    black_box(&deep);
    // Other processes wait for their workers' lines to close, so a worker keeps only its own line open.
    close_all_but(&ends);
    // SAFETY: no handler is given, so none can be wrong.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut line = ends[0];
    loop {
        let mut words = [0_u64; WORDS];
        if !hear(line, &mut words) {
            // SAFETY: nothing is left to be done.
            unsafe { libc::_exit(0) }
        }
        let answer = match words {
            [FORK, number, ..] => {
                let child_line = usize::try_from(number).ok().and_then(|number| ends.get(number)).copied().unwrap_or(-1);
                // SAFETY: as in `start`; this process has one thread.
                let child = unsafe { libc::fork() };
                // SAFETY: one of two lines, and the process does not use that one any more.
                unsafe { libc::close(if child == 0 { line } else { child_line }) };
                if child == 0 {
                    line = child_line;
                    continue;
                }
                i64::from(child)
            }
            [EACH, number, first, second, third, step, times, _] => {
                // SAFETY: this is a worker.
                let told = (0..times).map(|n| unsafe { make(number, [first + n * step, second, third, 0, 0, 0]) });
                i64::try_from(told.take_while(|told| *told >= 0).count()).unwrap_or(i64::MAX)
            }
            // SAFETY: this is a worker.
            [_, number, arguments @ ..] => unsafe { make(number, arguments) },
        };
        if !tell(line, answer) {
            // SAFETY: no process listens any more.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Makes a system call; a value, or an error below zero.
///
/// # Safety
/// This process is a worker, which has nothing to lose.
unsafe fn make(number: u64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    // SAFETY: whatever it does, it does to a worker. Its code, its stack and its line lie outside of the region that scenarios may name,
    // which `kernel` looks at.
    let told = unsafe { libc::syscall(number.cast_signed(), a, b, c, d, e, f) };
    if told == -1 { -i64::from(last_error()) } else { told }
}

fn last_error() -> i32 {
    // SAFETY: it returns where this thread's error is, which is valid as long as the thread is.
    let error = unsafe { libc::__errno_location() };
    // SAFETY: the pointer was just returned; nothing writes through it meanwhile.
    unsafe { *error }
}

fn close_all_but(kept: &[RawFd; LINES]) {
    let mut kept = *kept;
    kept.sort_unstable();
    let mut from = 0;
    for end in kept {
        if let (Ok(from), Ok(last)) = (u32::try_from(from), u32::try_from(end - 1))
            && from <= last
        {
            // SAFETY: of this process alone, which uses none of them.
            unsafe { libc::syscall(libc::SYS_close_range, from, last, 0) };
        }
        from = end + 1;
    }
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_close_range, from, u32::MAX, 0) };
}

fn hear(line: RawFd, words: &mut [u64; WORDS]) -> bool {
    let whole = size_of_val(words);
    let mut done = 0;
    while done < whole {
        let rest = words.as_mut_ptr().cast::<u8>().wrapping_add(done).cast();
        // SAFETY: the bytes from `done` on lie in `words`, which may hold any.
        let told = unsafe { libc::read(line, rest, whole - done) };
        match usize::try_from(told) {
            Ok(0) => return false,
            Ok(more) => done += more,
            Err(_) if last_error() == libc::EINTR => {}
            Err(_) => return false,
        }
    }
    true
}

fn tell(line: RawFd, answer: i64) -> bool {
    let bytes = answer.to_ne_bytes();
    // SAFETY: the bytes are there. So few are written in one piece or not at all. If no process listens there is an error, and no signal.
    let told = unsafe { libc::send(line, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(told) == Ok(bytes.len())
}
