//! The errors of setting the limits and the heap of an address space, and the limits that an operation may exceed.
//!
//! Used by `mm`, and by the errors of its operations.

use super::{ErrorCode, errno};
use core::fmt;

/// The error of setting [`Limits`](crate::mm::Limits): the value of one field has no meaning. The limits are unchanged.
///
/// # Examples
/// ```
/// use vmaple::mm::Limits;
/// use vmaple::Mm;
/// let mm: Mm = Mm::new();
/// let mut limits = Limits::default();
/// limits.huge_page_bytes = 5000;
/// let refused = mm.set_limits(limits).unwrap_err();
/// assert_eq!((refused.field(), refused.value()), ("huge_page_bytes", 5000));
/// assert_eq!(refused.to_string(), "cannot set the limits: `huge_page_bytes` is 0x1388, and must be a power of two");
/// assert_eq!(mm.limits(), Limits::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsError {
    field: &'static str,
    value: u64,
    must: &'static str,
}

impl LimitsError {
    pub(crate) const fn new(field: &'static str, value: u64, must: &'static str) -> Self {
        Self { field, value, must }
    }

    /// Returns the name of the field of [`Limits`](crate::mm::Limits).
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the value that the field was to have.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.value
    }
}

impl ErrorCode for LimitsError {
    /// Returns `EINVAL`.
    fn errno(&self) -> i32 {
        errno::EINVAL
    }
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set the limits: `{}` is {:#x}, and must {}", self.field, self.value, self.must)
    }
}

impl core::error::Error for LimitsError {}

/// The error of [`set_heap`](crate::mm::MmWriteGuard::set_heap). The heap is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeapError {
    /// The break is below where the heap starts.
    Reversed {
        /// Where the heap was to start.
        start: u64,
        /// The break.
        brk: u64,
    },
    /// The break is beyond the address space.
    BeyondTask {
        /// The break.
        brk: u64,
        /// The first address that is beyond.
        task_size: u64,
    },
}

impl ErrorCode for HeapError {
    /// Returns `EINVAL`.
    fn errno(&self) -> i32 {
        errno::EINVAL
    }
}

impl fmt::Display for HeapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reversed { start, brk } => {
                write!(f, "cannot set the heap: the break {brk:#x} is below {start:#x}, where the heap starts")
            }
            Self::BeyondTask { brk, task_size } => {
                write!(f, "cannot set the heap: the break {brk:#x} is beyond {task_size:#x}, where the address space ends")
            }
        }
    }
}

impl core::error::Error for HeapError {}

/// A limit that the operation would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limit {
    /// `RLIMIT_AS`: all that is mapped.
    AddressSpace {
        /// What would be mapped.
        asked_pages: u64,
        /// The limit.
        limit_pages: u64,
    },
    /// `RLIMIT_STACK`: one stack.
    Stack {
        /// What it would take.
        asked_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// `RLIMIT_MEMLOCK`: all that is locked in memory.
    Locked {
        /// What would be locked.
        asked_pages: u64,
        /// The limit.
        limit_pages: u64,
    },
    /// `RLIMIT_DATA`: all that is private, writable, and no stack.
    Data {
        /// What it would take.
        asked_pages: u64,
        /// The limit.
        limit_pages: u64,
    },
    /// What may be promised to be there when it is written.
    Commit {
        /// What would be promised.
        asked_pages: u64,
        /// The limit.
        limit_pages: u64,
    },
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressSpace { asked_pages, limit_pages } => write!(f, "{asked_pages} pages mapped: the limit is {limit_pages}"),
            Self::Stack { asked_bytes, limit_bytes } => write!(f, "a stack of {asked_bytes} bytes: the limit is {limit_bytes}"),
            Self::Locked { asked_pages, limit_pages } => write!(f, "{asked_pages} pages locked in memory: the limit is {limit_pages}"),
            Self::Data { asked_pages, limit_pages } => write!(f, "{asked_pages} pages of data: the limit is {limit_pages}"),
            Self::Commit { asked_pages, limit_pages } => write!(f, "{asked_pages} pages promised: the limit is {limit_pages}"),
        }
    }
}
