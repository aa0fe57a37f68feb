//! The errors of growth and of the fault path.
//!
//! Used by `mm` and `mm::fault`.

use super::limits::Limit;
use super::mm::WaitError;
use super::{ErrorCode, ExtendError, InterruptedError, ResourceError, SegvCode, Signal, errno};
use crate::addr::{Access, Span};
use crate::key::ProtectionKey;
use core::fmt;

/// The error of expanding a VMA.
///
/// By the rules of [part 2](crate::docs::semantics#2-growth). Nothing was changed, except that a refused growth may leave the VMA with an
/// anon owner (2.4).
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpandError {
    /// There is no VMA that could grow to the address.
    Absent {
        /// The address.
        at: u64,
    },
    /// The VMA next to the address does not grow in its direction (2.1, 2.10).
    WrongDirection {
        /// The address.
        at: u64,
        /// The VMA.
        vma: Span,
    },
    /// The address is below the lowest that may be mapped (2.2).
    BelowMinimum {
        /// The page.
        at: u64,
        /// The lowest address.
        minimum: u64,
    },
    /// The page is beyond the address space (2.10).
    BeyondTask {
        /// The page.
        at: u64,
        /// The first address that is beyond.
        task_size: u64,
    },
    /// The neighbour would be nearer than the guard gap (2.3, 2.11).
    GuardGap {
        /// What the VMA would be.
        asked: Span,
        /// The neighbour.
        by: Span,
        /// The gap that must stay free.
        gap_bytes: u64,
    },
    /// The offset in what backs the VMA has no room that far (2.7, 2.12).
    Offset {
        /// What the VMA would be.
        asked: Span,
    },
    /// The growth would exceed a limit (2.8).
    Limit(Limit),
    /// The range is for huge pages only (2.8).
    HugePagesOnly {
        /// What the VMA would be.
        asked: Span,
    },
    /// Readers of the VMA were in the way, and were not waited for.
    Wait(WaitError),
    /// Memory for the index is short.
    Resource(ResourceError),
}

impl ErrorCode for ExpandError {
    /// Returns the errno that the rule states.
    fn errno(&self) -> i32 {
        match self {
            Self::Absent { .. } | Self::WrongDirection { .. } | Self::HugePagesOnly { .. } => errno::EFAULT,
            Self::BelowMinimum { .. } => errno::EPERM,
            Self::BeyondTask { .. } | Self::GuardGap { .. } | Self::Offset { .. } | Self::Limit(_) => errno::ENOMEM,
            Self::Wait(error) => error.errno(),
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { at } => write!(f, "cannot expand a VMA to {at:#x}: there is none beside it"),
            Self::WrongDirection { at, vma } => write!(f, "cannot expand the VMA {vma} to {at:#x}: it does not grow in that direction"),
            Self::BelowMinimum { at, minimum } => {
                write!(f, "cannot expand a VMA to {at:#x}: that is below {minimum:#x}, the lowest address that may be mapped")
            }
            Self::BeyondTask { at, task_size } => {
                write!(f, "cannot expand a VMA to {at:#x}: that is beyond {task_size:#x}, where the address space ends")
            }
            Self::GuardGap { asked, by, gap_bytes } => {
                write!(f, "cannot expand the VMA to {asked}: the VMA {by} would be nearer than {gap_bytes:#x} bytes")
            }
            Self::Offset { asked } => write!(f, "cannot expand the VMA to {asked}: the offsets in what backs it do not reach that far"),
            Self::Limit(limit) => write!(f, "cannot expand the VMA: {limit}"),
            Self::HugePagesOnly { asked } => write!(f, "cannot expand the VMA to {asked}: only huge pages may be there"),
            Self::Wait(error) => write!(f, "cannot expand the VMA: {error}"),
            Self::Resource(error) => write!(f, "cannot expand the VMA: {error}"),
        }
    }
}

impl core::error::Error for ExpandError {}

from_shared! {
    ExpandError from Limit as Limit, WaitError as Wait;
}

