//! The kernel's settings for memory: promises, huge pages, transparent huge pages. Read by `files`, held by the `Host`.

/// How much memory the kernel promises beyond what there is (`vm.overcommit_memory`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overcommit {
    /// 0: up to a heuristic limit; 1: any amount; 2: never more than the commit limit.
    pub mode: Option<u8>,
    /// The share of memory that may be promised in mode 2, in percent.
    pub ratio_percent: Option<u64>,
    /// An amount that replaces the share, in units of 1024 bytes; 0 if the share applies.
    pub kbytes: Option<u64>,
    /// The commit limit of mode 2, which follows from these.
    pub limit_bytes: Option<u64>,
    /// The part of it that is reserved for administrators and for a user's recovery (`admin_reserve_kbytes`, `user_reserve_kbytes`).
    pub reserved_bytes: u64,
}

/// The pool of one size of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HugePool {
    /// The size of a page in bytes.
    pub page_bytes: u64,
    /// The number of reserved pages (`nr_hugepages`).
    pub reserved: u64,
    /// The number of free pages among them.
    pub free: u64,
    /// The number of further pages that may be taken from ordinary memory (`nr_overcommit_hugepages`).
    pub surplus: u64,
}

impl HugePool {
    /// Returns the number of pages that are available, if there is enough memory.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.free.saturating_add(self.surplus)
    }
}

/// The setting of one size of transparent huge pages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolioSize {
    /// The size of a page in bytes.
    pub page_bytes: u64,
    /// `enabled`: `always`, `inherit`, `madvise` or `never`.
    pub private: Option<String>,
    /// `shmem_enabled`: also `within_size` and `advise`.
    pub shmem: Option<String>,
}

/// The settings of transparent huge pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transparent {
    /// For private memory (`enabled`): `always`, `madvise` or `never`. `None` without transparent huge pages.
    pub private: Option<String>,
    /// For shared anonymous memory (`shmem_enabled`): `always`, `within_size`, `advise`, `never`, `deny` or `force`.
    pub shmem: Option<String>,
    /// The size of a huge page in bytes.
    pub page_bytes: Option<u64>,
    /// The sizes with a setting of their own, the smallest first.
    pub sizes: Vec<FolioSize>,
}
