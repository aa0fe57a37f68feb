//! What the model knows of each page. It knows no VMAs, only the bounds that they were seen to have in the library's layout.

use super::BASE;
use super::hooks::Marked;
use super::keys::Keys;
use std::collections::BTreeSet;
use std::ops::Range;
use vmaple::mm::{AnonOwner, Backing, Limits, ObjectId};
use vmaple::{Access, PAGE_SIZE, VmaFlags};

/// The flags of VMAs that are not populated with the others (5.26).
const PASSED_OVER: VmaFlags = VmaFlags::LOCKONFAULT.union(VmaFlags::IO).union(VmaFlags::PFNMAP);

/// The number of pages of the address space.
pub(crate) const PAGES: usize = 48;

/// Stands for the object of a shared anonymous mapping, which the model does not know before it sees the layout.
pub(crate) const FRESH: Backing = match ObjectId::new((1 << 63) - 1) {
    Ok(object) => Backing::Object(object),
    Err(_) => panic!("it is not one of the library's own"),
};

/// Returns the address of a page.
pub(crate) fn address(page: usize) -> u64 {
    BASE + page as u64 * PAGE_SIZE
}

/// A page that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) flags: VmaFlags,
    pub(crate) backing: Backing,
    /// The offset in what backs the page, in bytes.
    pub(crate) offset: u64,
    pub(crate) owner: Option<AnonOwner>,
    pub(crate) payload: Marked,
    /// Identifies the page, also after it was moved.
    pub(crate) token: u32,
    /// Whether the page was seen in one VMA with the page below.
    pub(crate) joined: bool,
}

impl Page {
    /// Returns whether two adjacent pages may be in one VMA (5.7), if their owners allow it.
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
    /// The owners that were inherited from a parent.
    pub(crate) inherited: BTreeSet<AnonOwner>,
    pub(crate) tokens: u32,
    /// Pages that the last operation wrote to, and that have an owner since.
    pub(crate) written: BTreeSet<usize>,
    /// Pages that the last operation merges with the page below, if the two are alike (5.10, 5.11).
    pub(crate) seams: BTreeSet<usize>,
    /// The pages after each step of the last operation. If it failed, it may have stopped at any of them.
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

    /// Returns the pages of a range of addresses that starts and ends at a page's start. Pages outside the address space are left out.
    pub(crate) fn pages_of(start: u64, len: u64) -> Range<usize> {
        let page = |address: u64| usize::try_from((address.max(BASE) - BASE) / PAGE_SIZE).map_or(PAGES, |page| page.min(PAGES));
        page(start)..page(start.saturating_add(len))
    }

    pub(crate) fn at(&self, address: u64) -> Option<usize> {
        Self::pages_of(address, PAGE_SIZE).next().filter(|&page| self.pages[page].is_some() && address >= BASE)
    }

    /// Returns the pages of the VMA that a page was seen in.
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

    /// Populates pages: private writable ones are written to. Stops at the first that the thread may not access.
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

    /// Changes the flags of a page, which then merges with neighbours that are like it.
    pub(crate) fn reflag(&mut self, i: usize, flags: VmaFlags) {
        if let Some(page) = &mut self.pages[i]
            && page.flags != flags
        {
            page.flags = flags;
            self.seams.extend([i, i + 1]);
        }
    }
}
