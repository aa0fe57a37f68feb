//! An address space of a few pages, and a model of it that knows no VMAs: the rules of part 5 of `docs/semantics.md`, applied to pages.
//!
//! Called by `mm::sequences` and by the fuzz target `mm_ops`, with operations. `rules.rs`, `remap.rs` and `keys.rs` say what an operation does to
//! pages, `hooks.rs` keeps page tables as an embedder does, `settle.rs` compares, and `drive.rs` runs library and model in step.

#![allow(
    clippy::needless_range_loop,
    clippy::many_single_char_names,
    clippy::match_same_arms,
    clippy::struct_excessive_bools,
    clippy::unnecessary_wraps,
    reason = "pages are numbers here; a table of verbs has an arm for each; rules of one shape have one type"
)]

mod drive;
mod gaps;
mod hooks;
mod keys;
mod op;
mod outcome;
mod page;
mod place;
mod remap;
mod rules;
mod settle;

pub(crate) use drive::run;
pub(crate) use op::{Op, op};

use vmaple::mm::{GuardGapPolicy, Limits, MapCountLimit, PartialEffects, SharedHugePolicy};

/// The first address of the address space.
pub(crate) const BASE: u64 = 0x10_0000;

const EPERM: i32 = 1;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const EOVERFLOW: i32 = 75;

/// The limits and policies that a sequence runs with.
#[expect(clippy::struct_excessive_bools, reason = "each with any other")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The limits on VMAs and on pages are low. Otherwise no operation reaches them, and the model knows each outcome.
    pub(crate) tight: bool,
    /// An operation that fails changes nothing (7.10).
    pub(crate) whole: bool,
    /// Large mappings are aligned.
    pub(crate) huge: bool,
    /// Nothing may be locked in memory.
    pub(crate) unlockable: bool,
    /// Guard gaps keep out fixed mappings, too (7.9).
    pub(crate) guarded: bool,
    /// A mapping does not go beyond the limit on VMAs (7.8).
    pub(crate) exact: bool,
    /// The number of protection keys of the machine: 0, 16, or 3, so that they are soon exhausted.
    pub(crate) keys: u8,
}

impl Terms {
    /// Returns the terms that a byte encodes.
    pub(crate) fn of(bits: u8) -> Self {
        let is = |bit: u8| bits & bit != 0;
        let keys = match bits & 0x18 {
            0 => 0,
            0x10 => 3,
            _ => 16,
        };
        Self { tight: is(1), whole: is(2), huge: is(4), unlockable: bits & 0x38 == 0x38, guarded: is(0x80), exact: is(0x40), keys }
    }

    fn limits(self) -> Limits {
        let page = vmaple::PAGE_SIZE;
        let mut limits = Limits::default();
        (limits.mmap_min_addr, limits.min_addr_floor) = (BASE, BASE);
        limits.task_size = page::address(page::PAGES);
        limits.mmap_base = page::address(page::PAGES - 8);
        limits.mmap_legacy_base = page::address(4);
        limits.stack_guard_gap_pages = 2;
        limits.low_search_base = page::address(2);
        limits.huge_page_bytes = if self.huge { 4 * page } else { 1 };
        limits.shared_huge_pages.policy = SharedHugePolicy::Advise;
        limits.shared_huge_pages.sizes = 8 * page;
        limits.shared_huge_pages.inheriting_sizes = 4 * page;
        limits.hugetlb_bytes = 4 * page;
        limits.hugetlb_sizes = (4 * page) | (8 * page);
        limits.locked_bytes = u64::MAX;
        limits.protection_keys = self.keys;
        if self.tight {
            limits.max_map_count = 12;
            limits.address_space_bytes = 34 * page;
            limits.data_bytes = 24 * page;
            limits.commit_bytes = 22 * page;
            limits.locked_bytes = 12 * page;
            limits.stack_bytes = 9 * page;
        }
        if self.unlockable {
            limits.locked_bytes = 0;
        }
        limits.policy.partial = if self.whole { PartialEffects::Never } else { PartialEffects::AsLinux };
        limits.policy.guard_gap = if self.guarded { GuardGapPolicy::Enforced } else { GuardGapPolicy::AsLinux };
        limits.policy.map_count = if self.exact { MapCountLimit::Exact } else { MapCountLimit::AsLinux };
        limits
    }
}
