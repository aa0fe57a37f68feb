//! The state of one address space while a trace is read. Called by `builder`, which holds it, and by the files of the operations.

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
    /// The start of the heap, if `brk` made one.
    pub(super) heap: Option<u64>,
    /// The flags that every new area gets, from `mlockall` of future mappings.
    pub(super) default_flags: AreaFlags,
    pub(super) keys: Keys,
}

/// The settings of an address space that change where something is mapped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) page: u64,
    pub(super) brk_start: u64,
    /// Whether the system promises more memory than there is.
    pub(super) overcommit: Overcommit,
    /// The size in bytes of a huge page if a mapping gives none.
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

    /// Returns the execute-only key: the lowest key that is free at the first request.
    pub(super) fn execute_only(&mut self) -> Option<u8> {
        if self.execute_only.is_none() {
            let free = (0..self.count.min(16)).find(|key| self.allocated >> key & 1 == 0);
            self.allocated |= free.map_or(0, |key| 1 << key);
            self.execute_only = free;
        }
        self.execute_only
    }

    /// Returns the key of a new area.
    pub(super) fn of_new(&mut self, prot: Prot) -> u8 {
        if prot == Prot::EXEC { self.execute_only().unwrap_or(0) } else { 0 }
    }
}
