//! The protection keys of a recorded address space: which are allocated, which no file in /proc shows. Called by `space`.
//!
//! A trace that begins in the middle (of a forked child, or of a process that was attached to) cannot know this from its own calls; the
//! recording does.

use super::layout::Seen;
use vmaple_host::Host;
use vmaple_trace::{Operation, Perm, Prot, Setting};

/// What is known about the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// How many the machine has.
    count: u8,
    /// One bit for each key.
    allocated: u16,
    execute_only: Option<u8>,
}

impl Keys {
    /// Derives the keys from a layout: a key that an area has is allocated, and a key that only execute-only areas have is the execute-only key.
    pub(super) fn of(seen: &[Seen]) -> Self {
        let keyed = || seen.iter().filter(|area| area.flags.pkey() != 0);
        let allocated = keyed().fold(1, |allocated, area| allocated | 1 << area.flags.pkey());
        let is_exec_alone = |area: &Seen| area.perm.bits() & 7 == Perm::EXEC.bits();
        let of_exec_alone = |key: u8| keyed().filter(|area| area.flags.pkey() == key).all(is_exec_alone);
        let execute_only = keyed().map(|area| area.flags.pkey()).find(|key| of_exec_alone(*key));
        // the machine's number, even if `VMAPLE_WITHOUT` hides the keys from the tools
        Self { count: Host::as_it_is().protection_keys, allocated, execute_only }
    }

    /// Returns the settings with which a trace begins.
    pub(super) fn settings(self) -> impl Iterator<Item = Setting> {
        let has_keys = self.count > 0;
        let settings = [
            has_keys.then_some(Setting::Pkeys(self.count)),
            (has_keys && self.allocated != 1).then_some(Setting::PkeysAllocated(self.allocated)),
            self.execute_only.map(|key| Setting::PkeyExecuteOnly(Some(key))),
        ];
        settings.into_iter().flatten()
    }

    fn lowest_free(self) -> Option<u8> {
        (0..self.count.min(16)).find(|key| self.allocated >> key & 1 == 0)
    }

    /// Follows a call that succeeded. If its result shows that more keys were allocated before, returns the setting that says so.
    pub(super) fn follow(&mut self, operation: &Operation, result: u64) -> Option<Setting> {
        match *operation {
            Operation::PkeyAlloc { .. } => {
                let key = u8::try_from(result).ok().filter(|key| *key < 16)?;
                let is_expected = self.lowest_free() == Some(key);
                let before = if is_expected { self.allocated } else { (self.allocated | ((1 << key) - 1)) & !(1 << key) };
                self.allocated = before | 1 << key;
                (!is_expected).then_some(Setting::PkeysAllocated(before))
            }
            Operation::PkeyFree { key } => {
                self.allocated &= !u32::try_from(key).ok().and_then(|key| 1_u16.checked_shl(key)).unwrap_or(0);
                None
            }
            Operation::Mmap { prot: Prot::EXEC, .. }
            | Operation::Mprotect { prot: Prot::EXEC, .. }
            | Operation::PkeyMprotect { prot: Prot::EXEC, key: -1, .. }
                if self.execute_only.is_none() =>
            {
                self.execute_only = self.lowest_free();
                self.allocated |= self.execute_only.map_or(0, |key| 1 << key);
                None
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;
    use vmaple_trace::{Operation, Prot, Setting};

    #[test]
    fn allocation_is_followed_and_corrected_by_results() {
        let mut keys = Keys { count: 16, allocated: 1, execute_only: None };
        let alloc = Operation::PkeyAlloc { flags: 0, rights: 0 };
        assert_eq!(keys.follow(&alloc, 1), None);
        assert_eq!(keys.follow(&Operation::Mprotect { addr: 0, len: 0, prot: Prot::EXEC }, 0), None);
        assert_eq!((keys.allocated, keys.execute_only), (0b111, Some(2)));
        assert_eq!(keys.follow(&Operation::PkeyFree { key: 1 }, 0), None);
        // a higher key than expected shows that all lower ones are allocated
        assert_eq!(keys.follow(&alloc, 5), Some(Setting::PkeysAllocated(0b1_1111)));
        assert_eq!(keys.allocated, 0b11_1111);
        assert_eq!(keys.follow(&alloc, 3), Some(Setting::PkeysAllocated(0b11_0111)));
        let settings: Vec<Setting> = keys.settings().collect();
        assert_eq!(settings, [Setting::Pkeys(16), Setting::PkeysAllocated(0b11_1111), Setting::PkeyExecuteOnly(Some(2))]);
    }
}
