//! Threads as the recorder knows them, as data.
//!
//! Called by `tracer`, which holds them, and by `attach`, `calls`, `lifecycle` and `ends`, which change them.

use super::call::Call;
use super::sys::Resume;
use nix::unistd::Pid;
use std::time::Instant;

/// Names an address space for the time of a recording.
pub(super) type SpaceId = u64;

/// A traced thread.
#[derive(Debug)]
pub(super) struct Task {
    /// The process it belongs to.
    pub(super) process: Pid,
    /// None for the command before it begins.
    pub(super) space: Option<SpaceId>,
    /// What it is inside of.
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
    /// On its way out: it will not come back to its address space.
    Leaving,
}

/// How far the recording of an address space is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Threads that stop stay where they are, until all have, or until none has for some time since this moment.
    Gathering { since: Instant },
    /// Threads run.
    Following,
    /// Threads that stop stay where they are, and are detached when all have, or at the latest some time after this moment.
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

/// How a thread that stays where it stopped is to go on.
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

/// Which of its stops an unannounced thread is at: the last one, if it was killed before it began.
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
