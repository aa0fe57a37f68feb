//! A draft of part of the layout: an operation loads the VMAs that it may change, rewrites them step by step as Linux would, and gives the
//! draft to `plan.rs`, which makes it the layout with one store, or drops it.
//!
//! Called by the operations' files and `plan`. A draft holds every VMA that overlaps its range, whole; only what lies in the range may be
//! rewritten. The range of an operation that merges includes the adjacent VMAs.
//!
//! Nothing here changes the address space. An operation that fails leaves its earlier steps in the draft, because Linux leaves their effects
//! behind. If memory runs out the draft is spoiled, and never becomes the layout.

use super::accounts::Sums;
use super::huge::page_bytes;
use super::keys::Keyring;
use super::later::{Payloads, Slot};
use super::limits::Limits;
use super::row::Row;
use super::staged::{Carried, NewStaged, Origin, StagedVma};
use super::state::StateUpdate;
use super::{Mm, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::fallible::push;
use crate::lock::RawMmLock;
use crate::tree::Charge;
use crate::vma::{NewVma, Owner, Payload, Vma, VmaFlags};
use core::ops::Range;
use smallvec::SmallVec;

/// A change that a payload is notified of after the draft has become the layout.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    Unmapped(Span),
    Protected(Span, VmaFlags),
    Moved(Span, Span),
}

/// The notifications of an operation, each with the payload that gets it.
pub(super) type Effects = SmallVec<[(Slot, Effect); 2]>;

/// The number of VMAs from which on a split is refused (5.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SplitLimit {
    /// A split is refused if there are this many VMAs or more.
    Count(usize),
    /// No split is refused, because the caller has checked the number, or because the split only moves a boundary.
    Unlimited,
}

impl SplitLimit {
    /// Returns the limit of the address space.
    pub(super) fn of(limits: &Limits) -> Self {
        Self::Count(limits.max_map_count)
    }
}

/// Whether [`LayoutDraft::each_part`] goes on after an address where nothing is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gaps {
    Skip,
    Stop,
}

