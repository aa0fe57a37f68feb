//! Changing what may be done, and the protection key: Linux's `pkey_mprotect` (8.3, 8.4). The work is `mprotect`'s.

use super::MmWriteGuard;
use super::plan::Plan;
use crate::error::MprotectError;
use crate::key::ProtectionKey;
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Payload, VmaFlags};

/// Which protection key VMAs have after a change of what may be done to them. A [`ProtectionKey`] becomes one by `into`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyChange(pub(super) Change);

/// What a [`KeyChange`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Change {
    /// What follows from the access: the execute-only key or none.
    Implied(ExecAlone),
    /// This one.
    To(ProtectionKey),
    /// A number that is no key, which is refused in its turn.
    Unknown(i32),
}

/// What is made of memory that may be executed and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ExecAlone {
    /// It gets the execute-only key.
    Unreadable,
    /// It does not.
    Readable,
}

impl KeyChange {
    /// The key follows from the access, as with `mprotect`: `EXEC` alone gives the execute-only key; execute-only memory gets key 0 back;
    /// other VMAs keep theirs (8.3).
    pub const IMPLIED: Self = Self(Change::Implied(ExecAlone::Unreadable));

    /// As [`IMPLIED`](Self::IMPLIED), except that `EXEC` alone does not give the execute-only key: what Linux does where more than
    /// `PROT_EXEC` is asked for that is no access, which is `PROT_SEM`.
    pub const IMPLIED_READABLE: Self = Self(Change::Implied(ExecAlone::Readable));

    /// Reads the last argument of the system call: -1 is [`IMPLIED`](Self::IMPLIED), any other number a key. One that is none is refused
    /// by the operation, in its turn.
    #[must_use]
    pub fn of_argument(key: i32) -> Self {
        match u8::try_from(key).ok().and_then(ProtectionKey::new) {
            Some(key) => Self(Change::To(key)),
            None if key == -1 => Self::IMPLIED,
            None => Self(Change::Unknown(key)),
        }
    }
}

impl From<ProtectionKey> for KeyChange {
    fn from(key: ProtectionKey) -> Self {
        Self(Change::To(key))
    }
}

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Changes what may be done to the pages of a range, as [`mprotect`](Self::mprotect) does, and their protection key.
    ///
    /// # Errors
    /// [`MprotectError`]: rules 5.16 and 8.4.
    ///
    /// # Examples
    /// At [`pkey_alloc`](Self::pkey_alloc).
    pub fn pkey_mprotect(&mut self, start: u64, len: u64, access: VmaFlags, key: impl Into<KeyChange>) -> Result<u64, MprotectError> {
        self.plan_pkey_mprotect(start, len, access, key, Patience::Forever).commit()
    }

    /// Plans [`pkey_mprotect`](Self::pkey_mprotect) without applying it.
    pub fn plan_pkey_mprotect(
        &mut self,
        start: u64,
        len: u64,
        access: VmaFlags,
        key: impl Into<KeyChange>,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MprotectError, L> {
        self.plan_protect(start, len, access, key.into(), patience)
    }
}
