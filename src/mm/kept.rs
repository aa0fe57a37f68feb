//! A record that a lock keeps: reached without being counted, for the index has it counted once already.
//!
//! The guards of this room come in, and nobody else. To count would be two locked instructions a fault, on a line that every thread writes
//! that faults in the VMA.
//!
//! Why a lock keeps it:
//! * **K1** Under a hold of the mm lock. Others take nothing out of the index, and what the holder takes out is dropped after the unlock, also
//!   where the guard was upgraded or downgraded meanwhile (`map/guard.rs`).
//! * **K2** Under a VMA's lock. The writer that takes a record out has write-locked it before, in that hold (`plan.rs`, the only place where records go), and the write lock
//!   waits for the VMA's readers. An address space that ends has no guards left: they borrow it.

#![allow(unsafe_code, reason = "what is reached is kept by a lock, which no type can tell")]

use super::Record;
use core::mem::ManuallyDrop;
use core::ops::Deref;

/// A record, not counted, and so never dropped from here.
pub(super) struct Kept<P>(ManuallyDrop<Record<P>>);

impl<P> Kept<P> {
    /// The same record.
    ///
    /// # Safety
    /// It was found under a lock that keeps it (K1, K2), and is not used when that hold has ended.
    pub(super) unsafe fn by_lock(record: &Record<P>) -> Self {
        // SAFETY: read from a reference. The copy is never dropped, so the count stays right; that it is valid is the caller's promise.
        Self(ManuallyDrop::new(unsafe { core::ptr::from_ref(record).read() }))
    }
}

impl<P> Deref for Kept<P> {
    type Target = Record<P>;

    fn deref(&self) -> &Record<P> {
        &self.0
    }
}
