//! What `mremap` does to pages (5.17 to 5.23).

use super::hooks::Marked;
use super::op::Within;
use super::page::{Model, PAGES, Page, address};
use super::place::Align;
use super::rules::{SPECIAL, whole_wrapping};
use super::{BASE, EFAULT, EINVAL, ENOMEM, EPERM};
use bitflags::bitflags;
use std::ops::Range;
use vmaple::mm::{Backing, RemapRequest};
use vmaple::{PAGE_SIZE, VmaFlags};

type Expected = Result<u64, i32>;

bitflags! {
    /// The flags of the system call, with Linux's numbers.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct RemapFlags: u32 {
        const MAYMOVE = 1;
        const FIXED = 2;
        const DONTUNMAP = 4;
    }
}

/// What is asked for, in whole pages.
#[derive(Clone, Copy)]
pub(crate) struct Remap {
    pub(crate) from: u64,
    pub(crate) old_len: u64,
    pub(crate) new_len: u64,
    pub(crate) flags: RemapFlags,
    pub(crate) to: u64,
}

impl Remap {
    pub(crate) fn request(self) -> RemapRequest {
        RemapRequest::from_raw(self.from, self.old_len, self.new_len, self.flags.bits(), self.to)
    }

    fn is(&self, flag: RemapFlags) -> bool {
        self.flags.contains(flag)
    }

    fn has_target(&self) -> bool {
        self.flags.intersects(RemapFlags::FIXED | RemapFlags::DONTUNMAP)
    }

    fn check(&self) -> Result<(), i32> {
        let &Self { from, old_len, new_len, flags, to } = self;
        let end = address(PAGES);
        if !RemapFlags::all().contains(flags) || !from.is_multiple_of(PAGE_SIZE) || new_len == 0 || new_len > end {
            return Err(EINVAL);
        }
        if !self.has_target() {
            return Ok(());
        }
        let overlaps = from.wrapping_add(old_len) > to && to + new_len > from;
        let is_bad = to > end - new_len || !to.is_multiple_of(PAGE_SIZE);
        if is_bad || !self.is(RemapFlags::MAYMOVE) || self.is(RemapFlags::DONTUNMAP) && old_len != new_len || overlaps {
            return Err(EINVAL);
        }
        Ok(())
    }
}

impl Model {
    pub(crate) fn mremap(&mut self, mut remap: Remap) -> Expected {
        (remap.old_len, remap.new_len) = (whole_wrapping(remap.old_len), whole_wrapping(remap.new_len));
        remap.check()?;
        if remap.is(RemapFlags::FIXED) && remap.old_len == remap.new_len { self.move_several(remap) } else { self.remap_one(remap) }
    }

    /// 5.21: moves VMA by VMA, and keeps the gaps between them.
    fn move_several(&mut self, remap: Remap) -> Expected {
        let Remap { from, old_len, to, .. } = remap;
        let source = Self::pages_of(from, old_len);
        if from < BASE || source.is_empty() || self.pages[source.start].is_none() {
            return Err(EFAULT);
        }
        let mut at = source.start;
        while let Some(start) = (at..source.end).find(|&i| self.pages[i].is_some()) {
            // A VMA that was moved may have merged with the next one.
            at = self.vma_of(start).end.min(source.end);
            let len = (at - start) as u64 * PAGE_SIZE;
            let one = Remap { from: address(start), old_len: len, new_len: len, to: to + (address(start) - from), ..remap };
            let one = self.check_source(one)?;
            self.remap_to(one, one.to)?;
        }
        Ok(to)
    }

