//! The integration tests, one binary, arranged by subject: `tests/README.md` says where a test goes.

#![allow(clippy::duplicate_mod, reason = "`lock::custom_lock` has the tests of the fault path once more, over another lock")]

mod fault;
mod index;
// It reads the repository and runs nothing of the library: nothing for Miri.
#[cfg(not(miri))]
mod layering;
mod lock;
mod memory;
mod mm;
mod support;
mod vma;

/// The types over the default lock; `lock::custom_lock` has those over another.
mod mm_lock {
    pub(crate) use vmaple::mm::MmWriteGuard;
    pub(crate) use vmaple::{FaultContext, Interrupt, Mm};

    /// An empty address space over it.
    pub(crate) fn mm<P>(limits: vmaple::mm::Limits) -> Mm<P> {
        Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build()
    }
}