/// A draft of part of a layout. It borrows the guard under which it was loaded, so it counts no references.
#[derive(Debug)]
pub(super) struct LayoutDraft<'g, P> {
    /// The VMAs that overlap the draft's range, as the operation has made them so far.
    pub(super) vmas: Row<StagedVma<'g, P>>,
    /// The VMAs that the draft removes or replaces.
    pub(super) gone: SmallVec<[(Span, &'g Record<P>); 4]>,
    /// How many VMAs the address space will have, those outside the draft included.
    pub(super) count: usize,
    /// The accounts that the address space will have.
    pub(super) sums: Sums,
    /// What will change beside the layout.
    pub(super) state: StateUpdate,
    /// The protection keys that the address space will have, and the rights with which the calling thread populates pages.
    pub(super) keyring: Keyring,
    /// The notifications of payloads.
    pub(super) effects: Effects,
    /// The payloads that the operation makes.
    pub(super) payloads: &'g mut Payloads<P>,
    /// The records that stay and get an owner of their private pages.
    pub(super) owned: SmallVec<[(&'g Record<P>, Owner); 1]>,
    /// Whether the budget may refuse the change. An operation that only removes is exempt.
    pub(super) charge: Charge,
    /// Whether memory ran out during a step. The step may be half done, so the draft must not become the layout.
    pub(super) is_spoiled: bool,
}

impl<'g, P: Payload> LayoutDraft<'g, P> {
    /// Makes an empty draft for an address space that is locked for writing.
    pub(super) fn of<L: RawMmLock>(mm: &Mm<P, L>, keyring: Keyring, payloads: &'g mut Payloads<P>) -> Self {
        let (count, sums, state) = (mm.len(), mm.accounts.sums(), StateUpdate::default());
        let (vmas, gone, effects, owned) = (Row::new(), SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { vmas, gone, count, sums, state, keyring, effects, payloads, owned, charge: Charge::Checked, is_spoiled: false }
    }

    /// Returns the payload itself.
    pub(super) fn payload(&self, carried: Carried<'g, P>) -> &P {
        carried.of(self.payloads)
    }

    /// Makes a payload from that of a VMA.
    pub(super) fn derive(&mut self, from: Carried<'g, P>, derive: impl FnOnce(&P) -> P) -> Result<Carried<'g, P>, ResourceError> {
        self.keep(|payloads| derive(from.of(payloads))).map(Carried::Kept)
    }

    /// Returns a payload for another VMA with an equal payload.
    pub(super) fn another(&mut self, carried: Carried<'g, P>) -> Result<Carried<'g, P>, ResourceError> {
        match carried {
            Carried::OfRecord(_) => Ok(carried),
            Carried::Kept(_) => self.derive(carried, P::clone),
        }
    }

    /// Makes a payload and keeps it in `payloads`.
    pub(super) fn keep(&mut self, make: impl FnOnce(&Payloads<P>) -> P) -> Result<Slot, ResourceError> {
        self.payloads.keep_with(make).inspect_err(|_| self.is_spoiled = true)
    }

    /// Keeps what `make` returns in `payloads`, if it returns a payload.
    pub(super) fn keep_if(&mut self, make: impl FnOnce(&Payloads<P>) -> Option<P>) -> Result<Option<Slot>, ResourceError> {
        self.payloads.keep_if(make).inspect_err(|_| self.is_spoiled = true)
    }

    /// Checks that a VMA may be split at an address inside it (5.14).
    pub(super) fn check_split(&self, i: usize, at: u64) -> Result<(), LayoutError> {
        let staged = &self.vmas[i];
        let (vma, page_bytes) = (staged.span, page_bytes(staged.flags()));
        if !at.is_multiple_of(page_bytes) {
            return Err(LayoutError::HugePage { vma, at, page_bytes });
        }
        if !self.payload(staged.payload()).may_split(vma, at) {
            return Err(LayoutError::Unsplittable { vma, at });
        }
        Ok(())
    }

    /// Returns a new VMA for a part of a VMA, with the payload of the part.
    fn new_part(&mut self, i: usize, part: Span) -> Result<NewStaged<'g, P>, ResourceError> {
        let (whole, new_vma) = (self.vmas[i].span, self.vmas[i].to_new());
        Ok(NewVma { payload: self.derive(new_vma.payload, |payload| payload.part(whole, part))?, ..new_vma })
    }

    /// Appends the next VMA of the layout.
    #[inline]
    pub(super) fn load(&mut self, vma: Vma<'g, P>) -> Result<(), ResourceError> {
        self.vmas.push(StagedVma { span: vma.span(), origin: Origin::Existing(vma.record()) })
    }

    /// Returns the index of the VMA that contains the address, or else of the first one above it.
    #[inline]
    pub(super) fn find(&self, at: u64) -> usize {
        self.vmas.partition_point(|vma| vma.span.last() < at)
    }

    /// Returns the index of the VMA that contains the address.
    #[inline]
    pub(super) fn lookup(&self, at: u64) -> Option<usize> {
        let i = self.find(at);
        self.vmas.get(i).filter(|vma| vma.span.start() <= at).map(|_| i)
    }

    /// Returns the indices of the VMAs that overlap the range.
    #[inline]
    pub(super) fn within(&self, range: Span) -> Range<usize> {
        self.vmas.between(|vma| vma.span.last() < range.start(), |vma| vma.span.start() > range.last())
    }

    /// Calls `change` with the index of each VMA in the range and the part of the VMA that is in the range, in order. Returns the first address
    /// at which nothing is mapped. `change` may split and merge VMAs, because the next one is looked up by its address.
    pub(super) fn each_part<E>(
        &mut self,
        range: Span,
        gaps: Gaps,
        mut change: impl FnMut(&mut Self, usize, Span) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        let (mut at, mut gap) = (range.start(), None);
        loop {
            let i = self.find(at);
            let span = self.vmas.get(i).map(|vma| vma.span).filter(|span| span.start() <= range.last());
            if span.is_none_or(|span| span.start() > at) {
                gap = gap.or(Some(at));
            }
            let Some(span) = span.filter(|_| gap.is_none() || gaps == Gaps::Skip) else { return Ok(gap) };
            let part = Span::from_entry(span.start().max(at), span.last().min(range.last()));
            change(self, i, part)?;
            if part.last() == range.last() {
                return Ok(gap);
            }
            at = part.last() + 1;
        }
    }

    /// Returns an error if the VMA is sealed, and so may not change (5.27).
    pub(super) fn check_sealed(&self, i: usize) -> Result<(), LayoutError> {
        let vma = &self.vmas[i];
        if vma.flags().contains(VmaFlags::SEALED) { Err(LayoutError::Sealed { by: vma.span }) } else { Ok(()) }
    }

    /// Unmaps a range. Returns how many pages were mapped in it.
    pub(super) fn unmap(&mut self, range: Span, limits: &Limits) -> Result<u64, LayoutError> {
        let going = self.cut_free(range, limits)?;
        self.remove(going)
    }

    /// Splits the VMAs that are partly in a range that is to be unmapped, and checks that no VMA in it is sealed. Returns the indices of the
    /// VMAs that are to be removed.
    pub(super) fn cut_free(&mut self, range: Span, limits: &Limits) -> Result<Range<usize>, LayoutError> {
        let mut going = self.within(range);
        if going.is_empty() {
            return Ok(going);
        }
        let first = &self.vmas[going.start];
        if first.span.start() < range.start() {
            // A hole inside one VMA makes two of it, which the limit must allow. Another split may exceed the limit only until the removal.
            let limit = limits.max_map_count;
            if range.last() < first.span.last() && self.count >= limit {
                return Err(LayoutError::TooMany { count: self.count, limit });
            }
            self.check_sealed(going.start)?;
            self.cut(going.start, range.start(), SplitLimit::Unlimited)?;
            going = going.start + 1..going.end + 1;
        }
        let top = going.end - 1;
        for i in going.clone() {
            self.check_sealed(i)?;
        }
        if self.vmas[top].span.last() > range.last() {
            self.cut(top, range.last() + 1, SplitLimit::Unlimited)?;
        }
        Ok(going)
    }

    /// Splits a VMA at an address inside it: the upper part, which gets the next index, starts there.
    #[inline(never)]
    pub(super) fn cut(&mut self, i: usize, at: u64, limit: SplitLimit) -> Result<(), LayoutError> {
        if let SplitLimit::Count(limit) = limit
            && self.count >= limit
        {
            return Err(LayoutError::TooMany { count: self.count, limit });
        }
        let vma = &self.vmas[i];
        self.check_split(i, at)?;
        let (low, high) = (Span::from_entry(vma.span.start(), at - 1), Span::from_entry(at, vma.span.last()));
        let (low, high) = ((low, self.new_part(i, low)?), (high, self.new_part(i, high)?));
        self.replace(i, StagedVma { span: low.0, origin: Origin::New(low.1) })?;
        self.insert(i + 1, StagedVma { span: high.0, origin: Origin::New(high.1) })?;
        self.count += 1;
        Ok(())
    }

    /// Removes these VMAs. Returns how many pages they had.
    pub(super) fn remove(&mut self, going: Range<usize>) -> Result<u64, LayoutError> {
        let mut pages = 0;
        if going.is_empty() {
            return Ok(pages);
        }
        for i in going.clone() {
            let vma = &self.vmas[i];
            self.sums.sub(vma.flags(), vma.span.pages());
            pages += vma.span.pages();
            let (payload, effect) = (vma.payload(), Effect::Unmapped(vma.span));
            note_gone(&mut self.gone, vma).inspect_err(|_| self.is_spoiled = true)?;
            self.notify(payload, effect)?;
        }
        self.count -= going.len();
        self.vmas.remove_range(going).inspect_err(|_| self.is_spoiled = true)?;
        Ok(pages)
    }

    /// Returns whether a new VMA that fills the range may merge with the VMA below it. `i` is the index of the first VMA that is not below
    /// the range.
    #[inline]
    pub(super) fn merges_below(&self, i: usize, span: Span, new_vma: &NewStaged<'g, P>) -> bool {
        let Some(below) = i.checked_sub(1) else { return false };
        let prev = &self.vmas[below];
        span.start().checked_sub(1) == Some(prev.span.last())
            && prev.may_merge_with(new_vma)
            && self.payload(prev.payload()).merges_with(self.payload(new_vma.payload))
    }

    /// Returns whether a new VMA that fills the range may merge with the VMA above it. `i` is the index of the first VMA above the range.
    #[inline]
    fn merges_above(&self, i: usize, span: Span, new_vma: &NewStaged<'g, P>) -> bool {
        let Some(next) = self.vmas.get(i) else { return false };
        span.last().checked_add(1) == Some(next.span.start())
            && next.may_merge_with(new_vma)
            && self.payload(new_vma.payload).merges_with(self.payload(next.payload()))
    }

    /// Returns whether two VMAs may both merge with one between them: their owners must agree, and the upper one must be allowed to vanish
    /// (5.9, 5.12). If not, only the lower one merges.
    fn may_merge_across(&self, below: usize, above: usize) -> bool {
        let (prev, next) = (&self.vmas[below], &self.vmas[above]);
        Owner::agree(prev.owner(), next.owner()) && self.payload(next.payload()).may_vanish()
    }

    /// Adds a VMA where nothing is mapped, merged with its neighbours (5.10). If it merges with both, the lower one is extended.
    pub(super) fn put_merging(&mut self, span: Span, new_vma: NewStaged<'g, P>, sides: Sides) -> Result<(), LayoutError> {
        let i = self.find(span.start());
        let with_below = sides != Sides::None && self.merges_below(i, span, &new_vma);
        let with_above = sides == Sides::Both && self.merges_above(i, span, &new_vma) && (!with_below || self.may_merge_across(i - 1, i));
        self.sums.add(new_vma.attrs.flags, span.pages());
        self.insert(i, StagedVma { span, origin: Origin::New(new_vma) })?;
        self.count += 1;
        self.merge_neighbours(i, with_below, with_above)
    }

    /// Merges a VMA with the one below it, with the one above it, or with both.
    fn merge_neighbours(&mut self, i: usize, with_below: bool, with_above: bool) -> Result<(), LayoutError> {
        if with_above {
            self.merge(i)?;
        }
        if with_below {
            self.merge(i - 1)?;
        }
        Ok(())
    }

    /// Merges a VMA with the next.
    fn merge(&mut self, i: usize) -> Result<(), ResourceError> {
        let next = self.vmas.remove(i + 1).inspect_err(|_| self.is_spoiled = true)?;
        let (new_vma, over) = (self.vmas[i].to_new(), next.to_new());
        let span = Span::from_entry(self.vmas[i].span.start(), next.span.last());
        let payload = self.keep(|payloads| new_vma.payload.of(payloads).merged(over.payload.of(payloads))).map(Carried::Kept)?;
        let merged = StagedVma { span, origin: Origin::New(NewVma { owner: new_vma.owner.or(over.owner), payload, ..new_vma }) };
        self.count -= 1;
        self.replace(i, merged)?;
        note_gone(&mut self.gone, &next).inspect_err(|_| self.is_spoiled = true)
    }

    /// Puts a VMA in the place of another.
    pub(super) fn replace(&mut self, i: usize, vma: StagedVma<'g, P>) -> Result<(), ResourceError> {
        let was = core::mem::replace(&mut self.vmas[i], vma);
        note_gone(&mut self.gone, &was).inspect_err(|_| self.is_spoiled = true)
    }

    /// Changes the attributes of a range of one VMA (5.11). At an end of the VMA the range merges with the neighbour if the two are alike;
    /// otherwise the VMA is split, which `limit` must allow.
    pub(super) fn change(&mut self, range: Span, limit: SplitLimit, change: impl FnOnce(&mut NewStaged<'g, P>)) -> Result<(), LayoutError> {
        let Some(mut i) = self.lookup(range.start()) else { unreachable!("the range is mapped") };
        let whole = self.vmas[i].span;
        let was = self.vmas[i].flags();
        let mut new_vma = self.new_part(i, range)?;
        change(&mut new_vma);
        let (is_low, is_high) = (whole.start() == range.start(), whole.last() == range.last());
        let mut with_below = is_low && self.merges_below(i, range, &new_vma);
        let mut with_above = is_high && self.merges_above(i + 1, range, &new_vma);
        if is_low && is_high && !self.payload(self.vmas[i].payload()).may_vanish() {
            // The VMA itself would vanish (5.12).
            (with_below, with_above) = (false, false);
        }
        with_above = with_above && (!with_below || self.may_merge_across(i - 1, i + 1));
        // If the range joins a neighbour, only the boundary between the two moves, which does not count as a split.
        if !is_low {
            self.cut(i, range.start(), if with_above { SplitLimit::Unlimited } else { limit })?;
            i += 1;
        }
        if !is_high {
            self.cut(i, range.last() + 1, if with_below { SplitLimit::Unlimited } else { limit })?;
        }
        self.sums.sub(was, range.pages());
        self.sums.add(new_vma.attrs.flags, range.pages());
        if (was ^ new_vma.attrs.flags).intersects(VmaFlags::ACCESS | VmaFlags::PKEY_MASK) {
            self.notify(new_vma.payload, Effect::Protected(range, new_vma.attrs.flags))?;
        }
        self.replace(i, StagedVma { span: range, origin: Origin::New(new_vma) })?;
        self.merge_neighbours(i, with_below, with_above)
    }

    /// Returns the smallest range that contains every address that changes; `None` if none does.
    #[inline]
    pub(super) fn changed(&self) -> Option<Span> {
        let mut changed: Option<Span> = None;
        let mut include = |span: Span| changed = Some(changed.map_or(span, |hull| hull.hull(span)));
        self.gone.iter().for_each(|(span, _)| include(*span));
        self.vmas.iter().filter(|vma| vma.record().is_none()).for_each(|vma| include(vma.span));
        changed
    }

    /// Adds a notification of the embedder.
    pub(super) fn notify(&mut self, payload: Carried<'g, P>, effect: Effect) -> Result<(), ResourceError> {
        let slot = self.keep(|payloads| payload.of(payloads).clone())?;
        push(&mut self.effects, (slot, effect)).inspect_err(|_| self.is_spoiled = true)
    }

    /// Gives an owner to a VMA that keeps its record.
    pub(super) fn adopt(&mut self, record: &'g Record<P>, owner: Owner) -> Result<(), ResourceError> {
        push(&mut self.owned, (record, owner)).inspect_err(|_| self.is_spoiled = true)
    }

    /// Inserts a VMA at an index.
    fn insert(&mut self, i: usize, vma: StagedVma<'g, P>) -> Result<(), ResourceError> {
        self.vmas.insert(i, vma).inspect_err(|_| self.is_spoiled = true)
    }
}

/// The neighbours with which a new VMA may merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Both,
    /// Only the one below, as for a heap that `brk` extends.
    Below,
    None,
}

/// Adds a VMA that is removed or replaced to those that are gone, if it has a record in the index.
fn note_gone<'g, P>(gone: &mut SmallVec<[(Span, &'g Record<P>); 4]>, vma: &StagedVma<'g, P>) -> Result<(), ResourceError> {
    vma.record().map_or(Ok(()), |record| push(gone, (vma.span, record)))
}
