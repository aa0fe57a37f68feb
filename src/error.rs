//! Every public error (L0): one for each operation, and those that several operations share. Each has the `errno` that Linux would give
//! ([`ErrorCode`]). If something was in the way, an error says what was asked and what that was. [`RejectedError`] hands back what an
//! operation was given to put in.
//!
//! Used by every layer. The files below hold the errors of the map, of the address space and of page faults.

/// Converts errors that several operations share into a variant of each operation's error.
macro_rules! from_shared {
    ($($to:ident from $($shared:ident as $variant:ident),+;)*) => { $($(
        impl From<$shared> for $to {
            fn from(error: $shared) -> Self {
                Self::$variant(error)
            }
        }
    )+)* };
}

#[macro_use]
mod shared;
mod fault;
mod key;
mod layout;
mod limits;
mod map;
mod mm;
mod range;
mod signal;
mod splice;
mod whole;

pub use fault::{ExpandError, FaultError};
pub use key::{PkeyAllocError, PkeyFreeError};
pub use layout::{BrkError, ChangePayloadsError, MadviseError, MlockError, MmapError, MprotectError, MremapError, MsealError, MunmapError};
pub use limits::{HeapError, Limit, LimitsError};
pub use map::{
    BuildCause, BuildError, ExtendError, GapError, InsertCause, InsertError, RejectedError, RemoveError, ReplaceCause, ReplaceError,
    SetCause, SetError, SynchronizeError,
};
pub use mm::{IdError, InsertVmaCause, InsertVmaError, LockFindError, LockVmaError, WaitError};
pub use range::RangeError;
pub use shared::LayoutError;
pub use signal::{SegvCode, Signal};
pub use splice::{SpliceCause, SpliceError};
pub use whole::{DupError, ExitError, ForkError, RemoveEntryError};

use core::fmt;

/// Linux's error numbers, which are the same on every architecture that this crate supports.
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

/// The meaning of an error to Linux: its errno, and the signal that a page fault with that outcome raises.
///
/// All errors of operations implement it, and so do the causes in a [`RejectedError`].
///
/// # Examples
/// ```
/// use vmaple::{ErrorCode, RangeMap};
/// /// Converts to what a system call returns.
/// fn returned<T: Into<i64>>(result: Result<T, impl ErrorCode>) -> i64 {
///     result.map_or_else(|error| -i64::from(error.errno()), Into::into)
/// }
/// let map = RangeMap::new();
/// map.write().insert(0..8, 'a').unwrap();
/// let refused = map.write().insert(4..12, 'b').map(|()| 0);
/// assert_eq!(returned(refused), -17); // EEXIST
/// ```
pub trait ErrorCode {
    /// Returns the errno that Linux reports for this.
    fn errno(&self) -> i32;

    /// Returns the signal that Linux sends to the thread for this, or `None` if it sends none.
    fn signal(&self) -> Option<Signal> {
        None
    }
}

/// A lack of memory for a change of the index. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceError {
    /// The system has no memory for the new nodes.
    OutOfMemory,
    /// Pinned readers would hold back more memory than the map's budget allows.
    OverBudget {
        /// The bytes that are retired and waiting now.
        held_bytes: usize,
        /// The bytes that the change would add.
        needed_bytes: usize,
        /// The budget in bytes.
        budget_bytes: usize,
    },
}

impl ErrorCode for ResourceError {
    /// Returns `ENOMEM`, or `EAGAIN` if it would help to unpin a reader.
    fn errno(&self) -> i32 {
        match self {
            Self::OutOfMemory => errno::ENOMEM,
            Self::OverBudget { .. } => errno::EAGAIN,
        }
    }
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory => f.write_str("no memory for new nodes of the index"),
            Self::OverBudget { held_bytes, needed_bytes, budget_bytes } => write!(
                f,
                "pinned readers hold back {held_bytes} bytes, and {needed_bytes} more would exceed the budget of {budget_bytes} bytes"
            ),
        }
    }
}

impl core::error::Error for ResourceError {}

/// The interruption of a wait for a lock. Nothing is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterruptedError;

impl InterruptedError {
    /// Creates the error, for an implementation of [`RawMmLock`](crate::lock::RawMmLock).
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl ErrorCode for InterruptedError {
    /// Returns `EINTR`.
    fn errno(&self) -> i32 {
        errno::EINTR
    }
}

impl fmt::Display for InterruptedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the wait for the lock was interrupted")
    }
}

impl core::error::Error for InterruptedError {}

#[cfg(test)]
mod tests;
