//! The limits, capabilities and protection keys of a process, as data.
//!
//! Called by `process`, which holds it, and by `settings`, `keys` and `calls`, which read and change it.

use rustix::process::Resource;
use vmaple::PAGE_SIZE;
use vmaple_host::Host;
use vmaple_trace::{Capabilities, VmCounts};

/// The end of the addresses in which the kernel searches, unless a hint lies beyond. Most machines have no addresses beyond.
pub(super) const MAP_WINDOW: u64 = 0x7fff_ffff_f000;

/// The lowest address that may be mapped, if the machine reports none.
pub(super) const MMAP_MIN_ADDR: u64 = 0x1_0000;
/// Linux's guard gap in pages.
pub(super) const GUARD_GAP_PAGES: u64 = 256;

/// The limits and capabilities of the process, as the scenario gave them.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    pub(super) address_space: u64,
    pub(super) data: u64,
    pub(super) stack: u64,
    pub(super) memlock: u64,
    pub(super) capabilities: Capabilities,
    pub(super) brk_start: Option<u64>,
    /// Bytes of all areas outside the region.
    pub(super) base_total: u64,
    /// Bytes of private writable areas outside the region.
    pub(super) base_data: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        let (none, host) = (u64::MAX, Host::probe());
        let [stack, memlock] = [host.most_stack_bytes, host.most_locked_bytes].map(|most| most.map_or(8 << 20, |most| most.min(8 << 20)));
        let capabilities = Capabilities::EMPTY;
        Self { address_space: none, data: none, stack, memlock, capabilities, brk_start: None, base_total: 0, base_data: 0 }
    }
}

impl Bounds {
    /// Records the counters outside the region.
    pub(super) fn count_outside(&mut self, base: VmCounts) {
        self.base_total = base.total.unwrap_or(0) * PAGE_SIZE;
        self.base_data = base.data.unwrap_or(0) * PAGE_SIZE;
    }

    /// Returns the limits of the process: the scenario's, and what it has outside the region on top.
    pub(super) fn own(&self) -> [(Resource, u64); 4] {
        [
            (Resource::As, self.address_space.saturating_add(self.base_total)),
            (Resource::Data, self.data.saturating_add(self.base_data)),
            (Resource::Stack, self.stack),
            (Resource::Memlock, self.memlock),
        ]
    }

    /// Returns whether this number of locked pages is within the limit.
    pub(super) fn allows_locked(&self, pages: u64) -> bool {
        self.memlock != 0 && pages.saturating_mul(PAGE_SIZE) <= self.memlock
    }
}

/// The protection keys of the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// Keys that are allocated so that the scenario has none.
    pub(super) hidden: Vec<u64>,
    /// Key 0 was freed. A thread that allocates it again may lose access to all memory.
    pub(super) is_zero_free: bool,
}
