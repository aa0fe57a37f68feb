//! What of this machine the model and the tests depend on, probed once for each process.
//!
//! [`Host::probe`] returns everything in one value: the settings of the kernel, what this process may do, and which system calls are
//! refused. The tools configure the model from it, and a test asks it whether the machine has what the test [needs](Need).
//!
//! Probing never fails: what the machine does not tell is `None` or absent. It changes nothing: the system calls that are tried have
//! arguments for which they fail or do nothing, except for one page that is mapped and unmapped again.
//!
//! # The variable `VMAPLE_WITHOUT`
//! `VMAPLE_WITHOUT=keys,cap:ipc_lock` makes the tools and the tests behave as on a machine without protection keys and without the
//! capability to lock memory. The words are those of [`Need`]; an unknown word is an error. `overcommit` and `topdown` cannot be hidden from
//! a process: what the system has stays, and only what needs it is left out.

mod calls;
mod capabilities;
mod files;
mod leave;
mod need;
mod show;
mod without;

pub use capabilities::Capabilities;
pub use leave::{leave_out, left_out_of_test};
pub use need::{Need, UnknownNeed};

use calls::Answers;
use files::Files;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The variable that hides features of the machine.
pub const WITHOUT: &str = "VMAPLE_WITHOUT";

/// Set in a personality: the legacy layout.
const ADDR_COMPAT_LAYOUT: u32 = 0x20_0000;

/// What the kernel promises in memory beyond what it has (`vm.overcommit_memory`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overcommit {
    /// 0: up to a heuristic limit; 1: always; 2: never more than the commit limit.
    pub mode: Option<u8>,
    /// The share of memory that may be promised in mode 2, in percent.
    pub ratio_percent: Option<u64>,
    /// Instead of the share, an amount; 0 where the share counts.
    pub kbytes: Option<u64>,
    /// What may be promised in mode 2, from these.
    pub limit_bytes: Option<u64>,
    /// What of that is kept for administrators, and at most for one to recover with (`admin_reserve_kbytes`, `user_reserve_kbytes`).
    pub reserved_bytes: u64,
}

/// The pool of one size of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HugePool {
    /// Bytes of a page.
    pub page_bytes: u64,
    /// How many pages are reserved (`nr_hugepages`).
    pub reserved: u64,
    /// How many of them are free.
    pub free: u64,
    /// How many more may be taken from ordinary memory (`nr_overcommit_hugepages`).
    pub surplus: u64,
}

impl HugePool {
    /// How many pages can be had, memory permitting.
    #[must_use]
    pub fn available(&self) -> u64 {
        self.free.saturating_add(self.surplus)
    }
}

/// The setting of one size of transparent huge pages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolioSize {
    /// Bytes of a page of this size.
    pub page_bytes: u64,
    /// `enabled`: `always`, `inherit`, `madvise` or `never`.
    pub private: Option<String>,
    /// `shmem_enabled`: also `within_size` and `advise`.
    pub shmem: Option<String>,
}

/// Transparent huge pages, as the system has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transparent {
    /// For private memory (`enabled`): `always`, `madvise` or `never`. `None` without transparent huge pages.
    pub private: Option<String>,
    /// For shared anonymous memory (`shmem_enabled`): `always`, `within_size`, `advise`, `never`, `deny` or `force`.
    pub shmem: Option<String>,
    /// Bytes of a huge page.
    pub page_bytes: Option<u64>,
    /// The settings that each size has of its own, the smallest first.
    pub sizes: Vec<FolioSize>,
}

