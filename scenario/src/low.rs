//! Follows Linux's random choice for `MAP_32BIT`: where addresses are random, each search in the low 2 GiB begins at a random page. The
//! library begins at an address that its caller gives, so this file derives that address from the place where the kernel's search ended.
//! Called by `diff` and the program's `replay`.

use crate::apply::place_of;
use crate::mm_space::MmSpace;
use crate::space::Space as _;
use vmaple::PAGE_SIZE;
use vmaple_trace::{MapFlags, Operation, Placement, Setting};

/// The lowest address at which a search begins, and the number of bytes above it that are as likely.
const LOWEST: u64 = 0x4000_0000;
const CHOICES: u64 = 0x200_0000;

/// Sets the beginning of the library's search in the low addresses so that it ends where the kernel's search did, if the kernel may have chosen
/// such a beginning. `at` is where the kernel's search ended; `None` if it found nothing.
pub fn follow(space: &mut MmSpace, operation: &Operation, at: Option<u64>) {
    let Operation::Mmap { flags, .. } = operation else { return };
    if !flags.contains(MapFlags::LOW_32BIT) || flags.contains(MapFlags::FIXED) || flags.contains(MapFlags::FIXED_NOREPLACE) {
        return;
    }
    let last = LOWEST + CHOICES - PAGE_SIZE;
    let limits = space.settings.limits();
    // with huge pages the kernel searched for a longer range, which began lower
    let page = flags.huge_page_bytes().unwrap_or(limits.hugetlb_bytes);
    let below = [0, limits.huge_page_bytes, page - PAGE_SIZE];
    let bases = below.into_iter().map(|below| at.map_or(last, |at| at.saturating_sub(below).clamp(LOWEST, last)));
    for base in bases.chain([LOWEST]) {
        // no address is refused
        _ = space.set(Setting::Placement(Placement::LowSearchBase(base)));
        if place_of(space, operation) == at {
            return;
        }
    }
}
