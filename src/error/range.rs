//! The error of a range that is not a span.
//!
//! Used by `addr`, and by every error of an operation that is given a range.

use super::{ErrorCode, errno};
use core::fmt;

/// A range that is not a [`Span`](crate::Span).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RangeError {
    /// The range holds no address.
    Empty {
        /// Where it starts and ends.
        at: u64,
    },
    /// The range ends before it starts.
    Reversed {
        /// The first address asked for.
        start: u64,
        /// The end asked for, as it was given: `b` of `a..b` and of `a..=b`.
        end: u64,
    },
    /// The range would end after the last address of all.
    TooLong {
        /// The first address asked for.
        start: u64,
        /// The number of addresses asked for.
        len: u64,
    },
    /// The range starts after the last address of all.
    Unrepresentable {
        /// The address after which it was to start.
        after: u64,
    },
}

impl ErrorCode for RangeError {
    /// Returns `EINVAL`.
    fn errno(&self) -> i32 {
        errno::EINVAL
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { at } => write!(f, "the range at {at:#x} is empty"),
            Self::Reversed { start, end } => write!(f, "the range is reversed: it starts at {start:#x} and ends at {end:#x}"),
            Self::TooLong { start, len } => write!(f, "the range of {len:#x} addresses from {start:#x} ends after the last address of all"),
            Self::Unrepresentable { after } => write!(f, "the range starts after {after:#x}, the last address of all"),
        }
    }
}

impl core::error::Error for RangeError {}
