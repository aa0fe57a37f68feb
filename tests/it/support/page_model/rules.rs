//! What the operations except `mremap` do to pages: a few lines each, from part 5 of `docs/semantics.md`. Of VMAs they ask only what Linux
//! asks: where one has its bounds. Limits on numbers are not here: `drive.rs` knows what may fail because of them.

use super::hooks::Marked;
use super::op::{Place, What, Within};
use super::page::{Model, PAGES, Page, address};
use super::place::Align;
use super::{BASE, EACCES, EEXIST, EINVAL, ENOMEM, EOVERFLOW, EPERM};
use std::ops::Range;
use vmaple::mm::{Advice, Backing, LockAll};
use vmaple::{Access, PAGE_SIZE, VmaFlags};

type Expected = Result<u64, i32>;

/// What does not merge (5.7).
pub(super) const SPECIAL: VmaFlags = VmaFlags::IO.union(VmaFlags::DONTEXPAND).union(VmaFlags::PFNMAP).union(VmaFlags::MIXEDMAP);
const MAY: VmaFlags = VmaFlags::MAYREAD.union(VmaFlags::MAYWRITE).union(VmaFlags::MAYEXEC);
const END: u64 = address_of_end();

const fn address_of_end() -> u64 {
    BASE + PAGES as u64 * PAGE_SIZE
}

/// A length in whole pages, if there is one.
fn whole(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(PAGE_SIZE)
}

