//! The properties that `set` gives an address space, and the library's limits that follow from them. Called by `mm_space` and `model`.

use crate::placement;
use crate::space::Refusal;
use vmaple::PAGE_SIZE;
use vmaple::mm::{Capabilities, Limits};
use vmaple_host::Host;
use vmaple_trace::{Limit, MapFlags, Overcommit, Resource, Setting};

/// Where the heap begins by default.
pub(crate) const BRK_START: u64 = 0x5555_5558_0000;

/// The properties as they are now.
#[derive(Clone, Debug)]
pub struct Settings {
    limits: Limits,
    overcommit: Overcommit,
    brk_start: u64,
}

impl Default for Settings {
    /// Linux's on x86-64, which are the library's.
    fn default() -> Self {
        Self { limits: Limits::default(), overcommit: Overcommit::default(), brk_start: BRK_START }
    }
}

impl Settings {
    /// Adopts a machine's system-wide settings, and its limits that are below the defaults and cannot be raised. What the machine does
    /// not report stays.
    pub(crate) fn adopt(&mut self, host: &Host) {
        let limits = &mut self.limits;
        limits.protection_keys = host.protection_keys;
        limits.mmap_min_addr = host.mmap_min_addr.unwrap_or(limits.mmap_min_addr);
        limits.min_addr_floor = host.lowest_address.unwrap_or(limits.min_addr_floor);
        if let Some(count) = host.max_map_count {
            limits.max_map_count = usize::try_from(count).unwrap_or(usize::MAX);
        }
        limits.stack_bytes = host.most_stack_bytes.map_or(limits.stack_bytes, |most| most.min(limits.stack_bytes));
        limits.locked_bytes = host.most_locked_bytes.map_or(limits.locked_bytes, |most| most.min(limits.locked_bytes));
        self.overcommit = host.overcommit.mode.and_then(|mode| Overcommit::from_number(mode.into())).unwrap_or_default();
        placement::adopt(limits, host);
    }

    /// Returns the library's limits.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// Returns the address after the highest usable byte.
    #[must_use]
    pub fn task_size(&self) -> u64 {
        self.limits.task_size
    }

    /// Returns whether `MAP_NORESERVE` has an effect on such a mapping: always for huge pages, otherwise unless the system never overcommits.
    #[must_use]
    pub(crate) fn allows_noreserve(&self, flags: MapFlags) -> bool {
        self.overcommit != Overcommit::Never || flags.contains(MapFlags::HUGETLB)
    }

    /// Returns where the heap begins.
    #[must_use]
    pub fn brk_start(&self) -> u64 {
        self.brk_start
    }

    /// `set`: changes a property.
    ///
    /// # Errors
    /// [`Refusal::Setting`] if it cannot have that value.
    pub fn set(&mut self, setting: Setting) -> Result<(), Refusal> {
        let limits = &mut self.limits;
        match setting {
            // The heap is the space's own.
            Setting::Page(PAGE_SIZE) | Setting::Brk(_) | Setting::PkeysAllocated(_) | Setting::PkeyExecuteOnly(_) => {}
            Setting::BrkStart(start) => self.brk_start = start,
            Setting::LoadedData(bytes) => limits.loaded_data_bytes = bytes,
            Setting::MmapBase(base) => limits.mmap_base = base,
            Setting::MmapLegacyBase(base) => limits.mmap_legacy_base = base,
            Setting::Page(bytes) => {
                return Err(Refusal::Setting(format!("the library's pages have {PAGE_SIZE} bytes, and those of the scenario {bytes}")));
            }
            // A last page that is not whole cannot be mapped.
            Setting::TaskSize(end) => limits.task_size = end & !(PAGE_SIZE - 1),
            Setting::MmapMinAddr(addr) => limits.mmap_min_addr = addr,
            Setting::GuardGap(pages) => limits.stack_guard_gap_pages = pages,
            Setting::Overcommit(mode) => self.overcommit = mode,
            Setting::MaxMapCount(count) => limits.max_map_count = usize::try_from(count).unwrap_or(usize::MAX),
            Setting::Limit(resource, limit) => {
                let bytes = match limit {
                    Limit::Bytes(bytes) => bytes,
                    Limit::Unlimited => u64::MAX,
                };
                match resource {
                    Resource::Stack => limits.stack_bytes = bytes,
                    Resource::As => limits.address_space_bytes = bytes,
                    Resource::Data => limits.data_bytes = bytes,
                    Resource::Memlock => limits.locked_bytes = bytes,
                }
            }
            Setting::Pkeys(count) => limits.protection_keys = count,
            Setting::Privileged(privilege) => limits.capabilities = capabilities_of(privilege.capabilities()),
            Setting::Capabilities(capabilities) => limits.capabilities = capabilities_of(capabilities),
            Setting::Placement(placement) => placement::set(limits, placement),
        }
        Ok(())
    }
}

/// Converts capabilities to the library's type: both have Linux's numbers.
fn capabilities_of(capabilities: vmaple_trace::Capabilities) -> Capabilities {
    Capabilities::from_bits_truncate(capabilities.bits())
}
