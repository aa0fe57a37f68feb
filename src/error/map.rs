//! The errors of a `RangeMap`'s operations.
//!
//! Used by `tree` and `map`. An operation that is given a value fails with a [`RejectedError`], which hands it back.

use super::{ErrorCode, RangeError, ResourceError, errno};
use crate::addr::Span;
use core::fmt;

/// A failed change, with the value that was to go in. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedError<V, C> {
    /// The value, handed back.
    pub value: V,
    /// Why the value did not go in.
    pub cause: C,
}

impl<V, C> RejectedError<V, C> {
    pub(crate) fn new(value: V, cause: impl Into<C>) -> Self {
        Self { value, cause: cause.into() }
    }
}

impl<V, C: ErrorCode> ErrorCode for RejectedError<V, C> {
    /// Returns the cause's errno.
    fn errno(&self) -> i32 {
        self.cause.errno()
    }
}

impl<V, C: fmt::Debug> fmt::Debug for RejectedError<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedError").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<V, C: fmt::Display> fmt::Display for RejectedError<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<V, C: fmt::Debug + fmt::Display> core::error::Error for RejectedError<V, C> {}

from_shared! {
    InsertCause from RangeError as Range, ResourceError as Resource;
    ReplaceCause from RangeError as Range, ResourceError as Resource;
    RemoveError from RangeError as Range, ResourceError as Resource;
    SetCause from ResourceError as Resource;
    ExtendError from ResourceError as Resource;
    BuildCause from RangeError as Range, ResourceError as Resource;
}

/// The error of [`insert`](crate::map::WriteGuard::insert).
pub type InsertError<V> = RejectedError<V, InsertCause>;

/// Why a value was not inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertCause {
    /// The range is not a span.
    Range(RangeError),
    /// An entry is in the range.
    Occupied {
        /// The range asked for.
        asked: Span,
        /// The first entry in the range.
        by: Span,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for InsertCause {
    /// Returns `EINVAL`, `EEXIST`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Range(error) => error.errno(),
            Self::Occupied { .. } => errno::EEXIST,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for InsertCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => write!(f, "cannot insert: {error}"),
            Self::Occupied { asked, by } => write!(f, "cannot insert at {asked}: the entry {by} is in the way"),
            Self::Resource(error) => write!(f, "cannot insert: {error}"),
        }
    }
}

/// The error of [`replace`](crate::map::WriteGuard::replace) and [`replace_entries`](crate::map::WriteGuard::replace_entries).
pub type ReplaceError<V> = RejectedError<V, ReplaceCause>;

/// Why a value did not replace what is in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplaceCause {
    /// The range is not a span.
    Range(RangeError),
    /// An entry extends beyond the range, and [`replace_entries`](crate::map::WriteGuard::replace_entries) cuts none.
    Cut {
        /// The range asked for.
        asked: Span,
        /// The entry.
        entry: Span,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for ReplaceCause {
    /// Returns `EINVAL`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Range(error) => error.errno(),
            Self::Cut { .. } => errno::EINVAL,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for ReplaceCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => write!(f, "cannot replace: {error}"),
            Self::Cut { asked, entry } => write!(f, "cannot replace the entries at {asked}: the entry {entry} would be cut"),
            Self::Resource(error) => write!(f, "cannot replace: {error}"),
        }
    }
}

/// The error of [`remove`](crate::map::WriteGuard::remove) and [`remove_entries`](crate::map::WriteGuard::remove_entries): nothing was
/// removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RemoveError {
    /// The range is not a span.
    Range(RangeError),
    /// An entry extends beyond the range, and [`remove_entries`](crate::map::WriteGuard::remove_entries) cuts none.
    Cut {
        /// The range asked for.
        asked: Span,
        /// The entry.
        entry: Span,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for RemoveError {
    /// Returns `EINVAL`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Range(error) => error.errno(),
            Self::Cut { .. } => errno::EINVAL,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for RemoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => write!(f, "cannot remove: {error}"),
            Self::Cut { asked, entry } => write!(f, "cannot remove the entries at {asked}: the entry {entry} would be cut"),
            Self::Resource(error) => write!(f, "cannot remove: {error}"),
        }
    }
}

impl core::error::Error for RemoveError {}

/// The error of [`set`](crate::map::WriteGuard::set).
pub type SetError<V> = RejectedError<V, SetCause>;

