//! Where a mapping without an address is placed (5.2, 5.4), found by trying each place.

use super::BASE;
use super::op::{IN_MEMORY, Within, named};
use super::page::{Model, PAGES, address};
use Direction::{Down, Up};
use vmaple::mm::Backing;
use vmaple::{PAGE_SIZE, VmaFlags};

/// The alignment that a mapping should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Pages,
    /// If there is no hint and the length is a multiple of it.
    Private(u64),
    /// If the mapping is at least as long, together with the offset in its object.
    Shared(u64, u64),
    /// Always.
    Huge(u64),
}

impl Align {
    /// Returns the alignment of a new mapping, with or without an object of the embedder.
    pub(crate) fn of_new(model: &Model, flags: VmaFlags, object: Option<(u64, u64)>) -> Self {
        match (flags.huge_page_bytes(), object, flags.contains(VmaFlags::SHARED)) {
            (Some(huge), ..) => Self::Huge(huge),
            (_, Some((IN_MEMORY, offset)), _) => Self::of_moved(model, Backing::SharedMemory(named(IN_MEMORY)), offset),
            (_, Some(_), _) => Self::Pages,
            (_, _, false) => Self::Private(model.limits.huge_page_bytes),
            (_, _, true) if model.limits.huge_page_bytes == 1 => Self::Pages,
            (_, _, true) => Self::Shared(model.limits.shared_huge_pages.sizes, 0),
        }
    }

    /// Returns the alignment of a mapping that is moved, from the backing and the offset of its first page.
    pub(crate) fn of_moved(model: &Model, backing: Backing, offset: u64) -> Self {
        match backing {
            Backing::Anonymous => Self::Private(model.limits.huge_page_bytes),
            Backing::SharedMemory(_) if model.limits.huge_page_bytes > 1 => Self::Shared(model.limits.huge_page_bytes, offset),
            _ => Self::Pages,
        }
    }
}

/// One search for a place: the length, how much more room is looked for, and what the address is then a multiple of.
#[derive(Clone, Copy)]
struct Wanted {
    len: u64,
    more: u64,
    multiple: u64,
    /// What will be there.
    flags: VmaFlags,
}

/// The direction of a search.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    /// Where in the room that begins there the mapping is.
    fn aligned(self, at: u64, wanted: Wanted) -> u64 {
        let Wanted { more, multiple, .. } = wanted;
        match self {
            Self::Up => at.next_multiple_of(multiple),
            Self::Down => (at + more) / multiple * multiple,
        }
    }
}

impl Model {
    pub(crate) fn place(&self, hint: u64, len: u64, within: Within, align: Align, flags: VmaFlags) -> Option<u64> {
        let hint = hint & !(PAGE_SIZE - 1);
        let hint = if hint == 0 { 0 } else { hint.max(BASE) };
        let plain = Wanted { len, more: 0, multiple: PAGE_SIZE, flags };
        let at_hint = |hint: u64| Some(hint).filter(|&hint| hint != 0 && self.is_roomy(hint, plain, Up));
        let any = |hint, wanted| at_hint(hint).or_else(|| self.search(wanted, within));
        match align {
            Align::Private(huge) if hint == 0 && huge > PAGE_SIZE && len.is_multiple_of(huge) => {
                let room = self.search(Wanted { len: len + huge, ..plain }, within);
                room.map(|at| (at + 1).next_multiple_of(huge)).or_else(|| any(0, plain))
            }
            Align::Pages | Align::Private(_) => any(hint, plain),
            Align::Shared(huge, offset) => {
                let at = any(hint, plain)?;
                let is_fit = |at: u64| at % huge == offset % huge;
                let has_a_page = (0..=len.saturating_sub(huge)).any(|into| len >= huge && (offset + into).is_multiple_of(huge));
                if at == hint || is_fit(at) || !has_a_page {
                    return Some(at);
                }
                let room = self.search(Wanted { len: len + huge - PAGE_SIZE, ..plain }, within);
                Some(room.map_or(at, |room| (room..).step_by(0x1000).find(|&at| is_fit(at)).expect("one of them")))
            }
            Align::Huge(huge) => {
                any(hint.checked_next_multiple_of(huge).unwrap_or(0), Wanted { more: huge - PAGE_SIZE, multiple: huge, ..plain })
            }
        }
    }

    fn search(&self, wanted: Wanted, within: Within) -> Option<u64> {
        let limits = &self.limits;
        let all = || (0..PAGES).map(address);
        let room = wanted.len.checked_add(wanted.more)?;
        // As in Linux: where the lowest room is too near to what grows up below it, the next begins beyond its gap.
        let may_begin = |at: u64, from: u64| {
            at == from || !self.is_above_what_grows_up(at) || self.pages[Self::pages_of(at, PAGE_SIZE).start - 1].is_some()
        };
        let up = |from: u64| {
            all().find(|&at| at >= from && may_begin(at, from) && self.is_roomy(at, wanted, Up)).map(|at| Up.aligned(at, wanted))
        };
        let down = || all().rev().find(|&at| at.saturating_add(room) <= limits.mmap_base && self.is_roomy(at, wanted, Down));
        match within {
            Within::All => down().map(|at| Down.aligned(at, wanted)).or_else(|| up(limits.mmap_legacy_base)),
            Within::Low => up(limits.low_search_base),
            // All there is is low.
            Within::AboveLow => up(limits.mmap_legacy_base),
        }
    }

    /// Whether the next VMA below grows up, and the address is in its gap.
    fn is_above_what_grows_up(&self, at: u64) -> bool {
        let gap = usize::try_from(self.limits.stack_guard_gap_pages).expect("a small gap");
        let page = Self::pages_of(at, PAGE_SIZE).start;
        let below = (0..page).rev().find_map(|i| self.pages[i].as_ref().map(|below| (i, below.flags)));
        below.is_some_and(|(i, flags)| flags.contains(VmaFlags::GROWSUP) && page - i <= gap)
    }

    /// Whether a range and the room that is wanted beside it are free, and what would be mapped is out of the guard gaps of stacks.
    fn is_roomy(&self, at: u64, wanted: Wanted, direction: Direction) -> bool {
        let gap = usize::try_from(self.limits.stack_guard_gap_pages).expect("a small gap");
        let Some(room) = wanted.len.checked_add(wanted.more) else { return false };
        let Some(_) = at.checked_add(room).filter(|&end| at >= BASE && end <= address(PAGES)) else { return false };
        let range = Self::pages_of(at, room);
        let grows = |page: usize, flag| self.pages[page].is_some_and(|page| page.flags.contains(flag));
        let above = (range.end..PAGES).find(|&page| self.pages[page].is_some());
        let below = (0..range.start).rev().find(|&page| self.pages[page].is_some());
        // As in Linux: upward as much is wanted above the address as was looked for above what was found.
        let aligned = direction.aligned(at, wanted);
        let last = if direction == Up { Self::pages_of(BASE, aligned - BASE + room).end.max(range.end) } else { range.end };
        let first = Self::pages_of(aligned, PAGE_SIZE).start;
        self.is_free(range)
            && above.is_none_or(|page| !grows(page, VmaFlags::GROWSDOWN) || page >= last + gap)
            && below.is_none_or(|page| !grows(page, VmaFlags::GROWSUP) || first - page > gap)
            && self.is_out_of_gaps(Self::pages_of(aligned, wanted.len), wanted.flags)
    }
}
