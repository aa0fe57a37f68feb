//! Protection keys: which are allocated, as far as the recorded results show, and what follows from that for the key of an area.

use super::builder::Builder;
use super::state::Keys;
use vmaple_trace::{Outcome, Prot};

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

    /// Returns a function from whether an area was execute-only, and its key, to its key after `mprotect` (key -1) or `pkey_mprotect`.
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
