//! A stretch of a layout on paper: an operation takes it down, rewrites it step by step as Linux would, and hands it to `plan.rs`, by
//! which it becomes the layout with one store, or never.
//!
//! The operations' files come in. On the sheet are all VMAs that overlap its stretch, whole; what is rewritten must lie in the stretch.
//! Where an operation merges, the stretch reaches over what touches it.
//! Nothing here changes the address space, and what fails leaves on the sheet what was done before: the effects that Linux leaves behind.
//! But where memory is short the sheet is spoiled, and never becomes the layout.

use super::accounts::Sums;
use super::huge::page_bytes;
use super::keys::Keyring;
use super::later::{Payloads, Slot};
use super::plan::Words;
use super::row::Row;
use super::{Mm, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::lock::RawMmLock;
use crate::tree::limbo::Charge;
use crate::tree::list::push;
use crate::vma::{Backing, Kind, Owner, Payload, Vma, VmaFlags};
use core::ops::Range;
use smallvec::SmallVec;

/// What is told to the embedder's payloads when the layout is as the sheet says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect {
    Unmapped(Span),
    Protected(Span, VmaFlags),
    Moved(Span, Span),
}

/// The payload of a VMA on the sheet: a record's in the index, or one that the operation made, which is kept elsewhere. So nothing on the
/// sheet is dropped with it. One that the operation made is of one VMA at most: its record will have it.
#[derive(Debug)]
pub(super) enum Carried<'g, P> {
    OfRecord(&'g Record<P>),
    Kept(Slot),
}

impl<P> Clone for Carried<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Carried<'_, P> {}

impl<'g, P> Carried<'g, P> {
    /// The payload itself, of those that are kept.
    pub(super) fn of<'a>(self, payloads: &'a Payloads<P>) -> &'a P
    where
        'g: 'a,
    {
        match self {
            Self::OfRecord(record) => record.payload(),
            Self::Kept(slot) => payloads.get(slot),
        }
    }
}

/// What a VMA on the sheet is.
pub(super) type Draft<'g, P> = Kind<Carried<'g, P>>;

/// A VMA on the sheet.
#[derive(Debug)]
pub(super) struct Part<'g, P> {
    pub(super) span: Span,
    pub(super) body: Body<'g, P>,
}

/// What it is. One that has its record in the index still has its bounds, too.
#[derive(Debug)]
pub(super) enum Body<'g, P> {
    /// As it is.
    Old(&'g Record<P>),
    /// As it is, and with an owner of its private pages, which the neighbours that come later may take over.
    Owned(&'g Record<P>, Owner),
    /// To be.
    New(Draft<'g, P>),
}

impl<'g, P> Part<'g, P> {
    pub(super) fn flags(&self) -> VmaFlags {
        match &self.body {
            Body::Old(record) | Body::Owned(record, _) => record.flags(),
            Body::New(kind) => kind.flags,
        }
    }

    pub(super) fn owner(&self) -> Option<Owner> {
        match &self.body {
            Body::Old(record) => record.owner(),
            Body::Owned(_, owner) => Some(*owner),
            Body::New(kind) => kind.owner,
        }
    }

    pub(super) fn backing(&self) -> Backing {
        match &self.body {
            Body::Old(record) | Body::Owned(record, _) => record.backing(),
            Body::New(kind) => kind.backing,
        }
    }

    pub(super) fn linear_offset(&self) -> u64 {
        match &self.body {
            Body::Old(record) | Body::Owned(record, _) => record.linear_offset(),
            Body::New(kind) => kind.linear_offset,
        }
    }

    pub(super) fn payload(&self) -> Carried<'g, P> {
        match self.body {
            Body::Old(record) | Body::Owned(record, _) => Carried::OfRecord(record),
            Body::New(kind) => kind.payload,
        }
    }

    /// The record that it has in the index.
    pub(super) fn record(&self) -> Option<&'g Record<P>> {
        match self.body {
            Body::Old(record) | Body::Owned(record, _) => Some(record),
            Body::New(_) => None,
        }
    }

    pub(super) fn kind(&self) -> Draft<'g, P> {
        match self.body {
            Body::Old(record) => record.kind_with(Carried::OfRecord(record)),
            Body::Owned(record, owner) => Kind { owner: Some(owner), ..record.kind_with(Carried::OfRecord(record)) },
            Body::New(kind) => kind,
        }
    }

    /// 5.7: whether this one and pages of a kind that touch it are alike but for their owners and their payloads.
    fn is_like(&self, kind: &Draft<'g, P>) -> bool {
        self.flags() == kind.flags
            && !kind.flags.intersects(VmaFlags::SPECIAL)
            && self.backing() == kind.backing
            && self.linear_offset() == kind.linear_offset
    }
}

