//! One step of a sequence: only data. `generate` makes them, `fuzz` takes them, `shrink` leaves some out.

use super::super::space::Failure;
use super::generate::HUGE_POOL;
use std::fmt;
use vmaple_host::Need;
use vmaple_trace::{Access, Errno, MapFlags, Operation, Outcome, Record, Setting};

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
