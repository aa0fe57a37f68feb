//! Resizing and moving: Linux's `mremap` (5.17 to 5.23), in its order.

use super::MmWriteGuard;
use super::draft::{Effect, Gaps, LayoutDraft, Sides};
use super::huge::page_bytes;
use super::limits::Limits;
use super::munmap;
use super::pages::{round_up, span_of, with_adjacent};
use super::place::{Alignment, Search, Within};
use super::plan::Plan;
use super::staged::{Origin, StagedVma};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, MremapError, MunmapError};
use crate::lock::{Patience, RawMmLock};
use crate::tree::Charge;
use crate::vma::{Backing, Payload, Vma, VmaDraft, VmaFlags};
use bitflags::bitflags;

bitflags! {
    /// How a mapping may be resized: Linux's `MREMAP_MAYMOVE` and so on, with Linux's numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct MremapFlags: u32 {
        /// It may be moved.
        const MAYMOVE = 1;
        /// It is moved to the address given, instead of what is there.
        const FIXED = 2;
        /// The source stays mapped, without its pages.
        const DONTUNMAP = 4;
    }
}

/// What is asked for, in whole pages.
#[derive(Clone, Copy, Debug)]
struct Remap {
    from: u64,
    old_len: u64,
    new_len: u64,
    flags: MremapFlags,
    /// The target, or a hint, where the flags say that there is one.
    to: u64,
    asked: Asked,
}

/// The lengths as they were given, for messages: in whole pages they may come round.
#[derive(Clone, Copy, Debug)]
struct Asked {
    old_len: u64,
    new_len: u64,
}

impl Remap {
    fn has_target(&self) -> bool {
        self.flags.intersects(MremapFlags::FIXED | MremapFlags::DONTUNMAP)
    }

    /// The same size at a fixed target: then several VMAs may be moved (5.21).
    fn is_move_only(&self) -> bool {
        self.old_len == self.new_len && self.flags.contains(MremapFlags::FIXED)
    }

    fn is_expansion(&self) -> bool {
        self.new_len > self.old_len
    }

    /// The same in whole huge pages, where the VMA consists of such. In Linux's arithmetic: what comes round is no length any more.
    fn in_pages_of(self, page_bytes: u64) -> Self {
        Self { old_len: round_up(self.old_len, page_bytes), new_len: round_up(self.new_len, page_bytes), ..self }
    }