/// How many VMAs there may be, for one step: as Linux compares where it splits (5.14), or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// A split needs room for one more.
    Limited(usize),
    /// The caller has looked.
    Unlimited,
}

/// The sheet. It borrows the guard under which it was taken down: nothing on it is counted.
#[derive(Debug)]
pub(super) struct Sheet<'g, P> {
    pub(super) parts: Row<Part<'g, P>>,
    /// The VMAs that are not on the sheet any more as they were.
    pub(super) gone: SmallVec<[(Span, &'g Record<P>); 4]>,
    /// How many VMAs the address space would have.
    pub(super) count: usize,
    /// The accounts that it would have.
    pub(super) sums: Sums,
    /// What the mm's own words would be.
    pub(super) words: Words,
    /// The protection keys that it would have, and the rights of the calling thread, by which pages are brought in.
    pub(super) keyring: Keyring,
    pub(super) effects: Effects,
    /// The payloads that the operation makes.
    pub(super) payloads: &'g mut Payloads<P>,
    /// VMAs that stay as they are, and get an owner of their private pages.
    pub(super) owned: SmallVec<[(&'g Record<P>, Owner); 1]>,
    /// Whether the budget may refuse it: not, where the operation is one that only takes away.
    pub(super) charge: Charge,
    /// Memory was short for a step, which may be half done: what is on the sheet is worth nothing any more.
    pub(super) is_spoiled: bool,
}

/// What is to be told, and to whom.
pub(super) type Effects = SmallVec<[(Slot, Effect); 2]>;

impl<'g, P: Payload> Sheet<'g, P> {
    /// An empty one, for an address space that is locked for writing.
    pub(super) fn of<L: RawMmLock>(mm: &Mm<P, L>, keyring: Keyring, payloads: &'g mut Payloads<P>) -> Self {
        let (count, sums, words) = (mm.map_count(), mm.pages.sums(), Words::default());
        let (parts, gone, effects, owned) = (Row::new(), SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { parts, gone, count, sums, words, keyring, effects, payloads, owned, charge: Charge::Checked, is_spoiled: false }
    }

    /// The payload itself.
    pub(super) fn payload(&self, carried: Carried<'g, P>) -> &P {
        carried.of(self.payloads)
    }

    /// Makes another payload of that of a VMA.
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

    /// Keeps a payload that the operation makes.
    pub(super) fn keep(&mut self, make: impl FnOnce(&Payloads<P>) -> P) -> Result<Slot, ResourceError> {
        self.payloads.keep_with(make).inspect_err(|_| self.is_spoiled = true)
    }

    /// The same where the embedder makes one.
    pub(super) fn keep_if(&mut self, make: impl FnOnce(&Payloads<P>) -> Option<P>) -> Result<Option<Slot>, ResourceError> {
        self.payloads.keep_if(make).inspect_err(|_| self.is_spoiled = true)
    }

    /// 5.14: whether the upper part of a VMA may begin at an address inside it.
    pub(super) fn check_split(&self, i: usize, at: u64) -> Result<(), LayoutError> {
        let part = &self.parts[i];
        let (vma, page_bytes) = (part.span, page_bytes(part.flags()));
        if !at.is_multiple_of(page_bytes) {
            return Err(LayoutError::HugePage { vma, at, page_bytes });
        }
        if !self.payload(part.payload()).may_split(vma, at) {
            return Err(LayoutError::Unsplittable { vma, at });
        }
        Ok(())
    }

    /// What a part of a VMA is.
    fn kind_of(&mut self, i: usize, part: Span) -> Result<Draft<'g, P>, ResourceError> {
        let (whole, kind) = (self.parts[i].span, self.parts[i].kind());
        Ok(Kind { payload: self.derive(kind.payload, |payload| payload.part(whole, part))?, ..kind })
    }

    /// Takes the next VMA down.
    pub(super) fn take_down(&mut self, vma: Vma<'g, P>) -> Result<(), ResourceError> {
        self.parts.push(Part { span: vma.span(), body: Body::Old(vma.record()) })
    }

    /// The first VMA that ends at or after the address.
    #[inline]
    pub(super) fn find(&self, at: u64) -> usize {
        self.parts.partition_point(|part| part.span.last() < at)
    }

    /// The VMA that contains the address.
    #[inline]
    pub(super) fn lookup(&self, at: u64) -> Option<usize> {
        let i = self.find(at);
        self.parts.get(i).filter(|part| part.span.start() <= at).map(|_| i)
    }

    /// The VMAs that have an address in common with the range.
    #[inline]
    pub(super) fn within(&self, range: Span) -> Range<usize> {
        self.parts.between(|part| part.span.last() < range.start(), |part| part.span.start() > range.last())
    }

    /// Cuts the VMA of a place at an address inside it: the upper part, which has the next place, starts there.
    #[inline(never)]
    pub(super) fn cut(&mut self, i: usize, at: u64, room: Room) -> Result<(), LayoutError> {
        if let Room::Limited(limit) = room
            && self.count >= limit
        {
            return Err(LayoutError::TooMany { count: self.count, limit });
        }
        let part = &self.parts[i];
        self.check_split(i, at)?;
        let (low, high) = (Span::from_entry(part.span.start(), at - 1), Span::from_entry(at, part.span.last()));
        let (low, high) = ((low, self.kind_of(i, low)?), (high, self.kind_of(i, high)?));
        self.replace(i, Part { span: low.0, body: Body::New(low.1) })?;
        self.insert(i + 1, Part { span: high.0, body: Body::New(high.1) })?;
        self.count += 1;
        Ok(())
    }

    /// Takes out the VMAs of these places. Tells how many pages went.
    pub(super) fn take_out(&mut self, going: Range<usize>) -> Result<u64, LayoutError> {
        let mut pages = 0;
        if going.is_empty() {
            return Ok(pages);
        }
        for i in going.clone() {
            let part = &self.parts[i];
            self.sums.sub(part.flags(), part.span.pages());
            pages += part.span.pages();
            let (payload, effect) = (part.payload(), Effect::Unmapped(part.span));
            let_go(&mut self.gone, part).inspect_err(|_| self.is_spoiled = true)?;
            self.tell(payload, effect)?;
        }
        self.count -= going.len();
        self.parts.remove_range(going).inspect_err(|_| self.is_spoiled = true)?;
        Ok(pages)
    }

    /// The place below, if its VMA ends where the range begins and may become one with pages of this kind. The place is that of the first
    /// VMA that is not below the range.
    pub(super) fn mergeable_before(&self, place: usize, span: Span, kind: &Draft<'g, P>) -> Option<usize> {
        let below = place.checked_sub(1)?;
        let prev = &self.parts[below];
        let touches = span.start().checked_sub(1) == Some(prev.span.last());
        let is_like = touches && prev.is_like(kind) && self.payload(prev.payload()).merges_with(self.payload(kind.payload));
        (is_like && Owner::takes_in(prev.owner(), kind.owner)).then_some(below)
    }

    /// The place, if its VMA begins where the range ends, likewise. The place is that of the first VMA above the range.
    fn mergeable_after(&self, place: usize, span: Span, kind: &Draft<'g, P>) -> Option<usize> {
        let next = self.parts.get(place)?;
        let touches = span.last().checked_add(1) == Some(next.span.start());
        let is_like = touches && next.is_like(kind) && self.payload(kind.payload).merges_with(self.payload(next.payload()));
        (is_like && Owner::takes_in(next.owner(), kind.owner)).then_some(place)
    }

    /// 5.10: puts a new VMA where nothing is, merged with what touches it: with both sides the lower one survives.
    pub(super) fn put_merging(&mut self, span: Span, kind: Draft<'g, P>, sides: Sides) -> Result<(), LayoutError> {
        let i = self.find(span.start());
        let before = if sides == Sides::None { None } else { self.mergeable_before(i, span, &kind) };
        let after = if sides == Sides::Both { self.mergeable_after(i, span, &kind) } else { None };
        // The lower one is there first. Together the two must agree, and the upper one vanishes: it must be one that may (5.9, 5.12).
        let after = after.filter(|&after| {
            before.is_none_or(|before| {
                let (prev, next) = (&self.parts[before], &self.parts[after]);
                Owner::agree(prev.owner(), next.owner()) && self.payload(next.payload()).may_vanish()
            })
        });
        self.sums.add(kind.flags, span.pages());
        self.insert(i, Part { span, body: Body::New(kind) })?;
        self.count += 1;
        if after.is_some() {
            self.merge(i)?;
        }
        if before.is_some() {
            self.merge(i - 1)?;
        }
        Ok(())
    }

    /// Makes one of a VMA and the next.
    fn merge(&mut self, i: usize) -> Result<(), ResourceError> {
        let next = self.parts.remove(i + 1).inspect_err(|_| self.is_spoiled = true)?;
        let (kind, over) = (self.parts[i].kind(), next.kind());
        let span = Span::from_entry(self.parts[i].span.start(), next.span.last());
        // The owner is the one there is.
        let payload = self.keep(|payloads| kind.payload.of(payloads).merged(over.payload.of(payloads))).map(Carried::Kept)?;
        let merged = Part { span, body: Body::New(Kind { owner: kind.owner.or(over.owner), payload, ..kind }) };
        self.count -= 1;
        self.replace(i, merged)?;
        let_go(&mut self.gone, &next).inspect_err(|_| self.is_spoiled = true)
    }

    /// Puts a VMA that is to be in the place of another.
    pub(super) fn replace(&mut self, i: usize, part: Part<'g, P>) -> Result<(), ResourceError> {
        let was = core::mem::replace(&mut self.parts[i], part);
        let_go(&mut self.gone, &was).inspect_err(|_| self.is_spoiled = true)
    }

    /// 5.11: makes pages of one VMA another kind. It merges with what touches them, where they are at an end of the VMA; else the VMA is
    /// split, which needs room.
    pub(super) fn change(&mut self, range: Span, room: Room, change: impl FnOnce(&mut Draft<'g, P>)) -> Result<(), LayoutError> {
        let Some(mut i) = self.lookup(range.start()) else { unreachable!("pages of a VMA are changed") };
        let whole = self.parts[i].span;
        let was = self.parts[i].flags();
        let mut kind = self.kind_of(i, range)?;
        change(&mut kind);
        let (is_low, is_high) = (whole.start() == range.start(), whole.last() == range.last());
        let mut before = if is_low { self.mergeable_before(i, range, &kind) } else { None };
        let mut after = if is_high { self.mergeable_after(i + 1, range, &kind) } else { None };
        if is_low && is_high && !self.payload(self.parts[i].payload()).may_vanish() {
            // 5.12: it would vanish.
            (before, after) = (None, None);
        }
        if let Some((before, next)) = before.zip(after) {
            let (prev, next) = (&self.parts[before], &self.parts[next]);
            if !Owner::agree(prev.owner(), next.owner()) || !self.payload(next.payload()).may_vanish() {
                after = None;
            }
        }
        // Where the pages join a neighbour the boundary moves: that is no split.
        if !is_low {
            self.cut(i, range.start(), if after.is_some() { Room::Unlimited } else { room })?;
            i += 1;
        }
        if !is_high {
            self.cut(i, range.last() + 1, if before.is_some() { Room::Unlimited } else { room })?;
        }
        self.sums.sub(was, range.pages());
        self.sums.add(kind.flags, range.pages());
        if (was ^ kind.flags).intersects(VmaFlags::ACCESS | VmaFlags::PKEY_MASK) {
            self.tell(kind.payload, Effect::Protected(range, kind.flags))?;
        }
        self.replace(i, Part { span: range, body: Body::New(kind) })?;
        if after.is_some() {
            self.merge(i)?;
        }
        if before.is_some() {
            self.merge(i - 1)?;
        }
        Ok(())
    }

    /// From the first address that changes to the last.
    #[inline]
    pub(super) fn changed(&self) -> Option<Span> {
        let mut changed: Option<Span> = None;
        let mut include = |span: Span| {
            changed = Some(changed.map_or(span, |hull| Span::from_entry(hull.start().min(span.start()), hull.last().max(span.last()))));
        };
        self.gone.iter().for_each(|(span, _)| include(*span));
        self.parts.iter().filter(|part| part.record().is_none()).for_each(|part| include(part.span));
        changed
    }

    /// Notes what the embedder is to be told.
    pub(super) fn tell(&mut self, payload: Carried<'g, P>, effect: Effect) -> Result<(), ResourceError> {
        let slot = self.keep(|payloads| payload.of(payloads).clone())?;
        push(&mut self.effects, (slot, effect)).inspect_err(|_| self.is_spoiled = true)
    }

    /// Notes that a VMA that stays as it is gets an owner.
    pub(super) fn give(&mut self, record: &'g Record<P>, owner: Owner) -> Result<(), ResourceError> {
        push(&mut self.owned, (record, owner)).inspect_err(|_| self.is_spoiled = true)
    }

    fn insert(&mut self, i: usize, part: Part<'g, P>) -> Result<(), ResourceError> {
        self.parts.insert(i, part).inspect_err(|_| self.is_spoiled = true)
    }
}

/// With which neighbours a new VMA merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Both,
    /// Only with the one below: `brk`.
    Below,
    /// With none.
    None,
}

/// Notes the record of a VMA that is not as it was.
fn let_go<'g, P>(gone: &mut SmallVec<[(Span, &'g Record<P>); 4]>, part: &Part<'g, P>) -> Result<(), ResourceError> {
    part.record().map_or(Ok(()), |record| push(gone, (part.span, record)))
}
