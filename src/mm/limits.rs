//! The limits and tunables of an address space, as one value that is read without a lock and replaced whole.
//!
//! Called by the operations, each of which loads a copy when it begins, and by the fault path.

use super::capabilities::Capabilities;
use super::huge::SharedHugePages;
use crate::addr::{PAGE_SIZE, Span, page_floor};
use crate::error::{LayoutError, LimitsError};
use crate::key::ProtectionKey;
use crate::vma::VmaFlags;

/// Whether a fault that must grow a stack tries to upgrade its read hold before it drops it. The result of the fault is the same (1.5, 1.6).
// Hidden: a switch for measurements and checkers.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UpgradePolicy {
    /// Upgrade if there is no other hold and no writer waits; otherwise drop the hold, wait, and search again.
    #[default]
    Optimistic,
    /// Always drop the hold, wait, and search again, as Linux does today.
    Never,
}

/// Where an address space may do better than Linux; the default is Linux.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LayoutPolicy {
    /// What an operation on several VMAs leaves behind that fails midway.
    pub partial: PartialEffects,
    /// How many VMAs there may be.
    pub map_count: MapCountLimit,
    /// What a stack's guard gap keeps out.
    pub guard_gap: GuardGapPolicy,
}

/// What an operation on several VMAs leaves behind that fails midway.
///
/// [Rule 7.10](crate::docs::semantics#7-beyond-linux).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PartialEffects {
    /// What Linux does: the part before the failure is changed.
    #[default]
    AsLinux,
    /// Nothing: all or nothing.
    Never,
}

/// How many VMAs there may be.
///
/// [Rule 7.8](crate::docs::semantics#7-beyond-linux).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MapCountLimit {
    /// What Linux does: a mapping is refused beyond the limit, so that there is one more than it.
    #[default]
    AsLinux,
    /// Never more than the limit.
    Exact,
}

/// What a stack's guard gap keeps out.
///
/// [Rule 7.9](crate::docs::semantics#7-beyond-linux).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GuardGapPolicy {
    /// What Linux does: mappings whose address is searched, and growth.
    #[default]
    AsLinux,
    /// Everything accessible: what an operation would bring into a gap is refused, whatever lies between.
    Enforced,
}

