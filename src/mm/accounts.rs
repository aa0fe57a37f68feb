//! The accounts of pages: sums over the VMAs, by their flags (2.8, 5.6), and the limits on them.
//!
//! Called by drafts and plans, by growth, and by `Mm::stats`.

use super::limits::Limits;
use super::stats::{FaultPaths, MmStats};
use crate::addr::PAGE_SIZE;
use crate::error::Limit;
use crate::sync::Tally;
use crate::vma::VmaFlags;

/// The sums as plain numbers, in pages. An operation changes a copy, which becomes the address space's when the operation is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    total: u64,
    stack: u64,
    data: u64,
    exec: u64,
    locked: u64,
    committed: u64,
}

/// The sums of an address space. Changed under the write guard alone, read by anyone.
#[derive(Debug, Default)]
pub(super) struct Accounts([Tally; 6]);

/// Returns how many whole pages the bytes are.
fn pages_of(bytes: u64) -> u64 {
    bytes / PAGE_SIZE
}

/// Checks that as many pages as asked for are within the limit.
fn within(asked_pages: u64, limit_pages: u64, limit: impl FnOnce(u64, u64) -> Limit) -> Result<(), Limit> {
    if asked_pages > limit_pages { Err(limit(asked_pages, limit_pages)) } else { Ok(()) }
}

impl Sums {
    /// Returns the sums in which pages with these flags count.
    fn of(&mut self, flags: VmaFlags) -> impl Iterator<Item = &mut u64> {
        [
            (true, &mut self.total),
            (flags.is_stack(), &mut self.stack),
            (flags.is_data(), &mut self.data),
            (flags.is_exec(), &mut self.exec),
            (flags.contains(VmaFlags::LOCKED), &mut self.locked),
            (flags.contains(VmaFlags::ACCOUNT), &mut self.committed),
        ]
        .into_iter()
        .filter_map(|(is_in, sum)| is_in.then_some(sum))
    }

    /// Adds pages with these flags.
    pub(crate) fn add(&mut self, flags: VmaFlags, pages: u64) {
        self.of(flags).for_each(|sum| *sum += pages);
    }

    /// Subtracts pages with these flags.
    pub(crate) fn sub(&mut self, flags: VmaFlags, pages: u64) {
        self.of(flags).for_each(|sum| *sum -= pages);
    }

    /// Counts no page as locked any more.
    pub(super) fn unlock(&mut self) {
        self.locked = 0;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn locked(&self) -> u64 {
        self.locked
    }

    /// Checks that `pages` more pages fit into `RLIMIT_AS`, which counts all, whatever their flags.
    pub(crate) fn check_total(&self, limits: &Limits, pages: u64) -> Result<(), Limit> {
        within(self.total.saturating_add(pages), pages_of(limits.address_space_bytes), |asked_pages, limit_pages| Limit::AddressSpace {
            asked_pages,
            limit_pages,
        })
    }

    /// Checks that `pages` more pages fit into `RLIMIT_DATA`, if the flags are those of data.
    pub(crate) fn check_data(&self, limits: &Limits, flags: VmaFlags, pages: u64) -> Result<(), Limit> {
        let asked = if flags.is_data() { self.data.saturating_add(pages) } else { 0 };
        within(asked, pages_of(limits.data_bytes), |asked_pages, limit_pages| Limit::Data { asked_pages, limit_pages })
    }

    /// Checks `RLIMIT_AS` and `RLIMIT_DATA` for `pages` more pages with these flags.
    pub(crate) fn check_room(&self, limits: &Limits, flags: VmaFlags, pages: u64) -> Result<(), Limit> {
        self.check_total(limits, pages).and_then(|()| self.check_data(limits, flags, pages))
    }

    /// Checks that `pages` more pages fit into `RLIMIT_MEMLOCK`, if the flags are those of locked memory.
    pub(crate) fn check_locked(&self, limits: &Limits, flags: VmaFlags, pages: u64) -> Result<(), Limit> {
        let asked = if flags.contains(VmaFlags::LOCKED) { self.locked.saturating_add(pages) } else { 0 };
        within(asked, limits.locked_pages(), |asked_pages, limit_pages| Limit::Locked { asked_pages, limit_pages })
    }

    /// Checks that `pages` more pages may be promised, if they count against the limit on committed memory.
    pub(crate) fn check_commit(&self, limits: &Limits, flags: VmaFlags, pages: u64) -> Result<(), Limit> {
        let asked = if flags.contains(VmaFlags::ACCOUNT) { self.committed.saturating_add(pages) } else { 0 };
        within(asked, pages_of(limits.commit_bytes), |asked_pages, limit_pages| Limit::Commit { asked_pages, limit_pages })
    }

    fn numbers(self) -> [u64; 6] {
        let Self { total, stack, data, exec, locked, committed } = self;
        [total, stack, data, exec, locked, committed]
    }

    pub(super) fn stats(self, fault_paths: FaultPaths) -> MmStats {
        let Self { total, stack, data, exec, locked, committed } = self;
        MmStats {
            total_pages: total,
            stack_pages: stack,
            data_pages: data,
            exec_pages: exec,
            locked_pages: locked,
            committed_pages: committed,
            fault_paths,
        }
    }
}

impl Accounts {
    pub(super) fn sums(&self) -> Sums {
        let [total, stack, data, exec, locked, committed] = &self.0;
        Sums {
            total: total.read(),
            stack: stack.read(),
            data: data.read(),
            exec: exec.read(),
            locked: locked.read(),
            committed: committed.read(),
        }
    }

    /// Sets the sums. Called by the writer.
    pub(super) fn set(&self, sums: Sums) {
        for (account, pages) in self.0.iter().zip(sums.numbers()) {
            account.set(pages);
        }
    }
}