/// The machine, and what this process may do on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// The kernel's release (`kernel.osrelease`).
    pub release: Option<String>,
    /// How many protection keys there are, key 0 among them: 16 on x86-64 with keys; 0 without.
    pub protection_keys: u8,
    /// Bits of an address of a process: 47, or 56 with page tables of five levels.
    pub address_bits: Option<u8>,
    /// The most VMAs of a process (`vm.max_map_count`).
    pub max_map_count: Option<u64>,
    /// The lowest address that may be mapped, as it is set (`vm.mmap_min_addr`).
    pub mmap_min_addr: Option<u64>,
    /// The lowest address that a search or a growing stack reaches: the larger of the setting and of what is built in.
    pub lowest_address: Option<u64>,
    /// Promises of memory.
    pub overcommit: Overcommit,
    /// Bytes of memory and of swap space.
    pub memory_bytes: Option<u64>,
    /// The pools of huge pages, the smallest pages first.
    pub huge_pools: Vec<HugePool>,
    /// Bytes of a huge page where a program does not choose (`Hugepagesize`).
    pub default_huge_page_bytes: Option<u64>,
    /// Transparent huge pages.
    pub transparent: Transparent,
    /// Whether all programs get the legacy layout (`vm.legacy_va_layout`).
    pub legacy_va_layout: Option<bool>,
    /// How much of the layout is random (`kernel.randomize_va_space`): 0, 1 or 2.
    pub randomize_va_space: Option<u8>,
    /// The personality of this process, which its children inherit.
    pub personality: Option<u32>,
    /// Who may count events of others (`kernel.perf_event_paranoid`).
    pub perf_event_paranoid: Option<i8>,
    /// Whether the kernel describes its trace points where this process can read it.
    pub has_trace_points: bool,
    /// Who may trace whom (`kernel.yama.ptrace_scope`); `None` without Yama.
    pub ptrace_scope: Option<u8>,
    /// The most that `RLIMIT_STACK` may be set to (its hard limit); `None` without a bound.
    pub most_stack_bytes: Option<u64>,
    /// The most that `RLIMIT_MEMLOCK` may be set to (its hard limit); `None` without a bound.
    pub most_locked_bytes: Option<u64>,
    /// The effective capabilities of this thread; none in a user namespace, where they are not the system's.
    pub capabilities: Capabilities,
    /// Whether this process is root's, of the system and not of a user namespace.
    pub is_root: bool,
    /// The system calls that are refused, by the kernel or by a filter, and the error number.
    pub refused: BTreeMap<Need, i32>,
    /// What [`WITHOUT`] hides.
    pub without: Vec<Need>,
}

/// What memory is promised now, to all processes together (`Committed_AS`).
#[must_use]
pub fn committed_bytes() -> Option<u64> {
    Files::of_the_system().meminfo_bytes("Committed_AS")
}

/// Whether a process is in a user namespace of its own or of others. What it is capable of there it may not do to the system: lock memory
/// beyond its limit, for example.
#[must_use]
pub fn is_in_a_user_namespace(process: u32) -> bool {
    Files::of_the_system().is_in_a_user_namespace(&process.to_string())
}

