//! Compares the layout with what is known of its pages. What the model cannot know (a new owner, a new object, where equal VMAs have a bound)
//! it takes from the layout, if it is possible.

use super::hooks::Marked;
use super::page::{FRESH, Model, PAGES, Page, address};
use super::rules::SPECIAL;
use std::collections::BTreeSet;
use vmaple::mm::{Backing, MmWriteGuard};
use vmaple::{Mm, PAGE_SIZE, VmaFlags};

/// The pages as they are seen; their tokens are the model's to say.
pub(crate) type Seen = [Option<Page>; PAGES];

/// Takes the layout down, and checks what is always true (5.29).
pub(crate) fn see(writer: &MmWriteGuard<'_, Marked>) -> Seen {
    writer.validate().expect("the invariants hold");
    let (mut seen, mut count, mut end) = ([None; PAGES], 0, 0);
    for vma in writer.iter() {
        count += 1;
        assert!(vma.start().is_multiple_of(PAGE_SIZE) && (vma.last() + 1).is_multiple_of(PAGE_SIZE), "whole pages: {vma:?}");
        assert!(end <= vma.start() && vma.start() < vma.last(), "in order, and not empty: {vma:?}");
        assert!(vma.start() >= super::BASE && vma.last() < address(PAGES), "in the address space: {vma:?}");
        assert!(vma.is_attached(), "3.10: {vma:?}");
        end = vma.last() + 1;
        for i in Model::pages_of(vma.start(), end - vma.start()) {
            seen[i] = Some(Page {
                flags: vma.flags(),
                backing: vma.backing(),
                offset: vma.offset_of(address(i)),
                owner: vma.anon_owner(),
                payload: *vma.payload(),
                token: 0,
                joined: address(i) != vma.start(),
            });
        }
    }
    let mm = writer.mm();
    assert_eq!(mm.len(), count, "the number of VMAs");
    check_accounts(mm, &seen);
    seen
}

/// The sums over pages, one kind after the other (2.8).
fn check_accounts(mm: &Mm<Marked>, seen: &Seen) {
    let count = |is: &dyn Fn(VmaFlags) -> bool| seen.iter().flatten().filter(|page| is(page.flags)).count() as u64;
    let grows = |flags: VmaFlags| flags.intersects(VmaFlags::GROWSDOWN | VmaFlags::GROWSUP);
    let has = |flags: VmaFlags, one| flags.contains(one);
    let stats = mm.stats();
    let accounts = [stats.total_pages, stats.stack_pages, stats.data_pages, stats.exec_pages, stats.locked_pages, stats.committed_pages];
    let sums = [
        count(&|_| true),
        count(&grows),
        count(&|flags| has(flags, VmaFlags::WRITE) && !has(flags, VmaFlags::SHARED) && !grows(flags)),
        count(&|flags| has(flags, VmaFlags::EXEC) && !has(flags, VmaFlags::WRITE) && !grows(flags)),
        count(&|flags| has(flags, VmaFlags::LOCKED)),
        count(&|flags| has(flags, VmaFlags::ACCOUNT)),
    ];
    assert_eq!(accounts, sums, "the accounts");
}

fn is_like(known: &Page, seen: &Page) -> bool {
    let is_backed = match (known.backing, seen.backing) {
        (FRESH, Backing::Object(object) | Backing::SharedMemory(object)) => {
            let is_shared = matches!(seen.backing, Backing::SharedMemory(_));
            object.number() >> 63 == 1 && is_shared == seen.flags.contains(VmaFlags::SHARED)
        }
        (known, seen) => known == seen,
    };
    (known.flags, known.offset, known.payload) == (seen.flags, seen.offset, seen.payload) && is_backed
}

/// Whether these pages are what is seen, owners and all.
pub(crate) fn is_seen(pages: &[Option<Page>; PAGES], seen: &Seen) -> bool {
    pages.iter().zip(seen).all(|(known, seen)| match (known, seen) {
        (Some(known), Some(seen)) => is_like(known, seen) && known.owner == seen.owner,
        (known, seen) => known.is_none() && seen.is_none(),
    })
}

impl Model {
    /// Whether page `i` can be what is seen there.
    pub(crate) fn fits(&self, i: usize, seen: &Seen) -> bool {
        match (&self.pages[i], &seen[i]) {
            (Some(known), Some(seen)) => is_like(known, seen),
            (None, None) => true,
            _ => false,
        }
    }

