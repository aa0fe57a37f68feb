//! What is known of one address space while a trace is read. Called by `builder`, which holds it, and by the files that say what an operation
//! does.

use super::super::layout_model::{LayoutModel, Region};
use vmaple_trace::{AreaFlags, Overcommit, Prot, Setting};

/// One address space while the trace is read.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) model: LayoutModel,
    pub(super) start: Vec<Region>,
    pub(super) settings: Settings,
    /// The end of the heap, once it is known.
    pub(super) brk: Option<u64>,
    /// Where `brk` made it.
    pub(super) heap: Option<u64>,
    /// What every new area gets beside its own flags: `mlockall` of what will be mapped.
    pub(super) default_flags: AreaFlags,
    pub(super) keys: Keys,
}

/// The settings of an address space that change where something is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) page: u64,
    pub(super) brk_start: u64,
    /// Whether a program may have memory that is not promised.
    pub(super) overcommit: Overcommit,
    /// Bytes of a huge page where a mapping does not say.
    pub(super) huge_page: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { page: 4096, brk_start: 0x5555_5558_0000, overcommit: Overcommit::default(), huge_page: 2 << 20 }
    }
}

/// The keys of an address space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    pub(super) count: u8,
    pub(super) allocated: u16,
    pub(super) execute_only: Option<u8>,
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
    pub(super) fn execute_only(&mut self) -> Option<u8> {
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
