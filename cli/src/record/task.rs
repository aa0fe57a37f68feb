//! Threads as the recorder knows them, as data.
//!
//! Called by `tracer`, which holds them, and by `attach`, `calls`, `lifecycle` and `ends`, which change them.

use super::call::Call;
use super::sys::Resume;
use nix::unistd::Pid;
use std::time::Instant;

/// The number of an address space in a recording.
pub(super) type SpaceId = u64;

/// A traced thread.
#[derive(Debug)]
pub(super) struct Task {
    /// The process of the thread.
    pub(super) process: Pid,
    /// `None` for the command before it begins.
    pub(super) space: Option<SpaceId>,
    /// The call that the thread is inside.
    pub(super) call: Option<Call>,
    pub(super) stage: Stage,
}

/// Where a thread is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Announced, and has not yet stopped for the first time.
    Expected,
    /// Running, or stopped for a moment.
    Running,
    /// Stopped at the entry of a call, with these registers, until others are out of theirs.
    Held,
    /// At or after its last stop: it does not return to its address space.
    Leaving,
}

/// The phase of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Threads that stop stay stopped, until all have stopped, or until no thread has stopped for some time since this moment.
    Gathering { since: Instant },
    /// Threads run.
    Following,
    /// Threads that stop stay stopped, and are detached when all have stopped, or at the latest some time after this moment.
    Parting { since: Instant },
}

/// How memory calls are made to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// By the filter that the command took.
    Filter,
    /// Every system call stops.
    EveryCall,
}

/// How a thread that is kept stopped is resumed later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parked {
    pub(super) how: Resume,
    pub(super) signal: i32,
}

/// A thread that stopped before it was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unannounced {
    pub(super) stop: Stop,
    pub(super) process: Pid,
    /// The process of the thread that made it.
    pub(super) maker: Pid,
}

/// The stop of an unannounced thread: its first, or its last if it was killed before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    First,
    Last,
}

/// A thread at its last stop that is kept there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness {
    pub(super) tid: Pid,
    pub(super) process: Pid,
    pub(super) since: Instant,
}
