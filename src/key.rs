//! Protection keys as plain values (L0): the number of a key, and what a thread may do with memory that has it. Part 8 of
//! `docs/semantics.md`.
//!
//! `error`, `vma` and `mm` come in. Nobody else is called.

use crate::addr::Access;
use bitflags::bitflags;
use core::fmt;

/// A protection key: a number from 0 to 15 that a VMA has, and to which each thread has rights (8.1). Key 0 is every VMA's unless said
/// otherwise.
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
    /// The number of keys that the flags of a VMA have room for.
    pub const COUNT: u8 = 16;
    /// Key 0, which every VMA has unless said otherwise.
    pub const ZERO: Self = Self(0);

    /// Makes a key of its number. Returns `None` where the number is not below [`COUNT`](Self::COUNT).
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// Makes a key of the low four bits of a word.
    #[must_use]
    pub(crate) const fn of_low_bits(word: u64) -> Self {
        Self((word & 0xf) as u8)
    }

    /// Returns its number.
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
    /// What a thread may not do with the memory that has a key: Linux's `PKEY_DISABLE_ACCESS` and so on, with Linux's numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct KeyDenial: u32 {
        /// The thread may neither read nor write it.
        const ACCESS = 1;
        /// The thread may not write it.
        const WRITE = 2;
    }
}

/// A thread's rights to the keys, by which its accesses are judged (8.6): the register `PKRU` of x86.
///
/// Reading and writing can be denied, executing never. By default a thread has all rights, except to an address space's execute-only key
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
/// // What a processor's register says is taken as it is.
/// assert!(KeyRights::from_pkru(0).allows(key, Access::Read, Some(key)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyRights {
    /// Two bits a key, as `PKRU` has them: [`KeyDenial`].
    denials: u32,
    /// Whether the execute-only key is denied whatever the bits say.
    denies_execute_only: bool,
}

impl KeyRights {
    /// All rights, except to the execute-only key: the default.
    pub const ALL: Self = Self { denials: 0, denies_execute_only: true };

    /// The rights that a register `PKRU` gives, to the execute-only key too.
    #[must_use]
    pub const fn from_pkru(pkru: u32) -> Self {
        Self { denials: pkru, denies_execute_only: false }
    }

    /// The register `PKRU` of these rights. It does not say that the execute-only key is denied.
    #[must_use]
    pub const fn pkru(self) -> u32 {
        self.denials
    }

    /// These rights, with other ones to one key. Unknown bits of the denial are left out.
    #[must_use]
    pub const fn with(self, key: ProtectionKey, denial: KeyDenial) -> Self {
        let shift = 2 * key.0 as u32;
        Self { denials: self.denials & !(3 << shift) | (denial.bits() & 3) << shift, ..self }
    }

    /// What is denied to the thread with one key. The execute-only key is denied in addition.
    #[must_use]
    pub const fn denial(self, key: ProtectionKey) -> KeyDenial {
        KeyDenial::from_bits_truncate(self.denials >> (2 * key.0 as u32))
    }

    /// Whether a thread with these rights may do this to memory with the key, in an address space with this execute-only key. Key 0 is
    /// denied by the rights alone: a thread that loses it can do nothing any more.
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

    /// Whether nothing is denied with key 0.
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

/// An access together with the rights of the thread that makes it: what a page fault asks for. An [`Access`] alone has the default rights.
///
/// # Examples
/// ```
/// use vmaple::mm::{KeyedAccess, KeyRights};
/// use vmaple::Access;
/// assert_eq!(KeyedAccess::from(Access::Read), Access::Read.with_rights(KeyRights::ALL));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyedAccess {
    /// What is to be done.
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
    /// This access, made by a thread with these rights to the protection keys.
    #[must_use]
    #[inline]
    pub const fn with_rights(self, rights: KeyRights) -> KeyedAccess {
        KeyedAccess { access: self, rights }
    }
}
