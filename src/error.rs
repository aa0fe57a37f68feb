//! Every public error (L0): one per operation. Each says what was asked and what was in the way, has the `errno` that Linux would
//! give, and hands ownership back where something was given.

mod fault;
mod key;
mod layout;
mod limits;
mod mm;
mod splice;

pub use fault::{ExpandError, FaultError, Limit, SegvCode, Signal};
pub use key::{PkeyAllocError, PkeyFreeError};
pub use layout::{BrkError, LayoutError, MadviseError, MlockError, MmapError, MprotectError, MremapError, MsealError, MunmapError};
pub use limits::{HeapError, LimitsError};
pub use mm::{LockVmaError, MapCause, MapError, NameError, WaitError};
pub use splice::{SpliceCause, SpliceError};

use crate::addr::Span;
use core::fmt;

/// The numbers of the errors, as Linux has them on every architecture that this crate runs on.
mod errno {
    pub(super) const EPERM: i32 = 1;
    pub(super) const EINTR: i32 = 4;
    pub(super) const EAGAIN: i32 = 11;
    pub(super) const ENOMEM: i32 = 12;
    pub(super) const EBUSY: i32 = 16;
    pub(super) const EEXIST: i32 = 17;
    pub(super) const EINVAL: i32 = 22;
    pub(super) const ENOSPC: i32 = 28;
    pub(super) const EDEADLK: i32 = 35;
    pub(super) const EFAULT: i32 = 14;
    pub(super) const EACCES: i32 = 13;
    pub(super) const EOVERFLOW: i32 = 75;
}

/// A range of which no [`Span`] can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        /// The last address asked for.
        last: u64,
    },
    /// The range starts after the last address there is.
    Unrepresentable {
        /// The address after which it was to start.
        after: u64,
    },
}

impl RangeError {
    /// The errno: `EINVAL`.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        errno::EINVAL
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { at } => write!(f, "the range at {at:#x} is empty"),
            Self::Reversed { start, last } => write!(f, "the range is reversed: it starts at {start:#x} and its last address is {last:#x}"),
            Self::Unrepresentable { after } => write!(f, "the range starts after {after:#x}, where there are no addresses"),
        }
    }
}

impl core::error::Error for RangeError {}

/// Memory that a change needs and cannot have. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceError {
    /// The system has no memory for the new nodes.
    OutOfMemory,
    /// Readers that stay pinned keep more memory waiting than the map's budget allows.
    OverBudget {
        /// What is retired and waiting now, in bytes.
        held_bytes: usize,
        /// What the change would add, in bytes.
        needed_bytes: usize,
        /// The budget, in bytes.
        budget_bytes: usize,
    },
}

impl ResourceError {
    /// The errno: `ENOMEM`, or `EAGAIN` where unpinning a reader would help.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::OutOfMemory => errno::ENOMEM,
            Self::OverBudget { .. } => errno::EAGAIN,
        }
    }
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("no memory for the new nodes of the index"),
            Self::OverBudget { held_bytes, needed_bytes, budget_bytes } => write!(
                f,
                "pinned readers hold back {held_bytes} bytes and the change would add {needed_bytes}: over the budget of {budget_bytes} bytes"
            ),
        }
    }
}

impl core::error::Error for ResourceError {}

/// Why a range could not be edited. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EditError {
    /// The range itself is at fault.
    Range(RangeError),
    /// Memory is.
    Resource(ResourceError),
}

impl EditError {
    /// The errno: `EINVAL` for a bad range, else the resource's.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Range(error) => error.errno(),
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for EditError {}

impl From<RangeError> for EditError {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl From<ResourceError> for EditError {
    fn from(error: ResourceError) -> Self {
        Self::Resource(error)
    }
}

/// Why a value could not be inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InsertCause {
    /// The range is at fault.
    Range(RangeError),
    /// An entry is in the way.
    Occupied {
        /// The range asked for.
        asked: Span,
        /// The first entry in it.
        by: Span,
    },
    /// Memory is.
    Resource(ResourceError),
}

impl InsertCause {
    /// The errno: `EINVAL`, `EEXIST`, or the resource's.
    #[must_use]
    pub const fn errno(&self) -> i32 {
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
            Self::Range(error) => error.fmt(f),
            Self::Occupied { asked, by } => write!(f, "nothing inserted at {asked}: the entry {by} is in the way"),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl From<EditError> for InsertCause {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Range(error) => Self::Range(error),
            EditError::Resource(error) => Self::Resource(error),
        }
    }
}

/// A failed change together with the value that was to go in. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected<V, C> {
    /// The value, handed back.
    pub value: V,
    /// Why it did not go in.
    pub cause: C,
}

impl<V, C> Rejected<V, C> {
    pub(crate) fn new(value: V, cause: impl Into<C>) -> Self {
        Self { value, cause: cause.into() }
    }
}

