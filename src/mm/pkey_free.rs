//! Freeing a protection key: Linux's `pkey_free` (8.5).
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::plan::{Plan, Planner};
use super::state::StateUpdate;
use crate::error::PkeyFreeError;
use crate::key::ProtectionKey;
use crate::lock::{Patience, RawMmLock};
use crate::vma::Payload;

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Frees a protection key. VMAs that have the key keep it, also when it is allocated again. Key 0 can be freed too.
    ///
    /// # Errors
    /// [`PkeyFreeError`]: [rule 8.5](crate::docs::semantics#8-protection-keys). Nothing was changed.
    ///
    /// # Examples
    /// ```
    /// use vmaple::Mm;
    /// use vmaple::mm::{KeyDenial, Limits};
    /// let mut limits = Limits::default();
    /// limits.protection_keys = 16;
    /// let mm: Mm = Mm::builder().limits(limits)?.build();
    /// let mut writer = mm.write();
    /// let key = writer.pkey_alloc(KeyDenial::empty())?;
    /// writer.pkey_free(key)?;
    /// assert!(writer.pkey_free(key).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pkey_free(&mut self, key: ProtectionKey) -> Result<(), PkeyFreeError> {
        self.plan(Patience::Forever).pkey_free(key).commit()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::pkey_free`].
    pub fn pkey_free(self, key: ProtectionKey) -> Plan<'w, 'm, P, Result<(), PkeyFreeError>, L> {
        let mut keyring = self.guard.keyring();
        if !self.guard.mm().read_limits(|limits| keyring.keys.free(key, limits)) {
            return self.nothing(Err(PkeyFreeError::NotAllocated { key: key.number() }));
        }
        self.nothing(Ok(())).with_state(StateUpdate { keyring: Some(keyring), ..StateUpdate::default() })
    }
}
