//! The search for the place of a mapping whose address is not fixed: the hint if it is free, otherwise the highest room below the base,
//! otherwise the lowest room above the other base (5.2, 5.4). Guard gaps of stacks stay free.
//!
//! Called by `mmap` and `mremap`, with a [`Search`], and by `brk` for the guard gap of the VMA above the heap.

use super::MmWriteGuard;
use super::guard_gap::Walked;
use super::limits::{GuardGapPolicy, Limits};
use super::view::vma_of;
use crate::addr::{PAGE_SIZE, Span, page_floor};
use crate::lock::RawMmLock;
use crate::tree::GapQuery;
use crate::vma::{Vma, VmaFlags};
use core::ops::Range;

/// The end of the addresses for `MAP_32BIT`: 2 GiB.
const LOW_END: u64 = 0x8000_0000;
/// The start of the addresses for `MAP_ABOVE4G`: 4 GiB.
const HIGH_START: u64 = 0x1_0000_0000;

/// What a search for room asks for, except its length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub(super) within: Within,
    pub(super) alignment: Alignment,
    /// The flags of the mapping that will be there.
    pub(super) flags: VmaFlags,
}

/// The addresses that are searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Within {
    /// All addresses, from the base down.
    #[default]
    All,
    /// The addresses below 2 GiB, from the lowest up (`MAP_32BIT`).
    Low,
    /// The addresses above 4 GiB in the search downward (`MAP_ABOVE4G`). A search upward is not limited.
    AboveLow,
}

/// The alignment of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alignment {
    /// The start of a page.
    Pages,
    /// Private anonymous memory whose length is a multiple of a huge page is placed at the start of a huge page, if there is no hint and there
    /// is room for that.
    Private { huge: u64 },
    /// Shared memory that is as long as a huge page is placed so that huge pages of its object can be mapped, if there is room for that:
    /// address and offset are equal within a huge page.
    Shared { huge: u64, offset: u64 },
    /// Memory of huge pages is always placed at the start of one. The hint is rounded up.
    Huge { huge: u64 },
}

impl Alignment {
    /// Returns the alignment of shared anonymous memory that is mapped for the first time.
    pub(super) fn of_new_shared_memory(limits: &Limits) -> Self {
        let huge = limits.shared_huge_pages.anonymous_alignment(limits.huge_page_bytes);
        huge.map_or(Self::Pages, |huge| Self::Shared { huge, offset: 0 })
    }

    /// Returns the alignment of shared memory that exists already, from an offset on.
    pub(super) fn of_shared_memory(offset: u64, limits: &Limits) -> Self {
        let huge = limits.shared_huge_pages.object_alignment(limits.huge_page_bytes);
        huge.map_or(Self::Pages, |huge| Self::Shared { huge, offset })
    }
}

/// Returns the first of the addresses that a VMA keeps free of searched mappings: where its guard gap begins, or else the VMA itself.
pub(super) fn start_gap<P>(vma: &Vma<'_, P>, limits: &Limits) -> u64 {
    let gap = if vma.flags().contains(VmaFlags::GROWSDOWN) { limits.stack_guard_gap_bytes() } else { 0 };
    vma.start().saturating_sub(gap)
}

/// Returns the last of the addresses that a VMA keeps free of searched mappings: where its guard gap ends, or else the VMA itself.
fn end_gap<P>(vma: &Vma<'_, P>, limits: &Limits) -> u64 {
    let gap = if vma.flags().contains(VmaFlags::GROWSUP) { limits.stack_guard_gap_bytes() } else { 0 };
    vma.last().saturating_add(gap)
}

/// Rounds a hint as Linux does: down to the start of its page, and up to the lowest address that may be mapped.
pub(super) fn round_hint(hint: u64, limits: &Limits) -> u64 {
    let hint = page_floor(hint);
    let lowest = limits.lowest_address();
    // If the lowest address is in the last page, nothing can be mapped anyway.
    if hint != 0 && hint < lowest { lowest.checked_next_multiple_of(PAGE_SIZE).unwrap_or(page_floor(lowest)) } else { hint }
}

