//! The errors of protection keys.
//!
//! Used by `mm`.

use super::{ErrorCode, errno};
use core::fmt;

/// The error of [`pkey_alloc`](crate::mm::MmWriteGuard::pkey_alloc).
///
/// [Rule 8.5](crate::docs::semantics#8-protection-keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PkeyAllocError {
    /// The rights have bits that mean nothing.
    Rights {
        /// The bits asked for.
        bits: u32,
    },
    /// The machine has no protection keys.
    Unsupported,
    /// All keys are allocated; the execute-only key counts.
    Exhausted,
}

impl ErrorCode for PkeyAllocError {
    /// Returns `EINVAL`, or `ENOSPC` where all keys are allocated.
    fn errno(&self) -> i32 {
        match self {
            Self::Rights { .. } | Self::Unsupported => errno::EINVAL,
            Self::Exhausted => errno::ENOSPC,
        }
    }
}

impl fmt::Display for PkeyAllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights { bits } => write!(f, "pkey_alloc: {bits:#x} are not rights to a protection key"),
            Self::Unsupported => f.write_str("pkey_alloc: the machine has no protection keys"),
            Self::Exhausted => f.write_str("pkey_alloc: all protection keys are allocated"),
        }
    }
}

impl core::error::Error for PkeyAllocError {}

/// The error of [`pkey_free`](crate::mm::MmWriteGuard::pkey_free).
///
/// [Rule 8.5](crate::docs::semantics#8-protection-keys).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PkeyFreeError {
    /// The key is not allocated, or is the execute-only key.
    NotAllocated {
        /// Its number.
        key: u8,
    },
}

impl ErrorCode for PkeyFreeError {
    /// Returns `EINVAL`.
    fn errno(&self) -> i32 {
        match self {
            Self::NotAllocated { .. } => errno::EINVAL,
        }
    }
}

impl fmt::Display for PkeyFreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllocated { key } => write!(f, "pkey_free: the protection key {key} is not allocated, or is the execute-only key"),
        }
    }
}

impl core::error::Error for PkeyFreeError {}
