//! The mm lock's guards: the layout locked for reading, with or without one VMA of it, and for writing.
//!
//! Called by the fault path and by every operation. What a guard lets its holder ask is `view`'s; what it lets its holder change is in the
//! operations' files.

use super::accounts::Sums;
use super::later::Later;
use super::pinned_record::PinnedRecord;
use super::view::MmView;
use super::{Mm, Record};
use crate::addr::Span;
use crate::error::{ExpandError, ExtendError, WaitError};
use crate::key::KeyRights;
use crate::lock::{MmLock, Patience, RawMmLock};
use crate::map::{ReadGuard, WriteGuard};
use crate::vma::{Vma, VmaFlags, VmaRecord};
use core::fmt;
use core::ops::Deref;

/// The mm lock held for reading: the layout stays as it is. Derefs to [`MmView`].
#[must_use = "the lock is released when the guard is dropped"]
pub struct MmReadGuard<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    guard: ReadGuard<'m, Record<P>, L>,
    /// What a write guard left behind when it became this one. After the guard: dropped when nothing is locked any more.
    later: Later<'m, P, L>,
}

impl<'m, P, L: RawMmLock> MmReadGuard<'m, P, L> {
    pub(super) fn new(mm: &'m Mm<P, L>, guard: ReadGuard<'m, Record<P>, L>) -> Self {
        Self { mm, guard, later: Later::none(mm) }
    }

    /// Returns the address space that is locked.
    #[must_use]
    pub fn mm(&self) -> &'m Mm<P, L> {
        self.mm
    }

    /// Upgrades to the write guard if this is the only hold and no writer waits. Never waits.
    ///
    /// # Errors
    /// The read guard, as it was. Drop it, call [`Mm::write`], and find again.
    pub fn try_upgrade(self) -> Result<MmWriteGuard<'m, P, L>, Self> {
        let Self { mm, guard, later } = self;
        match guard.try_upgrade() {
            Ok(guard) => Ok(MmWriteGuard { later, ..MmWriteGuard::new(mm, guard) }),
            Err(guard) => Err(Self { mm, guard, later }),
        }
    }

    /// Returns the VMA that contains the address, together with the lock.
    ///
    /// # Errors
    /// The guard: no VMA contains the address.
    pub fn into_locked(self, address: u64) -> Result<LockedVma<'m, P, L>, Self> {
        let vma = self.into_first(address)?;
        if vma.span.contains(address) { Ok(vma) } else { Err(vma.guard) }
    }

    /// Returns the VMA that contains the address, or else the first one above it, together with the lock.
    #[inline]
    pub(crate) fn into_first(self, address: u64) -> Result<LockedVma<'m, P, L>, Self> {
        let Some(vma) = self.find(address) else { return Err(self) };
        #[allow(unsafe_code, reason = "the guard beside it keeps the record")]
        // SAFETY: K1: found under this guard, with which it is dropped.
        let record = unsafe { PinnedRecord::by_lock(vma.record()) };
        let span = vma.span();
        Ok(LockedVma { guard: self, span, record })
    }
}

impl<P, L: RawMmLock> Deref for MmReadGuard<'_, P, L> {
    type Target = MmView<P>;

    #[inline]
    fn deref(&self) -> &MmView<P> {
        MmView::of(&self.guard)
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmReadGuard<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmReadGuard").finish_non_exhaustive()
    }
}

/// A VMA together with the mm lock held for reading: the whole layout stays as it is.
#[must_use = "the lock is released when it is dropped"]
pub struct LockedVma<'m, P = (), L: RawMmLock = MmLock> {
    guard: MmReadGuard<'m, P, L>,
    span: Span,
    record: PinnedRecord<P>,
}

