//! A record that a lock keeps: it is used without being counted, because the index has it counted once already.
//!
//! Called by `guard` and `lock_vma` only. Counting would cost each fault two locked instructions on a line that all threads write that
//! fault in the VMA.
//!
//! Why a lock keeps it:
//! * **K1** Under a hold of the mm lock. Nobody else takes anything out of the index, and what the holder takes out is dropped after the
//!   unlock, also if the guard was upgraded or downgraded meanwhile (`map/guard.rs`).
//! * **K2** Under a VMA's lock. A writer write-locks a VMA in its hold before it takes the record out (`plan.rs`, the only place where
//!   records go), and for that it waits for the VMA's readers. An address space that ends has no guards left, because they borrow it.

#![allow(unsafe_code, reason = "what is reached is kept by a lock, which no type can tell")]

use super::Record;
use core::mem::ManuallyDrop;
use core::ops::Deref;

/// A record that is not counted, and so never dropped from here.
pub(super) struct PinnedRecord<P>(ManuallyDrop<Record<P>>);

impl<P> PinnedRecord<P> {
    /// Copies the reference to a record.
    ///
    /// # Safety
    /// The record was found under a lock that keeps it (K1, K2), and the copy is not used after that hold has ended.
    #[inline]
    pub(super) unsafe fn by_lock(record: &Record<P>) -> Self {
        // SAFETY: read from a reference. The copy is never dropped, so the count stays right; that it is valid is the caller's promise.
        Self(ManuallyDrop::new(unsafe { core::ptr::from_ref(record).read() }))
    }
}

impl<P> Deref for PinnedRecord<P> {
    type Target = Record<P>;

    fn deref(&self) -> &Record<P> {
        &self.0
    }
}