impl<V, C: fmt::Debug> fmt::Debug for Rejected<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejected").field("cause", &self.cause).finish_non_exhaustive()
    }
}

impl<V, C: fmt::Display> fmt::Display for Rejected<V, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl<V, C: fmt::Debug + fmt::Display> core::error::Error for Rejected<V, C> {}

/// The error of `insert`.
pub type InsertError<V> = Rejected<V, InsertCause>;
/// The error of `replace`.
pub type ReplaceError<V> = Rejected<V, EditError>;

/// Why an entry could not be extended. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendError {
    /// There is no entry at the address.
    Absent {
        /// The address asked for.
        at: u64,
    },
    /// A neighbour is in the way.
    Blocked {
        /// What the entry was to become.
        asked: Span,
        /// The neighbour.
        by: Span,
    },
    /// Memory is.
    Resource(ResourceError),
}

impl ExtendError {
    /// The errno: `EFAULT`, `EEXIST`, or the resource's.
    #[must_use]
    pub const fn errno(&self) -> i32 {
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
            Self::Absent { at } => write!(f, "nothing to extend: there is no entry at {at:#x}"),
            Self::Blocked { asked, by } => write!(f, "not extended to {asked}: the neighbour {by} is in the way"),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ExtendError {}

impl From<ResourceError> for ExtendError {
    fn from(error: ResourceError) -> Self {
        Self::Resource(error)
    }
}

/// Why no gap was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapError {
    /// A gap of no size was asked for.
    ZeroSize,
    /// The alignment is not a power of two.
    Alignment {
        /// The alignment asked for, in bytes.
        align: u64,
    },
    /// The window is no range.
    Window(RangeError),
    /// The window is smaller than the gap.
    SmallWindow {
        /// The size asked for, in bytes.
        size: u64,
        /// The window.
        window: Span,
    },
    /// Nothing in the window fits.
    NotFound {
        /// The size asked for, in bytes.
        size: u64,
        /// The alignment asked for, in bytes.
        align: u64,
        /// The window.
        window: Span,
    },
}

impl GapError {
    /// The errno: `EBUSY` where nothing fits, else `EINVAL`.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::NotFound { .. } => errno::EBUSY,
            _ => errno::EINVAL,
        }
    }
}

impl fmt::Display for GapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ZeroSize => f.write_str("a gap of size 0 was asked for"),
            Self::Alignment { align } => write!(f, "the alignment {align:#x} is not a power of two"),
            Self::Window(error) => write!(f, "the window is no range: {error}"),
            Self::SmallWindow { size, window } => write!(f, "a gap of {size:#x} bytes cannot lie in the window {window}"),
            Self::NotFound { size, align, window } => write!(f, "no gap of {size:#x} bytes aligned to {align:#x} in {window}"),
        }
    }
}

impl core::error::Error for GapError {}

/// Why a map could not be built of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildCause {
    /// An item's range is at fault.
    Range(RangeError),
    /// An item does not start above the one before it.
    Unsorted {
        /// The item.
        item: Span,
        /// The one before it.
        after: Span,
    },
    /// Memory is.
    Resource(ResourceError),
}

impl BuildCause {
    /// The errno: `EINVAL`, or the resource's.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Range(_) | Self::Unsorted { .. } => errno::EINVAL,
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for BuildCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Unsorted { item, after } => write!(f, "the item {item} does not start above {after}, the item before it"),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl From<RangeError> for BuildCause {
    fn from(error: RangeError) -> Self {
        Self::Range(error)
    }
}

impl From<ResourceError> for BuildCause {
    fn from(error: ResourceError) -> Self {
        Self::Resource(error)
    }
}

/// The error of a bulk build: the value that could not go in is handed back (none where memory was short after the last one), those
/// before it are dropped with the half-built map.
pub type BuildError<V> = Rejected<Option<V>, BuildCause>;

/// The calling thread holds a pin or a pinned `Reader`, so waiting for readers would be waiting for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SynchronizeError;

impl SynchronizeError {
    /// The errno: `EDEADLK`.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        errno::EDEADLK
    }
}

impl fmt::Display for SynchronizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the calling thread is pinned: waiting for readers would never end")
    }
}

impl core::error::Error for SynchronizeError {}

/// The wait for the lock was interrupted: nothing is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interrupted;

impl Interrupted {
    /// Makes one: for an implementation of [`RawMmLock`](crate::lock::RawMmLock).
    #[must_use]
    pub const fn new() -> Self {
        Self
    }

    /// The errno: `EINTR`.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        errno::EINTR
    }
}

impl Default for Interrupted {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wait for the mm lock was interrupted: nothing is held")
    }
}

impl core::error::Error for Interrupted {}
