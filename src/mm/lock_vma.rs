//! A VMA found and locked without the mm lock: Linux's `lock_vma_under_rcu`.

use super::guard::vma_of;
use super::kept::Kept;
use super::{Mm, Record};
use crate::addr::Span;
use crate::error::LockVmaError;
use crate::lock::{MmLock, NotSend, RawMmLock};
use crate::map::PinGuard;
use crate::sync::{Shared, seeded};
use crate::tree::Entry;
use crate::vma::{Attempt, Vma, VmaRecord};
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

/// What is asked where a VMA is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Which one contains an address: true as long as that one does not change.
    WhatContains,
    /// Which one is the first from an address on: a hole before it may be filled.
    WhichFirst,
}

impl<P, L: RawMmLock> Mm<P, L> {
    /// Finds the VMA that contains the address and locks it for reading, without the mm lock (3.5, 3.6).
    ///
    /// The pin is this address space's own: it is by the pin that it is reached ([`MmPin::lock_vma`]).
    ///
    /// # Concurrency
    /// Never waits. Lock-free: it looks again only where a writer has replaced the VMA meanwhile. The guard holds the VMA and not the
    /// pin: who keeps it long delays a writer of that VMA, never reclamation.
    ///
    /// # Errors
    /// [`LockVmaError`]. *Neither is proof*: the VMA may be there the next moment. What must know asks under the mm lock.
    #[inline]
    pub fn lock_vma(&self, address: u64) -> Result<VmaGuard<'_, P, L>, LockVmaError> {
        self.pin().lock_vma(address)
    }

    /// Read-locks the VMA that `find` returns, with the bounds that it has then. If the question is for the first VMA, searches again once
    /// it is locked, so that it is the first at that moment, too; otherwise only if a writer has write-locked it since the search.
    #[inline]
    pub(super) fn lock_found<'e>(
        &self,
        of: Question,
        find: impl Fn() -> Option<Entry<'e, Record<P>>>,
    ) -> Result<VmaGuard<'_, P, L>, LockVmaError>
    where
        P: 'e,
    {
        // Before the look: its Acquire lets the look see what the holds before it did.
        let mut since = self.map.write_sequence();
        let found = find().ok_or(LockVmaError::Absent)?;
        if seeded("sequence_loaded_after_the_search") {
            since = self.map.write_sequence();
        }
        match self.try_lock(&found, since) {
            #[allow(unsafe_code, reason = "the lock that was entered keeps the record")]
            // SAFETY: read-locked just now.
            Attempt::Locked if of == Question::WhatContains => Ok(unsafe { VmaGuard::entered(self, found) }),
            attempt => self.lock_found_slow(attempt, found, find),
        }
    }

    #[inline]
    fn try_lock(&self, found: &Entry<'_, Record<P>>, since: u64) -> Attempt {
        found.value().lock().try_read(since, || self.map.write_sequence(), self.map.lock())
    }

    /// What was found was not simply locked.
    #[cold]
    fn lock_found_slow<'e>(
        &self,
        mut attempt: Attempt,
        mut found: Entry<'e, Record<P>>,
        find: impl Fn() -> Option<Entry<'e, Record<P>>>,
    ) -> Result<VmaGuard<'_, P, L>, LockVmaError>
    where
        P: 'e,
    {
        loop {
            let mut guard = match attempt {
                Attempt::Busy => return Err(LockVmaError::Busy),
                // A writer that has ended since has unlinked it: what is there now?
                Attempt::Detached => None,
                #[allow(unsafe_code, reason = "as above")]
                // SAFETY: read-locked just now.
                Attempt::Locked | Attempt::LockedSearchAgain => Some(unsafe { VmaGuard::entered(self, found) }),
            };
            if seeded("vma_bounds_of_first_search")
                && let Some(guard) = guard
            {
                return Ok(guard);
            }
            // The bounds that it was found with may be those of a moment before it was locked.
            let since = self.map.write_sequence();
            let again = find().ok_or(LockVmaError::Absent)?;
            if let Some(mut guard) = guard.take_if(|guard| Shared::ptr_eq(again.value(), &guard.record)) {
                guard.span = again.span();
                return Ok(guard);
            }
            drop(guard);
            found = again;
            attempt = self.try_lock(&found, since);
        }
    }
}

