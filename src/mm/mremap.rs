//! Resizing and moving: Linux's `mremap` (5.17 to 5.23), in its order.
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::draft::{Effect, Gaps, LayoutDraft, Sides};
use super::huge::page_bytes;
use super::limits::Limits;
use super::munmap;
use super::pages::{round_up, span_of, with_adjacent};
use super::place::{Alignment, Search, Within};
use super::plan::{Plan, Planner};
use super::remap_request::{RemapFlags, RemapRequest};
use super::staged::{Origin, StagedVma};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, MremapError};
use crate::lock::{Patience, RawMmLock};
use crate::tree::Charge;
use crate::vma::{Backing, NewVma, Payload, Vma, VmaFlags};

/// The request in whole pages.
#[derive(Clone, Copy, Debug)]
struct Remap {
    from: u64,
    old_len: u64,
    new_len: u64,
    flags: RemapFlags,
    /// The target if there is one, or a hint.
    to: u64,
    asked: Asked,
}

/// The lengths as they were given, for messages, because a length in whole pages may have wrapped around.
#[derive(Clone, Copy, Debug)]
struct Asked {
    old_len: u64,
    new_len: u64,
}

impl Remap {
    /// Returns whether the pages move to a target, or to a hint, whatever the lengths are.
    fn has_target(&self) -> bool {
        self.flags.intersects(RemapFlags::FIXED | RemapFlags::DONTUNMAP)
    }

    /// Returns whether the size stays the same and the target is fixed, so that several VMAs may be moved (5.21).
    fn is_move_only(&self) -> bool {
        self.old_len == self.new_len && self.flags.contains(RemapFlags::FIXED)
    }

    fn is_expansion(&self) -> bool {
        self.new_len > self.old_len
    }

    /// Returns the request with lengths in whole pages of this size. A length that wraps around becomes 0, as in Linux.
    fn in_pages_of(self, page_bytes: u64) -> Self {
        Self { old_len: round_up(self.old_len, page_bytes), new_len: round_up(self.new_len, page_bytes), ..self }
    }

