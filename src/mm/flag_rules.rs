//! What Linux adds to a VMA's flags, or keeps from them, whichever operation sets them.
//!
//! Called by the operations' files. Pure functions.

use crate::vma::VmaFlags;

/// A VMA with any of these flags is never locked in memory: requests to lock it are ignored (5.26).
pub(super) const NEVER_LOCKED: VmaFlags = VmaFlags::SPECIAL.union(VmaFlags::HUGETLB).union(VmaFlags::DROPPABLE);

/// Returns `ACCOUNT` for pages that are private and writable, unless the flags say that they are not reserved.
pub(super) fn account_of(flags: VmaFlags) -> VmaFlags {
    let is_accounted = flags.contains(VmaFlags::WRITE) && !flags.intersects(VmaFlags::SHARED | VmaFlags::NORESERVE | VmaFlags::HUGETLB);
    if is_accounted { VmaFlags::ACCOUNT } else { VmaFlags::empty() }
}
