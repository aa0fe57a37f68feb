//! The ways to fail that the operations on a layout share, and the macro that makes the enum of one operation.
//!
//! Used by `layout`, for its enums, and by `mm`, whose steps return [`LayoutError`].

use super::limits::Limit;
use super::{ErrorCode, ResourceError, WaitError, errno};
use crate::addr::Span;
use core::fmt;

/// What any operation on a layout may fail by.
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// A VMA would be split, or added, and there are as many as there may be (5.1, 5.14).
    TooMany {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The embedder's payload says that the VMA may not be split (5.14).
    Unsplittable {
        /// The VMA.
        vma: Span,
        /// The address of the split.
        at: u64,
    },
    /// The VMA is made of huge pages, and would be split inside one (5.14).
    HugePage {
        /// The VMA.
        vma: Span,
        /// The address of the split.
        at: u64,
        /// How many bytes its pages have.
        page_bytes: u64,
    },
    /// The VMA is sealed (5.27).
    Sealed {
        /// The VMA.
        by: Span,
    },
    /// Accessible pages would be in the guard gap of a stack; only where the policy says so (7.9). Nothing was changed.
    GuardGap {
        /// Pages that would be in the gap.
        asked: Span,
        /// The stack.
        by: Span,
    },
    /// A limit on what is mapped would be exceeded.
    Limit(Limit),
    /// Readers of a VMA were waited for, and the wait ended early.
    Wait(WaitError),
    /// Memory is short.
    Resource(ResourceError),
}

impl ErrorCode for LayoutError {
    /// Returns the errno that Linux reports.
    fn errno(&self) -> i32 {
        match self {
            Self::TooMany { .. } | Self::GuardGap { .. } | Self::Limit(_) => errno::ENOMEM,
            Self::Unsplittable { .. } | Self::HugePage { .. } => errno::EINVAL,
            Self::Sealed { .. } => errno::EPERM,
            Self::Wait(error) => error.errno(),
            Self::Resource(error) => error.errno(),
        }
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { count, limit } => write!(f, "no room for one VMA more: there are {count}, and the limit is {limit}"),
            Self::Unsplittable { vma, at } => write!(f, "the VMA {vma} may not be split at {at:#x}"),
            Self::HugePage { vma, at, page_bytes } => {
                write!(f, "the VMA {vma} consists of pages of {page_bytes:#x} bytes, and cannot be split at {at:#x}, inside one")
            }
            Self::Sealed { by } => write!(f, "the VMA {by} is sealed"),
            Self::GuardGap { asked, by } => write!(f, "{asked} would be in the guard gap of the stack {by}"),
            Self::Limit(limit) => limit.fmt(f),
            Self::Wait(error) => error.fmt(f),
            Self::Resource(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for LayoutError {}

from_shared! {
    LayoutError from Limit as Limit, WaitError as Wait, ResourceError as Resource;
}

/// The enum of one operation: its name for messages, its own ways to fail with the errno and the message of each, and those that all
/// operations share.
macro_rules! operation_error {
    ($(#[$about:meta])* $name:ident of $operation:literal {
        $($(#[$doc:meta])* $variant:ident $({ $($(#[$field_doc:meta])* $field:ident: $of:ty,)+ })? => $errno:expr, $message:literal;)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant $({ $($(#[$field_doc])* $field: $of,)+ })?,)*
            /// The ways to fail that all operations on a layout share.
            Layout(LayoutError),
        }

        impl ErrorCode for $name {
            /// Returns the errno that Linux reports.
            #[allow(unused_variables, reason = "the errno of most variants does not depend on their fields")]
            fn errno(&self) -> i32 {
                match self {
                    $(Self::$variant $({ $($field,)+ })? => $errno,)*
                    Self::Layout(error) => error.errno(),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($operation, ": "))?;
                match self {
                    $(Self::$variant $({ $($field,)+ })? => write!(f, $message),)*
                    Self::Layout(error) => error.fmt(f),
                }
            }
        }

        impl core::error::Error for $name {}

        impl<E: Into<LayoutError>> From<E> for $name {
            fn from(error: E) -> Self {
                Self::Layout(error.into())
            }
        }
    };
}
