//! Allocating a protection key: Linux's `pkey_alloc` (8.5).
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::plan::{Plan, Planner};
use super::state::StateUpdate;
use crate::error::PkeyAllocError;
use crate::key::{KeyDenial, ProtectionKey};
use crate::lock::{Patience, RawMmLock};
use crate::vma::Payload;

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Allocates the lowest protection key that is free, and returns it.
    ///
    /// `denial` is what the calling thread is to be denied with the key. Rights belong to threads, which an address space does not know:
    /// the caller enters it in the thread's [`KeyRights`](crate::mm::KeyRights) on success.
    ///
    /// # Errors
    /// [`PkeyAllocError`]: [rule 8.5](crate::docs::semantics#8-protection-keys). Nothing was changed.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{KeyDenial, Limits, MapRequest, Prot, ProtectRequest};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mut limits = Limits::default();
    /// limits.protection_keys = 16;
    /// let mm: Mm = Mm::builder().limits(limits)?.build();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// let key = writer.pkey_alloc(KeyDenial::empty())?;
    /// writer.mprotect(at, 0x1000, ProtectRequest::new(Prot::READ).with_key(key))?;
    /// assert_eq!(writer.lookup(at).map(|vma| vma.flags().pkey()), Some(key));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pkey_alloc(&mut self, denial: KeyDenial) -> Result<ProtectionKey, PkeyAllocError> {
        self.plan(Patience::Forever).pkey_alloc(denial).commit()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::pkey_alloc`].
    pub fn pkey_alloc(self, denial: KeyDenial) -> Plan<'w, 'm, P, Result<ProtectionKey, PkeyAllocError>, L> {
        if !KeyDenial::all().contains(denial) {
            return self.nothing(Err(PkeyAllocError::Rights { bits: denial.bits() }));
        }
        let mut keyring = self.guard.keyring();
        let allocated = self.guard.mm().read_limits(|limits| match limits.protection_keys {
            0 => Err(PkeyAllocError::Unsupported),
            _ => keyring.keys.allocate(limits).ok_or(PkeyAllocError::Exhausted),
        });
        self.nothing(allocated).with_state(StateUpdate { keyring: Some(keyring), ..StateUpdate::default() })
    }
}
