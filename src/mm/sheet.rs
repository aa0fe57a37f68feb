//! A stretch of a layout on paper: an operation takes it down, rewrites it step by step as Linux would, and hands it to `plan.rs`, by
//! which it becomes the layout with one store, or never.
//!
//! The operations' files come in. On the sheet are all VMAs that overlap its stretch, whole; what is rewritten must lie in the stretch.
//! Where an operation merges, the stretch reaches over what touches it.
//! Nothing here changes the address space, and what fails leaves on the sheet what was done before: the effects that Linux leaves behind.
//! But where memory is short the sheet is spoiled, and never becomes the layout.

use super::accounts::Sums;
use super::huge::page_bytes;
use super::keys::Keys;
use super::limits::Limits;
use super::plan::Words;
use super::{MmWriteGuard, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::key::{KeyDenial, KeyRights, ProtectionKey};
use crate::lock::RawMmLock;
use crate::tree::limbo::Charge;
use crate::tree::list::push;
use crate::vma::{Backing, Kind, Owner, Payload, Vma, VmaFlags};
use core::ops::Range;
use smallvec::SmallVec;

/// How many VMAs an operation meets as a rule: it asks for no memory then.
const FEW: usize = 6;

/// What is told to the embedder's payloads when the layout is as the sheet says.
#[derive(Debug)]
pub(super) enum Effect {
    Unmapped(Span),
    Protected(Span, VmaFlags),
    Moved(Span, Span),
}

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
    New(Kind<P>),
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

    pub(super) fn payload(&self) -> &P {
        match &self.body {
            Body::Old(record) | Body::Owned(record, _) => record.payload(),
            Body::New(kind) => &kind.payload,
        }
    }

    /// The record that it has in the index.
    pub(super) fn record(&self) -> Option<&'g Record<P>> {
        match self.body {
            Body::Old(record) | Body::Owned(record, _) => Some(record),
            Body::New(_) => None,
        }
    }
}

