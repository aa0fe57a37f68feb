//! The protection keys of an address space: which are allocated, and which one is the execute-only key (8.2, 8.5).
//!
//! Called by the operations. Each works on a copy, which becomes the address space's state when the operation is committed. As in Linux,
//! allocation does not look at VMAs: a VMA that has a key keeps it when the key is freed.

use super::limits::Limits;
use super::{Mm, MmWriteGuard};
use crate::addr::Access;
use crate::key::{KeyDenial, KeyRights, ProtectionKey};
use crate::lock::RawMmLock;

/// Which keys are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// A bit for each key.
    allocated: u16,
    execute_only: Option<ProtectionKey>,
}

impl Default for Keys {
    /// Key 0 alone.
    fn default() -> Self {
        Self { allocated: 1, execute_only: None }
    }
}

impl Keys {
    /// Returns the keys as a word. 0 is the default.
    pub(super) fn to_bits(self) -> u64 {
        u64::from(self.allocated ^ 1) | self.execute_only.map_or(0, |key| u64::from(key.number()) + 1) << 16
    }

    /// Returns the keys of a word.
    pub(super) fn from_bits(bits: u64) -> Self {
        let execute_only = (bits >> 16).checked_sub(1).map(ProtectionKey::from_low_bits);
        Self { allocated: (bits & 0xffff) as u16 ^ 1, execute_only }
    }

    pub(super) fn execute_only(self) -> Option<ProtectionKey> {
        self.execute_only
    }

    /// Returns whether a program may use the key: it is allocated, and is not the execute-only key.
    pub(super) fn is_allocated(self, key: ProtectionKey, limits: &Limits) -> bool {
        limits.has_key(key) && self.execute_only != Some(key) && self.allocated >> key.number() & 1 == 1
    }

    /// Allocates the lowest free key, if there is one.
    pub(super) fn allocate(&mut self, limits: &Limits) -> Option<ProtectionKey> {
        let number = u8::try_from(self.allocated.trailing_ones()).ok()?;
        let key = ProtectionKey::new(number).filter(|&key| limits.has_key(key))?;
        self.allocated |= 1 << number;
        Some(key)
    }

    /// Frees the key, if a program may use it. Returns whether it was freed.
    pub(super) fn free(&mut self, key: ProtectionKey, limits: &Limits) -> bool {
        let is_allocated = self.is_allocated(key, limits);
        if is_allocated {
            self.allocated &= !(1 << key.number());
        }
        is_allocated
    }

    /// Returns the execute-only key, which the first request allocates, or `None` if the machine has no keys or no key is free.
    fn request_execute_only(&mut self, limits: &Limits) -> Option<ProtectionKey> {
        if self.execute_only.is_none() {
            self.execute_only = self.allocate(limits);
        }
        self.execute_only.filter(|&key| limits.has_key(key))
    }
}

/// The protection keys of the address space, and the calling thread's rights to them. Each operation works on a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keyring {
    pub(super) keys: Keys,
    pub(super) rights: KeyRights,
}

impl Keyring {
    /// Returns whether the calling thread has this right to memory with the key (8.6).
    pub(super) fn allows(&self, key: ProtectionKey, access: Access) -> bool {
        self.rights.allows(key, access, self.keys.execute_only())
    }

    /// Returns the execute-only key, which the first request allocates, or `None` if no key is free or it is key 0 (8.2). The calling thread
    /// has no right to the key afterwards (8.7).
    pub(super) fn request_execute_only(&mut self, limits: &Limits) -> Option<ProtectionKey> {
        let key = self.keys.request_execute_only(limits).filter(|&key| key != ProtectionKey::ZERO)?;
        self.rights = self.rights.with(key, KeyDenial::ACCESS);
        Some(key)
    }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Returns a copy of the keys and rights, for one operation.
    pub(super) fn keyring(&self) -> Keyring {
        Keyring { keys: self.mm().state.keys(), rights: self.key_rights() }
    }
}

impl<P, L: RawMmLock> Mm<P, L> {
    /// Returns the execute-only key, which memory with `PROT_EXEC` alone has; `None` as long as nothing has requested it.
    ///
    /// [Rule 8.2](crate::docs::semantics#8-protection-keys).
    ///
    /// # Concurrency
    /// Lock-free. Once there is one it stays the same, until [`exit`](MmWriteGuard::exit).
    #[must_use]
    pub fn execute_only_key(&self) -> Option<ProtectionKey> {
        self.state.keys().execute_only()
    }

    /// Returns which protection keys are allocated: a bit for each, the execute-only key among them.
    ///
    /// # Concurrency
    /// Lock-free.
    #[must_use]
    pub fn allocated_keys(&self) -> u16 {
        self.state.keys().allocated
    }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Sets which protection keys are allocated, a bit for each, and which of them is the execute-only key.
    ///
    /// For an address space that is taken over from elsewhere. One that is created or forked here knows its keys.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{KeyDenial, Limits, ProtectionKey};
    /// use vmaple::Mm;
    /// let mut limits = Limits::default();
    /// limits.protection_keys = 16;
    /// let mm: Mm = Mm::builder().limits(limits)?.build();
    /// mm.write().set_protection_keys(0b1011, ProtectionKey::new(3));
    /// assert_eq!(mm.write().pkey_alloc(KeyDenial::empty())?.number(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_protection_keys(&mut self, allocated: u16, execute_only: Option<ProtectionKey>) {
        let allocated = allocated | execute_only.map_or(0, |key| 1 << key.number());
        self.mm().state.set_keys(Keys { allocated, execute_only });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state comes back from its word, and the state of a new address space is the word 0.
    #[test]
    fn a_word_holds_all_of_it() {
        assert_eq!(Keys::default().to_bits(), 0);
        for allocated in (0..=u16::MAX).step_by(if cfg!(miri) { 257 } else { 1 }) {
            for execute_only in [None, ProtectionKey::new(0), ProtectionKey::new(1), ProtectionKey::new(15)] {
                let keys = Keys { allocated, execute_only };
                assert_eq!(Keys::from_bits(keys.to_bits()), keys);
            }
        }
    }
}
