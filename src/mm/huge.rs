//! Huge pages: the host's settings for them, and what follows for lengths and addresses.
//!
//! Called by the operations. Pure functions.
//!
//! There are two kinds. Memory of huge pages (`HUGETLB`) has no other pages: its VMAs begin and end at the start of one, and are split only
//! there. Transparent huge pages are used by the system as it likes; an address space shows only where it places large mappings for them.

use crate::addr::PAGE_SIZE;
use crate::vma::VmaFlags;

/// The system's setting for transparent huge pages of shared memory, `/sys/kernel/mm/transparent_hugepage/shmem_enabled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SharedHugePolicy {
    /// Shared memory has none, whatever else is set: `deny`.
    Deny,
    /// Shared memory has none, except in sizes with a setting of their own: `never`.
    #[default]
    Never,
    /// Shared memory has them where `madvise` asks for them: `advise`.
    Advise,
    /// Shared memory has them where the object is large enough: `within_size`.
    WithinSize,
    /// Shared memory has them: `always`.
    Always,
    /// Shared memory has them everywhere, for tests: `force`.
    Force,
}

/// The system's settings for transparent huge pages of shared memory. They decide to what large shared mappings are aligned.
///
/// # Examples
/// ```
/// use vmaple::mm::{SharedHugePages, SharedHugePolicy};
/// let mut settings = SharedHugePages::default();
/// assert_eq!(settings.anonymous_alignment(2 << 20), None);
/// settings.policy = SharedHugePolicy::Advise;
/// assert_eq!(settings.anonymous_alignment(2 << 20), Some(2 << 20));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SharedHugePages {
    /// The setting for all sizes.
    pub policy: SharedHugePolicy,
    /// The sizes, in bytes and added up, with a setting of their own that is not `never`
    /// (`/sys/kernel/mm/transparent_hugepage/hugepages-*/shmem_enabled`).
    pub sizes: u64,
    /// The sizes, in bytes and added up, that inherit the setting for all.
    pub inheriting_sizes: u64,
}

impl Default for SharedHugePages {
    /// Linux's: none, and the size of 2 MiB inherits that.
    fn default() -> Self {
        Self { policy: SharedHugePolicy::Never, sizes: 0, inheriting_sizes: 2 << 20 }
    }
}

impl SharedHugePages {
    /// Returns the alignment of a new shared anonymous mapping that is at least as long as the alignment, or `None` if there is none.
    ///
    /// `huge_page_bytes` is the size that a huge page has where no size is set.
    #[must_use]
    pub const fn anonymous_alignment(&self, huge_page_bytes: u64) -> Option<u64> {
        let sizes = match self.policy {
            SharedHugePolicy::Deny | SharedHugePolicy::Force => 0,
            SharedHugePolicy::Never => self.sizes,
            _ => self.sizes | self.inheriting_sizes,
        };
        if huge_page_bytes <= PAGE_SIZE || sizes == 0 {
            return self.object_alignment(huge_page_bytes);
        }
        Some(1 << sizes.ilog2())
    }

    /// Returns the alignment of a mapping of an existing object in memory, also where `mremap` moves one, or `None` if there is none.
    #[must_use]
    pub const fn object_alignment(&self, huge_page_bytes: u64) -> Option<u64> {
        let is_aligned = !matches!(self.policy, SharedHugePolicy::Deny | SharedHugePolicy::Never);
        if huge_page_bytes > PAGE_SIZE && is_aligned { Some(huge_page_bytes) } else { None }
    }
}

/// Returns the size of the pages of memory with these flags, in bytes.
pub(super) fn page_bytes(flags: VmaFlags) -> u64 {
    flags.huge_page_bytes().unwrap_or(PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::{SharedHugePages, SharedHugePolicy};

    const SMALL: u64 = 64 << 10;
    const HUGE: u64 = 2 << 20;

    /// What Linux 6.18 was seen to do: the setting, the sizes of their own, those that inherit; to what 2 MiB and 4 KiB of anonymous memory
    /// are aligned, and to what 2 MiB of an object are.
    #[test]
    fn alignments_are_the_kernels() {
        use SharedHugePolicy::{Advise, Always, Deny, Force, Never, WithinSize};
        for (policy, sizes, inheriting_sizes, anonymous, object) in [
            (Never, 0, HUGE, None, None),
            (Deny, 0, HUGE, None, None),
            (Advise, 0, HUGE, Some(HUGE), Some(HUGE)),
            (WithinSize, 0, HUGE, Some(HUGE), Some(HUGE)),
            (Always, 0, HUGE, Some(HUGE), Some(HUGE)),
            (Force, 0, HUGE, Some(HUGE), Some(HUGE)),
            (Never, SMALL, HUGE, Some(SMALL), None),
            (Never, 0, SMALL | HUGE, None, None),
            (Deny, SMALL, HUGE, None, None),
            (Advise, SMALL, HUGE, Some(HUGE), Some(HUGE)),
            (Advise, SMALL, 0, Some(SMALL), Some(HUGE)),
            (Advise, 0, 0, Some(HUGE), Some(HUGE)),
        ] {
            let settings = SharedHugePages { policy, sizes, inheriting_sizes };
            assert_eq!(settings.anonymous_alignment(HUGE), anonymous, "{settings:?}");
            assert_eq!(settings.object_alignment(HUGE), object, "{settings:?}");
            assert_eq!(settings.anonymous_alignment(1), None, "a system without huge pages: {settings:?}");
            assert_eq!(settings.object_alignment(1), None, "a system without huge pages: {settings:?}");
        }
    }
}
