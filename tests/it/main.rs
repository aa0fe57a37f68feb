//! The integration tests, one binary: the library through its public face, at its real fan-out.

#![allow(clippy::duplicate_mod, reason = "`foreign` has the tests of the fault path once more, over another lock")]

mod budget;
mod extremes;
mod faces;
mod fault;
mod fault_model;
mod fault_sequences;
// Nothing in it is unsafe, and it is what Miri has seen over the default lock.
#[cfg(not(miri))]
mod foreign;
mod growth;
mod history;
mod hooks;
// It reads the repository and runs nothing of the library: nothing for Miri.
#[cfg(not(miri))]
mod house;
mod keys;
mod limits;
mod lock;
mod mapping;
mod memory;
mod mm_ops;
mod oracle;
mod own_lock;
// Hundreds of runs, each with two threads: Miri would take minutes. AddressSanitizer sees it.
#[cfg(not(miri))]
mod panics;
mod pinned;
mod regressions;
mod sequences;
// It counts nodes: nothing for Miri either.
#[cfg(not(miri))]
mod shape;
mod stats;
mod unlocked;
mod versions;
mod vma;
mod wide;

use std::sync::atomic::{AtomicBool, Ordering};

/// The types over the default lock; `foreign` has those over another.
mod mm_lock {
    pub(crate) use vmaple::mm::MmWriteGuard;
    pub(crate) use vmaple::{FaultContext, Interrupt, Mm};

    /// An empty address space over it.
    pub(crate) fn mm<P>(limits: vmaple::mm::Limits) -> Mm<P> {
        Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build()
    }
}

/// Tells other threads to end when it is dropped: also where the test fails, which would wait for them for ever.
struct Ends<'e>(&'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
