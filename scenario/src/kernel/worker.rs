//! The process that makes the system calls: a fork of this process, without an `exec`. It reads a command from its socket, makes that one
//! call, and answers with the result. It allocates no memory, because that would change the layout under test. It ends when its socket is
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

/// The largest number of processes of one scenario. Their sockets are created before the first process.
pub(super) const MAX_WORKERS: usize = 6;

/// A request's length in words: the kind, then the arguments.
const WORDS: usize = 8;
const CALL: u64 = 0;
const FORK: u64 = 1;
const EACH: u64 = 2;

/// How much of its stack a worker touches before the stack is limited.
const STACK_BYTES: usize = 16 << 10;

/// A process, and the socket to it.
#[derive(Debug)]
pub(super) struct Worker {
    pid: Pid,
    /// `None` while the process is being ended.
    socket: Option<UnixStream>,
    /// Sockets that no process has yet, with their numbers; shared with its children.
    spare: Rc<RefCell<Vec<(u64, UnixStream)>>>,
    parent: Parent,
    /// Readable once the process has ended, for one whose parent does not wait.
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
    /// Starts the first worker of a scenario.
    pub(super) fn start() -> io::Result<Self> {
        let mut pairs = Vec::with_capacity(MAX_WORKERS);
        for _ in 0..MAX_WORKERS {
            pairs.push(UnixStream::pair()?);
        }
        let mut ends: [RawFd; MAX_WORKERS] = [-1; MAX_WORKERS];
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
                Ok(Self { pid: child, socket: Some(first), spare: Rc::new(RefCell::new(numbered)), parent: Parent::Here, end: None })
            }
        }
    }

    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Makes a system call in the process, and returns its value, or its errno as a negative number.
    pub(super) fn call(&self, number: libc::c_long, arguments: [u64; 6]) -> io::Result<i64> {
        let mut words = [0; WORDS];
        (words[0], words[1]) = (CALL, number.cast_unsigned());
        words[2..].copy_from_slice(&arguments);
        self.ask(words)
    }

    /// Makes a system call in the process `times` times, or until one fails; the first of its three arguments grows by `step` each time.
    /// Returns how often it succeeded.
    pub(super) fn call_each(&self, number: libc::c_long, [first, second, third]: [u64; 3], step: u64, times: u64) -> io::Result<i64> {
        self.ask([EACH, number.cast_unsigned(), first, second, third, step, times, 0])
    }

    /// Forks the process. Returns `None` if there are `MAX_WORKERS` already.
    pub(super) fn fork(&self) -> io::Result<Option<Self>> {
        let Some((number, socket)) = self.spare.borrow_mut().pop() else { return Ok(None) };
        let pid = self.ask([FORK, number, 0, 0, 0, 0, 0, 0])?;
        let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or_else(|| io::Error::other("the worker cannot fork"))?;
        let own = rustix::process::Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
        let end = rustix::process::pidfd_open(own, PidfdFlags::empty()).ok();
        Ok(Some(Self { pid: Pid::from_raw(pid), socket: Some(socket), spare: Rc::clone(&self.spare), parent: Parent::Worker, end }))
    }

    fn ask(&self, words: [u64; WORDS]) -> io::Result<i64> {
        let mut socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let mut command = [0; 8 * WORDS];
        for (bytes, word) in command.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        socket.write_all(&command)?;
        let mut answer = [0; 8];
        socket.read_exact(&mut answer)?;
        Ok(i64::from_ne_bytes(answer))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.socket = None;
        if self.parent == Parent::Here {
            // it ends when its socket closes; it may have ended before
            _ = waitpid(self.pid, None);
        } else if let Some(end) = &self.end {
            // its huge pages, which belong to the whole system, are free then
            _ = poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE);
        }
    }
}

/// Answers commands until the socket is closed. This is all that a worker does.
#[allow(clippy::large_stack_arrays, reason = "so that the stack has its full size before the layout is read")]
fn serve(ends: [RawFd; MAX_WORKERS]) -> ! {
    let deep = [0_u8; STACK_BYTES];
    black_box(&deep);
    // Another worker ends when all copies of its socket are closed, so a worker closes all but those of this scenario.
    close_all_but(&ends);
    // SAFETY: no handler is given, so none can be wrong.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let mut socket = ends[0];
    loop {
        let mut words = [0_u64; WORDS];
        if !receive(socket, &mut words) {
            // SAFETY: nothing is left to be done.
            unsafe { libc::_exit(0) }
        }
        let answer = match words {
            [FORK, number, ..] => {
                let child_socket = usize::try_from(number).ok().and_then(|number| ends.get(number)).copied().unwrap_or(-1);
                // SAFETY: as in `start`; this process has one thread.
                let child = unsafe { libc::fork() };
                // SAFETY: one of two sockets, and the process does not use that one any more.
                unsafe { libc::close(if child == 0 { socket } else { child_socket }) };
                if child == 0 {
                    socket = child_socket;
                    continue;
                }
                i64::from(child)
            }
            [EACH, number, first, second, third, step, times, _] => {
                // SAFETY: this is a worker.
                let results = (0..times).map(|n| unsafe { make(number, [first + n * step, second, third, 0, 0, 0]) });
                i64::try_from(results.take_while(|result| *result >= 0).count()).unwrap_or(i64::MAX)
            }
            // SAFETY: this is a worker.
            [_, number, arguments @ ..] => unsafe { make(number, arguments) },
        };
        if !send(socket, answer) {
            // SAFETY: no process listens any more.
            unsafe { libc::_exit(0) }
        }
    }
}

/// Makes a system call, and returns its value, or its errno as a negative number.
///
/// # Safety
/// This process is a worker, which has nothing to lose.
unsafe fn make(number: u64, [a, b, c, d, e, f]: [u64; 6]) -> i64 {
    // SAFETY: it acts on a worker alone. The worker's code, stack and socket lie outside the region, and `kernel` checks that a scenario names
    // nothing else.
    let result = unsafe { libc::syscall(number.cast_signed(), a, b, c, d, e, f) };
    if result == -1 { -i64::from(last_error()) } else { result }
}

fn last_error() -> i32 {
    // SAFETY: it returns where this thread's error is, which is valid as long as the thread is.
    let error = unsafe { libc::__errno_location() };
    // SAFETY: the pointer was just returned; nothing writes through it meanwhile.
    unsafe { *error }
}

/// Closes every descriptor except these.
fn close_all_but(kept: &[RawFd; MAX_WORKERS]) {
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

/// Reads one command. Returns whether there was one.
fn receive(socket: RawFd, words: &mut [u64; WORDS]) -> bool {
    let whole = size_of_val(words);
    let mut done = 0;
    while done < whole {
        let rest = words.as_mut_ptr().cast::<u8>().wrapping_add(done).cast();
        // SAFETY: the bytes from `done` on lie in `words`, which may hold any.
        let count = unsafe { libc::read(socket, rest, whole - done) };
        match usize::try_from(count) {
            Ok(0) => return false,
            Ok(more) => done += more,
            Err(_) if last_error() == libc::EINTR => {}
            Err(_) => return false,
        }
    }
    true
}

/// Writes one answer. Returns whether a process received it.
fn send(socket: RawFd, answer: i64) -> bool {
    let bytes = answer.to_ne_bytes();
    // SAFETY: the bytes are there. Eight bytes are written whole or not at all. If no process listens there is an error, and no signal.
    let count = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    usize::try_from(count) == Ok(bytes.len())
}