/// The arguments of one look for room. A search may look twice.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// The preferred address; 0 is no preference.
    hint: u64,
    len: u64,
    within: Within,
    /// The address must be a multiple of this.
    align: u64,
    flags: VmaFlags,
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Returns the address of free room for a mapping of `len` bytes, in whole pages: the hint, or where the search finds room. A hint of 0 is
    /// no preference.
    pub(super) fn place(&self, hint: u64, len: u64, search: Search, limits: &Limits) -> Option<u64> {
        let look = Look { hint, len, within: search.within, align: PAGE_SIZE, flags: search.flags };
        match search.alignment {
            Alignment::Private { huge } if hint == 0 && huge > PAGE_SIZE && len.is_multiple_of(huge) => {
                self.place_private(look, huge, limits).or_else(|| self.look(look, limits))
            }
            Alignment::Pages | Alignment::Private { .. } => self.look(look, limits),
            Alignment::Shared { huge, offset } => {
                let at = self.look(look, limits)?;
                Some(self.place_shared(look, at, (huge, offset), limits).unwrap_or(at))
            }
            // A hint in the last huge page cannot be rounded up, and is no preference.
            Alignment::Huge { huge } => {
                self.look(Look { hint: hint.checked_next_multiple_of(huge).unwrap_or(0), align: huge, ..look }, limits)
            }
        }
    }

    /// Aligns private memory as Linux does: looks for room that is larger by one huge page, and takes the aligned part of it.
    fn place_private(&self, look: Look, huge: u64, limits: &Limits) -> Option<u64> {
        let at = self.look(Look { len: look.len.checked_add(huge)?, ..look }, limits)?;
        let below = at % huge;
        Some(if below == 0 { at + huge } else { at + (huge - below) })
    }

    /// Aligns shared memory as Linux does. `at` is the place that was found without alignment. If it is not the hint, and huge pages do not fit
    /// there, looks for more room, and takes the part of it in which they fit.
    fn place_shared(&self, look: Look, at: u64, (huge, offset): (u64, u64), limits: &Limits) -> Option<u64> {
        let into = offset % huge;
        let holds_a_page = look.len >= huge && (into == 0 || into.saturating_add(look.len) >= huge.saturating_mul(2));
        if look.hint == at || !holds_a_page || at % huge == into {
            return None;
        }
        let room = self.look(Look { len: look.len.checked_add(huge - PAGE_SIZE)?, ..look }, limits)?;
        let aligned = (room - room % huge + into).checked_add(if room % huge > into { huge } else { 0 })?;
        (aligned <= limits.task_size.checked_sub(look.len)?).then_some(aligned)
    }

    /// Returns the hint if it is free, or else an address that the search finds (5.2, 5.4).
    fn look(&self, look: Look, limits: &Limits) -> Option<u64> {
        let Look { hint, len, within, .. } = look;
        let (task_size, window) = (limits.task_size, limits.map_window.min(limits.task_size));
        let low = limits.lowest_address().max(PAGE_SIZE);
        if within == Within::Low {
            let end = LOW_END.min(task_size);
            return if hint != 0 && self.is_free(look, end, limits) {
                Some(hint)
            } else {
                self.search(limits.low_search_base.max(low)..end, look, Direction::Up, limits)
            };
        }
        // A hint beyond the window allows addresses there. No mapping at a hint crosses the end of the window.
        let is_beyond = hint > window;
        if hint != 0 && is_beyond == (hint.saturating_add(len) > window) && self.is_free(look, task_size, limits) {
            return Some(hint);
        }
        let more = if is_beyond { task_size - window } else { 0 };
        let down_to = if within == Within::AboveLow { low.max(HIGH_START) } else { low };
        let down_from = limits.mmap_base.saturating_add(more).min(task_size);
        self.search(down_to..down_from, look, Direction::Down, limits).or_else(|| {
            self.search(limits.mmap_legacy_base.max(low)..if is_beyond { task_size } else { window }, look, Direction::Up, limits)
        })
    }

    /// Returns whether a searched mapping may be placed at its hint.
    fn is_free(&self, look: Look, end: u64, limits: &Limits) -> bool {
        let at = look.hint;
        let Some(end) = at.checked_add(look.len).filter(|&own| own <= end) else { return false };
        self.find(at).is_none_or(|next| end <= start_gap(&next, limits))
            && self.prev(at).is_none_or(|prev| at > end_gap(&prev, limits))
            && self.kept_out(at, look, limits, &mut Default::default()).is_none()
    }

    /// Returns addresses that keep the mapping from a place because of the policy on guard gaps (7.9).
    fn kept_out(&self, at: u64, look: Look, limits: &Limits, walked: &mut [Walked; 2]) -> Option<Span> {
        let is_enforced = limits.policy.guard_gap == GuardGapPolicy::Enforced;
        is_enforced.then(|| self.guard_zone(Span::from_entry(at, at + (look.len - 1)), look.flags, limits, walked)).flatten()
    }

    /// Returns the highest or the lowest room between two addresses, outside guard gaps.
    ///
    /// Each gap that is large enough only if the guard gap beside it is counted costs one search of the index. As in Linux, a gap that fits
    /// only because it begins at an aligned address is not found.
    fn search(&self, range: Range<u64>, look: Look, direction: Direction, limits: &Limits) -> Option<u64> {
        let (mut low, mut high) = (range.start, range.end);
        let mut walked = Default::default();
        let len = look.len.checked_add(look.align - PAGE_SIZE)?;
        while high > low && high - low >= len {
            let query = GapQuery::new(len).within(low..high).aligned_to(PAGE_SIZE);
            let found = match direction {
                Direction::Down => self.guard.find_gap_and_neighbours(&query.highest()),
                Direction::Up => self.guard.find_gap_and_neighbours(&query.lowest()),
            };
            let found = found.ok()?;
            let (prev, next) = found.neighbours();
            let (found, prev, next) = (found.span(), prev.map(vma_of), next.map(vma_of));
            let at = match direction {
                Direction::Down => (found.last() - (look.len - 1)) / look.align * look.align,
                Direction::Up => found.start().next_multiple_of(look.align),
            };
            // Upward, Linux requires the whole length that it looked for above the aligned address.
            let last = if direction == Direction::Up { at.saturating_add(len - 1) } else { found.last() };
            let is_stack = |next: &Vma<'_, P>| next.flags().contains(VmaFlags::GROWSDOWN);
            let below_stack = next.filter(is_stack).map(|next| start_gap(&next, limits)).filter(|&gap| gap <= last);
            let above_stack = prev.map(|prev| end_gap(&prev, limits)).filter(|&gap| gap >= at);
            match (below_stack, above_stack, direction) {
                (None, None, _) => match (self.kept_out(at, look, limits, &mut walked), direction) {
                    (None, _) => return Some(at),
                    // The mapping must not overlap the zone, but the room for its alignment may (7.9).
                    (Some(zone), Direction::Down) => {
                        let highest = zone.start().checked_sub(look.len)? / look.align * look.align;
                        high = highest + len;
                    }
                    (Some(zone), Direction::Up) => {
                        let lowest = zone.last().checked_add(1)?.checked_next_multiple_of(look.align)?;
                        low = lowest - (look.align - PAGE_SIZE);
                    }
                },
                (Some(gap), _, Direction::Down) => high = gap,
                (None, Some(_), Direction::Down) => high = prev?.start(),
                (_, Some(gap), Direction::Up) => low = gap.checked_add(1)?,
                (Some(_), None, Direction::Up) => low = next?.last().checked_add(1)?,
            }
        }
        None
    }
}

/// The direction of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Down,
    Up,
}