impl<'m, P, L: RawMmLock> LockedVma<'m, P, L> {
    /// Returns the VMA.
    #[inline]
    #[must_use]
    pub fn vma(&self) -> Vma<'_, P> {
        Vma::new(self.span, &self.record)
    }

    /// Returns a reference to the guard.
    pub fn guard(&self) -> &MmReadGuard<'m, P, L> {
        &self.guard
    }

    /// Returns the guard alone.
    pub fn into_guard(self) -> MmReadGuard<'m, P, L> {
        self.guard
    }

    /// Upgrades the mm lock as [`MmReadGuard::try_upgrade`] does.
    pub(crate) fn try_upgrade(self) -> Result<WriteLockedVma<'m, P, L>, Self> {
        let Self { guard, span, record } = self;
        match guard.try_upgrade() {
            Ok(guard) => Ok(WriteLockedVma { guard, span, record }),
            Err(guard) => Err(Self { guard, span, record }),
        }
    }
}

impl<P, L: RawMmLock> fmt::Debug for LockedVma<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedVma").field("span", &self.span).finish_non_exhaustive()
    }
}

/// A VMA together with the mm lock held for writing: it may be grown.
pub(crate) struct WriteLockedVma<'m, P, L: RawMmLock> {
    guard: MmWriteGuard<'m, P, L>,
    span: Span,
    record: PinnedRecord<P>,
}

impl<'m, P, L: RawMmLock> WriteLockedVma<'m, P, L> {
    pub(crate) fn vma(&self) -> Vma<'_, P> {
        Vma::new(self.span, &self.record)
    }

    /// Grows the VMA: `grow` is given its bounds and record and returns the bounds that it has then.
    pub(crate) fn grow<E>(
        &mut self,
        grow: impl FnOnce(&mut MmWriteGuard<'m, P, L>, Span, &VmaRecord<P>) -> Result<Span, E>,
    ) -> Result<(), E> {
        self.span = grow(&mut self.guard, self.span, &self.record)?;
        Ok(())
    }

    /// Downgrades the mm lock, with no moment in between.
    pub(crate) fn downgrade(self) -> LockedVma<'m, P, L> {
        LockedVma { guard: self.guard.downgrade(), span: self.span, record: self.record }
    }
}

/// The mm lock held for writing: its methods change the layout. Derefs to [`MmView`].
///
/// Operations carry out what they are asked for. [`plan`](Self::plan) prepares an operation instead; [`Planner`](crate::mm::Planner) says which
/// it has.
///
/// # Ranges
/// Every operation takes a range as its start and its length in bytes, like the system calls, because their rules need both: whether the
/// start must be aligned, what a length of 0 means, how the length is rounded, and what happens if the sum wraps around differs between
/// operations, each with an errno of its own. Questions take addresses or Rust's ranges.
///
/// # `StackRot` (CVE-2023-3269)
/// In Linux a stack was expanded under the read lock, beside readers without a lock:
/// ```compile_fail,E0599
/// # use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm = Mm::new();
/// mm.write().insert(0x10_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN))?;
/// mm.read().expand_down(0xf_f000)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
/// Here that takes the write lock:
/// ```
/// # use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm = Mm::new();
/// mm.write().insert(0x10_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN))?;
/// mm.write().expand_down(0xf_f000)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct MmWriteGuard<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    pub(super) guard: WriteGuard<'m, Record<P>, L>,
    /// The mm's write sequence in this hold, which its write locks of VMAs store.
    sequence: u64,
    /// The calling thread's rights to protection keys.
    pub(super) key_rights: KeyRights,
    /// After the guard: dropped when nothing is locked any more.
    pub(super) later: Later<'m, P, L>,
}

impl<'m, P, L: RawMmLock> MmWriteGuard<'m, P, L> {
    pub(super) fn new(mm: &'m Mm<P, L>, guard: WriteGuard<'m, Record<P>, L>) -> Self {
        Self { mm, guard, sequence: mm.map.write_sequence(), key_rights: KeyRights::ALL, later: Later::none(mm) }
    }