    /// The source; none of length 0.
    fn source(&self) -> Option<Span> {
        span_of(self.from, self.old_len)
    }
}

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Resizes what is mapped from `from` on, or moves it, or both; tells where it is then. `to` is the target with `FIXED`, a hint with
    /// `DONTUNMAP` alone, and else not looked at.
    ///
    /// Of memory that consists of huge pages whole ones are meant: lengths are rounded up to them, and both addresses must be at the start of
    /// one, `to` also where it is not looked at. It never grows.
    ///
    /// A reader without a lock sees a moved VMA at its old place or at its new one, never at both or at none.
    ///
    /// # Complexity
    /// A move copies the index's entries that lie between the two places.
    ///
    /// # Errors
    /// [`MremapError`]: rules 5.17 to 5.23. As in Linux, the target of a fixed move may be unmapped then, the source shrunk, and of several
    /// VMAs some moved.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{MapRequest, MremapFlags};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ)).fixed(0x10_0000))?;
    /// // In place, for there is room above.
    /// assert_eq!(writer.mremap(at, 0x4000, 0x6000, MremapFlags::empty(), 0)?, at);
    /// let moved = writer.mremap(at, 0x6000, 0x6000, MremapFlags::MAYMOVE | MremapFlags::FIXED, 0x20_0000)?;
    /// assert_eq!((moved, mm.len()), (0x20_0000, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mremap(&mut self, from: u64, old_len: u64, new_len: u64, flags: MremapFlags, to: u64) -> Result<u64, MremapError> {
        self.plan_mremap(from, old_len, new_len, flags, to, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mremap(
        &mut self,
        from: u64,
        old_len: u64,
        new_len: u64,
        flags: MremapFlags,
        to: u64,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MremapError, L> {
        let limits = self.mm().limits_now();
        let asked = Asked { old_len, new_len };
        let remap = Remap { from, old_len: round_up(old_len, PAGE_SIZE), new_len: round_up(new_len, PAGE_SIZE), flags, to, asked };
        let prepared = self.check_remap(remap, &limits).and_then(|()| self.reach(self.in_whole_pages(remap), &limits));
        let (stretch, target) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.nothing(Err(error)),
        };
        self.plan(with_adjacent(stretch), &limits, patience, |draft| {
            if remap.is_move_only() { draft.move_several(remap, &limits) } else { draft.remap(remap, target, &limits) }
        })
    }

    /// 5.17: what can be said without looking at the layout.
    fn check_remap(&self, remap: Remap, limits: &Limits) -> Result<(), MremapError> {
        let Remap { from, new_len, flags, to, .. } = remap;
        let task_size = limits.task_size;
        if !MremapFlags::all().contains(flags) {
            return Err(MremapError::Contradiction);
        }
        if !from.is_multiple_of(PAGE_SIZE) {
            return Err(MremapError::Range { at: from, len: remap.asked.old_len });
        }
        if new_len == 0 || new_len > task_size {
            return Err(MremapError::Range { at: from, len: remap.asked.new_len });
        }
        if !remap.has_target() {
            return Ok(());
        }
        if to > task_size - new_len || !to.is_multiple_of(PAGE_SIZE) {
            return Err(MremapError::Range { at: to, len: remap.asked.new_len });
        }
        let resizes = remap.old_len != new_len;
        if !flags.contains(MremapFlags::MAYMOVE) || flags.contains(MremapFlags::DONTUNMAP) && resizes {
            return Err(MremapError::Contradiction);
        }
        // Of no length it overlaps what it is inside of. In Linux's arithmetic, which may come round.
        if from.wrapping_add(remap.old_len) > to && to + new_len > from {
            let last = from.saturating_add(remap.old_len.saturating_sub(1));
            let source = Span::from_entry(from, last);
            return Err(MremapError::Overlap { from: source, to: Span::from_entry(to, to + (new_len - 1)) });
        }
        // 5.23
        check_spare(self.mm().len() + 2, limits)?;
        Ok(())
    }

    /// As far as it reaches: where it ends inside a huge page it takes all of that.
    fn in_whole_pages(&self, remap: Remap) -> Remap {
        let page_bytes_at = |at| self.lookup(at).map_or(PAGE_SIZE, |vma| page_bytes(vma.flags()));
        if !remap.is_move_only() {
            return remap.in_pages_of(page_bytes_at(remap.from));
        }
        // Of several VMAs the last.
        let Some(end) = remap.source().and_then(|source| source.last().checked_add(1)) else { return remap };
        let more = end.checked_next_multiple_of(page_bytes_at(end - 1)).map_or(0, |whole| whole - end);
        let len = remap.old_len.saturating_add(more);
        Remap { old_len: len, new_len: len, ..remap }
    }

    /// What of the layout the operation may touch, and where it goes, if its place is searched.
    fn reach(&self, remap: Remap, limits: &Limits) -> Result<(Span, Option<u64>), MremapError> {
        // What is to go may come round: then it is refused in its turn.
        let here = span_of(remap.from, remap.old_len.max(remap.new_len)).or_else(|| span_of(remap.from, remap.new_len));
        let here = here.ok_or(MremapError::Absent { at: remap.from })?;
        if remap.flags.contains(MremapFlags::FIXED) {
            return Ok((span_of(remap.to, remap.new_len).map_or(here, |to| here.hull(to)), Some(remap.to)));
        }
        if remap.is_move_only() || !(remap.is_expansion() || remap.has_target()) {
            return Ok((here, None));
        }
        let Some(vma) = self.lookup(remap.from) else { return Ok((here, None)) };
        if !remap.has_target() && (fits_in_place(&vma, remap, self, limits) || !remap.flags.contains(MremapFlags::MAYMOVE)) {
            return Ok((here, None));
        }
        // Unlike that of `mmap`, it is not raised to the lowest address.
        let hint = if remap.has_target() { remap.to } else { 0 };
        let search = Search { within: Within::All, alignment: alignment_of(&vma, remap.from, limits), flags: vma.flags() };
        let target = self.place(hint, remap.new_len, search, limits);
        let stretch = target.and_then(|to| span_of(to, remap.new_len)).map_or(here, |to| here.hull(to));
        Ok((stretch, target))
    }
}

