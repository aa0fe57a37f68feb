//! The errors of the address space and of the per-VMA lock.

use super::limits::Limit;
use super::{ErrorCode, InsertCause, InterruptedError, RangeError, RejectedError, ResourceError, errno};
use crate::addr::Span;
use core::fmt;

/// Why a wait ended early. Nothing is held on its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The wait was interrupted.
    Interrupted,
    /// The caller must not wait, and it would have had to.
    WouldBlock,
}

impl ErrorCode for WaitError {
    /// Returns `EINTR`, `EAGAIN`.
    fn errno(&self) -> i32 {
        match self {
            Self::Interrupted => errno::EINTR,
            Self::WouldBlock => errno::EAGAIN,
        }
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted => "the wait was interrupted",
            Self::WouldBlock => "the operation would have to wait, and must not",
        })
    }
}

impl core::error::Error for WaitError {}

impl From<InterruptedError> for WaitError {
    fn from(_: InterruptedError) -> Self {
        Self::Interrupted
    }
}

/// The error of [`lock_vma`](crate::Mm::lock_vma). It proves nothing: ask again under the mm lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockVmaError {
    /// A writer has write-locked the VMA, or waits for its readers to leave.
    Busy {
        /// The address asked for.
        at: u64,
    },
    /// No VMA was there at one moment. It may be there now, or be about to grow there: this is not proof of absence.
    Absent {
        /// The address asked for.
        at: u64,
    },
    /// The VMA has as many readers as its lock can count, 1,048,575.
    TooManyReaders {
        /// The address asked for.
        at: u64,
    },
}

impl ErrorCode for LockVmaError {
    /// Returns `EAGAIN`, for all. The question is still open.
    fn errno(&self) -> i32 {
        errno::EAGAIN
    }
}

impl fmt::Display for LockVmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy { at } => write!(f, "cannot lock the VMA at {at:#x}: a writer has locked it, or is about to"),
            Self::Absent { at } => write!(
                f,
                "cannot lock the VMA at {at:#x}: none was there at that moment; only a search under the mm lock can prove that none is"
            ),
            Self::TooManyReaders { at } => write!(f, "cannot lock the VMA at {at:#x}: it has as many readers as its lock can count"),
        }
    }
}

impl core::error::Error for LockVmaError {}

/// The error of [`lock_find`](crate::Mm::lock_find). Nothing is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockFindError {
    /// A writer was at the VMA, and patience ended.
    Wait(WaitError),
    /// The VMA has as many readers as its lock can count, 1,048,575.
    TooManyReaders {
        /// The address from which the VMA was searched for.
        from: u64,
    },
}

impl ErrorCode for LockFindError {
    /// Returns `EAGAIN`, or the errno of the [`WaitError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Wait(error) => error.errno(),
            Self::TooManyReaders { .. } => errno::EAGAIN,
        }
    }
}

impl fmt::Display for LockFindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(error) => write!(f, "cannot lock the first VMA: {error}"),
            Self::TooManyReaders { from } => {
                write!(f, "cannot lock the first VMA from {from:#x} on: it has as many readers as its lock can count")
            }
        }
    }
}

impl core::error::Error for LockFindError {}

from_shared! {
    LockFindError from WaitError as Wait;
}

