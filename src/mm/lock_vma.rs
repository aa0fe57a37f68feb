//! A VMA found and locked without the mm lock: Linux's `lock_vma_under_rcu`.
//!
//! Called by the fault path, by `lock_find` and by the embedder. The one place that read-locks a VMA ([`VmaLock`](crate::vma) has the
//! rules); nothing waits here.

use super::pinned_record::PinnedRecord;
use super::view::MmView;
use super::{Mm, MmPin, MmReader};
use crate::addr::Span;
use crate::error::LockVmaError;
use crate::lock::{MmLock, NotSend, RawMmLock};
use crate::sync::{Shared, seeded};
use crate::vma::{Attempt, Vma};
use core::fmt;

/// Which VMA is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookupMode {
    /// The one that contains the address. Once it is locked the answer stays true.
    Containing,
    /// The one that contains the address, or else the first one above it. The hole before it may be filled while it is locked.
    First,
}

impl<P> MmView<P> {
    /// Returns the VMA that is looked for.
    #[inline]
    fn search(&self, address: u64, mode: LookupMode) -> Option<Vma<'_, P>> {
        match mode {
            LookupMode::Containing => self.lookup(address),
            LookupMode::First => self.find(address),
        }
    }
}

impl<P, L: RawMmLock> Mm<P, L> {
    /// Finds the VMA that contains the address and locks it for reading, without the mm lock.
    ///
    /// [Rules 3.5 and 3.6](crate::docs::semantics#3-the-lock-of-a-vma).
    ///
    /// # Concurrency
    /// Never waits. Lock-free: it looks again only if a writer has write-locked or replaced the VMA meanwhile. The guard locks the VMA and does
    /// not pin the thread: while it is held it delays a writer of that VMA, never reclamation.
    ///
    /// # Errors
    /// [`LockVmaError`]. *No error is proof*: the VMA may be there the next moment. A caller that must know looks under the mm lock.
    #[inline]
    pub fn lock_vma(&self, address: u64) -> Result<VmaGuard<'_, P, L>, LockVmaError> {
        self.lock_in(&self.pin(), address, LookupMode::Containing)
    }

    /// Finds a VMA in a view of this address space and locks it for reading, with the bounds that it has then.
    ///
    /// A [`LookupMode::First`] is looked for again when it is locked, so that it is the first at that moment, too. A VMA that contains the
    /// address is looked for again only if a writer has write-locked it since.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call moves the guard, which costs a fault 20 instructions")]
    pub(super) fn lock_in(&self, view: &MmView<P>, address: u64, mode: LookupMode) -> Result<VmaGuard<'_, P, L>, LockVmaError> {
        // Before the search: its Acquire lets the search see what the holds before it did.
        let mut since = self.map.write_sequence();
        let found = view.search(address, mode).ok_or(LockVmaError::Absent { at: address })?;
        if seeded("sequence_loaded_after_the_search") {
            since = self.map.write_sequence();
        }
        match found.record().lock().try_read(since, self.map.lock()) {
            #[allow(unsafe_code, reason = "the lock that was taken keeps the record")]
            // SAFETY: `try_read` has read-locked it just now, and only this guard ends that hold.
            Attempt::Locked if mode == LookupMode::Containing => Ok(unsafe { VmaGuard::of_hold(self, found) }),
            attempt => self.lock_in_slow(attempt, found, view, address, mode),
        }
    }

    /// Goes on after an attempt that did not simply lock what was found.
    #[cold]
    fn lock_in_slow<'v>(
        &self,
        mut attempt: Attempt,
        mut found: Vma<'v, P>,
        view: &'v MmView<P>,
        address: u64,
        mode: LookupMode,
    ) -> Result<VmaGuard<'_, P, L>, LockVmaError> {
        loop {
            let mut guard = match attempt {
                Attempt::Busy => return Err(LockVmaError::Busy { at: address }),
                Attempt::TooManyReaders => return Err(LockVmaError::TooManyReaders { at: address }),
                // A writer that has ended since has unlinked it: what is there now?
                Attempt::Detached => None,
                #[allow(unsafe_code, reason = "as above")]
                // SAFETY: `try_read` has read-locked it just now, and only this guard ends that hold.
                Attempt::Locked | Attempt::LockedSearchAgain => Some(unsafe { VmaGuard::of_hold(self, found) }),
            };
            if seeded("vma_bounds_of_first_search")
                && let Some(guard) = guard
            {
                return Ok(guard);
            }
            // The bounds that it was found with may be those of a moment before it was locked.
            let since = self.map.write_sequence();
            let again = view.search(address, mode).ok_or(LockVmaError::Absent { at: address })?;
            if let Some(mut guard) = guard.take_if(|guard| Shared::ptr_eq(again.record(), &guard.record)) {
                guard.span = again.span();
                return Ok(guard);
            }
            drop(guard);
            found = again;
            attempt = found.record().lock().try_read(since, self.map.lock());
        }
    }
}

