//! The errors of an edit that puts in several entries at once.
//!
//! Used by `tree` and `map`.

use super::{ErrorCode, RangeError, RejectedError, ResourceError, errno};
use crate::addr::Span;
use core::fmt;

/// The error of [`splice`](crate::map::WriteGuard::splice) and [`splice_entries`](crate::map::WriteGuard::splice_entries): the entries that
/// did not go in are handed back.
pub type SpliceError<E> = RejectedError<E, SpliceCause>;

/// Why a list of entries did not replace what is in a range. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpliceCause {
    /// The range is not a span.
    Range(RangeError),
    /// An item does not start above the item before it.
    Unsorted {
        /// The item.
        item: Span,
        /// The item before it.
        after: Span,
    },
    /// The items are not inside the range.
    Outside {
        /// From the first item to the last.
        items: Span,
        /// The range asked for.
        asked: Span,
    },
    /// An entry extends beyond the range, and [`splice_entries`](crate::map::WriteGuard::splice_entries) cuts none.
    Cut {
        /// The range asked for.
        asked: Span,
        /// The entry.
        entry: Span,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for SpliceCause {
    /// Returns `EINVAL`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Range(_) | Self::Unsorted { .. } | Self::Outside { .. } | Self::Cut { .. } => errno::EINVAL,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for SpliceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => write!(f, "cannot splice: {error}"),
            Self::Unsorted { item, after } => write!(f, "cannot splice: the item {item} does not start above {after}, the item before it"),
            Self::Outside { items, asked } => write!(f, "cannot splice at {asked}: the items are at {items}, which is not inside"),
            Self::Cut { asked, entry } => write!(f, "cannot splice the entries at {asked}: the entry {entry} would be cut"),
            Self::Resource(error) => write!(f, "cannot splice: {error}"),
        }
    }
}

from_shared! {
    SpliceCause from RangeError as Range, ResourceError as Resource;
}
