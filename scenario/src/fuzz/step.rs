//! One step of a sequence: only data. `generate` makes them, `fuzz` takes them, `shrink` leaves some out.

use crate::space::Failure;
use std::fmt;
use vmaple::PAGE_SIZE;
use vmaple_host::Need;
use vmaple_trace::{Access, Errno, MapFlags, Operation, Outcome, Record, Setting};

/// The base of searches for room. What is mapped above it takes no part.
pub(super) const BASE: u64 = 0x1_0810_0000;

/// The first page of all: above the low addresses, among which some are asked for.
pub(super) const LOW: u64 = BASE - 0x20_0000;

/// Where the heap begins.
pub(super) const HEAP: u64 = LOW + 14 * PAGE_SIZE;

/// How many huge pages a system must be able to give.
pub(super) const HUGE_POOL: u64 = 16;

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Set(Setting),
    Do(Operation),
    Touch(u64, Access),
    Fork(Follow),
}

/// With whom it goes on after a fork.
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

/// What the machine must have for an operation to be compared.
pub(super) fn need(operation: &Operation) -> Option<Need> {
    match operation {
        Operation::Mmap { flags, .. } if flags.contains(MapFlags::HUGETLB) => Some(Need::Hugetlb(HUGE_POOL)),
        _ => None,
    }
}

/// What was told, as a trace has it.
pub(super) fn outcome(told: &Result<u64, Failure>) -> Outcome {
    match told {
        Ok(value) => Outcome::Value(*value),
        Err(failure) => Outcome::Failed(failure.errno),
    }
}

/// How a step was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    Errno(Errno),
    /// The byte is not to be had, where a program would get a signal.
    Fault,
    /// The break is where it was, and was asked to be elsewhere: `brk` tells no errno.
    BreakKept,
}

/// How an operation was refused, if it was.
pub(super) fn refused(operation: &Operation, told: &Result<u64, Failure>) -> Option<Refused> {
    match (operation, told) {
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
