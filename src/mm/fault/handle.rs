//! The whole path of a fault: the VMA's own lock if that is enough, otherwise the mm lock; then whether the access is allowed.
//!
//! Called by the embedder's fault handler. The fast path goes from here to `lock_vma.rs` and from there to `vma/lock.rs`.

use super::FaultContext;
use crate::addr::Span;
use crate::error::FaultError;
use crate::key::KeyedAccess;
use crate::lock::{MmLock, RawMmLock};
use crate::mm::{FaultPath, LockedVma, Mm, MmReader, VmaGuard};
use crate::vma::{Vma, VmaFlags};
use core::fmt;

/// The VMA of a fault. It allows the access, and does not change while this value lives.
#[must_use = "the lock is released when it is dropped"]
pub enum FaultedVma<'m, P = (), L: RawMmLock = MmLock> {
    /// Only the VMA is locked.
    PerVma(VmaGuard<'m, P, L>),
    /// The mm lock is held for reading.
    Mm(LockedVma<'m, P, L>),
}

impl<P, L: RawMmLock> FaultedVma<'_, P, L> {
    /// Returns the VMA.
    #[inline]
    #[must_use]
    pub fn vma(&self) -> Vma<'_, P> {
        match self {
            Self::PerVma(found) => found.vma(),
            Self::Mm(found) => found.vma(),
        }
    }
}

impl<P, L: RawMmLock> fmt::Debug for FaultedVma<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PerVma(found) => found.fmt(f),
            Self::Mm(found) => found.fmt(f),
        }
    }
}

impl<P, L: RawMmLock> Mm<P, L> {
    /// Finds and locks the VMA of a fault, and checks that it allows the access.
    ///
    /// Takes the VMA's own lock if possible. Otherwise it calls [`find_vma_for_fault`](Self::find_vma_for_fault), which grows stacks (1.14).
    /// The access is checked after the VMA is locked, against the VMA's flags and against the thread's rights to its protection key (8.6).
    /// A plain [`Access`](crate::Access) has the default rights; [`Access::with_rights`](crate::Access::with_rights) sets others.
    ///
    /// # Concurrency
    /// If the VMA is mapped and no writer changes *it*, takes no mm lock and never waits, whatever writers do elsewhere. Otherwise as
    /// [`find_vma_for_fault`](Self::find_vma_for_fault). [`stats`](Self::stats) counts the path that each fault took.
    ///
    /// # Errors
    /// [`FaultError`]: nothing is held. Each error has an errno and a signal.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{Access, ErrorCode, FaultContext, Mm, SegvCode, Signal, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// mm.write().insert(0x10_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// let fault = mm.handle_fault(0x10_0010, Access::Write, FaultContext::KernelWithoutFixup).unwrap_err();
    /// assert_eq!(fault.signal(), Some(Signal::Segv(SegvCode::AccErr)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn handle_fault(
        &self,
        address: u64,
        access: impl Into<KeyedAccess>,
        context: FaultContext<'_, L::Interrupt>,
    ) -> Result<FaultedVma<'_, P, L>, FaultError> {
        match self.lock_vma(address) {
            Ok(found) => self.check_locked(found, address, access.into()),
            // No error of `lock_vma` proves that nothing is mapped.
            Err(_) => self.handle_fault_slow(address, access.into(), context),
        }
    }

    /// Ends a fault whose VMA was locked by its own lock: counts the path, and checks the access.
    #[inline]
    fn check_locked<'m>(&self, found: VmaGuard<'m, P, L>, address: u64, access: KeyedAccess) -> Result<FaultedVma<'m, P, L>, FaultError> {
        self.note(FaultPath::PerVma);
        self.check_access(found.vma(), address, access)?;
        Ok(FaultedVma::PerVma(found))
    }

    /// Handles a fault whose VMA could not be locked by its own lock.
    #[cold]
    fn handle_fault_slow(
        &self,
        address: u64,
        access: KeyedAccess,
        context: FaultContext<'_, L::Interrupt>,
    ) -> Result<FaultedVma<'_, P, L>, FaultError> {
        let found = self.find_vma_for_fault(address, context)?;
        self.check_access(found.vma(), address, access)?;
        Ok(FaultedVma::Mm(found))
    }

    /// Checks that a locked VMA allows the access, and that the thread's rights to its key do.
    #[inline]
    fn check_access(&self, vma: Vma<'_, P>, address: u64, access: KeyedAccess) -> Result<(), FaultError> {
        let (flags, vma) = (vma.flags(), vma.span());
        // The usual case: key 0, to which the thread has all rights.
        let is_plain = !flags.intersects(VmaFlags::PKEY_MASK) && access.rights.allow_key_zero();
        if is_plain && flags.allows(access.access) { Ok(()) } else { self.check_access_slow(flags, vma, address, access) }
    }

    /// Checks the access by the protection key and then by the flags, as [`check_access`](Self::check_access) requires.
    #[inline(never)]
    fn check_access_slow(&self, flags: VmaFlags, vma: Span, address: u64, access: KeyedAccess) -> Result<(), FaultError> {
        let (KeyedAccess { access, rights }, key) = (access, flags.pkey());
        // The key comes first, as in Linux, because it decides the signal's code.
        if !rights.allows(key, access, self.execute_only_key()) {
            return Err(FaultError::DeniedByKey { at: address, access, vma, key });
        }
        if flags.allows(access) { Ok(()) } else { Err(FaultError::Denied { at: address, access, vma }) }
    }
}

impl<'m, P, L: RawMmLock> MmReader<'m, P, L> {
    /// Handles a fault as [`Mm::handle_fault`] does, under the reader's pin. The result does not borrow the reader.
    ///
    /// # Concurrency
    /// As [`Mm::handle_fault`]. Unpins the reader before it waits for anything.
    ///
    /// # Errors
    /// As [`Mm::handle_fault`].
    #[inline]
    pub fn handle_fault(
        &mut self,
        address: u64,
        access: impl Into<KeyedAccess>,
        context: FaultContext<'_, L::Interrupt>,
    ) -> Result<FaultedVma<'m, P, L>, FaultError> {
        let access = access.into();
        if let Ok(found) = self.lock_vma(address) {
            return self.mm().check_locked(found, address, access);
        }
        // The wait may be long, and a pin would keep memory from reuse meanwhile.
        self.unpin();
        self.mm().handle_fault_slow(address, access, context)
    }
}