    /// Returns the source; `None` if it is empty or wraps around.
    fn source(&self) -> Option<Span> {
        span_of(self.from, self.old_len)
    }
}

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Resizes a mapping, moves it, or both. Returns its new address.
    ///
    /// For memory of huge pages, lengths are rounded up to whole huge pages, and addresses must be at the start of one. It never grows.
    ///
    /// A lockless reader sees a moved VMA at its old place or at its new one, never at both or at none.
    ///
    /// # Complexity
    /// A move copies the index's entries that lie between the two places.
    ///
    /// # Errors
    /// [`MremapError`]: [rules 5.17 to 5.23](crate::docs::semantics#5-operations). As in Linux, a failed operation may have unmapped the target of
    /// a fixed move, shrunk the source, or moved some of several VMAs.
    ///
    /// # Examples
    /// At [`RemapRequest`].
    pub fn mremap(&mut self, request: &RemapRequest) -> Result<u64, MremapError> {
        self.plan(Patience::Forever).mremap(request).commit()
    }

    /// Checks the arguments, without looking at the layout (5.17).
    fn check_remap(&self, remap: Remap, limits: &Limits) -> Result<(), MremapError> {
        let Remap { from, new_len, flags, to, .. } = remap;
        let task_size = limits.task_size;
        if !RemapFlags::all().contains(flags) {
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
        if !flags.contains(RemapFlags::MAYMOVE) || flags.contains(RemapFlags::DONTUNMAP) && resizes {
            return Err(MremapError::Contradiction);
        }
        // An empty source overlaps a target around it. The sum may wrap around, as in Linux.
        if from.wrapping_add(remap.old_len) > to && to + new_len > from {
            let last = from.saturating_add(remap.old_len.saturating_sub(1));
            let source = Span::from_entry(from, last);
            return Err(MremapError::Overlap { from: source, to: Span::from_entry(to, to + (new_len - 1)) });
        }
        // 5.23
        check_spare(self.mm().len() + 2, limits)?;
        Ok(())
    }

    /// Returns the request in whole huge pages, if there are such at the source.
    fn in_whole_pages(&self, remap: Remap) -> Remap {
        let page_bytes_at = |at| self.lookup(at).map_or(PAGE_SIZE, |vma| page_bytes(vma.flags()));
        if !remap.is_move_only() {
            return remap.in_pages_of(page_bytes_at(remap.from));
        }
        // The last of several VMAs decides.
        let Some(end) = remap.source().and_then(|source| source.last().checked_add(1)) else { return remap };
        let more = end.checked_next_multiple_of(page_bytes_at(end - 1)).map_or(0, |whole| whole - end);
        let len = remap.old_len.saturating_add(more);
        Remap { old_len: len, new_len: len, ..remap }
    }

    /// Returns the range that the operation may change, and the target: the one requested, or one that was found by a search.
    fn reach(&self, remap: Remap, limits: &Limits) -> Result<(Span, Option<u64>), MremapError> {
        // A tail that is to be unmapped may wrap around; it is refused later.
        let here = span_of(remap.from, remap.old_len.max(remap.new_len)).or_else(|| span_of(remap.from, remap.new_len));
        let here = here.ok_or(MremapError::Absent { at: remap.from })?;
        if remap.flags.contains(RemapFlags::FIXED) {
            return Ok((span_of(remap.to, remap.new_len).map_or(here, |to| here.hull(to)), Some(remap.to)));
        }
        if remap.is_move_only() || !(remap.is_expansion() || remap.has_target()) {
            return Ok((here, None));
        }
        let Some(vma) = self.lookup(remap.from) else { return Ok((here, None)) };
        if !remap.has_target() && (fits_in_place(&vma, remap, self, limits) || !remap.flags.contains(RemapFlags::MAYMOVE)) {
            return Ok((here, None));
        }
        // Unlike the hint of `mmap`, it is not raised to the lowest address.
        let hint = if remap.has_target() { remap.to } else { 0 };
        let search = Search { within: Within::All, alignment: alignment_of(&vma, remap.from, limits), flags: vma.flags() };
        let target = self.place(hint, remap.new_len, search, limits);
        let stretch = target.and_then(|to| span_of(to, remap.new_len)).map_or(here, |to| here.hull(to));
        Ok((stretch, target))
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::mremap`].
    pub fn mremap(self, request: &RemapRequest) -> Plan<'w, 'm, P, Result<u64, MremapError>, L> {
        let limits = self.guard.mm().limits();
        let &RemapRequest { from, old_len, new_len, flags, to } = request;
        let asked = Asked { old_len, new_len };
        let remap = Remap { from, old_len: round_up(old_len, PAGE_SIZE), new_len: round_up(new_len, PAGE_SIZE), flags, to, asked };
        let guard = &mut *self.guard;
        let checked = guard.check_remap(remap, &limits).and_then(|()| guard.reach(guard.in_whole_pages(remap), &limits));
        let (range, target) = match checked {
            Ok(checked) => checked,
            Err(error) => return self.nothing(Err(error)),
        };
        self.draft(with_adjacent(range), &limits, |draft| {
            if remap.is_move_only() { draft.move_several(remap, &limits) } else { draft.remap(remap, target, &limits) }
        })
    }
}

/// Returns where the range will end, if it ends at the end of the VMA and the address space allows the growth (5.19). Linux checks the lowest
/// address for the start of the VMA.
fn end_in_place(vma: Span, remap: Remap, limits: &Limits) -> Option<u64> {
    let (old_end, new_end) = (remap.from.checked_add(remap.old_len)?, remap.from.checked_add(remap.new_len)?);
    (old_end == vma.last() + 1 && new_end <= limits.task_size && limits.may_place_at(vma.start())).then_some(new_end)
}

/// Whether the range ends at the end of the VMA and the tail is free (5.19).
fn fits_in_place<P: Payload, L: RawMmLock>(vma: &Vma<'_, P>, remap: Remap, guard: &MmWriteGuard<'_, P, L>, limits: &Limits) -> bool {
    let is_free = |new_end| guard.find(vma.last() + 1).is_none_or(|next| next.start() >= new_end);
    end_in_place(vma.span(), remap, limits).is_some_and(is_free)
}

/// Returns the alignment of a target that is searched for. Memory of huge pages moves only to a given address.
fn alignment_of<P>(vma: &Vma<'_, P>, from: u64, limits: &Limits) -> Alignment {
    match vma.backing() {
        Backing::Anonymous => Alignment::Private { huge: limits.huge_page_bytes },
        Backing::SharedMemory(_) => Alignment::of_shared_memory(vma.offset_of(from), limits),
        Backing::Object(_) => Alignment::Pages,
    }
}

/// Checks that as many VMAs may be added as Linux wants to be able to (5.23).
fn check_spare(count: usize, limits: &Limits) -> Result<(), LayoutError> {
    let limit = limits.max_map_count;
    if count + 3 >= limit { Err(LayoutError::TooMany { count, limit }) } else { Ok(()) }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Resizes or moves one VMA.
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

    /// Unmaps what lies beyond the new length, whichever VMA it belongs to (5.18).
    fn shrink(&mut self, remap: Remap, limits: &Limits) -> Result<(), MremapError> {
        let Some(gone @ 1..) = remap.old_len.checked_sub(remap.new_len) else { return Ok(()) };
        let asked = MremapError::Range { at: remap.from, len: remap.asked.old_len };
        let at = remap.from.checked_add(remap.new_len).ok_or(asked)?;
        let tail = munmap::check(at, gone, limits).map_err(|_| asked)?;
        self.unmap(tail, limits)?;
        Ok(())
    }

    /// Checks the source. Returns the index of its VMA, and the request in pages of the size that the VMA has.
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
        if flags.contains(RemapFlags::DONTUNMAP) && was.intersects(unmovable) {
            return Err(MremapError::Special { vma });
        }
        // What a shrink unmaps may belong to any VMA (5.18), also if the rest is moved.
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

    /// Grows the VMA in place, or elsewhere if it may move (5.19).
    fn expand(&mut self, remap: Remap, i: usize, target: Option<u64>, limits: &Limits) -> Result<u64, MremapError> {
        let vma = self.vmas[i].span;
        let is_free = |&new_end: &u64| self.vmas.get(i + 1).is_none_or(|next| next.span.start() >= new_end);
        if let Some(new_end) = end_in_place(vma, remap, limits).filter(is_free) {
            let more = Span::from_entry(vma.last() + 1, new_end - 1);
            let new_vma = self.vmas[i].to_new();
            self.sums.check_commit(limits, new_vma.attrs.flags, more.pages())?;
            let locked = new_vma.attrs.flags.contains(VmaFlags::LOCKED);
            // A VMA that does not merge with its own continuation does not grow in place.
            if !self.merges_below(i + 1, more, &new_vma) {
                return Err(MremapError::InTheWay { vma });
            }
            let payload = self.another(new_vma.payload).map_err(LayoutError::from)?;
            self.put_merging(more, NewVma { payload, ..new_vma }, Sides::Both)?;
            if locked {
                self.populate(more)?;
            }
            return Ok(remap.from);
        }
        if !remap.flags.contains(RemapFlags::MAYMOVE) {
            return Err(MremapError::InTheWay { vma });
        }
        let to = target.ok_or(MremapError::NoRoom { len: remap.asked.new_len })?;
        self.move_one(remap, to, limits)
    }

    /// Unmaps the target, then the excess of the source, then moves the rest (5.20).
    fn remap_to(&mut self, mut remap: Remap, target: Option<u64>, limits: &Limits) -> Result<u64, MremapError> {
        if remap.flags.contains(RemapFlags::FIXED) {
            let asked = MremapError::Range { at: remap.to, len: remap.asked.new_len };
            let span = munmap::check(remap.to, remap.new_len, limits).map_err(|_| asked)?;
            self.unmap(span, limits)?;
            self.lookup(remap.from).ok_or(MremapError::Absent { at: remap.from })?;
        }
        self.shrink(remap, limits)?;
        remap.old_len = remap.old_len.min(remap.new_len);
        if remap.flags.contains(RemapFlags::DONTUNMAP)
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
        let mut new_vma = self.vmas[i].to_new();
        let seen = source.unwrap_or(Span::from_entry(from, from));
        new_vma.payload = self.derive(new_vma.payload, |payload| payload.moved(seen, target)).map_err(LayoutError::from)?;
        // Pages that were never written are as if they had been mapped there (5.22).
        new_vma.attrs.linear_offset = if new_vma.attrs.backing == Backing::Anonymous && new_vma.owner.is_none() {
            0
        } else {
            new_vma.attrs.offset_of(from).wrapping_sub(to)
        };
        if let Some(source) = source {
            self.notify(self.vmas[i].payload(), Effect::Moved(source, target))?;
        }
        self.put_merging(target, new_vma, Sides::Both)?;
        if let Some(source) = source {
            if flags.contains(RemapFlags::DONTUNMAP) {
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

    /// Updates a VMA that stays without its pages: it is no longer locked, and has no owner if all of it was moved.
    fn leave_behind(&mut self, source: Span) -> Result<(), LayoutError> {
        let Some(i) = self.lookup(source.start()) else { return Ok(()) };
        let span = self.vmas[i].span;
        let mut new_vma = self.vmas[i].to_new();
        if span == source {
            new_vma.owner = None;
        }
        self.sums.sub(new_vma.attrs.flags, span.pages());
        new_vma.attrs.flags.remove(VmaFlags::LOCKED_MASK);
        self.sums.add(new_vma.attrs.flags, span.pages());
        self.replace(i, StagedVma { span, origin: Origin::New(new_vma) })?;
        Ok(())
    }

    /// Moves several VMAs, one by one, and keeps the gaps between them. Stops at the first that cannot be moved (5.21).
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
