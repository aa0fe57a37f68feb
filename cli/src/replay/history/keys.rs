//! Protection keys: which are allocated, as far as the recorded results tell, and what follows from that for the key of an area.

use super::builder::Builder;
use vmaple_trace::{Outcome, Prot, Setting};

/// The keys of an address space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    count: u8,
    allocated: u16,
    execute_only: Option<u8>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { count: 0, allocated: 1, execute_only: None }
    }
}

impl Keys {
    pub(super) fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Pkeys(count) => self.count = count,
            Setting::PkeysAllocated(allocated) => self.allocated = allocated,
            Setting::PkeyExecuteOnly(key) => self.execute_only = key,
            _ => {}
        }
    }

    /// The execute-only key: the lowest one that is free when it is first requested.
    fn execute_only(&mut self) -> Option<u8> {
        if self.execute_only.is_none() {
            let free = (0..self.count.min(16)).find(|key| self.allocated >> key & 1 == 0);
            self.allocated |= free.map_or(0, |key| 1 << key);
            self.execute_only = free;
        }
        self.execute_only
    }

    /// The key that a new area has.
    pub(super) fn of_new(&mut self, prot: Prot) -> u8 {
        if prot == Prot::EXEC { self.execute_only().unwrap_or(0) } else { 0 }
    }
}

impl Builder {
    pub(super) fn pkey_alloc(&mut self, outcome: Outcome) {
        if let Outcome::Value(key) = outcome {
            self.keys().allocated |= u32::try_from(key).ok().and_then(|key| 1_u16.checked_shl(key)).unwrap_or(0);
        }
    }

    pub(super) fn pkey_free(&mut self, key: i32, outcome: Outcome) {
        if !matches!(outcome, Outcome::Failed(_)) {
            self.keys().allocated &= !u32::try_from(key).ok().and_then(|key| 1_u16.checked_shl(key)).unwrap_or(0);
        }
    }

    pub(super) fn keys(&mut self) -> &mut Keys {
        &mut self.states[self.current].keys
    }

    /// What `mprotect` (key -1) and `pkey_mprotect` make of the key of an area; by its permissions before, and its key.
    pub(super) fn rekey(&mut self, prot: Prot, key: i32) -> impl Fn(bool, u8) -> u8 + use<> {
        let keys = self.keys();
        let access = prot.bits() & (Prot::READ.bits() | Prot::WRITE.bits() | Prot::EXEC.bits() | Prot::SEM.bits());
        let asked = if key == -1 && access == Prot::EXEC.bits() { keys.execute_only().filter(|key| *key != 0) } else { None };
        let (has_keys, execute_only) = (keys.count > 0, keys.execute_only);
        move |was_exec_alone, old| match (asked, u8::try_from(key)) {
            _ if !has_keys => 0,
            (Some(key), _) | (None, Ok(key)) => key & 15,
            (None, Err(_)) if access != Prot::EXEC.bits() && was_exec_alone && execute_only == Some(old) => 0,
            (None, Err(_)) => old,
        }
    }
}