impl<P: Payload> Part<'_, P> {
    pub(super) fn kind(&self) -> Kind<P> {
        match &self.body {
            Body::Old(record) => record.kind(),
            Body::Owned(record, owner) => Kind { owner: Some(*owner), ..record.kind() },
            Body::New(kind) => kind.clone(),
        }
    }

    /// 5.14: whether its upper part may begin at an address inside it.
    pub(super) fn check_split(&self, at: u64) -> Result<(), LayoutError> {
        let (vma, page_bytes) = (self.span, page_bytes(self.flags()));
        if !at.is_multiple_of(page_bytes) {
            return Err(LayoutError::HugePage { vma, at, page_bytes });
        }
        if !self.payload().may_split(vma, at) {
            return Err(LayoutError::Unsplittable { vma, at });
        }
        Ok(())
    }

    /// 5.7: whether this one and pages of a kind that touch it are alike but for their owners and their payloads.
    fn is_like(&self, kind: &Kind<P>) -> bool {
        self.flags() == kind.flags
            && !kind.flags.intersects(VmaFlags::SPECIAL)
            && self.backing() == kind.backing
            && self.linear_offset() == kind.linear_offset
    }

    /// What a part of it is.
    fn kind_of(&self, part: Span) -> Kind<P> {
        let mut kind = self.kind();
        kind.payload = self.payload().part(self.span, part);
        kind
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
    pub(super) parts: SmallVec<[Part<'g, P>; FEW]>,
    /// The VMAs that are not on the sheet any more as they were.
    pub(super) gone: SmallVec<[(Span, &'g Record<P>); 4]>,
    /// How many VMAs the address space would have.
    pub(super) count: usize,
    /// The accounts that it would have.
    pub(super) sums: Sums,
    /// What the mm's own words would be.
    pub(super) words: Words,
    /// The protection keys that it would have.
    pub(super) keys: Keys,
    /// The rights of the calling thread, by which pages are brought in.
    pub(super) rights: KeyRights,
    pub(super) effects: Effects<P>,
    /// VMAs that stay as they are, and get an owner of their private pages.
    pub(super) owned: SmallVec<[(&'g Record<P>, Owner); 1]>,
    /// Whether the budget may refuse it: not, where the operation is one that only takes away.
    pub(super) charge: Charge,
    /// Memory was short for a step, which may be half done: what is on the sheet is worth nothing any more.
    pub(super) is_spoiled: bool,
}

/// What is to be told, and to whom.
pub(super) type Effects<P> = SmallVec<[(P, Effect); 2]>;

impl<'g, P: Payload> Sheet<'g, P> {
    /// An empty one, for a guard's address space.
    pub(super) fn of<L: RawMmLock>(guard: &'g MmWriteGuard<'_, P, L>) -> Self {
        let (count, sums, words) = (guard.mm().map_count(), guard.sums(), Words::default());
        let (keys, rights) = (guard.mm().state.keys(), guard.key_rights());
        let (parts, gone, effects, owned) = (SmallVec::new(), SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { parts, gone, count, sums, words, keys, rights, effects, owned, charge: Charge::Checked, is_spoiled: false }
    }

    /// Takes the next VMA down.
    pub(super) fn take_down(&mut self, vma: Vma<'g, P>) -> Result<(), ResourceError> {
        push(&mut self.parts, Part { span: vma.span(), body: Body::Old(vma.record()) })
    }

    /// The first VMA that ends at or after the address.
    pub(super) fn find(&self, at: u64) -> usize {
        self.parts.partition_point(|part| part.span.last() < at)
    }

    /// The VMA that contains the address.
    pub(super) fn lookup(&self, at: u64) -> Option<usize> {
        let i = self.find(at);
        self.parts.get(i).filter(|part| part.span.start() <= at).map(|_| i)
    }

    /// The VMAs that have an address in common with the range.
    pub(super) fn within(&self, range: Span) -> Range<usize> {
        let first = self.find(range.start());
        let behind = self.parts[first..].iter().take_while(|part| part.span.start() <= range.last()).count();
        first..first + behind
    }

    /// Cuts the VMA that has addresses on both sides of `at`, if there is one: the upper part starts there.
    pub(super) fn cut(&mut self, at: u64, room: Room) -> Result<(), LayoutError> {
        let Some(i) = self.lookup(at).filter(|&i| self.parts[i].span.start() < at) else { return Ok(()) };
        if let Room::Limited(limit) = room
            && self.count >= limit
        {
            return Err(LayoutError::TooMany { count: self.count, limit });
        }
        let part = &self.parts[i];
        part.check_split(at)?;
        let (low, high) = (Span::from_entry(part.span.start(), at - 1), Span::from_entry(at, part.span.last()));
        let (low, high) = ((low, part.kind_of(low)), (high, part.kind_of(high)));
        self.room(1)?;
        self.replace(i, Part { span: low.0, body: Body::New(low.1) })?;
        self.parts.insert(i + 1, Part { span: high.0, body: Body::New(high.1) });
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
            let (payload, effect) = (part.payload().clone(), Effect::Unmapped(part.span));
            let_go(&mut self.gone, part).inspect_err(|_| self.is_spoiled = true)?;
            self.tell(payload, effect)?;
        }
        self.count -= going.len();
        drop(self.parts.drain(going));
        Ok(pages)
    }

    /// Puts a VMA where nothing is, as one of its own; tells its place.
    fn put(&mut self, span: Span, kind: Kind<P>) -> Result<usize, ResourceError> {
        self.room(1)?;
        self.sums.add(kind.flags, span.pages());
        let i = self.find(span.start());
        self.parts.insert(i, Part { span, body: Body::New(kind) });
        self.count += 1;
        Ok(i)
    }

    /// The VMA that ends where the range begins, if it and pages of this kind may become one.
    pub(super) fn mergeable_before(&self, span: Span, kind: &Kind<P>) -> Option<usize> {
        let i = self.lookup(span.start().checked_sub(1)?)?;
        let prev = &self.parts[i];
        let is_like = prev.is_like(kind) && prev.payload().merges_with(&kind.payload);
        (prev.span.last() < span.start() && is_like && Owner::takes_in(prev.owner(), kind.owner)).then_some(i)
    }

    /// The VMA that begins where the range ends, likewise.
    fn mergeable_after(&self, span: Span, kind: &Kind<P>) -> Option<usize> {
        let i = self.lookup(span.last().checked_add(1)?)?;
        let next = &self.parts[i];
        let is_like = next.is_like(kind) && kind.payload.merges_with(next.payload());
        (next.span.start() > span.last() && is_like && Owner::takes_in(next.owner(), kind.owner)).then_some(i)
    }

    /// 5.10: puts a new VMA where nothing is, merged with what touches it: with both sides the lower one survives.
    pub(super) fn put_merging(&mut self, span: Span, kind: Kind<P>, sides: Sides) -> Result<(), LayoutError> {
        let before = self.mergeable_before(span, &kind).filter(|_| sides != Sides::None);
        let after = self.mergeable_after(span, &kind).filter(|_| sides == Sides::Both);
        // The lower one is there first. Together the two must agree, and the upper one vanishes: it must be one that may (5.9, 5.12).
        let after = after.filter(|&after| {
            before.is_none_or(|before| {
                let (prev, next) = (&self.parts[before], &self.parts[after]);
                Owner::agree(prev.owner(), next.owner()) && next.payload().may_vanish()
            })
        });
        let i = self.put(span, kind)?;
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
        let next = self.parts.remove(i + 1);
        let part = &self.parts[i];
        let kind = part.kind().merged(&next.kind());
        let merged = Part { span: Span::from_entry(part.span.start(), next.span.last()), body: Body::New(kind) };
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
    pub(super) fn change(&mut self, range: Span, room: Room, change: impl FnOnce(&mut Kind<P>)) -> Result<(), LayoutError> {
        let Some(i) = self.lookup(range.start()) else { unreachable!("pages of a VMA are changed") };
        let whole = self.parts[i].span;
        let was = self.parts[i].flags();
        let mut kind = self.parts[i].kind_of(range);
        change(&mut kind);
        let (is_low, is_high) = (whole.start() == range.start(), whole.last() == range.last());
        let mut before = self.mergeable_before(range, &kind).filter(|_| is_low);
        let mut after = self.mergeable_after(range, &kind).filter(|_| is_high);
        if is_low && is_high && !self.parts[i].payload().may_vanish() {
            // 5.12: it would vanish.
            (before, after) = (None, None);
        }
        if let Some((before, next)) = before.zip(after) {
            let (prev, next) = (&self.parts[before], &self.parts[next]);
            if !Owner::agree(prev.owner(), next.owner()) || !next.payload().may_vanish() {
                after = None;
            }
        }
        // Where the pages join a neighbour the boundary moves: that is no split.
        self.cut(range.start(), if after.is_some() { Room::Unlimited } else { room })?;
        if let Some(behind) = range.last().checked_add(1) {
            self.cut(behind, if before.is_some() { Room::Unlimited } else { room })?;
        }
        let i = self.find(range.start());
        self.sums.sub(was, range.pages());
        self.sums.add(kind.flags, range.pages());
        if (was ^ kind.flags).intersects(VmaFlags::ACCESS | VmaFlags::PKEY_MASK) {
            self.tell(kind.payload.clone(), Effect::Protected(range, kind.flags))?;
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

    /// 8.2: the execute-only key, where there is one. The calling thread has no right to it from then on.
    pub(super) fn execute_only_key(&mut self, limits: &Limits) -> Option<ProtectionKey> {
        let key = self.keys.request_execute_only(limits).filter(|&key| key != ProtectionKey::ZERO)?;
        self.rights = self.rights.with(key, KeyDenial::ACCESS);
        Some(key)
    }

    /// Notes what the embedder is to be told.
    pub(super) fn tell(&mut self, payload: P, effect: Effect) -> Result<(), ResourceError> {
        push(&mut self.effects, (payload, effect)).inspect_err(|_| self.is_spoiled = true)
    }

    /// Notes that a VMA that stays as it is gets an owner.
    pub(super) fn give(&mut self, record: &'g Record<P>, owner: Owner) -> Result<(), ResourceError> {
        push(&mut self.owned, (record, owner)).inspect_err(|_| self.is_spoiled = true)
    }

    fn room(&mut self, parts: usize) -> Result<(), ResourceError> {
        self.parts.try_reserve(parts).map_err(|_| {
            self.is_spoiled = true;
            ResourceError::OutOfMemory
        })
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
