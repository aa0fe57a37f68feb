//! The signals that Linux sends for a page fault.
//!
//! Used by `ErrorCode` and by the errors of page faults.

use crate::key::ProtectionKey;

/// A signal that Linux sends for a page fault.
///
/// `SIGBUS` is not among them: Linux sends it if what *backs* an address fails (a file that has become too short, bad memory), and the
/// embedder decides what backs a VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGSEGV`.
    Segv(SegvCode),
}

impl Signal {
    /// Returns the signal's number, which is the same on every architecture that this crate supports.
    #[must_use]
    pub const fn number(&self) -> i32 {
        match self {
            Self::Segv(_) => 11,
        }
    }

    /// Returns the signal's `si_code`.
    #[must_use]
    pub const fn code(&self) -> i32 {
        match self {
            Self::Segv(SegvCode::MapErr) => 1,
            Self::Segv(SegvCode::AccErr) => 2,
            Self::Segv(SegvCode::PkuErr { .. }) => 4,
        }
    }
}

/// The reason for a `SIGSEGV`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegvCode {
    /// `SEGV_MAPERR`: nothing is mapped at the address.
    MapErr,
    /// `SEGV_ACCERR`: what is mapped at the address does not allow the access.
    AccErr,
    /// `SEGV_PKUERR`: the thread has no right to the protection key of what is mapped at the address (8.6).
    PkuErr {
        /// The key (`si_pkey`).
        key: ProtectionKey,
    },
}