    /// Sets the calling thread's rights to protection keys.
    ///
    /// Operations under this guard that bring pages in (`mlock`, `MAP_POPULATE`) read or write them with these rights (8.7). Until it is called
    /// they are the default ones.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{KeyDenial, KeyRights, Limits, MapRequest, Prot, ProtectRequest};
    /// use vmaple::{ErrorCode, Mm, VmaFlags, VmaSpec};
    /// let mut limits = Limits::default();
    /// limits.protection_keys = 16;
    /// let mm: Mm = Mm::builder().limits(limits)?.build();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// let key = writer.pkey_alloc(KeyDenial::ACCESS)?;
    /// writer.mprotect(at, 0x1000, ProtectRequest::new(Prot::READ).with_key(key))?;
    /// writer.set_key_rights(KeyRights::default().with(key, KeyDenial::ACCESS));
    /// assert_eq!(writer.mlock(at, 0x1000).map_err(|error| error.errno()), Err(12)); // ENOMEM
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_key_rights(&mut self, rights: KeyRights) {
        self.key_rights = rights;
    }

    /// Returns the rights that [`set_key_rights`](Self::set_key_rights) gave, less that to the execute-only key where an operation requested it
    /// since.
    ///
    /// [Rule 8.7](crate::docs::semantics#8-protection-keys).
    #[must_use]
    pub fn key_rights(&self) -> KeyRights {
        self.key_rights
    }

    /// Returns the address space that is locked.
    #[must_use]
    pub fn mm(&self) -> &'m Mm<P, L> {
        self.mm
    }

    /// Returns the VMA that contains the address, or else the first one above it, together with the lock. `None` if there is none: nothing is held then.
    #[inline]
    pub(crate) fn into_first(self, address: u64) -> Option<WriteLockedVma<'m, P, L>> {
        let vma = self.find(address)?;
        #[allow(unsafe_code, reason = "the guard beside it keeps the record")]
        // SAFETY: K1: found under this guard, with which it is dropped.
        let record = unsafe { PinnedRecord::by_lock(vma.record()) };
        let span = vma.span();
        Some(WriteLockedVma { guard: self, span, record })
    }

    /// Downgrades to a read guard, with no moment in between. The write locks on VMAs end with it.
    ///
    /// [Rule 3.1](crate::docs::semantics#3-the-lock-of-a-vma).
    ///
    /// Payloads that are to be dropped are dropped when the read guard is.
    pub fn downgrade(self) -> MmReadGuard<'m, P, L> {
        let Self { mm, guard, sequence: _, key_rights: _, later } = self;
        MmReadGuard { mm, guard: guard.downgrade(), later }
    }

    /// Returns the mm's write sequence in this hold.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Write-locks a VMA: waits for its readers, with the given patience.
    pub(crate) fn start_write(&self, record: &VmaRecord<P>, patience: Patience<'_, L::Interrupt>) -> Result<(), WaitError> {
        self.mm.start_write(record, self.sequence, patience)
    }

    /// Returns a copy of the accounts.
    pub(crate) fn sums(&self) -> Sums {
        self.mm.accounts.sums()
    }

    /// Grows the VMA that contains `at`, in the index and in the accounts. The caller has checked the rules and write-locked the VMA.
    pub(crate) fn commit_growth(&mut self, at: u64, flags: VmaFlags, from: Span, to: Span) -> Result<(), ExpandError> {
        let grown = if to.start() < from.start() { self.guard.extend_down(at, to.start()) } else { self.guard.extend_up(at, to.last()) };
        grown.map_err(|error: ExtendError| ExpandError::of_index(error, to))?;
        let mut sums = self.sums();
        sums.add(flags, to.pages() - from.pages());
        self.mm.accounts.set(sums);
        Ok(())
    }
}

impl<P, L: RawMmLock> Deref for MmWriteGuard<'_, P, L> {
    type Target = MmView<P>;

    #[inline]
    fn deref(&self) -> &MmView<P> {
        MmView::of(&self.guard)
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmWriteGuard<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmWriteGuard").finish_non_exhaustive()
    }
}