/// Keeps records readable, and is the way to the lockless lookups of one address space. Bound to its thread; not a lock.
#[must_use = "the pin ends when it is dropped"]
pub struct MmPin<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    pin: PinGuard<'m, Record<P>>,
}

impl<'m, P, L: RawMmLock> MmPin<'m, P, L> {
    pub(super) fn new(mm: &'m Mm<P, L>, pin: PinGuard<'m, Record<P>>) -> Self {
        Self { mm, pin }
    }

    /// The VMA that contained the address at some moment of the call.
    #[must_use]
    pub fn vma(&self, address: u64) -> Option<Vma<'_, P>> {
        self.pin.lookup(address).map(vma_of)
    }

    /// The first VMA that ended at or after the address at some moment of the call.
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Vma<'_, P>> {
        self.pin.find(address).map(vma_of)
    }

    /// As [`Mm::lock_vma`], under this pin.
    ///
    /// # Errors
    /// As [`Mm::lock_vma`].
    pub fn lock_vma(&self, address: u64) -> Result<VmaGuard<'m, P, L>, LockVmaError> {
        self.mm.lock_found(Question::WhatContains, || self.pin.lookup(address))
    }

    pub(super) fn first_from(&self, address: u64) -> Option<Entry<'_, Record<P>>> {
        self.pin.find(address)
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmPin<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmPin").finish_non_exhaustive()
    }
}

/// One VMA locked for reading: it stays, with its bounds and flags, while the guard lives. Its neighbours may change. Derefs to the
/// record.
///
/// # Concurrency
/// A writer that is to change this VMA waits for the guard; others do not. So drop it before waiting for the mm lock, because a writer may
/// hold that and wait for the guard, and before changing the VMA (3.11). Such a wait never ends. Debug builds panic at it instead, and so
/// the guard stays with the thread that took it.
///
/// What is locked does not outlive its address space, whoever is the last to leave:
/// ```compile_fail,E0505
/// # use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm = Mm::new();
/// mm.write().map(0x10_0000..0x10_1000, VmaSpec::anonymous(VmaFlags::READ))?;
/// let vma = mm.lock_vma(0x10_0000)?;
/// drop(mm);
/// drop(vma); // it would wake a writer of what is gone
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The guard keeps the record in the index; who wants it beyond the guard clones it ([`record`](Self::record)).
#[must_use = "the VMA is unlocked when the guard is dropped"]
pub struct VmaGuard<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    span: Span,
    record: Kept<P>,
    _not_send: NotSend,
}

impl<'m, P, L: RawMmLock> VmaGuard<'m, P, L> {
    /// The guard of a read hold.
    ///
    /// # Safety
    /// The VMA was just read-locked, and the hold is the guard's.
    #[allow(unsafe_code, reason = "the VMA's lock keeps the record")]
    unsafe fn entered(mm: &'m Mm<P, L>, found: Entry<'_, Record<P>>) -> Self {
        mm.map.lock().record_inner(found.value().lock());
        // SAFETY: K2: the VMA is held for reading until the drop, whose last step ends the hold.
        let record = unsafe { Kept::by_lock(found.value()) };
        Self { mm, span: found.span(), record, _not_send: PhantomData }
    }

    /// The VMA's bounds.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Its record.
    #[must_use]
    pub fn record(&self) -> &Shared<VmaRecord<P>> {
        &self.record
    }
}

impl<P, L: RawMmLock> Deref for VmaGuard<'_, P, L> {
    type Target = VmaRecord<P>;

    fn deref(&self) -> &VmaRecord<P> {
        &self.record
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