/// Where the range is to end, if it ends where the VMA does now and may grow there as far as the address space goes (5.19). Linux asks as
/// for a mapping that begins where the VMA does.
fn end_in_place(vma: Span, remap: Remap, limits: &Limits) -> Option<u64> {
    let (old_end, new_end) = (remap.from.checked_add(remap.old_len)?, remap.from.checked_add(remap.new_len)?);
    (old_end == vma.last() + 1 && new_end <= limits.task_size && limits.may_place_at(vma.start())).then_some(new_end)
}

/// 5.19: the tail is free, and the range ends where the VMA does.
fn fits_in_place<P: Payload, L: RawMmLock>(vma: &Vma<'_, P>, remap: Remap, guard: &MmWriteGuard<'_, P, L>, limits: &Limits) -> bool {
    let is_free = |new_end| guard.find(vma.last() + 1).is_none_or(|next| next.start() >= new_end);
    end_in_place(vma.span(), remap, limits).is_some_and(is_free)
}

/// To what the address is aligned where it is searched. What consists of huge pages is moved to no address but a given one.
fn alignment_of<P>(vma: &Vma<'_, P>, from: u64, limits: &Limits) -> Alignment {
    match vma.backing() {
        Backing::Anonymous => Alignment::Private { huge: limits.huge_page_bytes },
        Backing::SharedMemory(_) => Alignment::of_shared_memory(vma.offset_of(from), limits),
        Backing::Object(_) => Alignment::Pages,
    }
}

