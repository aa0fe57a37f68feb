//! What is known of each page. Of VMAs nothing is known except where the layout was seen to have their bounds.

use super::BASE;
use super::hooks::Marked;
use super::keys::Keys;
use std::collections::BTreeSet;
use std::ops::Range;
use vmaple::mm::{AnonOwner, Backing, Limits, ObjectId};
use vmaple::{Access, PAGE_SIZE, VmaFlags};

/// What is not brought in with the rest (5.26).
const PASSED_OVER: VmaFlags = VmaFlags::LOCKONFAULT.union(VmaFlags::IO).union(VmaFlags::PFNMAP);

/// How many pages the address space has.
pub(crate) const PAGES: usize = 48;

/// What a shared anonymous mapping is given: not known before it is there.
pub(crate) const FRESH: Backing = match ObjectId::new((1 << 63) - 1) {
    Ok(object) => Backing::Object(object),
    Err(_) => panic!("it is not one of the library's own"),
};

/// The address of a page.
pub(crate) fn address(page: usize) -> u64 {
    BASE + page as u64 * PAGE_SIZE
}

/// A page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) flags: VmaFlags,
    pub(crate) backing: Backing,
    /// In what backs it, in bytes.
    pub(crate) offset: u64,
    pub(crate) owner: Option<AnonOwner>,
    pub(crate) payload: Marked,
    /// The page itself: it keeps it where it is moved.
    pub(crate) token: u32,
    /// It was seen in one VMA with the page below.
    pub(crate) joined: bool,
}

impl Page {
    /// Whether two adjacent pages may be of one VMA (5.7), owners aside.
    pub(crate) fn goes_on_in(&self, next: &Self) -> bool {
        self.flags == next.flags
            && self.backing == next.backing
            && self.offset.wrapping_add(PAGE_SIZE) == next.offset
            && self.payload == next.payload
    }

    fn is_written_where_populated(&self) -> bool {
        self.flags.contains(VmaFlags::WRITE) && !self.flags.contains(VmaFlags::SHARED)
    }
}

/// The address space, page by page.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) pages: [Option<Page>; PAGES],
    pub(crate) limits: Limits,
    pub(crate) brk_start: u64,
    pub(crate) brk: u64,
    pub(crate) locks_future: VmaFlags,
    pub(crate) keys: Keys,
    /// Owners that came by a fork.
    pub(crate) inherited: BTreeSet<AnonOwner>,
    pub(crate) tokens: u32,
    /// Pages that the last operation wrote to: they have an owner now.
    pub(crate) written: BTreeSet<usize>,
    /// Pages between which and the one below the last operation merges, if they are alike (5.10, 5.11).
    pub(crate) seams: BTreeSet<usize>,
    /// The pages as the last operation left them on its way, a step each: where one may have stopped that failed.
    pub(crate) stages: Vec<[Option<Page>; PAGES]>,
    /// Pages that the last operation, which failed midway, may or may not have moved.
    pub(crate) unknown: BTreeSet<usize>,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            pages: [None; PAGES],
            keys: Keys::new(limits.protection_keys),
            limits,
            brk_start: 0,
            brk: 0,
            locks_future: VmaFlags::empty(),
            inherited: BTreeSet::new(),
            tokens: 0,
            written: BTreeSet::new(),
            seams: BTreeSet::new(),
            stages: Vec::new(),
            unknown: BTreeSet::new(),
        }
    }

    pub(crate) fn token(&mut self) -> u32 {
        self.tokens += 1;
        self.tokens
    }

    /// The pages of a range of addresses that starts and ends at a page's start, and lies in the address space.
    pub(crate) fn pages_of(start: u64, len: u64) -> Range<usize> {
        let page = |address: u64| usize::try_from((address.max(BASE) - BASE) / PAGE_SIZE).map_or(PAGES, |page| page.min(PAGES));
        page(start)..page(start.saturating_add(len))
    }

    pub(crate) fn at(&self, address: u64) -> Option<usize> {
        Self::pages_of(address, PAGE_SIZE).next().filter(|&page| self.pages[page].is_some() && address >= BASE)
    }

    /// The VMA that a page was seen in.
    pub(crate) fn vma_of(&self, page: usize) -> Range<usize> {
        let is_joined = |page: usize| self.pages.get(page).copied().flatten().is_some_and(|page| page.joined);
        let start = (0..=page).rev().find(|&page| !is_joined(page)).unwrap_or(0);
        let end = (page + 1..PAGES).find(|&page| !is_joined(page)).unwrap_or(PAGES);
        start..end
    }

    pub(crate) fn is_free(&self, range: Range<usize>) -> bool {
        self.pages[range].iter().all(Option::is_none)
    }

    pub(crate) fn is_sealed(&self, range: Range<usize>) -> bool {
        self.pages[range].iter().flatten().any(|page| page.flags.contains(VmaFlags::SEALED))
    }

    /// Pages are brought in: private writable ones are written to. Ends at the first that does not let the thread in.
    pub(crate) fn populate(&mut self, range: Range<usize>) -> Result<(), i32> {
        for i in range {
            let Some(page) = self.pages[i].as_ref().filter(|page| !page.flags.intersects(PASSED_OVER)) else { continue };
            let access = if page.is_written_where_populated() { Access::Write } else { Access::Read };
            if !page.flags.is_accessible() || self.keys.is_denied(page, access) {
                return Err(super::ENOMEM);
            }
            if page.is_written_where_populated() {
                self.written.insert(i);
            }
        }
        Ok(())
    }

    /// Changes flags of a page; it merges with what it is like then.
    pub(crate) fn reflag(&mut self, i: usize, flags: VmaFlags) {
        if let Some(page) = &mut self.pages[i]
            && page.flags != flags
        {
            page.flags = flags;
            self.seams.extend([i, i + 1]);
        }
    }
}
