//! Enforced guard gaps (7.9), page by page.

use super::hooks::Marked;
use super::page::{Model, PAGES, Page, address};
use std::collections::BTreeSet;
use std::ops::Range;
use vmaple::VmaFlags;
use vmaple::mm::{Backing, GuardGapPolicy};

impl Model {
    /// Returns the accessible pages in the guard gap of a stack, except those of VMAs that grow in the same direction.
    fn breaches(&self) -> BTreeSet<usize> {
        let gap = usize::try_from(self.limits.stack_guard_gap_pages).expect("a small gap");
        let has = |i: usize, flag: VmaFlags| self.pages[i].is_some_and(|page| page.flags.contains(flag));
        let mut breaches = BTreeSet::new();
        for stack in 0..PAGES {
            if has(stack, VmaFlags::GROWSDOWN) {
                breaches.extend((stack.saturating_sub(gap)..stack).filter(|&i| !has(i, VmaFlags::GROWSDOWN)));
            }
            if has(stack, VmaFlags::GROWSUP) {
                breaches.extend((stack + 1..(stack + 1 + gap).min(PAGES)).filter(|&i| !has(i, VmaFlags::GROWSUP)));
            }
        }
        breaches.retain(|&i| self.pages[i].is_some_and(|page| page.flags.is_accessible()));
        breaches
    }

    /// Returns whether the policy refuses these pages, because some that `before` does not have are accessible in guard gaps.
    pub(crate) fn is_guarded(&self, before: &Self) -> bool {
        self.limits.policy.guard_gap == GuardGapPolicy::Enforced && !self.breaches().is_subset(&before.breaches())
    }

    /// Returns whether a new mapping there stays out of guard gaps.
    pub(super) fn is_out_of_gaps(&self, pages: Range<usize>, flags: VmaFlags) -> bool {
        if self.limits.policy.guard_gap == GuardGapPolicy::AsLinux {
            return true;
        }
        let mut after = self.clone();
        for i in pages {
            let (backing, payload) = (Backing::Anonymous, Marked::default());
            after.pages[i] = Some(Page { flags, backing, offset: address(i), owner: None, payload, token: 0, joined: false });
        }
        !after.is_guarded(self)
    }
}
