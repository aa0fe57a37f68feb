//! The properties of this machine that the model and the tests depend on, probed once per process.
//!
//! [`Host::probe`] returns all of them in one value: the settings of the kernel, what this process may do, and which system calls are refused.
//! The tools configure the model from it, and a test asks it whether the machine has what the test [needs](Need).
//!
//! Probing never fails: what cannot be found out is `None` or absent. It changes nothing: the system calls that it tries have arguments with
//! which they fail or do nothing, except for one page that is mapped and unmapped again.
//!
//! # The variable `VMAPLE_WITHOUT`
//! `VMAPLE_WITHOUT=keys,cap:ipc_lock` makes the tools and the tests behave as on a machine without protection keys and without the
//! capability to lock memory. The words are those of [`Need`]; an unknown word is an error. `overcommit` and `topdown` cannot be hidden from a
//! process: the system's value stays, and only what needs it is left out.

mod calls;
mod capabilities;
mod files;
mod leave;
mod memory;
mod need;
mod show;
mod without;

pub use capabilities::Capabilities;
pub use leave::{leave_out, left_out_of_test};
pub use memory::{FolioSize, HugePool, Overcommit, Transparent};
pub use need::{Need, UnknownNeed};

use calls::Answers;
use files::Files;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The name of the environment variable that hides features of the machine.
pub const WITHOUT: &str = "VMAPLE_WITHOUT";

/// The bit of a personality that selects the legacy layout.
const ADDR_COMPAT_LAYOUT: u32 = 0x20_0000;

/// The properties of the machine, and what this process may do on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Host {
    /// The kernel's release (`kernel.osrelease`).
    pub release: Option<String>,
    /// The number of protection keys, key 0 included: 16 on x86-64 with keys, otherwise 0.
    pub protection_keys: u8,
    /// The number of bits of an address of a process: 47, or 56 with page tables of five levels.
    pub address_bits: Option<u8>,
    /// The largest number of VMAs of a process (`vm.max_map_count`).
    pub max_map_count: Option<u64>,
    /// The lowest address that may be mapped, as configured (`vm.mmap_min_addr`).
    pub mmap_min_addr: Option<u64>,
    /// The lowest address that a search or a growing stack reaches: the larger of the setting and the built-in bound.
    pub lowest_address: Option<u64>,
    /// How much memory the kernel promises.
    pub overcommit: Overcommit,
    /// The bytes of memory and swap space together.
    pub memory_bytes: Option<u64>,
    /// The pools of huge pages, the smallest pages first.
    pub huge_pools: Vec<HugePool>,
    /// The default size of a huge page in bytes (`Hugepagesize`).
    pub default_huge_page_bytes: Option<u64>,
    /// The settings of transparent huge pages.
    pub transparent: Transparent,
    /// Whether all programs get the legacy layout (`vm.legacy_va_layout`).
    pub legacy_va_layout: Option<bool>,
    /// How much of the layout is random (`kernel.randomize_va_space`): 0, 1 or 2.
    pub randomize_va_space: Option<u8>,
    /// The personality of this process, which its children inherit.
    pub personality: Option<u32>,
    /// Which processes may count events of others (`kernel.perf_event_paranoid`).
    pub perf_event_paranoid: Option<i8>,
    /// Whether this process can read the kernel's description of its trace points.
    pub has_trace_points: bool,
    /// Which processes may trace which (`kernel.yama.ptrace_scope`); `None` without Yama.
    pub ptrace_scope: Option<u8>,
    /// The hard limit of `RLIMIT_STACK`; `None` if it is unlimited.
    pub most_stack_bytes: Option<u64>,
    /// The hard limit of `RLIMIT_MEMLOCK`; `None` if it is unlimited.
    pub most_locked_bytes: Option<u64>,
    /// The effective capabilities of this thread; none in a user namespace, because they do not apply to the system.
    pub capabilities: Capabilities,
    /// Whether this process is the system's root, not that of a user namespace.
    pub is_root: bool,
    /// The system calls that the kernel or a filter refuses, with their error numbers.
    pub refused: BTreeMap<Need, i32>,
    /// The needs that [`WITHOUT`] hides.
    pub without: Vec<Need>,
}

/// Returns the memory promised to all processes together, in bytes (`Committed_AS`).
#[must_use]
pub fn committed_bytes() -> Option<u64> {
    Files::of_the_system().meminfo_bytes("Committed_AS")
}

/// Returns whether a process is in another user namespace than the system's. Its capabilities there do not apply to the system: it may not, for
/// example, lock memory beyond its limit.
#[must_use]
pub fn is_in_a_user_namespace(process: u32) -> bool {
    Files::of_the_system().is_in_a_user_namespace(&process.to_string())
}

impl Host {
    /// Returns the machine without what [`WITHOUT`] hides. The first call probes it; later calls return the same value.
    ///
    /// # Panics
    /// If [`WITHOUT`] has an unknown word. A program that reports this itself calls [`try_probe`](Self::try_probe) first.
    #[must_use]
    pub fn probe() -> &'static Self {
        match Self::try_probe() {
            Ok(host) => host,
            Err(unknown) => panic!("{WITHOUT}: {unknown}"),
        }
    }

    /// Returns the machine without what [`WITHOUT`] hides.
    ///
    /// # Errors
    /// If [`WITHOUT`] has an unknown word.
    pub fn try_probe() -> Result<&'static Self, UnknownNeed> {
        static HOST: OnceLock<Result<Host, UnknownNeed>> = OnceLock::new();
        let probed = HOST.get_or_init(|| {
            let hidden = std::env::var_os(WITHOUT).unwrap_or_default();
            Ok(Self::as_it_is().clone().without(need::parse_list(&hidden.to_string_lossy())?))
        });
        probed.as_ref().map_err(Clone::clone)
    }

    /// Returns the machine as it is, ignoring [`WITHOUT`].
    #[must_use]
    pub fn as_it_is() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| Self::from(&Files::of_the_system(), Answers::of_the_kernel()))
    }

    /// Returns whether the machine has what is needed.
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

    /// Returns whether [`WITHOUT`] hides a need.
    #[must_use]
    pub fn hides(&self, need: Need) -> bool {
        self.without.contains(&need)
    }

    /// Returns the first of these needs that the machine lacks.
    #[must_use]
    pub fn first_missing(&self, needs: impl IntoIterator<Item = Need>) -> Option<Need> {
        needs.into_iter().find(|need| !self.has(*need))
    }

    /// Returns the pool of huge pages of the default size.
    #[must_use]
    pub fn default_pool(&self) -> Option<HugePool> {
        let bytes = self.default_huge_page_bytes?;
        self.huge_pools.iter().find(|pool| pool.page_bytes == bytes).copied()
    }

    /// Returns whether the trace points of page faults can be opened. They show raw addresses, which the kernel hides from the unprivileged.
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
