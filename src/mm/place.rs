//! Where a mapping goes whose address is not fixed: the hint if it is free, else the highest room below the base, else the lowest above
//! the other base (5.2, 5.4). Guard gaps of stacks are left free.

use super::MmWriteGuard;
use super::guard::vma_of;
use super::limits::Limits;
use crate::addr::{PAGE_SIZE, Span, page_floor};
use crate::lock::RawMmLock;
use crate::tree::gap::GapQuery;
use crate::vma::{Vma, VmaFlags};

/// From where on what lies below a VMA must stay free of searched mappings.
pub(super) fn start_gap<P>(vma: &Vma<'_, P>, limits: &Limits) -> u64 {
    let gap = if vma.flags().contains(VmaFlags::GROWSDOWN) { limits.stack_guard_gap_bytes() } else { 0 };
    vma.start().saturating_sub(gap)
}

/// The last address above a VMA that must stay free of them; its own where it does not grow up.
fn end_gap<P>(vma: &Vma<'_, P>, limits: &Limits) -> u64 {
    let gap = if vma.flags().contains(VmaFlags::GROWSUP) { limits.stack_guard_gap_bytes() } else { 0 };
    vma.last().saturating_add(gap)
}

/// The hint as Linux takes it: from its page's start on, and not below what may be mapped.
pub(super) fn round_hint(hint: u64, limits: &Limits) -> u64 {
    let hint = page_floor(hint);
    if hint != 0 && hint < limits.lowest_address() { limits.lowest_address().next_multiple_of(PAGE_SIZE) } else { hint }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Room for a mapping of so many bytes, in whole pages: at the hint (0: none), or where the search finds it. `huge` says what an
    /// address is best a multiple of.
    pub(super) fn place(&mut self, hint: u64, len: u64, huge: u64, limits: &Limits) -> Option<u64> {
        let aligned = (hint == 0 && huge > PAGE_SIZE && len.is_multiple_of(huge)).then(|| self.place_huge(len, huge, limits)).flatten();
        aligned.or_else(|| self.place_plain(hint, len, limits))
    }

    /// As Linux aligns: it looks for room that is larger by one huge page, and takes the aligned part of it.
    fn place_huge(&mut self, len: u64, huge: u64, limits: &Limits) -> Option<u64> {
        let at = self.place_plain(0, len.checked_add(huge)?, limits)?;
        let below = at % huge;
        Some(if below == 0 { at + huge } else { at + (huge - below) })
    }

    fn place_plain(&mut self, hint: u64, len: u64, limits: &Limits) -> Option<u64> {
        if hint != 0 && self.is_free(hint, len, limits) {
            return Some(hint);
        }
        let low = limits.lowest_address().max(PAGE_SIZE);
        self.search(low, limits.mmap_base, len, Direction::Down, limits)
            .or_else(|| self.search(limits.mmap_legacy_base.max(low), limits.task_size, len, Direction::Up, limits))
    }

    /// Whether a searched mapping may be there.
    fn is_free(&self, at: u64, len: u64, limits: &Limits) -> bool {
        let Some(end) = at.checked_add(len).filter(|&end| end <= limits.task_size) else { return false };
        at >= limits.mmap_min_addr
            && self.find(at).is_none_or(|next| end <= start_gap(&next, limits))
            && self.prev(at).is_none_or(|prev| at > end_gap(&prev, limits))
    }

    /// The highest or the lowest room between two addresses, guard gaps left free. A gap that is too small but for the guard gap at its
    /// end costs a look.
    fn search(&mut self, low: u64, high: u64, len: u64, direction: Direction, limits: &Limits) -> Option<u64> {
        let (mut low, mut high) = (low, high);
        while high > low && high - low >= len {
            let query = GapQuery::of_size(len).within(low..high).aligned_to(PAGE_SIZE);
            let found = match direction {
                Direction::Down => self.guard.find_gap(&query.highest()),
                Direction::Up => self.guard.find_gap(&query.lowest()),
            };
            let found = found.ok()?;
            self.guard.locate(found);
            let (prev, next) = self.guard.beside();
            let (prev, next) = (prev.map(vma_of), next.map(vma_of));
            let below_stack = next.map(|next| start_gap(&next, limits)).filter(|&gap| gap <= found.last());
            let above_stack = prev.map(|prev| end_gap(&prev, limits)).filter(|&gap| gap >= found.start());
            match (below_stack, above_stack, direction) {
                (None, None, _) => return Some(found.start()),
                (Some(gap), _, Direction::Down) => high = gap,
                (None, Some(_), Direction::Down) => high = prev?.start(),
                (_, Some(gap), Direction::Up) => low = gap + 1,
                (Some(_), None, Direction::Up) => low = next?.last() + 1,
            }
        }
        None
    }

    /// The stack whose guard gap a range would be in, a fixed one (7.9).
    pub(super) fn stack_above(&self, span: Span, limits: &Limits) -> Option<Span> {
        let next = self.find(span.last().checked_add(1)?)?;
        (next.flags().contains(VmaFlags::GROWSDOWN) && start_gap(&next, limits) <= span.last()).then(|| next.span())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Down,
    Up,
}