/// A length rounded up to whole pages without a check: it may wrap around.
pub(super) fn whole_wrapping(len: u64) -> u64 {
    len.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

fn is_aligned(at: u64) -> bool {
    at.is_multiple_of(PAGE_SIZE)
}

/// A range of addresses, start and end, as pages: and whether it goes on where there are none.
struct Reach {
    below: bool,
    pages: Range<usize>,
    above: bool,
}

fn reach(start: u64, end: u64) -> Reach {
    Reach { below: start < BASE, pages: Model::pages_of(start.max(BASE), end.saturating_sub(start.max(BASE))), above: end > END }
}

impl Model {
    pub(crate) fn mmap(&mut self, at: u64, len: u64, what: What, place: Place, within: Within, populate: bool) -> Expected {
        let mut flags = what.flags;
        if flags.contains(VmaFlags::HUGETLB) && flags.huge_page_bytes().is_none() {
            flags |= VmaFlags::of_huge_pages(self.limits.hugetlb_bytes);
        }
        let page = flags.huge_page_bytes().unwrap_or(PAGE_SIZE);
        let is_huge = page > PAGE_SIZE;
        if is_huge && page != 4 * PAGE_SIZE && page != 8 * PAGE_SIZE {
            return Err(EINVAL);
        }
        if len == 0 || is_huge && len.checked_next_multiple_of(page).is_none() {
            return Err(EINVAL);
        }
        let len = len.checked_next_multiple_of(page).ok_or(ENOMEM)?;
        let key = self.new_key(what.flags);
        if len > END {
            return Err(ENOMEM);
        }
        let align = Align::of_new(self, flags, what.object);
        let start = match place {
            Place::Anywhere => self.place(0, len, within, align, flags).ok_or(ENOMEM)?,
            Place::Near => self.place(at, len, within, align, flags).ok_or(ENOMEM)?,
            Place::Fixed | Place::NoReplace if is_huge && !at.is_multiple_of(page) => return Err(EINVAL),
            Place::Fixed | Place::NoReplace if at > END - len => return Err(ENOMEM),
            Place::Fixed | Place::NoReplace if !is_aligned(at) => return Err(EINVAL),
            Place::Fixed | Place::NoReplace if at < BASE => return Err(EPERM),
            Place::Fixed | Place::NoReplace => at,
        };
        let pages = Self::pages_of(start, len);
        if place == Place::NoReplace && !self.is_free(pages.clone()) {
            return Err(EEXIST);
        }
        if flags.contains(VmaFlags::LOCKED) && self.limits.locked_bytes == 0 {
            return Err(EPERM);
        }
        // no file is longer
        if what.object.is_some_and(|(_, offset)| offset.checked_add(len).is_none_or(|end| end > i64::MAX.cast_unsigned())) {
            return Err(EOVERFLOW);
        }
        let has_object = what.object.is_some() || is_huge || flags.contains(VmaFlags::SHARED);
        if flags.is_stack() && has_object {
            return Err(EINVAL);
        }
        if flags.contains(VmaFlags::DROPPABLE) && (has_object || flags.intersects(VmaFlags::LOCKED | VmaFlags::GROWSDOWN)) {
            return Err(EINVAL);
        }
        self.give_way(pages.clone())?;
        if is_huge && what.object.is_some_and(|(_, offset)| !offset.is_multiple_of(page)) {
            self.empty(pages);
            return Err(EINVAL);
        }
        if !flags.intersects(MAY) {
            flags |= MAY;
        }
        flags |= if flags.contains(VmaFlags::SHARED) { VmaFlags::MAYSHARE } else { VmaFlags::MAYWRITE };
        if is_huge {
            flags |= VmaFlags::DONTEXPAND;
        }
        if flags.contains(VmaFlags::DROPPABLE) {
            flags |= VmaFlags::NORESERVE | VmaFlags::WIPEONFORK | VmaFlags::DONTDUMP;
        }
        if is_promised(flags) {
            flags |= VmaFlags::ACCOUNT;
        }
        flags |= self.locks_future;
        let flags = flags.with_pkey(key);
        let backing = what.backing();
        let is_lockable = !flags.intersects(SPECIAL | VmaFlags::HUGETLB | VmaFlags::DROPPABLE);
        let kept = if is_lockable { flags } else { flags - VmaFlags::LOCKED_MASK };
        for i in pages.clone() {
            let first = match (what.object, backing) {
                (Some((_, offset)), _) => offset,
                (None, Backing::Anonymous) => start,
                (None, _) => 0,
            };
            let offset = first + (i - pages.start) as u64 * PAGE_SIZE;
            let token = self.token();
            self.pages[i] = Some(Page { flags: kept, backing, offset, owner: None, payload: what.payload, token, joined: false });
        }
        self.seams.extend([pages.start, pages.end]);
        if populate || flags.contains(VmaFlags::LOCKED) {
            _ = self.populate(pages);
        }
        Ok(start)
    }

    pub(crate) fn munmap(&mut self, at: u64, len: u64) -> Expected {
        if !is_aligned(at) || at > END || len > END - at || len == 0 {
            return Err(EINVAL);
        }
        self.unmap(reach(at, at + whole_wrapping(len)).pages)
    }

    /// Sealed pages stay, and all others with them (5.15, 5.27).
    pub(super) fn unmap(&mut self, pages: Range<usize>) -> Expected {
        self.give_way(pages.clone())?;
        self.empty(pages);
        Ok(0)
    }

    /// Nothing keeps these pages: no seal, and no huge page that lies across an end.
    fn give_way(&mut self, pages: Range<usize>) -> Result<(), i32> {
        let is_sealed_at = |i: usize| self.pages.get(i).copied().flatten().is_some_and(|page| page.flags.contains(VmaFlags::SEALED));
        if !is_sealed_at(pages.start) && self.is_in_huge_page(pages.start) {
            return Err(EINVAL);
        }
        let is_sealed = self.is_sealed(pages.clone());
        if is_sealed || self.is_in_huge_page(pages.end) {
            // Where the first VMA is another than the sealed one it has been cut.
            self.part(pages.start);
            return Err(if is_sealed { EPERM } else { EINVAL });
        }
        Ok(())
    }

    /// 5.14: whether a VMA that begins at page `at` would begin inside a huge page.
    fn is_in_huge_page(&self, at: usize) -> bool {
        let page = self.pages.get(at).copied().flatten().filter(|page| page.joined);
        page.and_then(|page| page.flags.huge_page_bytes()).is_some_and(|bytes| !address(at).is_multiple_of(bytes))
    }

    /// Whether what is to change of the VMA that page `i` is of, where a range begins to be of it, cannot be cut out of it.
    fn is_cut(&self, i: usize, range: &Range<usize>) -> bool {
        let vma = self.vma_of(i);
        (i == range.start || i == vma.start) && (self.is_in_huge_page(i) || self.is_in_huge_page(vma.end.min(range.end)))
    }

    /// Nothing is there any more; what lies above starts there.
    pub(super) fn empty(&mut self, pages: Range<usize>) {
        self.part(pages.end);
        self.pages[pages].fill(None);
    }

    /// A VMA begins there, if any, for all that it may be like the one below; but what is sealed is not cut.
    fn part(&mut self, at: usize) {
        if let Some(Some(page)) = self.pages.get_mut(at)
            && !page.flags.contains(VmaFlags::SEALED)
        {
            page.joined = false;
            self.seams.remove(&at);
        }
    }

    pub(crate) fn mprotect(&mut self, at: u64, len: u64, access: VmaFlags, key: i32) -> Expected {
        if !is_aligned(at) {
            return Err(EINVAL);
        }
        if len == 0 {
            return Ok(0);
        }
        let end = at.wrapping_add(whole_wrapping(len));
        if end <= at {
            return Err(ENOMEM);
        }
        let grows = access & (VmaFlags::GROWSDOWN | VmaFlags::GROWSUP);
        let access = access - grows;
        if !VmaFlags::ACCESS.contains(access) {
            return Err(EINVAL);
        }
        self.keys.check(key)?;
        let Reach { below, pages, above } = reach(at, end);
        let first = pages.clone().find(|&i| self.pages[i].is_some()).ok_or(ENOMEM)?;
        let (mut pages, mut is_gap) = (pages, below);
        if grows.contains(VmaFlags::GROWSDOWN) {
            (pages.start, is_gap) = (self.vma_of(first).start, false);
        }
        if is_gap || self.pages[pages.start].is_none() {
            return Err(ENOMEM);
        }
        if !self.pages[first].is_some_and(|page| page.flags.contains(grows)) {
            return Err(EINVAL);
        }
        let mut above = above;
        if grows.contains(VmaFlags::GROWSUP) {
            (pages.end, above) = (self.vma_of(first).end, false);
        }
        for i in pages.clone() {
            let page = self.pages[i].ok_or(ENOMEM)?;
            self.protect(i, &page, (access, key), &pages)?;
        }
        if above { Err(ENOMEM) } else { Ok(0) }
    }

    fn protect(&mut self, i: usize, page: &Page, (access, key): (VmaFlags, i32), range: &Range<usize>) -> Result<(), i32> {
        let (old, mut new) = (page.flags, self.keyed(page.flags, access, key));
        let may = [(VmaFlags::READ, VmaFlags::MAYREAD), (VmaFlags::WRITE, VmaFlags::MAYWRITE), (VmaFlags::EXEC, VmaFlags::MAYEXEC)];
        if may.iter().any(|&(has, may)| new.contains(has) && !new.contains(may)) {
            return Err(EACCES);
        }
        if old.contains(VmaFlags::SEALED) {
            return Err(EPERM);
        }
        if new == old {
            return Ok(());
        }
        if self.is_cut(i, range) {
            return Err(EINVAL);
        }
        // What becomes writable is promised from then on; what was never written to is not any more (5.7).
        if is_promised(new) && !old.intersects(VmaFlags::WRITE | VmaFlags::ACCOUNT) {
            new |= VmaFlags::ACCOUNT;
        }
        if !new.contains(VmaFlags::WRITE) && page.backing == Backing::Anonymous && page.owner.is_none() {
            new -= VmaFlags::ACCOUNT;
        }
        self.reflag(i, new);
        if old.intersection(VmaFlags::LOCKED | VmaFlags::WRITE | VmaFlags::SHARED) == VmaFlags::LOCKED && new.contains(VmaFlags::WRITE) {
            _ = self.populate(i..i + 1);
        }
        Ok(())
    }

    pub(crate) fn madvise(&mut self, at: u64, len: u64, advice: Advice) -> Expected {
        let end = whole(len).and_then(|len| at.checked_add(len)).filter(|_| is_aligned(at)).ok_or(EINVAL)?;
        if end == at {
            return Ok(0);
        }
        let Reach { below, pages, above } = reach(at, end);
        let mut is_gap = below || above;
        for i in pages.clone() {
            let Some(page) = self.pages[i] else {
                is_gap = true;
                continue;
            };
            // What is sealed and cannot be written is not to be missing in a child (5.27, 8.7).
            let is_missed = matches!(advice, Advice::DontFork | Advice::WipeOnFork) && page.backing == Backing::Anonymous;
            let is_writable = page.flags.contains(VmaFlags::WRITE) && !self.keys.is_denied(&page, Access::Write);
            if is_missed && page.flags.contains(VmaFlags::SEALED) && !is_writable {
                return Err(EPERM);
            }
            let new = advised(&page, advice).ok_or(EINVAL)?;
            if new != page.flags && self.is_cut(i, &pages) {
                return Err(EINVAL);
            }
            self.reflag(i, new);
        }
        if is_gap { Err(ENOMEM) } else { Ok(0) }
    }

    pub(crate) fn mlock(&mut self, at: u64, len: u64, on_fault: bool) -> Expected {
        if self.limits.locked_bytes == 0 {
            return Err(EPERM);
        }
        let locked = if on_fault { VmaFlags::LOCKED_MASK } else { VmaFlags::LOCKED };
        self.lock_pages(at, len, |flags| (flags - VmaFlags::LOCKED_MASK) | locked)?;
        let len = whole_wrapping(len.wrapping_add(at % PAGE_SIZE));
        self.populate(Self::pages_of(at - at % PAGE_SIZE, len)).map(|()| 0)
    }

    pub(crate) fn munlock(&mut self, at: u64, len: u64) -> Expected {
        self.lock_pages(at, len, |flags| flags - VmaFlags::LOCKED_MASK)
    }

    fn lock_pages(&mut self, at: u64, len: u64, new: impl Fn(VmaFlags) -> VmaFlags) -> Expected {
        let len = whole_wrapping(len.wrapping_add(at % PAGE_SIZE));
        let start = at - at % PAGE_SIZE;
        let end = start.wrapping_add(len);
        if end <= start {
            return if end == start { Ok(0) } else { Err(EINVAL) };
        }
        let Reach { below, pages, above } = reach(start, end);
        if below {
            return Err(ENOMEM);
        }
        for i in pages {
            self.pages[i].ok_or(ENOMEM)?;
            self.lock_page(i, &new);
        }
        if above { Err(ENOMEM) } else { Ok(0) }
    }

    fn lock_page(&mut self, i: usize, new: impl Fn(VmaFlags) -> VmaFlags) {
        if let Some(page) = self.pages[i]
            && !page.flags.intersects(SPECIAL | VmaFlags::HUGETLB | VmaFlags::DROPPABLE)
        {
            self.reflag(i, new(page.flags));
        }
    }

    pub(crate) fn mlockall(&mut self, what: LockAll) -> Expected {
        if self.limits.locked_bytes == 0 {
            return Err(EPERM);
        }
        let is_on_fault = matches!(what, LockAll::CurrentOnFault | LockAll::FutureOnFault | LockAll::CurrentAndFutureOnFault);
        let locked = if is_on_fault { VmaFlags::LOCKED_MASK } else { VmaFlags::LOCKED };
        let is_of_now = matches!(what, LockAll::Current | LockAll::CurrentOnFault);
        self.locks_future = if is_of_now { VmaFlags::empty() } else { locked };
        if !matches!(what, LockAll::Future | LockAll::FutureOnFault) {
            for i in 0..PAGES {
                self.lock_page(i, |flags| (flags - VmaFlags::LOCKED_MASK) | locked);
                _ = self.populate(i..i + 1);
            }
        }
        Ok(0)
    }

    pub(crate) fn munlockall(&mut self) -> u64 {
        self.locks_future = VmaFlags::empty();
        (0..PAGES).for_each(|i| self.lock_page(i, |flags| flags - VmaFlags::LOCKED_MASK));
        0
    }

    pub(crate) fn mseal(&mut self, at: u64, len: u64) -> Expected {
        let end = whole(len).and_then(|len| at.checked_add(len)).filter(|_| is_aligned(at)).ok_or(EINVAL)?;
        if end == at {
            return Ok(0);
        }
        let Reach { below, pages, above } = reach(at, end);
        if below || above || pages.clone().any(|i| self.pages[i].is_none()) {
            return Err(ENOMEM);
        }
        for i in pages.clone() {
            let flags = self.pages[i].map_or(VmaFlags::empty(), |page| page.flags);
            if !flags.contains(VmaFlags::SEALED) && self.is_cut(i, &pages) {
                return Err(EINVAL);
            }
            self.reflag(i, flags | VmaFlags::SEALED);
        }
        Ok(0)
    }

    pub(crate) fn move_brk(&mut self, brk: u64) -> Expected {
        let end = whole(brk).ok_or(ENOMEM)?;
        if brk < self.brk_start {
            return Err(ENOMEM);
        }
        let old_end = whole_wrapping(self.brk);
        if end < old_end {
            let pages = reach(end, old_end).pages;
            if self.is_free(pages.clone()) {
                return Err(ENOMEM);
            }
            self.unmap(pages)?;
        }
        if end > old_end {
            self.grow_heap(old_end, end)?;
        }
        self.brk = brk;
        Ok(brk)
    }

    fn grow_heap(&mut self, from: u64, to: u64) -> Result<(), i32> {
        // A page more is left free, and the guard gap of a stack; the address space may end there.
        let gap = usize::try_from(self.limits.stack_guard_gap_pages).expect("a small gap");
        let pages = Self::pages_of(from, to - from);
        let next = (pages.start..PAGES).find(|&i| self.pages[i].is_some());
        let is_stack = |i: usize| self.pages[i].is_some_and(|page| page.flags.contains(VmaFlags::GROWSDOWN));
        if to > END || next.is_some_and(|next| next < pages.end + if is_stack(next) { gap + 1 } else { 1 }) {
            return Err(ENOMEM);
        }
        let flags = VmaFlags::READ | VmaFlags::WRITE | MAY | VmaFlags::ACCOUNT | self.locks_future;
        // Of what kind the heap is that it goes on with; nothing, at its start.
        let heap = pages.start.checked_sub(1).and_then(|below| self.pages[below]).filter(|_| from > self.brk_start);
        let payload = heap.map_or_else(Marked::default, |page| page.payload);
        for i in pages.clone() {
            let token = self.token();
            let page = Page { flags, backing: Backing::Anonymous, offset: address(i), owner: None, payload, token, joined: false };
            self.pages[i] = Some(page);
        }
        self.seams.extend(heap.map(|_| pages.start));
        if self.locks_future.contains(VmaFlags::LOCKED) {
            _ = self.populate(pages);
        }
        Ok(())
    }

    /// A stack has grown to a page, from the one where it began or ended.
    pub(crate) fn grow(&mut self, from: usize, to: usize) {
        let Some(stack) = self.pages[from] else { unreachable!("it grew from somewhere") };
        for i in if to < from { to..from } else { from + 1..to + 1 } {
            let offset = stack.offset.wrapping_add(address(i)).wrapping_sub(address(from));
            let token = self.token();
            self.pages[i] = Some(Page { offset, token, ..stack });
        }
        self.written.insert(to);
    }
}

fn is_promised(flags: VmaFlags) -> bool {
    flags.contains(VmaFlags::WRITE) && !flags.intersects(VmaFlags::SHARED | VmaFlags::NORESERVE | VmaFlags::HUGETLB)
}

/// Returns the flags of a page that follows an advice, or `None` if the advice makes no sense there.
fn advised(page: &Page, advice: Advice) -> Option<VmaFlags> {
    let old = page.flags;
    let reading = VmaFlags::SEQ_READ | VmaFlags::RAND_READ;
    let huge = VmaFlags::HUGEPAGE | VmaFlags::NOHUGEPAGE;
    let is_shared = old.intersects(VmaFlags::SHARED | VmaFlags::MAYSHARE);
    match advice {
        Advice::Normal => Some(old - reading),
        Advice::Random => Some((old - reading) | VmaFlags::RAND_READ),
        Advice::Sequential => Some((old - reading) | VmaFlags::SEQ_READ),
        Advice::DontFork => Some(old | VmaFlags::DONTCOPY),
        Advice::DoFork => (!old.contains(VmaFlags::IO)).then_some(old - VmaFlags::DONTCOPY),
        Advice::WipeOnFork => (page.backing == Backing::Anonymous && !is_shared).then_some(old | VmaFlags::WIPEONFORK),
        Advice::KeepOnFork | Advice::DoDump if old.contains(VmaFlags::DROPPABLE) => None,
        Advice::KeepOnFork => Some(old - VmaFlags::WIPEONFORK),
        Advice::DontDump => Some(old | VmaFlags::DONTDUMP),
        Advice::DoDump => (old.contains(VmaFlags::HUGETLB) || !old.intersects(SPECIAL)).then_some(old - VmaFlags::DONTDUMP),
        Advice::Mergeable if is_shared || old.intersects(SPECIAL | VmaFlags::HUGETLB | VmaFlags::DROPPABLE) => Some(old),
        Advice::Mergeable => Some(old | VmaFlags::MERGEABLE),
        Advice::Unmergeable => Some(old - VmaFlags::MERGEABLE),
        Advice::HugePage => Some((old - huge) | VmaFlags::HUGEPAGE),
        Advice::NoHugePage => Some((old - huge) | VmaFlags::NOHUGEPAGE),
        other => unreachable!("{other:?} is not among what is tried"),
    }
}