/// The limits of an address space, and its tunables. Unlimited is `u64::MAX`.
///
/// They are [validated](Self::validate) when they are set. Whatever passes is safe at any size: a gap or a minimum that reaches beyond all
/// addresses reaches to the last of them.
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
///
/// # Examples
/// ```
/// use vmaple::mm::Limits;
/// use vmaple::Mm;
/// let mut limits = Limits::default();
/// limits.stack_bytes = 1 << 20;
/// let mm: Mm = Mm::builder().limits(limits)?.build();
/// assert_eq!(mm.limits().stack_guard_gap_pages, 256);
/// # Ok::<(), vmaple::mm::LimitsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The first address beyond the address space (`TASK_SIZE`), in whole pages. The last page of all is never in it: its addresses read
    /// as an errno.
    pub task_size: u64,
    /// The lowest address that may be mapped, as it is set (`vm.mmap_min_addr`).
    pub mmap_min_addr: u64,
    /// The lowest address that may be mapped, as it is built into the kernel. The larger of it and `mmap_min_addr` counts (2.2).
    pub min_addr_floor: u64,
    /// How far a growing stack stays from its neighbour (`stack_guard_gap`).
    pub stack_guard_gap_pages: u64,
    /// How much may be mapped in all (`RLIMIT_AS`).
    pub address_space_bytes: u64,
    /// How large each stack may grow (`RLIMIT_STACK`).
    pub stack_bytes: u64,
    /// How much may be locked in memory (`RLIMIT_MEMLOCK`). It does not bind callers with [`Capabilities::IPC_LOCK`].
    pub locked_bytes: u64,
    /// How much data may be mapped (`RLIMIT_DATA`).
    pub data_bytes: u64,
    /// How much memory may be promised to VMAs with `ACCOUNT`.
    pub commit_bytes: u64,
    /// How many VMAs there may be (`vm.max_map_count`), compared as Linux does: mapping can reach one more (5.1).
    pub max_map_count: usize,
    /// Where the search for room begins, downward (`mmap_base`).
    pub mmap_base: u64,
    /// Where the second search for room begins, upward, if the first one finds nothing (`mmap_legacy_base`).
    pub mmap_legacy_base: u64,
    /// Where searched mappings end, unless a hint beyond it asks for more (`DEFAULT_MAP_WINDOW`): below `task_size` on a machine whose page
    /// tables have five levels.
    pub map_window: u64,
    /// Where the search for the low 2 GiB begins, upward ([`MapRequest::in_low_addresses`](crate::mm::MapRequest::in_low_addresses)).
    pub low_search_base: u64,
    /// The bytes of a transparent huge page, a power of two; 1 where the system has none. Private anonymous mappings of a multiple of it are
    /// placed at a multiple where there is room. It is no rule of the address space but a policy for speed (5.4).
    pub huge_page_bytes: u64,
    /// To what large shared mappings are aligned.
    pub shared_huge_pages: SharedHugePages,
    /// The bytes of a page of `HUGETLB` memory where no size is asked for.
    pub hugetlb_bytes: u64,
    /// All sizes that pages of `HUGETLB` memory may have, in bytes and added up.
    pub hugetlb_sizes: u64,
    /// What of `RLIMIT_DATA` is taken by data that the program was loaded with, for `brk`.
    pub loaded_data_bytes: u64,
    /// How many protection keys the machine has, at most 16: 16 on x86-64 with `pku` and `ospke` in /proc/cpuinfo. 0 means that it has none
    /// (8.1).
    pub protection_keys: u8,
    /// Where only huge pages may be.
    pub huge_pages_only: Option<Span>,
    /// What callers may do beyond the limits; nothing unless set.
    pub capabilities: Capabilities,
    /// How a fault gets from the read hold to the write hold.
    #[doc(hidden)]
    pub upgrade: UpgradePolicy,
    /// Where this may do better than Linux.
    pub policy: LayoutPolicy,
}

impl Default for Limits {
    /// Linux's on x86-64.
    fn default() -> Self {
        Self {
            task_size: 0x7fff_ffff_f000,
            mmap_min_addr: 0x1_0000,
            min_addr_floor: 0x1_0000,
            stack_guard_gap_pages: 256,
            address_space_bytes: u64::MAX,
            stack_bytes: 8 << 20,
            locked_bytes: 8 << 20,
            data_bytes: u64::MAX,
            commit_bytes: u64::MAX,
            max_map_count: 65_530,
            huge_pages_only: None,
            upgrade: UpgradePolicy::Optimistic,
            mmap_base: 0x7fff_f7ff_f000,
            mmap_legacy_base: 0x2aaa_aaaa_b000,
            map_window: 0x7fff_ffff_f000,
            low_search_base: 0x4000_0000,
            huge_page_bytes: 2 << 20,
            shared_huge_pages: SharedHugePages::default(),
            hugetlb_bytes: 2 << 20,
            hugetlb_sizes: 2 << 20 | 1 << 30,
            loaded_data_bytes: 0,
            capabilities: Capabilities::empty(),
            protection_keys: 0,
            policy: LayoutPolicy::default(),
        }
    }
}

/// The highest end of an address space: the last page is in none.
const MAX_TASK_SIZE: u64 = page_floor(u64::MAX);