    fn remap_one(&mut self, remap: Remap) -> Expected {
        let remap = self.check_source(remap)?;
        let Remap { from, old_len, new_len, to, .. } = remap;
        if remap.has_target() {
            let to = if remap.is(RemapFlags::FIXED) { Some(to) } else { self.place_for(remap, to) };
            return self.remap_to(remap, to.ok_or(ENOMEM)?);
        }
        if new_len < old_len {
            return self.munmap(from + new_len, old_len - new_len).map(|_| from);
        }
        if new_len == old_len {
            return Ok(from);
        }
        let vma = self.at(from).map(|i| self.vma_of(i)).ok_or(EFAULT)?;
        let tail = vma.end..vma.end + pages(new_len - old_len);
        if from + old_len == address(vma.end) && tail.end <= PAGES && self.is_free(tail.clone()) {
            // It merges with what is more of it, or does not grow.
            if self.pages[vma.start].is_some_and(|page| page.flags.intersects(SPECIAL)) {
                return Err(ENOMEM);
            }
            self.copy_on(vma.end - 1, tail.clone());
            self.seams.extend([tail.start, tail.end]);
            if self.pages[vma.end - 1].is_some_and(|page| page.flags.contains(VmaFlags::LOCKED)) {
                _ = self.populate(tail);
            }
            return Ok(from);
        }
        if !remap.is(RemapFlags::MAYMOVE) {
            return Err(ENOMEM);
        }
        let to = self.place_for(remap, 0).ok_or(ENOMEM)?;
        Ok(self.move_to(remap, to))
    }

    fn place_for(&self, remap: Remap, hint: u64) -> Option<u64> {
        let page = self.at(remap.from).and_then(|i| self.pages[i])?;
        self.place(hint, remap.new_len, Within::All, Align::of_moved(self, page.backing, page.offset), page.flags)
    }

    /// What is asked of what is there, in the pages that it consists of, if it may be.
    fn check_source(&self, mut remap: Remap) -> Result<Remap, i32> {
        let Remap { from, to, .. } = remap;
        let i = self.at(from).ok_or(EFAULT)?;
        let flags = self.pages[i].map_or(VmaFlags::empty(), |page| page.flags);
        if flags.contains(VmaFlags::SEALED) {
            return Err(EPERM);
        }
        if let Some(bytes) = flags.huge_page_bytes() {
            let up = |len: u64| len.wrapping_add(bytes - 1) / bytes * bytes;
            (remap.old_len, remap.new_len) = (up(remap.old_len), up(remap.new_len));
            if !from.is_multiple_of(bytes) || !to.is_multiple_of(bytes) || remap.new_len > remap.old_len {
                return Err(EINVAL);
            }
        }
        let Remap { old_len, new_len, .. } = remap;
        if new_len <= old_len && !remap.has_target() {
            return Ok(remap);
        }
        let is_unmovable = flags.intersects(VmaFlags::DONTEXPAND | VmaFlags::PFNMAP);
        let is_shared = flags.intersects(VmaFlags::SHARED | VmaFlags::MAYSHARE);
        if old_len == 0 && !is_shared || remap.is(RemapFlags::DONTUNMAP) && is_unmovable {
            return Err(EINVAL);
        }
        if old_len.min(new_len) > address(self.vma_of(i).end) - from || new_len > old_len && is_unmovable {
            return Err(EFAULT);
        }
        Ok(remap)
    }

    /// 5.20: unmaps the target, then the excess of the source, and then moves the rest.
    fn remap_to(&mut self, mut remap: Remap, to: u64) -> Expected {
        if remap.is(RemapFlags::FIXED) {
            // In whole huge pages it may go on beyond the end.
            if to > address(PAGES) - remap.new_len {
                return Err(EINVAL);
            }
            self.unmap(Self::pages_of(to, remap.new_len))?;
            self.stages.push(self.pages);
        }
        if remap.new_len < remap.old_len {
            self.munmap(remap.from + remap.new_len, remap.old_len - remap.new_len)?;
            self.stages.push(self.pages);
            remap.old_len = remap.new_len;
        }
        let to = self.move_to(remap, to);
        self.stages.push(self.pages);
        Ok(to)
    }

