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

/// Completes the `MAY` flags of a mapping. If there are none, all permissions may be given to it later. A private one may always become
/// writable, a shared one stays shared.
pub(super) fn with_may_flags(mut flags: VmaFlags) -> VmaFlags {
    let may = VmaFlags::MAYREAD | VmaFlags::MAYWRITE | VmaFlags::MAYEXEC;
    if !flags.intersects(may) {
        flags |= may;
    }
    if flags.contains(VmaFlags::SHARED) {
        flags |= VmaFlags::MAYSHARE;
    } else {
        flags |= VmaFlags::MAYWRITE;
    }
    flags
}
