//! The effect of protection keys on pages (part 8 of `docs/semantics.md`). The thread's rights are laid out as in the register of x86.

use super::page::{Model, Page};
use super::{EINVAL, ENOSPC};
use vmaple::mm::{KeyDenial, KeyRights, ProtectionKey};
use vmaple::{Access, VmaFlags};

/// The keys of an address space, and the rights of its only thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The number of keys of the machine.
    count: u8,
    allocated: [bool; 16],
    pub(crate) execute_only: Option<u8>,
    /// Whether the thread may not read, and may not write.
    denied: [(bool, bool); 16],
}

/// Returns the key in a VMA's flags.
fn key_of(flags: VmaFlags) -> u8 {
    flags.pkey().number()
}

impl Keys {
    pub(crate) fn new(count: u8) -> Self {
        let mut allocated = [false; 16];
        allocated[0] = true;
        Self { count, allocated, execute_only: None, denied: [(false, false); 16] }
    }

    fn allocate(&mut self) -> Option<u8> {
        let key = (0..self.count).find(|&key| !self.allocated[usize::from(key)])?;
        self.allocated[usize::from(key)] = true;
        Some(key)
    }

    fn is_nameable(&self, key: i32) -> bool {
        let number = u8::try_from(key).ok().filter(|&key| key < self.count && self.execute_only != Some(key));
        number.is_some_and(|key| self.allocated[usize::from(key)])
    }

    /// 8.2: returns `None` if no key is free, or if it would be key 0.
    fn ask_for_execute_only(&mut self) -> Option<u8> {
        if self.execute_only.is_none() {
            self.execute_only = self.allocate();
        }
        let key = self.execute_only.filter(|&key| key != 0)?;
        self.denied[usize::from(key)] = (true, true);
        Some(key)
    }

    /// Returns the thread's rights in the library's form.
    pub(crate) fn rights(&self) -> KeyRights {
        (0..16).fold(KeyRights::ALL, |rights, key| {
            let denial = match self.denied[usize::from(key)] {
                (true, _) => KeyDenial::ACCESS,
                (false, true) => KeyDenial::WRITE,
                (false, false) => KeyDenial::empty(),
            };
            rights.with(ProtectionKey::new(key).expect("a key"), denial)
        })
    }

    /// 8.6, 8.7.
    pub(crate) fn is_denied(&self, page: &Page, access: Access) -> bool {
        let key = key_of(page.flags);
        let (reads, writes) = self.denied[usize::from(key)];
        reads && access != Access::Exec || writes && access == Access::Write
    }

    pub(crate) fn alloc(&mut self, denial: u32) -> Result<u64, i32> {
        if denial > 3 || self.count == 0 {
            return Err(EINVAL);
        }
        let key = self.allocate().ok_or(ENOSPC)?;
        self.denied[usize::from(key)] = (denial & 1 != 0, denial & 2 != 0);
        Ok(key.into())
    }

    pub(crate) fn free(&mut self, key: u8) -> Result<u64, i32> {
        if !self.is_nameable(key.into()) {
            return Err(EINVAL);
        }
        self.allocated[usize::from(key)] = false;
        Ok(0)
    }

    /// 8.4: the last argument of `pkey_mprotect`.
    pub(crate) fn check(&self, key: i32) -> Result<(), i32> {
        if key == -1 || self.is_nameable(key) { Ok(()) } else { Err(EINVAL) }
    }
}

impl Model {
    /// 8.2 to 8.4: returns the flags of a page that gets these permissions, and a key if one was given.
    pub(super) fn keyed(&mut self, old: VmaFlags, access: VmaFlags, key: i32) -> VmaFlags {
        let was_execute_only = old & VmaFlags::ACCESS == VmaFlags::EXEC && self.keys.execute_only == Some(key_of(old));
        let key = match (u8::try_from(key), access == VmaFlags::EXEC) {
            (Ok(key), _) => key,
            (Err(_), true) => self.keys.ask_for_execute_only().unwrap_or(key_of(old)),
            (Err(_), false) if was_execute_only => 0,
            (Err(_), false) => key_of(old),
        };
        ((old - VmaFlags::ACCESS) | access).with_pkey(ProtectionKey::new(key).expect("a key"))
    }

    /// 8.2: returns the key of a new mapping.
    pub(super) fn new_key(&mut self, access: VmaFlags) -> ProtectionKey {
        let is_exec_alone = access & VmaFlags::ACCESS == VmaFlags::EXEC;
        let key = if is_exec_alone { self.keys.ask_for_execute_only() } else { None };
        ProtectionKey::new(key.unwrap_or(0)).expect("a key")
    }
}
