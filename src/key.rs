//! Protection keys as plain values (L0): the number of a key, and a thread's rights to memory that has it. Part 8 of `docs/semantics.md`.
//!
//! Called by `error`, `vma` and `mm`.

use crate::addr::Access;
use bitflags::bitflags;
use core::fmt;

/// A protection key: a number from 0 to 15 that a VMA has, and to which each thread has rights.
///
/// [Rule 8.1](crate::docs::semantics#8-protection-keys).
///
/// A VMA has key 0 unless it is given another one.
///
/// # Examples
/// ```
/// use vmaple::mm::ProtectionKey;
/// assert_eq!(ProtectionKey::new(3).map(ProtectionKey::number), Some(3));
/// assert_eq!(ProtectionKey::new(16), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtectionKey(u8);

impl ProtectionKey {
    /// The number of keys.
    pub const COUNT: u8 = 16;
    /// Key 0, which a VMA has unless it is given another one.
    pub const ZERO: Self = Self(0);

    /// Creates the key with this number. `None` if the number is not below [`COUNT`](Self::COUNT).
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// Creates a key from the low four bits of a word.
    #[must_use]
    pub(crate) const fn from_low_bits(word: u64) -> Self {
        Self((word & 0xf) as u8)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for ProtectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

bitflags! {
    /// What is denied to a thread in memory that has a key: Linux's `PKEY_DISABLE_ACCESS` and `PKEY_DISABLE_WRITE`, with Linux's numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct KeyDenial: u32 {
        /// Reading and writing.
        const ACCESS = 1;
        /// Writing.
        const WRITE = 2;
    }
}

/// A thread's rights to the keys, which decide about its accesses. On x86 they are in the register `PKRU`.
///
/// [Rule 8.6](crate::docs::semantics#8-protection-keys).
///
/// Reading and writing can be denied; executing cannot. By default a thread has all rights, except to an address space's execute-only key
/// ([`Mm::execute_only_key`](crate::Mm::execute_only_key)).
///
/// # Examples
/// ```
/// use vmaple::mm::{KeyDenial, KeyRights, ProtectionKey};
/// use vmaple::Access;
/// let key = ProtectionKey::new(2).expect("a key");
/// let rights = KeyRights::default().with(key, KeyDenial::WRITE);
/// assert!(rights.allows(key, Access::Read, None) && !rights.allows(key, Access::Write, None));
/// // The address space's execute-only key is denied as well.
/// assert!(!rights.allows(key, Access::Read, Some(key)));
/// // Rights from a processor's register are used as they are.
/// assert!(KeyRights::from_pkru(0).allows(key, Access::Read, Some(key)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRights {
    /// Two bits for each key, as in `PKRU`: a [`KeyDenial`].
    denials: u32,
    /// Whether the execute-only key is denied regardless of its bits.
    denies_execute_only: bool,
}

impl KeyRights {
    /// All rights, except to the execute-only key: the default.
    pub const ALL: Self = Self { denials: 0, denies_execute_only: true };

    /// Creates the rights that a value of the register `PKRU` gives. It decides about the execute-only key, too.
    #[must_use]
    pub const fn from_pkru(pkru: u32) -> Self {
        Self { denials: pkru, denies_execute_only: false }
    }

    /// Returns the value of the register `PKRU` for these rights. It does not contain that the execute-only key is denied.
    #[must_use]
    pub const fn pkru(self) -> u32 {
        self.denials
    }

    /// Returns these rights with another denial for one key. Unknown bits of the denial are ignored.
    #[must_use]
    pub const fn with(self, key: ProtectionKey, denial: KeyDenial) -> Self {
        let shift = 2 * key.0 as u32;
        Self { denials: self.denials & !(3 << shift) | (denial.bits() & 3) << shift, ..self }
    }

    /// Returns what these rights deny for one key, not counting that the execute-only key is denied.
    #[must_use]
    pub const fn denial(self, key: ProtectionKey) -> KeyDenial {
        KeyDenial::from_bits_truncate(self.denials >> (2 * key.0 as u32))
    }

    /// Returns whether a thread with these rights has access to memory with `key`, in an address space with this execute-only key.
    ///
    /// Key 0 is never treated as the execute-only key; only the rights decide about it.
    #[must_use]
    pub fn allows(self, key: ProtectionKey, access: Access, execute_only: Option<ProtectionKey>) -> bool {
        let denying = match access {
            Access::Read => KeyDenial::ACCESS,
            Access::Write => KeyDenial::all(),
            Access::Exec => return true,
        };
        let is_execute_only = self.denies_execute_only && execute_only == Some(key) && key != ProtectionKey::ZERO;
        !(is_execute_only || self.denial(key).intersects(denying))
    }

    /// Returns whether nothing is denied for key 0.
    #[must_use]
    #[inline]
    pub(crate) const fn allow_key_zero(self) -> bool {
        self.denial(ProtectionKey::ZERO).is_empty()
    }
}

impl Default for KeyRights {
    fn default() -> Self {
        Self::ALL
    }
}

/// An access and the rights of the thread that makes it, as a page fault needs them. Converts from an [`Access`], with the default rights.
///
/// # Examples
/// ```
/// use vmaple::mm::{KeyedAccess, KeyRights};
/// use vmaple::Access;
/// assert_eq!(KeyedAccess::from(Access::Read), Access::Read.with_rights(KeyRights::ALL));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyedAccess {
    /// The access.
    pub access: Access,
    /// The rights of the thread.
    pub rights: KeyRights,
}

impl From<Access> for KeyedAccess {
    #[inline]
    fn from(access: Access) -> Self {
        access.with_rights(KeyRights::ALL)
    }
}

impl Access {
    /// Returns this access as made by a thread with these rights to the protection keys.
    #[must_use]
    #[inline]
    pub const fn with_rights(self, rights: KeyRights) -> KeyedAccess {
        KeyedAccess { access: self, rights }
    }
}