    /// Compares all, and takes over what it could not know. `before` is what was known before the operation; objects that are fresh must
    /// not be among `objects`.
    pub(crate) fn settle(&mut self, seen: &Seen, before: &Self, objects: &mut BTreeSet<u64>) {
        for i in 0..PAGES {
            assert!(self.fits(i, seen), "page {i} is to be {:?}, and is {:?}", self.pages[i], seen[i]);
        }
        self.check_owners(seen);
        self.check_bounds(seen, before);
        let mut fresh = BTreeSet::new();
        for (known, seen) in self.pages.iter_mut().zip(seen) {
            let (Some(known), Some(seen)) = (known, seen) else { continue };
            if let (FRESH, Backing::Object(object) | Backing::SharedMemory(object)) = (known.backing, seen.backing) {
                fresh.insert(object.number());
            }
            (known.backing, known.owner, known.joined) = (seen.backing, seen.owner, seen.joined);
        }
        assert!(fresh.len() <= 1 && fresh.is_disjoint(objects), "5.8: each shared anonymous mapping has an object of its own: {fresh:?}");
        objects.extend(fresh);
        self.written.clear();
        self.seams.clear();
        self.stages.clear();
    }

    /// An owner stays with its pages, and comes only where a page was written to, or with the VMA that pages became part of (5.9).
    fn check_owners(&self, seen: &Seen) {
        for (i, (known, page)) in self.pages.iter().zip(seen).enumerate() {
            let (Some(known), Some(page)) = (known, page) else { continue };
            if known.owner.is_some() {
                assert_eq!(page.owner, known.owner, "page {i} has lost its owner");
            } else if page.owner.is_some() {
                let start = (0..=i).rev().find(|&i| !seen[i].is_some_and(|page| page.joined)).unwrap_or(0);
                let end = (i + 1..PAGES).find(|&i| !seen[i].is_some_and(|page| page.joined)).unwrap_or(PAGES);
                let had = |i: usize| self.pages[i].is_some_and(|known| known.owner == page.owner);
                assert!((start..end).any(|i| had(i) || self.written.contains(&i)), "page {i} has an owner, and nobody wrote to it");
            }
            assert!(page.owner.is_some() || !self.written.contains(&i), "page {i} was written to, and has no owner");
        }
    }

    /// Where VMAs have their bounds: wherever two pages differ, and nowhere inside what an operation makes one (5.7 to 5.13).
    fn check_bounds(&self, seen: &Seen, before: &Self) {
        for i in 1..PAGES {
            let (Some(low), Some(high)) = (&seen[i - 1], &seen[i]) else { continue };
            if high.joined {
                assert!(low.goes_on_in(high), "pages {} and {i} are of one VMA, and differ: {low:?}, {high:?}", i - 1);
            }
            let stayed = |i: usize| self.pages[i].map(|page| page.token) == before.pages[i].map(|page| page.token);
            let was_joined = before.pages[i].is_some_and(|page| page.joined);
            if stayed(i - 1) && stayed(i) {
                assert!(was_joined || !high.joined || !high.flags.intersects(SPECIAL), "special VMAs merged at page {i}");
                assert!(!was_joined || high.joined || high.payload != Marked::WHOLE, "5.14: cut at page {i}, which may not be");
            }
            let are_plain = [low, high].iter().all(|page| page.payload != Marked::WHOLE && page.payload != Marked::LASTING);
            if self.seams.contains(&i) && are_plain && low.goes_on_in(high) && !high.flags.intersects(SPECIAL) && self.agree(low, high) {
                assert!(high.joined, "pages {} and {i} are alike, and of two VMAs: {low:?}, {high:?}", i - 1);
            }
        }
        self.check_lasting(seen, before);
    }

    /// 5.9.
    pub(super) fn agree(&self, low: &Page, high: &Page) -> bool {
        match (low.owner, high.owner) {
            (Some(owner), None) | (None, Some(owner)) => !self.inherited.contains(&owner),
            (low, high) => low == high,
        }
    }

    /// 5.12: a VMA whose end must be reported does not vanish in a merge.
    fn check_lasting(&self, seen: &Seen, before: &Self) {
        let lasting = |pages: &Seen| pages.iter().flatten().filter(|page| page.payload == Marked::LASTING && !page.joined).count();
        let all_stayed = (0..PAGES).all(|i| {
            before.pages[i].is_none_or(|was| was.payload != Marked::LASTING || self.pages[i].is_some_and(|page| page.token == was.token))
        });
        assert!(!all_stayed || lasting(seen) >= lasting(&before.pages), "5.12: a VMA vanished whose end must be reported");
    }
}
