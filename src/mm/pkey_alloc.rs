//! Allocating a protection key: Linux's `pkey_alloc` (8.5).

use super::MmWriteGuard;
use super::plan::Plan;
use super::state::StateUpdate;
use crate::error::PkeyAllocError;
use crate::key::{KeyDenial, ProtectionKey};
use crate::lock::RawMmLock;
use crate::vma::Payload;

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Allocates the lowest protection key that is free, and returns it.
    ///
    /// `denial` is what the calling thread is to be denied with the key. Rights belong to threads, which an address space does not know:
    /// the caller enters it in the thread's [`KeyRights`](crate::mm::KeyRights) on success.
    ///
    /// # Errors
    /// [`PkeyAllocError`]: rule 8.5. Nothing was changed.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{KeyDenial, Limits, MapRequest};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mut limits = Limits::default();
    /// limits.protection_keys = 16;
    /// let mm: Mm = Mm::builder().limits(limits)?.build();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// let key = writer.pkey_alloc(KeyDenial::empty())?;
    /// writer.pkey_mprotect(at, 0x1000, VmaFlags::READ, key)?;
    /// assert_eq!(writer.lookup(at).map(|vma| vma.flags().pkey()), Some(key));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pkey_alloc(&mut self, denial: KeyDenial) -> Result<ProtectionKey, PkeyAllocError> {
        self.plan_pkey_alloc(denial).commit().map(ProtectionKey::from_low_bits)
    }

    /// Plans [`pkey_alloc`](Self::pkey_alloc) without applying it. The outcome is the key's number.
    pub fn plan_pkey_alloc(&mut self, denial: KeyDenial) -> Plan<'_, 'm, P, PkeyAllocError, L> {
        if !KeyDenial::all().contains(denial) {
            return self.nothing(Err(PkeyAllocError::Rights { bits: denial.bits() }));
        }
        let mut keyring = self.keyring();
        let allocated = self.mm().read_limits(|limits| match limits.protection_keys {
            0 => Err(PkeyAllocError::Unsupported),
            _ => keyring.keys.allocate(limits).ok_or(PkeyAllocError::Exhausted),
        });
        let mut plan = self.nothing(allocated.map(|key| u64::from(key.number())));
        plan.remember(StateUpdate { keyring: Some(keyring), ..StateUpdate::default() });
        plan
    }
}