/// Why the value of an entry was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetCause {
    /// No entry contains the address.
    Absent {
        /// The address asked for.
        at: u64,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for SetCause {
    /// Returns `EFAULT`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Absent { .. } => errno::EFAULT,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for SetCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { at } => write!(f, "cannot set the value at {at:#x}: no entry contains the address"),
            Self::Resource(error) => write!(f, "cannot set the value: {error}"),
        }
    }
}

/// The error of [`extend_down`](crate::map::WriteGuard::extend_down) and [`extend_up`](crate::map::WriteGuard::extend_up). Nothing was
/// changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendError {
    /// No entry contains the address.
    Absent {
        /// The address asked for.
        at: u64,
    },
    /// Another entry is in the way.
    Blocked {
        /// The bounds that the entry was to have.
        asked: Span,
        /// The other entry.
        by: Span,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for ExtendError {
    /// Returns `EFAULT`, `EEXIST`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Absent { .. } => errno::EFAULT,
            Self::Blocked { .. } => errno::EEXIST,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for ExtendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { at } => write!(f, "cannot extend the entry at {at:#x}: no entry contains the address"),
            Self::Blocked { asked, by } => write!(f, "cannot extend the entry to {asked}: the entry {by} is in the way"),
            Self::Resource(error) => write!(f, "cannot extend the entry: {error}"),
        }
    }
}

impl core::error::Error for ExtendError {}

/// The error of [`find_gap`](crate::map::WriteGuard::find_gap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapError {
    /// The size asked for is 0.
    ZeroSize,
    /// The alignment is not a power of two.
    Alignment {
        /// The alignment asked for in bytes.
        align: u64,
    },
    /// The window is not a span.
    Window(RangeError),
    /// The window is smaller than the gap.
    SmallWindow {
        /// The size asked for in bytes.
        size: u64,
        /// The window.
        window: Span,
    },
    /// No gap in the window fits.
    NotFound {
        /// The size asked for in bytes.
        size: u64,
        /// The alignment asked for in bytes.
        align: u64,
        /// The window.
        window: Span,
    },
}

impl ErrorCode for GapError {
    /// Returns `EBUSY` if no gap fits, else `EINVAL`.
    fn errno(&self) -> i32 {
        match self {
            Self::NotFound { .. } => errno::EBUSY,
            _ => errno::EINVAL,
        }
    }
}

impl fmt::Display for GapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSize => f.write_str("cannot find a gap of 0 bytes"),
            Self::Alignment { align } => write!(f, "cannot find a gap aligned to {align:#x}, which is not a power of two"),
            Self::Window(error) => write!(f, "cannot find a gap in the window: {error}"),
            Self::SmallWindow { size, window } => write!(f, "cannot find a gap of {size:#x} bytes in {window}, which is smaller"),
            Self::NotFound { size, align, window } => write!(f, "no gap of {size:#x} bytes aligned to {align:#x} is in {window}"),
        }
    }
}

impl core::error::Error for GapError {}

/// The error of [`build_from`](crate::map::Builder::build_from): the value that did not go in is handed back (`None` if memory was short
/// after the last one). The values before it are dropped.
pub type BuildError<V> = RejectedError<Option<V>, BuildCause>;

/// Why a map was not built from a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildCause {
    /// The range of an item is not a span.
    Range(RangeError),
    /// An item does not start above the item before it.
    Unsorted {
        /// The item.
        item: Span,
        /// The item before it.
        after: Span,
    },
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for BuildCause {
    /// Returns `EINVAL`, or the errno of the [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Range(_) | Self::Unsorted { .. } => errno::EINVAL,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for BuildCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => write!(f, "cannot build the map: {error}"),
            Self::Unsorted { item, after } => {
                write!(f, "cannot build the map: the item {item} does not start above {after}, the item before it")
            }
            Self::Resource(error) => write!(f, "cannot build the map: {error}"),
        }
    }
}

/// The error of [`synchronize`](crate::RangeMap::synchronize): the calling thread is pinned, so it would wait for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SynchronizeError;

impl ErrorCode for SynchronizeError {
    /// Returns `EDEADLK`.
    fn errno(&self) -> i32 {
        errno::EDEADLK
    }
}

impl fmt::Display for SynchronizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot synchronize: the calling thread is pinned, and would wait for itself")
    }
}

impl core::error::Error for SynchronizeError {}