impl ExpandError {
    /// What the index said to a growth that all rules allow: only memory can be short.
    pub(crate) fn of_index(error: ExtendError, asked: Span) -> Self {
        match error {
            ExtendError::Resource(error) => Self::Resource(error),
            ExtendError::Absent { at } => Self::Absent { at },
            ExtendError::Blocked { by, .. } => Self::GuardGap { asked, by, gap_bytes: 0 },
        }
    }
}

/// The error of a page fault: no VMA was found, or the access is not allowed. Nothing is held.
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultError {
    /// Nothing is mapped there, and nothing grows there (1.4, 1.7).
    Unmapped {
        /// The address.
        at: u64,
    },
    /// The VMA does not allow it.
    Denied {
        /// The address.
        at: u64,
        /// What was to be done.
        access: Access,
        /// The VMA.
        vma: Span,
    },
    /// The thread has no right to the VMA's protection key (8.6), whatever the VMA itself allows.
    DeniedByKey {
        /// The address.
        at: u64,
        /// What was to be done.
        access: Access,
        /// The VMA.
        vma: Span,
        /// Its key.
        key: ProtectionKey,
    },
    /// A stack is there that could grow, and it may not: a guard gap, a limit, the lowest address (1.8).
    Growth(ExpandError),
    /// A wait was interrupted: the thread is being killed (1.1, 1.6).
    Interrupted,
    /// The context must not wait, and it would have had to (1.1, 1.6).
    WouldBlock,
}

impl ErrorCode for FaultError {
    /// Returns the errno of a system call that was to access the address: `EFAULT` for a segmentation fault, except for a growth, which has
    /// the errno of its rule; `EINTR`; `EAGAIN`.
    fn errno(&self) -> i32 {
        match self {
            Self::Unmapped { .. } | Self::Denied { .. } | Self::DeniedByKey { .. } => errno::EFAULT,
            Self::Growth(error) => error.errno(),
            Self::Interrupted => errno::EINTR,
            Self::WouldBlock => errno::EAGAIN,
        }
    }

    /// Returns `SEGV_ACCERR` for a denied access, `SEGV_PKUERR` if a key denies it, and `SEGV_MAPERR` if nothing is mapped, whatever kept
    /// a stack from growing there. `None` if the question is still open: an interrupted thread dies of another signal, and a caller that
    /// must not block asks again in a context that may.
    fn signal(&self) -> Option<Signal> {
        match self {
            Self::Unmapped { .. } | Self::Growth(_) => Some(Signal::Segv(SegvCode::MapErr)),
            Self::Denied { .. } => Some(Signal::Segv(SegvCode::AccErr)),
            Self::DeniedByKey { key, .. } => Some(Signal::Segv(SegvCode::PkuErr { key: *key })),
            Self::Interrupted | Self::WouldBlock => None,
        }
    }
}

impl fmt::Display for FaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmapped { at } => write!(f, "cannot handle the fault at {at:#x}: nothing is mapped there"),
            Self::Denied { at, access, vma } => write!(f, "cannot {access} at {at:#x}: the VMA {vma} does not allow it"),
            Self::DeniedByKey { at, access, vma, key } => {
                write!(f, "cannot {access} at {at:#x}: the thread has no right to the key {key} of the VMA {vma}")
            }
            Self::Growth(error) => write!(f, "cannot handle the fault: {error}"),
            Self::Interrupted => write!(f, "cannot handle the fault: {}", WaitError::Interrupted),
            Self::WouldBlock => write!(f, "cannot handle the fault: {}", WaitError::WouldBlock),
        }
    }
}

impl core::error::Error for FaultError {}

impl From<WaitError> for FaultError {
    fn from(error: WaitError) -> Self {
        match error {
            WaitError::Interrupted => Self::Interrupted,
            WaitError::WouldBlock => Self::WouldBlock,
        }
    }
}

impl From<InterruptedError> for FaultError {
    fn from(_: InterruptedError) -> Self {
        Self::Interrupted
    }
}

impl From<ExpandError> for FaultError {
    fn from(error: ExpandError) -> Self {
        match error {
            ExpandError::Wait(error) => error.into(),
            ExpandError::Absent { at } => Self::Unmapped { at },
            error => Self::Growth(error),
        }
    }
}
