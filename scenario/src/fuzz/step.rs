//! One step of a sequence, as data. Made by `generate`, executed by `play`, left out by `shrink`.

use crate::space::Failure;
use std::fmt;
use vmaple::PAGE_SIZE;
use vmaple_host::Need;
use vmaple_trace::{Access, Errno, MapFlags, Operation, Outcome, Record, Setting};

/// The base of searches for room. What is mapped above it takes no part.
pub(super) const BASE: u64 = 0x1_0810_0000;

/// The lowest page: above the low addresses, some of which operations request.
pub(super) const LOW: u64 = BASE - 0x20_0000;

/// The start of the heap.
pub(super) const HEAP: u64 = LOW + 14 * PAGE_SIZE;

/// The number of huge pages that the system must have available.
pub(super) const HUGE_POOL: u64 = 16;

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Set(Setting),
    Do(Operation),
    Touch(u64, Access),
    Fork(Follow),
}

/// Which address space the sequence continues with after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Parent,
    Child,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(setting) => Record::Set(*setting).fmt(f),
            Self::Do(operation) => operation.fmt(f),
            Self::Touch(addr, access) => write!(f, "fault {addr:#x} {access}"),
            Self::Fork(_) => f.write_str("fork"),
        }
    }
}

/// Returns what the machine must have so that an operation can be compared.
pub(super) fn need(operation: &Operation) -> Option<Need> {
    match operation {
        Operation::Mmap { flags, .. } if flags.contains(MapFlags::HUGETLB) => Some(Need::Hugetlb(HUGE_POOL)),
        _ => None,
    }
}

/// Converts a result to that of a trace.
pub(super) fn outcome(result: &Result<u64, Failure>) -> Outcome {
    match result {
        Ok(value) => Outcome::Value(*value),
        Err(failure) => Outcome::Failed(failure.errno),
    }
}

/// How a step was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    Errno(Errno),
    /// The byte cannot be accessed; a program would get a signal.
    Fault,
    /// The break did not move although another was requested: `brk` returns no error.
    BreakKept,
}

/// Returns how an operation was refused; `None` if it was not.
pub(super) fn refused(operation: &Operation, result: &Result<u64, Failure>) -> Option<Refused> {
    match (operation, result) {
        (Operation::Brk { addr }, Ok(brk)) if brk != addr => Some(Refused::BreakKept),
        (_, Ok(_)) => None,
        (_, Err(failure)) => Some(Refused::Errno(failure.errno)),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errno(errno) => errno.fmt(f),
            Self::Fault => f.write_str("no access"),
            Self::BreakKept => f.write_str("break kept"),
        }
    }
}
