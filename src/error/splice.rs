//! The error of an edit that puts in several entries at once.

use super::{EditError, RangeError, Rejected, ResourceError, errno};
use crate::addr::Span;
use core::fmt;

/// Why a list of entries did not take the place of what is in a range. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpliceCause {
    /// The range is at fault, or an item's.
    Range(RangeError),
    /// An item does not start above the one before it.
    Unsorted {
        /// The item.
        item: Span,
        /// The one before it.
        after: Span,
    },
    /// The items are not inside the range.
    Outside {
        /// From the first item to the last.
        items: Span,
        /// The range asked for.
        asked: Span,
    },
    /// Memory is.
    Resource(ResourceError),
}

impl SpliceCause {
    /// The errno: `EINVAL`, or the resource's.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Range(_) | Self::Unsorted { .. } | Self::Outside { .. } => errno::EINVAL,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for SpliceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Unsorted { item, after } => write!(f, "the item {item} does not start above {after}, the item before it"),
            Self::Outside { items, asked } => write!(f, "the items are in {items}, which is not inside {asked}"),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SpliceCause {}

impl From<EditError> for SpliceCause {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Range(error) => Self::Range(error),
            EditError::Resource(error) => Self::Resource(error),
        }
    }
}

impl From<RangeError> for SpliceCause {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl From<ResourceError> for SpliceCause {
    fn from(error: ResourceError) -> Self {
        Self::Resource(error)
    }
}

/// The error of a splice: the entries that did not go in are handed back.
pub type SpliceError<E> = Rejected<E, SpliceCause>;
