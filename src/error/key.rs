//! The errors of protection keys.

use super::errno;
use core::fmt;

/// Why no protection key was allocated (8.5).
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

impl PkeyAllocError {
    /// The errno: `EINVAL`, or `ENOSPC` where all keys are allocated.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Rights { .. } | Self::Unsupported => errno::EINVAL,
            Self::Exhausted => errno::ENOSPC,
        }
    }
}

impl fmt::Display for PkeyAllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rights { bits } => write!(f, "{bits:#x} are no rights to a protection key"),
            Self::Unsupported => f.write_str("the machine has no protection keys"),
            Self::Exhausted => f.write_str("all protection keys are allocated"),
        }
    }
}

impl core::error::Error for PkeyAllocError {}

/// Why a protection key was not freed (8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PkeyFreeError {
    /// The key is not allocated, or is the execute-only key.
    NotAllocated {
        /// Its number.
        key: u8,
    },
}

impl PkeyFreeError {
    /// The errno: `EINVAL`.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::NotAllocated { .. } => errno::EINVAL,
        }
    }
}

impl fmt::Display for PkeyFreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllocated { key } => write!(f, "the protection key {key} is not allocated, or is the execute-only key"),
        }
    }
}

impl core::error::Error for PkeyFreeError {}