/// Why a VMA was not inserted.
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertVmaCause {
    /// The range is not a span.
    Range(RangeError),
    /// The range wraps around at the end of the addresses.
    Wraps {
        /// Where it starts.
        at: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// The range, or the offset in what backs it, is not made of whole pages.
    Unaligned {
        /// The address, or the offset in bytes.
        at: u64,
    },
    /// The flags give huge pages a size that is less than a page.
    NoSuchHugePages {
        /// The size.
        bytes: u64,
    },
    /// A VMA that grows has no object and is not shared.
    Growing,
    /// The range ends beyond the address space.
    BeyondTask {
        /// The range asked for.
        asked: Span,
        /// The first address that is beyond.
        task_size: u64,
    },
    /// The range starts below the lowest address that may be mapped.
    BelowMinimum {
        /// Where it was to start.
        at: u64,
        /// The lowest address.
        minimum: u64,
    },
    /// A VMA is in the way.
    Occupied {
        /// The range asked for.
        asked: Span,
        /// The first VMA in it.
        by: Span,
    },
    /// Accessible pages would be in the guard gap of a stack; only where the policy says so (7.9).
    GuardGap {
        /// Pages that would be in the gap.
        asked: Span,
        /// The stack.
        by: Span,
    },
    /// There are as many VMAs as there may be.
    TooMany {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// A limit on what is mapped would be exceeded.
    Limit(Limit),
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for InsertVmaCause {
    /// Returns the errno of `mmap`.
    fn errno(&self) -> i32 {
        match self {
            Self::Range(_) | Self::Unaligned { .. } | Self::NoSuchHugePages { .. } | Self::Growing => errno::EINVAL,
            Self::BelowMinimum { .. } => errno::EPERM,
            Self::Occupied { .. } => errno::EEXIST,
            Self::Limit(Limit::Locked { .. }) => errno::EAGAIN,
            Self::Wraps { .. } | Self::BeyondTask { .. } | Self::GuardGap { .. } | Self::TooMany { .. } | Self::Limit(_) => errno::ENOMEM,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for InsertVmaCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => write!(f, "cannot insert the VMA: {error}"),
            Self::Wraps { at, len } => write!(f, "cannot insert the VMA: {len:#x} bytes from {at:#x} on wrap around"),
            Self::Unaligned { at } => write!(f, "cannot insert the VMA: {at:#x} is not at a page's start"),
            Self::NoSuchHugePages { bytes } => write!(f, "cannot insert the VMA: there are no huge pages of {bytes:#x} bytes"),
            Self::Growing => f.write_str("cannot insert the VMA: one that grows is private and has no object behind it"),
            Self::BeyondTask { asked, task_size } => {
                write!(f, "cannot insert the VMA {asked}: it ends beyond {task_size:#x}, where the address space ends")
            }
            Self::BelowMinimum { at, minimum } => {
                write!(f, "cannot insert the VMA: {at:#x} is below {minimum:#x}, the lowest address that may be mapped")
            }
            Self::Occupied { asked, by } => write!(f, "cannot insert the VMA {asked}: the VMA {by} is in the way"),
            Self::GuardGap { asked, by } => write!(f, "cannot insert the VMA: {asked} would be in the guard gap of the stack {by}"),
            Self::TooMany { count, limit } => write!(f, "cannot insert the VMA: there are {count} VMAs, and the limit is {limit}"),
            Self::Limit(limit) => write!(f, "cannot insert the VMA: {limit}"),
            Self::Resource(error) => write!(f, "cannot insert the VMA: {error}"),
        }
    }
}

from_shared! {
    InsertVmaCause from RangeError as Range;
}

impl From<InsertCause> for InsertVmaCause {
    fn from(error: InsertCause) -> Self {
        match error {
            InsertCause::Range(error) => Self::Range(error),
            InsertCause::Occupied { asked, by } => Self::Occupied { asked, by },
            InsertCause::Resource(error) => Self::Resource(error),
        }
    }
}

/// The error of [`MmWriteGuard::insert`](crate::mm::MmWriteGuard::insert), with the specification. Nothing was changed.
pub type InsertVmaError<S> = RejectedError<S, InsertVmaCause>;

/// Why a number cannot be the id of an object or of an owner: it is one of those that the library assigns itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdError {
    /// The number asked for.
    pub number: u64,
    /// The first id that the library assigns itself.
    pub own_from: u64,
}

impl IdError {
    pub(crate) const fn new(number: u64, own_from: u64) -> Self {
        Self { number, own_from }
    }
}

impl ErrorCode for IdError {
    /// Returns `EINVAL`.
    fn errno(&self) -> i32 {
        errno::EINVAL
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, own_from } = self;
        write!(f, "{number:#x} cannot be an id: from {own_from:#x} on, ids are the library's")
    }
}

impl core::error::Error for IdError {}