impl Host {
    /// The machine, without what [`WITHOUT`] hides. The first call probes it; all return the same value.
    ///
    /// # Panics
    /// If [`WITHOUT`] has an unknown word. A program that wants to report this calls [`try_probe`](Self::try_probe) first.
    #[must_use]
    pub fn probe() -> &'static Self {
        match Self::try_probe() {
            Ok(host) => host,
            Err(unknown) => panic!("{WITHOUT}: {unknown}"),
        }
    }

    /// The machine, without what [`WITHOUT`] hides.
    ///
    /// # Errors
    /// If [`WITHOUT`] has an unknown word.
    pub fn try_probe() -> Result<&'static Self, UnknownNeed> {
        static HOST: OnceLock<Result<Host, UnknownNeed>> = OnceLock::new();
        let probed = HOST.get_or_init(|| {
            let hidden = std::env::var_os(WITHOUT).unwrap_or_default();
            Ok(Self::as_it_is().clone().without(without::parse(&hidden.to_string_lossy())?))
        });
        probed.as_ref().map_err(Clone::clone)
    }

    /// The machine as it is, whatever [`WITHOUT`] says.
    #[must_use]
    pub fn as_it_is() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| Self::from(&Files::of_the_system(), Answers::of_the_kernel()))
    }

    /// Whether it has what is needed.
    #[must_use]
    pub fn has(&self, need: Need) -> bool {
        if self.hides(need) || self.refused.contains_key(&need) {
            return false;
        }
        match need {
            Need::Keys => self.protection_keys > 0,
            Need::Hugetlb(count) => self.default_pool().is_some_and(|pool| pool.available() >= count),
            Need::Overcommit => self.overcommit.mode != Some(2),
            Need::Perf => self.may_watch_faults(),
            Need::Ptrace => match self.ptrace_scope {
                None | Some(0 | 1) => true,
                Some(2) => self.capabilities.contains(Capabilities::SYS_PTRACE),
                Some(_) => false,
            },
            Need::Attach => {
                self.has(Need::Ptrace)
                    && (matches!(self.ptrace_scope, None | Some(0)) || self.capabilities.contains(Capabilities::SYS_PTRACE))
            }
            Need::TopDown => self.legacy_va_layout != Some(true) && self.personality.is_none_or(|bits| bits & ADDR_COMPAT_LAYOUT == 0),
            Need::Root => self.is_root,
            Need::Capability(capability) => self.capabilities.contains(capability),
            Need::Userfaultfd | Need::Mseal | Need::Mbind | Need::SetMm => true,
        }
    }

    /// Whether [`WITHOUT`] hides this.
    #[must_use]
    pub fn hides(&self, need: Need) -> bool {
        self.without.contains(&need)
    }

    /// Of these needs the first that it does not have.
    #[must_use]
    pub fn first_missing(&self, needs: impl IntoIterator<Item = Need>) -> Option<Need> {
        needs.into_iter().find(|need| !self.has(*need))
    }

    /// The pool of huge pages of the default size.
    #[must_use]
    pub fn default_pool(&self) -> Option<HugePool> {
        let bytes = self.default_huge_page_bytes?;
        self.huge_pools.iter().find(|pool| pool.page_bytes == bytes).copied()
    }

    /// Whether the trace points of page faults can be opened: they tell raw addresses, which the kernel keeps from the unprivileged.
    fn may_watch_faults(&self) -> bool {
        let is_privileged = self.capabilities.intersects(Capabilities::PERFMON.union(Capabilities::SYS_ADMIN));
        let may_mount = self.capabilities.contains(Capabilities::SYS_ADMIN);
        (is_privileged || self.perf_event_paranoid.is_some_and(|level| level < 0)) && (self.has_trace_points || may_mount)
    }

    fn from(files: &Files, answers: Answers) -> Self {
        let mut refused = answers.refused;
        if refused.contains_key(&Need::Userfaultfd) && files.is_usable("dev/userfaultfd") {
            refused.remove(&Need::Userfaultfd);
        }
        let is_confined = files.is_in_a_user_namespace("self");
        Self {
            release: files.text("proc/sys/kernel/osrelease"),
            protection_keys: if answers.has_keys { 16 } else { 0 },
            address_bits: files.address_bits(),
            max_map_count: files.number("proc/sys/vm/max_map_count"),
            mmap_min_addr: files.number("proc/sys/vm/mmap_min_addr"),
            lowest_address: answers.lowest_address,
            overcommit: Overcommit {
                mode: files.number("proc/sys/vm/overcommit_memory"),
                ratio_percent: files.number("proc/sys/vm/overcommit_ratio"),
                kbytes: files.number("proc/sys/vm/overcommit_kbytes"),
                limit_bytes: files.meminfo_bytes("CommitLimit"),
                reserved_bytes: files.kbytes("proc/sys/vm/admin_reserve_kbytes") + files.kbytes("proc/sys/vm/user_reserve_kbytes"),
            },
            memory_bytes: files.meminfo_bytes("MemTotal").map(|memory| memory + files.meminfo_bytes("SwapTotal").unwrap_or(0)),
            huge_pools: files.huge_pools(),
            default_huge_page_bytes: files.meminfo_bytes("Hugepagesize"),
            transparent: files.transparent(),
            legacy_va_layout: files.number::<u8>("proc/sys/vm/legacy_va_layout").map(|value| value != 0),
            randomize_va_space: files.number("proc/sys/kernel/randomize_va_space"),
            personality: answers.personality,
            perf_event_paranoid: files.number("proc/sys/kernel/perf_event_paranoid"),
            has_trace_points: files.has_trace_points(),
            ptrace_scope: files.number("proc/sys/kernel/yama/ptrace_scope"),
            most_stack_bytes: files.hard_limit("Max stack size"),
            most_locked_bytes: files.hard_limit("Max locked memory"),
            capabilities: if is_confined { Capabilities::default() } else { answers.capabilities },
            is_root: answers.is_root && !is_confined,
            refused,
            without: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
