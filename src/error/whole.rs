//! The errors of operations on a whole address space or a whole map, and of the removal of one entry: few things can go wrong.
//!
//! Used by `mm` and `map`.

use super::limits::Limit;
use super::{ErrorCode, ResourceError, WaitError, errno};
use core::fmt;

/// Why `fork` made no child. The parent has not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForkError {
    /// A limit on what the child maps: that on committed memory.
    Limit(Limit),
    /// Readers of a VMA were waited for, and the wait ended early.
    Wait(WaitError),
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for ForkError {
    /// Returns `ENOMEM`, or the errno of the [`WaitError`] or [`ResourceError`].
    fn errno(&self) -> i32 {
        match self {
            Self::Limit(_) => errno::ENOMEM,
            Self::Wait(error) => error.errno(),
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for ForkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "fork: {limit}"),
            Self::Wait(error) => write!(f, "fork: {error}"),
            Self::Resource(error) => write!(f, "fork: {error}"),
        }
    }
}

impl core::error::Error for ForkError {}

from_shared! {
    ForkError from Limit as Limit, WaitError as Wait, ResourceError as Resource;
}

/// The enum of an operation that only a lack of memory can stop, and what its message says before the cause.
macro_rules! resource_error {
    ($($(#[$about:meta])* $name:ident of $message:literal;)*) => { $(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            /// Memory is short.
            Resource(ResourceError),
        }

        impl ErrorCode for $name {
            /// Returns the errno of the [`ResourceError`].
            fn errno(&self) -> i32 {
                let Self::Resource(error) = self;
                error.errno()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self::Resource(error) = self;
                write!(f, concat!($message, ": {}"), error)
            }
        }

        impl core::error::Error for $name {}

        from_shared! {
            $name from ResourceError as Resource;
        }
    )* };
}

resource_error! {
    /// Why `exit` unmapped nothing.
    ExitError of "exit";
    /// The error of [`dup`](crate::map::WriteGuard::dup): there is no copy. The map has not changed.
    DupError of "cannot copy the map";
    /// The error of [`remove_entry`](crate::map::WriteGuard::remove_entry): nothing was removed.
    RemoveEntryError of "cannot remove the entry";
}
