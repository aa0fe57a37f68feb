//! Converts the settings that decide where mappings are placed and which pages they consist of, as a machine or a scenario has them, to the
//! library's limits. Called by `settings`, `kernel` and the program's `record`.

use vmaple::PAGE_SIZE;
use vmaple::mm::{Limits, SharedHugePolicy};
use vmaple_host::{Host, Transparent};
use vmaple_trace::{Placement, SharedHuge};

/// Where addresses end with page tables of five levels.
const END_OF_FIVE_LEVELS: u64 = (1 << 56) - PAGE_SIZE;

/// Returns limits that allow any area to be put in place unchanged.
#[must_use]
pub(crate) fn no_limits() -> Limits {
    let mut limits = Limits::default();
    limits.task_size = !(PAGE_SIZE - 1);
    (limits.mmap_min_addr, limits.min_addr_floor) = (0, 0);
    (limits.address_space_bytes, limits.stack_bytes, limits.locked_bytes, limits.data_bytes) = (u64::MAX, u64::MAX, u64::MAX, u64::MAX);
    limits.max_map_count = usize::MAX;
    limits
}

/// Applies a setting to limits.
pub(super) fn set(limits: &mut Limits, placement: Placement) {
    let shared = &mut limits.shared_huge_pages;
    match placement {
        Placement::MapWindow(end) => limits.map_window = end,
        Placement::LowSearchBase(base) => limits.low_search_base = base,
        Placement::HugePage(bytes) => limits.huge_page_bytes = bytes,
        Placement::SharedHuge(policy) => shared.policy = policy_of(policy),
        Placement::SharedSizes(bytes) => shared.sizes = bytes,
        Placement::SharedInheriting(bytes) => shared.inheriting_sizes = bytes,
        Placement::Hugetlb(bytes) => limits.hugetlb_bytes = bytes,
        Placement::HugetlbSizes(bytes) => limits.hugetlb_sizes = bytes,
    }
}

fn policy_of(policy: SharedHuge) -> SharedHugePolicy {
    match policy {
        SharedHuge::Deny => SharedHugePolicy::Deny,
        SharedHuge::Never => SharedHugePolicy::Never,
        SharedHuge::Advise => SharedHugePolicy::Advise,
        SharedHuge::WithinSize => SharedHugePolicy::WithinSize,
        SharedHuge::Always => SharedHugePolicy::Always,
        SharedHuge::Force => SharedHugePolicy::Force,
    }
}

/// Returns the end of the addresses of a program of this machine.
#[must_use]
pub fn task_size(host: &Host) -> u64 {
    if host.address_bits == Some(56) { END_OF_FIVE_LEVELS } else { Limits::default().task_size }
}

/// Sets limits to the machine's; what the machine does not report stays.
pub(super) fn adopt(limits: &mut Limits, host: &Host) {
    limits.task_size = task_size(host);
    for placement in of_the_machine(host) {
        set(limits, placement);
    }
}

/// Returns the settings that the machine reports.
fn of_the_machine(host: &Host) -> Vec<Placement> {
    let transparent = &host.transparent;
    let sum = |is_so: fn(&str) -> bool| {
        let sizes = transparent.sizes.iter().filter(|size| size.shmem.as_deref().is_some_and(is_so));
        sizes.fold(0, |sum, size| sum | size.page_bytes)
    };
    let huge_page = if transparent.private.is_some() { transparent.page_bytes } else { Some(1) };
    let policy = transparent.shmem.as_deref().and_then(SharedHuge::from_word);
    let pools = host.huge_pools.iter().fold(0, |sum, pool| sum | pool.page_bytes);
    [
        huge_page.filter(|bytes| bytes.is_power_of_two()).map(Placement::HugePage),
        policy.map(Placement::SharedHuge),
        policy.map(|_| Placement::SharedSizes(sum(|word| !matches!(word, "never" | "inherit")))),
        policy.map(|_| Placement::SharedInheriting(sum(|word| word == "inherit") | inheriting_by_default(transparent))),
        host.default_huge_page_bytes.map(Placement::Hugetlb),
        Some(Placement::HugetlbSizes(pools)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A kernel that has no settings for single sizes treats a huge page as if it inherited the setting for all.
fn inheriting_by_default(transparent: &Transparent) -> u64 {
    let has_sizes = transparent.sizes.iter().any(|size| size.shmem.is_some());
    transparent.page_bytes.filter(|_| !has_sizes).unwrap_or(0)
}

/// Returns the machine's settings that differ from the defaults, for a recording to name.
#[must_use]
pub fn unusual(host: &Host) -> Vec<Placement> {
    let usual = Limits::default();
    let differs = |placement: &Placement| {
        let mut limits = usual.clone();
        set(&mut limits, *placement);
        limits != usual
    };
    of_the_machine(host).into_iter().filter(differs).collect()
}

/// Returns whether the machine has this value of the setting.
pub(super) fn is_of_the_machine(placement: Placement, host: &Host) -> bool {
    let mut own = Limits::default();
    adopt(&mut own, host);
    let mut asked = own.clone();
    set(&mut asked, placement);
    asked == own
}

#[cfg(test)]
mod tests {
    use super::{adopt, is_of_the_machine, unusual};
    use vmaple::mm::{Limits, SharedHugePolicy};
    use vmaple_host::Host;
    use vmaple_trace::{Placement, SharedHuge};

    /// The settings of this machine that differ from the defaults, applied to the defaults, give all of its settings.
    #[test]
    fn the_unusual_settings_give_the_machines_limits() {
        let host = Host::as_it_is();
        let (mut own, mut applied) = (Limits::default(), Limits::default());
        adopt(&mut own, host);
        for placement in unusual(host) {
            super::set(&mut applied, placement);
        }
        applied.task_size = own.task_size;
        assert_eq!(own, applied);
        assert!(unusual(host).into_iter().all(|placement| is_of_the_machine(placement, host)));
        assert!(!is_of_the_machine(Placement::HugePage(own.huge_page_bytes * 2), host));
    }

    #[test]
    fn words_are_the_kernels() {
        let mut limits = Limits::default();
        for policy in SharedHuge::ALL {
            super::set(&mut limits, Placement::SharedHuge(policy));
            let is_none = limits.shared_huge_pages.anonymous_alignment(2 << 20).is_none();
            assert_eq!(is_none, matches!(policy.to_string().as_str(), "never" | "deny"), "{policy}");
            assert_eq!(SharedHuge::from_word(&policy.to_string()), Some(policy));
        }
        assert_eq!(limits.shared_huge_pages.policy, SharedHugePolicy::Force);
    }
}