impl Limits {
    /// Checks that each field has a value that means something.
    ///
    /// [`MmBuilder::limits`](super::MmBuilder::limits) and [`Mm::set_limits`](crate::Mm::set_limits) call this themselves.
    ///
    /// # Errors
    /// [`LimitsError`], which names the first field that has none: a [`task_size`](Self::task_size) that is not in whole pages or includes
    /// the last page, a [`huge_page_bytes`](Self::huge_page_bytes) that is no power of two, sizes of `HUGETLB`
    /// memory that are none or less than a page, more than 16 [`protection_keys`](Self::protection_keys).
    pub fn validate(&self) -> Result<(), LimitsError> {
        let Self { task_size, huge_page_bytes, hugetlb_bytes, hugetlb_sizes, protection_keys, .. } = *self;
        if !task_size.is_multiple_of(PAGE_SIZE) || task_size > MAX_TASK_SIZE {
            return Err(LimitsError::new("task_size", task_size, "be in whole pages, without the last of all"));
        }
        if !huge_page_bytes.is_power_of_two() {
            return Err(LimitsError::new("huge_page_bytes", huge_page_bytes, "be a power of two"));
        }
        if !hugetlb_bytes.is_power_of_two() || hugetlb_bytes < PAGE_SIZE {
            return Err(LimitsError::new("hugetlb_bytes", hugetlb_bytes, "be a power of two, of a page at least"));
        }
        if !hugetlb_sizes.is_multiple_of(PAGE_SIZE) {
            return Err(LimitsError::new("hugetlb_sizes", hugetlb_sizes, "hold sizes of a page at least"));
        }
        let SharedHugePages { sizes, inheriting_sizes, .. } = self.shared_huge_pages;
        for (field, sizes) in [("shared_huge_pages.sizes", sizes), ("shared_huge_pages.inheriting_sizes", inheriting_sizes)] {
            if !sizes.is_multiple_of(PAGE_SIZE) {
                return Err(LimitsError::new(field, sizes, "hold sizes of a page at least"));
            }
        }
        if protection_keys > 16 {
            return Err(LimitsError::new("protection_keys", protection_keys.into(), "be at most 16"));
        }
        Ok(())
    }

    /// Returns the lowest address that may be mapped.
    ///
    /// [Rule 2.2](crate::docs::semantics#2-growth).
    #[must_use]
    pub fn lowest_address(&self) -> u64 {
        self.mmap_min_addr.max(self.min_addr_floor)
    }

    /// Returns whether a mapping may be placed at a given address. The minimum that is built in does not count (5.3).
    pub(crate) fn may_place_at(&self, at: u64) -> bool {
        at >= self.mmap_min_addr || self.capabilities.contains(Capabilities::SYS_RAWIO)
    }

    /// Checks that a VMA may be added where there are `count` (5.1, 7.8).
    pub(crate) fn may_map(&self, count: usize) -> Result<(), LayoutError> {
        let limit = self.max_map_count;
        let is_beyond = match self.policy.map_count {
            MapCountLimit::AsLinux => count > limit,
            MapCountLimit::Exact => count >= limit,
        };
        if is_beyond { Err(LayoutError::TooMany { count, limit }) } else { Ok(()) }
    }

    /// Returns whether anything may be locked in memory.
    pub(crate) fn may_lock(&self) -> bool {
        self.locked_bytes != 0 || self.capabilities.contains(Capabilities::IPC_LOCK)
    }

    /// Returns how many pages may be locked in memory.
    pub(crate) fn locked_pages(&self) -> u64 {
        if self.capabilities.contains(Capabilities::IPC_LOCK) { u64::MAX } else { self.locked_bytes / PAGE_SIZE }
    }

    /// Returns whether the machine has this protection key.
    pub(crate) fn has_key(&self, key: ProtectionKey) -> bool {
        key.number() < self.protection_keys
    }

    /// Returns the flags with the default size of huge pages, if they are of huge pages and say no size.
    pub(crate) fn sized(&self, flags: VmaFlags) -> VmaFlags {
        let is_said = !flags.contains(VmaFlags::HUGETLB) || flags.huge_page_bytes().is_some();
        if is_said { flags } else { flags | VmaFlags::of_huge_pages(self.hugetlb_bytes) }
    }

    /// Returns the guard gap of stacks in bytes.
    #[must_use]
    pub fn stack_guard_gap_bytes(&self) -> u64 {
        self.stack_guard_gap_pages.saturating_mul(PAGE_SIZE)
    }
}
