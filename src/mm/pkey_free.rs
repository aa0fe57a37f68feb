//! Freeing a protection key: Linux's `pkey_free` (8.5).

use super::MmWriteGuard;
use super::plan::Plan;
use super::state::StateUpdate;
use crate::error::PkeyFreeError;
use crate::key::ProtectionKey;
use crate::lock::RawMmLock;
use crate::vma::Payload;

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Frees a protection key, and returns 0. VMAs that have the key keep it, also when it is allocated again. Key 0 can be freed too.
    ///
    /// # Errors
    /// [`PkeyFreeError`]: rule 8.5. Nothing was changed.
    ///
    /// # Examples
    /// At [`pkey_alloc`](Self::pkey_alloc).
    pub fn pkey_free(&mut self, key: ProtectionKey) -> Result<u64, PkeyFreeError> {
        self.plan_pkey_free(key).commit()
    }

    /// Plans [`pkey_free`](Self::pkey_free) without applying it.
    pub fn plan_pkey_free(&mut self, key: ProtectionKey) -> Plan<'_, 'm, P, PkeyFreeError, L> {
        let mut keyring = self.keyring();
        if !self.mm().read_limits(|limits| keyring.keys.free(key, limits)) {
            return self.nothing(Err(PkeyFreeError::NotAllocated { key: key.number() }));
        }
        let mut plan = self.nothing(Ok(0));
        plan.remember(StateUpdate { keyring: Some(keyring), ..StateUpdate::default() });
        plan
    }
}