/// 5.23: as many VMAs to spare as Linux wants.
fn check_spare(count: usize, limits: &Limits) -> Result<(), LayoutError> {
    let limit = limits.max_map_count;
    if count + 3 >= limit { Err(LayoutError::TooMany { count, limit }) } else { Ok(()) }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// One VMA.
    fn remap(&mut self, remap: Remap, target: Option<u64>, limits: &Limits) -> Result<u64, MremapError> {
        let (vma, remap) = self.check_source(remap, limits)?;
        if remap.has_target() {
            return self.remap_to(remap, target, limits);
        }
        if remap.is_expansion() {
            return self.expand(remap, vma, target, limits);
        }
        self.charge = Charge::Exempt;
        self.shrink(remap, limits)?;
        Ok(remap.from)
    }

    /// 5.18: what lies beyond the new length goes, whosever it is.
    fn shrink(&mut self, remap: Remap, limits: &Limits) -> Result<(), MremapError> {
        let Some(gone @ 1..) = remap.old_len.checked_sub(remap.new_len) else { return Ok(()) };
        let asked = MremapError::Range { at: remap.from, len: remap.asked.old_len };
        let at = remap.from.checked_add(remap.new_len).ok_or(asked)?;
        let tail = munmap::check(at, gone, limits).map_err(|_| asked)?;
        self.unmap(tail, limits)?;
        Ok(())
    }

    /// What the VMA must be like; which it is, and what is asked of it, in the pages that it consists of.
    fn check_source(&self, remap: Remap, limits: &Limits) -> Result<(usize, Remap), MremapError> {
        let i = self.lookup(remap.from).ok_or(MremapError::Absent { at: remap.from })?;
        let part = &self.vmas[i];
        let (vma, was, page_bytes) = (part.span, part.flags(), page_bytes(part.flags()));
        self.check_sealed(i)?;
        let remap = remap.in_pages_of(page_bytes);
        let Remap { from, old_len, new_len, flags, to, asked } = remap;
        if page_bytes > PAGE_SIZE {
            if let Some(at) = [from, to].into_iter().find(|at| !at.is_multiple_of(page_bytes)) {
                return Err(MremapError::Range { at, len: asked.old_len });
            }
            if remap.is_expansion() {
                return Err(MremapError::HugePages { vma });
            }
        }
        if !(remap.is_expansion() || remap.has_target()) {
            return Ok((i, remap));
        }
        if old_len == 0 && !was.intersects(VmaFlags::SHARED | VmaFlags::MAYSHARE) {
            return Err(MremapError::Private { vma });
        }
        let unmovable = VmaFlags::DONTEXPAND | VmaFlags::PFNMAP;
        if flags.contains(MremapFlags::DONTUNMAP) && was.intersects(unmovable) {
            return Err(MremapError::Special { vma });
        }
        // What a shrink unmaps may be anybody's (5.18), also where the rest is moved.
        let old_len = old_len.min(new_len);
        if old_len > vma.last() + 1 - from {
            return Err(MremapError::AcrossEnd { vma });
        }
        if new_len == old_len {
            return Ok((i, remap));
        }
        if (part.attrs().offset_of(from) / PAGE_SIZE).checked_add(new_len / PAGE_SIZE).is_none() {
            return Err(MremapError::Offset { vma });
        }
        if was.intersects(unmovable) {
            return Err(MremapError::DontExpand { vma });
        }
        let more = (new_len - old_len) / PAGE_SIZE;
        self.sums.check_locked(limits, was, more).map_err(|limit| MremapError::LockLimit { limit })?;
        self.sums.check_room(limits, was, more)?;
        Ok((i, remap))
    }

    /// 5.19: where it is, or, if it may move, elsewhere.
    fn expand(&mut self, remap: Remap, i: usize, target: Option<u64>, limits: &Limits) -> Result<u64, MremapError> {
        let vma = self.vmas[i].span;
        let is_free = |&new_end: &u64| self.vmas.get(i + 1).is_none_or(|next| next.span.start() >= new_end);
        if let Some(new_end) = end_in_place(vma, remap, limits).filter(is_free) {
            let more = Span::from_entry(vma.last() + 1, new_end - 1);
            let kind = self.vmas[i].kind();
            self.sums.check_commit(limits, kind.attrs.flags, more.pages())?;
            let locked = kind.attrs.flags.contains(VmaFlags::LOCKED);
            // What does not even merge with more of itself does not grow where it is.
            if self.mergeable_before(i + 1, more, &kind).is_none() {
                return Err(MremapError::InTheWay { vma });
            }
            let payload = self.another(kind.payload).map_err(LayoutError::from)?;
            self.put_merging(more, VmaDraft { payload, ..kind }, Sides::Both)?;
            if locked {
                self.populate(more)?;
            }
            return Ok(remap.from);
        }
        if !remap.flags.contains(MremapFlags::MAYMOVE) {
            return Err(MremapError::InTheWay { vma });
        }
        let to = target.ok_or(MremapError::NoRoom { len: remap.asked.new_len })?;
        self.move_one(remap, to, limits)
    }

    /// 5.20: the target goes first, then what is too long, then it is moved.
    fn remap_to(&mut self, mut remap: Remap, target: Option<u64>, limits: &Limits) -> Result<u64, MremapError> {
        if remap.flags.contains(MremapFlags::FIXED) {
            let span = munmap::check(remap.to, remap.new_len, limits).map_err(|error| match error {
                MunmapError::Layout(error) => error.into(),
                _ => MremapError::Range { at: remap.to, len: remap.asked.new_len },
            })?;
            self.unmap(span, limits)?;
            self.lookup(remap.from).ok_or(MremapError::Absent { at: remap.from })?;
        }
        self.shrink(remap, limits)?;
        remap.old_len = remap.old_len.min(remap.new_len);
        if remap.flags.contains(MremapFlags::DONTUNMAP)
            && let Some(i) = self.lookup(remap.from)
        {
            self.sums.check_room(limits, self.vmas[i].flags(), remap.old_len / PAGE_SIZE)?;
        }
        let to = target.ok_or(MremapError::NoRoom { len: remap.asked.new_len })?;
        // Not before: the target is empty then.
        if !limits.may_place_at(to) {
            return Err(MremapError::BelowMinimum { at: to, minimum: limits.mmap_min_addr });
        }
        self.move_one(remap, to, limits)
    }

    /// Moves pages of one VMA to where nothing is.
    fn move_one(&mut self, remap: Remap, to: u64, limits: &Limits) -> Result<u64, MremapError> {
        let Remap { from, old_len, new_len, flags, .. } = remap;
        check_spare(self.count, limits)?;
        let i = self.lookup(from).ok_or(MremapError::Absent { at: from })?;
        let (vma, was) = (self.vmas[i].span, self.vmas[i].flags());
        let target = Span::from_entry(to, to + (new_len - 1));
        let source = remap.source();
        for at in source.iter().flat_map(|source| [Some(source.start()), source.last().checked_add(1)]).flatten() {
            if vma.start() < at && at <= vma.last() {
                self.check_split(i, at)?;
            }
        }
        self.sums.check_commit(limits, was, new_len / PAGE_SIZE)?;
        let mut kind = self.vmas[i].kind();
        let seen = source.unwrap_or(Span::from_entry(from, from));
        kind.payload = self.derive(kind.payload, |payload| payload.moved(seen, target)).map_err(LayoutError::from)?;
        // 5.22: what was never written to is as if it had been mapped there.
        kind.attrs.linear_offset =
            if kind.attrs.backing == Backing::Anonymous && kind.owner.is_none() { 0 } else { kind.attrs.offset_of(from).wrapping_sub(to) };
        if let Some(source) = source {
            self.notify(self.vmas[i].payload(), Effect::Moved(source, target))?;
        }
        self.put_merging(target, kind, Sides::Both)?;
        if let Some(source) = source {
            if flags.contains(MremapFlags::DONTUNMAP) {
                self.leave_behind(source)?;
            } else {
                self.unmap(source, limits)?;
            }
        }
        if was.contains(VmaFlags::LOCKED)
            && let Some(more) = span_of(to + old_len, new_len.saturating_sub(old_len))
        {
            self.populate(more)?;
        }
        Ok(to)
    }

    /// The VMA that pages were moved away from, and that stays: it is not locked any more, and if all of it was moved its pages have no
    /// owner.
    fn leave_behind(&mut self, source: Span) -> Result<(), LayoutError> {
        let Some(i) = self.lookup(source.start()) else { return Ok(()) };
        let span = self.vmas[i].span;
        let mut kind = self.vmas[i].kind();
        if span == source {
            kind.owner = None;
        }
        self.sums.sub(kind.attrs.flags, span.pages());
        kind.attrs.flags.remove(VmaFlags::LOCKED_MASK);
        self.sums.add(kind.attrs.flags, span.pages());
        self.replace(i, StagedVma { span, origin: Origin::New(kind) })?;
        Ok(())
    }

    /// 5.21: VMA by VMA, with the gaps between them kept; stops at the first that cannot be moved.
    fn move_several(&mut self, remap: Remap, limits: &Limits) -> Result<u64, MremapError> {
        let Some(source) = remap.source() else {
            return self.remap(remap, Some(remap.to), limits);
        };
        // The target is elsewhere, so the moves leave the rest of the source as it is.
        if self.lookup(source.start()).is_none() {
            return Err(MremapError::Absent { at: source.start() });
        }
        self.each_part(source, Gaps::Skip, |draft, _, part| {
            let (len, to) = (part.len_less_one() + 1, remap.to + (part.start() - source.start()));
            let (_, one) = draft.check_source(Remap { from: part.start(), old_len: len, new_len: len, to, ..remap }, limits)?;
            draft.remap_to(one, Some(to), limits).map(drop)
        })?;
        Ok(remap.to)
    }
}