impl<'m, P, L: RawMmLock> MmPin<'m, P, L> {
    /// Finds and locks a VMA as [`Mm::lock_vma`] does, under this pin. The guard does not need the pin.
    ///
    /// # Errors
    /// As [`Mm::lock_vma`].
    #[inline]
    pub fn lock_vma(&self, address: u64) -> Result<VmaGuard<'m, P, L>, LockVmaError> {
        self.mm().lock_in(self, address, LookupMode::Containing)
    }
}

impl<'m, P, L: RawMmLock> MmReader<'m, P, L> {
    /// Finds and locks a VMA as [`Mm::lock_vma`] does. The guard does not need the reader: it may outlive the next call, and the reader.
    ///
    /// # Errors
    /// As [`Mm::lock_vma`].
    #[inline]
    pub fn lock_vma(&mut self, address: u64) -> Result<VmaGuard<'m, P, L>, LockVmaError> {
        let mm = self.mm();
        mm.lock_in(self.view(), address, LookupMode::Containing)
    }
}

/// One VMA locked for reading: it stays, with its bounds and flags, while the guard lives. Its neighbours may change.
///
/// # Concurrency
/// A writer that is to change this VMA waits for the guard; other writers do not. So the guard must be dropped before its thread waits for
/// the mm lock, because a writer may hold that and wait for the guard, and before its thread changes the VMA (3.11). Otherwise the wait
/// never ends. Debug builds with the feature `std` panic instead; for that the guard stays with the thread that took it.
///
/// A guard cannot outlive its address space:
/// ```compile_fail,E0505
/// # use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm = Mm::new();
/// mm.write().insert(0x10_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ))?;
/// let vma = mm.lock_vma(0x10_0000)?;
/// drop(mm);
/// drop(vma); // it would wake a writer of what is gone
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The guard keeps the VMA in the index. [`Vma::handle`] keeps it beyond the guard.
#[must_use = "the VMA is unlocked when the guard is dropped"]
pub struct VmaGuard<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    span: Span,
    record: PinnedRecord<P>,
    _not_send: NotSend,
}

impl<'m, P, L: RawMmLock> VmaGuard<'m, P, L> {
    /// Creates the guard of a read hold.
    ///
    /// # Safety
    /// The VMA was just read-locked, and the hold is the guard's.
    #[allow(unsafe_code, reason = "the VMA's lock keeps the record")]
    unsafe fn of_hold(mm: &'m Mm<P, L>, found: Vma<'_, P>) -> Self {
        mm.map.lock().record_inner(found.record().lock());
        // SAFETY: K2: the VMA is held for reading until the drop, whose last step ends the hold.
        let record = unsafe { PinnedRecord::by_lock(found.record()) };
        Self { mm, span: found.span(), record, _not_send: NotSend::new() }
    }

    /// Returns the locked VMA.
    #[inline]
    #[must_use]
    pub fn vma(&self) -> Vma<'_, P> {
        Vma::new(self.span, &self.record)
    }
}

impl<P, L: RawMmLock> Drop for VmaGuard<'_, P, L> {
    fn drop(&mut self) {
        let (mm, vma) = (self.mm.map.lock(), self.record.lock());
        mm.forget_inner(vma);
        vma.unlock_read(mm);
    }
}

impl<P, L: RawMmLock> fmt::Debug for VmaGuard<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmaGuard").field("span", &self.span).finish_non_exhaustive()
    }
}