    fn move_to(&mut self, remap: Remap, to: u64) -> u64 {
        let Remap { from, old_len, new_len, .. } = remap;
        let source = Self::pages_of(from, old_len);
        let target = Self::pages_of(to, new_len);
        let Some(first) = self.pages[pages(from - BASE)] else { unreachable!("the source was looked at") };
        // 5.22: what was never written to is as if mapped there.
        let is_new = first.backing == Backing::Anonymous && first.owner.is_none();
        for i in target.clone() {
            let behind = (i - target.start) as u64 * PAGE_SIZE;
            let token = match source.clone().nth(i - target.start).and_then(|old| self.pages[old]) {
                Some(page) => page.token,
                None => self.token(),
            };
            let offset = if is_new { address(i) } else { first.offset.wrapping_add(behind) };
            self.pages[i] = Some(Page { offset, token, joined: false, ..first });
        }
        self.join(&target);
        // The pages went; what may not be split stays without them.
        for i in source.clone() {
            let token = self.token();
            self.pages[i].iter_mut().for_each(|page| page.token = token);
        }
        self.stages.push(self.pages);
        if !remap.is(RemapFlags::DONTUNMAP) {
            self.empty(source.clone());
        } else if !source.is_empty() {
            self.leave_behind(&source);
        }
        if first.flags.contains(VmaFlags::LOCKED) {
            _ = self.populate(target.start + source.len()..target.end);
        }
        to
    }

    /// What was put there is one VMA, with what touches it where they are alike (5.7 to 5.12), and has the owner there is.
    fn join(&mut self, target: &Range<usize>) {
        let merging = |at: usize| {
            let (low, high) = (self.pages[at.checked_sub(1)?]?, (*self.pages.get(at)?)?);
            let is_one = low.goes_on_in(&high) && !high.flags.intersects(SPECIAL) && self.agree(&low, &high);
            is_one.then_some((low, high))
        };
        let below = merging(target.start);
        let above = merging(target.end).filter(|(_, next)| {
            below.is_none_or(|(prev, _)| {
                next.payload != Marked::LASTING && prev.owner.zip(next.owner).is_none_or(|(prev, next)| prev == next)
            })
        });
        let is_joined = [(target.start, below.is_some()), (target.end, above.is_some())];
        for (i, joined) in (target.start + 1..target.end).map(|i| (i, true)).chain(is_joined) {
            if let Some(Some(page)) = self.pages.get_mut(i) {
                page.joined = joined;
            }
            // What becomes alike later on, by another step, stays two.
            _ = if joined { self.seams.insert(i) } else { self.seams.remove(&i) };
        }
        let vma = self.vma_of(target.start);
        let owner = self.pages[vma.clone()].iter().flatten().find_map(|page| page.owner);
        self.pages[vma].iter_mut().flatten().for_each(|page| page.owner = owner);
    }

    /// The source stays, empty. Its VMA, which may be one with the target by now, is not locked any more; and if all of it was moved
    /// nothing there has an owner.
    fn leave_behind(&mut self, source: &Range<usize>) {
        let vma = self.vma_of(source.start);
        for page in self.pages[vma.clone()].iter_mut().flatten() {
            page.flags -= VmaFlags::LOCKED_MASK;
        }
        if *source == vma {
            self.pages[vma].iter_mut().flatten().for_each(|page| page.owner = None);
        }
    }

    /// Adds pages to the VMA of which this is the last page.
    fn copy_on(&mut self, last: usize, more: Range<usize>) {
        let Some(page) = self.pages[last] else { unreachable!("it is the last of a VMA") };
        for i in more {
            let offset = page.offset.wrapping_add((i - last) as u64 * PAGE_SIZE);
            let token = self.token();
            self.pages[i] = Some(Page { offset, token, ..page });
        }
    }
}

fn pages(len: u64) -> usize {
    usize::try_from(len / PAGE_SIZE).unwrap_or(PAGES)
}
