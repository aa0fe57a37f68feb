//! The random choice of Linux that decides where `MAP_32BIT` places a mapping: where addresses are random, each search for room in the low
//! 2 GiB begins at a page of its own. The library begins where it is told to; here that is found out from where the kernel ended. `diff`
//! and the exact check of `replay` come in.

use crate::apply::place_of;
use crate::mm_space::MmSpace;
use crate::space::Space as _;
use vmaple::PAGE_SIZE;
use vmaple_trace::{MapFlags, Operation, Placement, Setting};

/// The lowest address that a search begins at, and how many bytes above it are as likely.
const LOWEST: u64 = 0x4000_0000;
const CHOICES: u64 = 0x200_0000;

/// Has the search of a mapping in the low addresses begin at an address from which it ends where the kernel's did, if there is one that the
/// kernel may have chosen. `at` is where that was; `None`: nowhere.
pub fn follow(space: &mut MmSpace, operation: &Operation, at: Option<u64>) {
    let Operation::Mmap { flags, .. } = operation else { return };
    if !flags.contains(MapFlags::LOW_32BIT) || flags.contains(MapFlags::FIXED) || flags.contains(MapFlags::FIXED_NOREPLACE) {
        return;
    }
    let last = LOWEST + CHOICES - PAGE_SIZE;
    let limits = space.settings.limits();
    // Where huge pages are, the search that decided was one for more room, which began below.
    let page = flags.huge_page_bytes().unwrap_or(limits.hugetlb_bytes);
    let below = [0, limits.huge_page_bytes, page - PAGE_SIZE];
    let bases = below.into_iter().map(|below| at.map_or(last, |at| at.saturating_sub(below).clamp(LOWEST, last)));
    for base in bases.chain([LOWEST]) {
        // No address is refused.
        _ = space.set(Setting::Placement(Placement::LowSearchBase(base)));
        if place_of(space, operation) == at {
            return;
        }
    }
}
