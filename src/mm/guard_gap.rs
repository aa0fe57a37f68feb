//! Guard gaps that are kept free of all accessible memory (7.9). Linux keeps only searched mappings and growth out of them.
//!
//! A *breach* is a page that is accessible, belongs to a VMA that does not grow the same way as a stack, and lies in the guard gap of that
//! stack. An operation may leave the breaches that exist, and must make no new one, so the layout before it is compared with the layout after
//! it. Called by `plan` for every operation, by `insert` and by growth for changes without a plan, and by `place` for the places that a
//! search may return.
//!
//! The code is written for stacks that grow down. A stack that grows up is one that grows down in the mirrored layout.

use super::draft::LayoutDraft;
use super::limits::Limits;
use super::{MmWriteGuard, Record};
use crate::addr::Span;
use crate::lock::RawMmLock;
use crate::tree::View;
use crate::vma::{Payload, VmaFlags};

/// What guard gaps need to know of a VMA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) span: Span,
    pub(super) flags: VmaFlags,
}

/// A layout that can be walked.
pub(super) trait Layout {
    /// Returns the VMA that contains the address, or else the first one above it.
    fn at_or_above(&self, at: u64) -> Option<Seen>;

    /// Returns the last VMA that starts at or below the address.
    fn at_or_below(&self, at: u64) -> Option<Seen>;
}

impl<P> Layout for View<Record<P>> {
    fn at_or_above(&self, at: u64) -> Option<Seen> {
        self.find(at).map(|entry| Seen { span: entry.span(), flags: entry.value().flags() })
    }

    fn at_or_below(&self, at: u64) -> Option<Seen> {
        self.lookup(at).or_else(|| self.prev(at)).map(|entry| Seen { span: entry.span(), flags: entry.value().flags() })
    }
}

/// The VMAs that a range is to hold, in order.
pub(super) trait Edit {
    /// Returns the VMA at an index.
    fn get(&self, i: usize) -> Option<Seen>;

    /// Returns how many VMAs end below the address.
    fn rank(&self, at: u64) -> usize;
}

impl Edit for [Seen] {
    fn get(&self, i: usize) -> Option<Seen> {
        <[Seen]>::get(self, i).copied()
    }

    fn rank(&self, at: u64) -> usize {
        self.partition_point(|vma| vma.span.last() < at)
    }
}

impl<P: Payload> Edit for LayoutDraft<'_, P> {
    fn get(&self, i: usize) -> Option<Seen> {
        self.vmas.get(i).map(|vma| Seen { span: vma.span, flags: vma.flags() })
    }

    fn rank(&self, at: u64) -> usize {
        self.find(at)
    }
}

/// A layout after an edit of a range. Outside the range it is the layout before.
struct Edited<'e, B: ?Sized, E: ?Sized> {
    base: &'e B,
    range: Span,
    edit: &'e E,
}

impl<B: Layout + ?Sized, E: Edit + ?Sized> Layout for Edited<'_, B, E> {
    fn at_or_above(&self, at: u64) -> Option<Seen> {
        let below = || self.base.at_or_above(at).filter(|vma| vma.span.last() < self.range.start());
        let inside = || self.edit.get(self.edit.rank(at.max(self.range.start()))).filter(|vma| vma.span.overlaps(self.range));
        let above = || self.base.at_or_above(at.max(self.range.last().checked_add(1)?));
        (at < self.range.start()).then(below).flatten().or_else(|| (at <= self.range.last()).then(inside).flatten()).or_else(above)
    }

    fn at_or_below(&self, at: u64) -> Option<Seen> {
        let above = || self.base.at_or_below(at).filter(|vma| vma.span.start() > self.range.last());
        let inside = || {
            let at = at.min(self.range.last());
            let i = self.edit.rank(at);
            let found = self.edit.get(i).filter(|vma| vma.span.start() <= at).or_else(|| self.edit.get(i.checked_sub(1)?));
            found.filter(|vma| vma.span.overlaps(self.range))
        };
        let below = || self.base.at_or_below(at.min(self.range.start().checked_sub(1)?));
        (at > self.range.last()).then(above).flatten().or_else(|| (at >= self.range.start()).then(inside).flatten()).or_else(below)
    }
}

/// A mirrored layout: its lowest address is the highest of the other, and stacks that grow up grow down in it.
struct Mirrored<'l, Y: ?Sized>(&'l Y);

/// Returns the span in the mirrored layout.
fn mirrored(span: Span) -> Span {
    Span::from_entry(!span.last(), !span.start())
}

impl Seen {
    /// Returns the VMA in the mirrored layout.
    fn mirrored(self) -> Self {
        let mut flags = self.flags - VmaFlags::GROWSDOWN - VmaFlags::GROWSUP;
        flags.set(VmaFlags::GROWSDOWN, self.flags.contains(VmaFlags::GROWSUP));
        flags.set(VmaFlags::GROWSUP, self.flags.contains(VmaFlags::GROWSDOWN));
        Self { span: mirrored(self.span), flags }
    }

    /// Returns whether it is a stack that grows down.
    fn is_stack(self) -> bool {
        self.flags.contains(VmaFlags::GROWSDOWN)
    }

    /// Returns whether it may not be in the guard gap of such a stack.
    fn is_kept_out(self) -> bool {
        self.flags.is_accessible() && !self.is_stack()
    }
}

impl<Y: Layout + ?Sized> Layout for Mirrored<'_, Y> {
    fn at_or_above(&self, at: u64) -> Option<Seen> {
        self.0.at_or_below(!at).map(Seen::mirrored)
    }

    fn at_or_below(&self, at: u64) -> Option<Seen> {
        self.0.at_or_above(!at).map(Seen::mirrored)
    }
}

/// A stack, and the lowest address of its guard gap.
#[derive(Clone, Copy, Debug)]
struct Reach {
    low: u64,
    stack: Span,
}

/// The addresses that the walks of one search have passed without finding anything that keeps a place out.
///
/// A search tries places in one direction, and there may be many VMAs between a place and the stack that keeps it out. Because of this note
/// each VMA is passed once in a search, not once for each place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walked(Option<Span>);

impl Walked {
    /// Returns the address, or the first one above it that was not passed.
    fn above(self, at: u64) -> Option<u64> {
        self.0.filter(|walked| walked.contains(at)).map_or(Some(at), |walked| walked.last().checked_add(1))
    }

    /// Returns the address, or the first one below it that was not passed.
    fn below(self, at: u64) -> Option<u64> {
        self.0.filter(|walked| walked.contains(at)).map_or(Some(at), |walked| walked.start().checked_sub(1))
    }

    /// Notes that the addresses from `low` to `high` were passed, both included.
    fn note(&mut self, low: u64, high: u64) {
        if low > high {
            return;
        }
        let walk = Span::from_entry(low, high);
        self.0 = Some(match self.0 {
            // The two touch, so they are one.
            Some(walked)
                if walked.overlaps(walk) || walked.last().checked_add(1) == Some(low) || high.checked_add(1) == Some(walked.start()) =>
            {
                walked.hull(walk)
            }
            _ => walk,
        });
    }
}

/// The guard gap of every stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    bytes: u64,
}

impl Gap {
    /// Returns the guard gap of the limits.
    pub(super) fn of(limits: &Limits) -> Self {
        Self { bytes: limits.stack_guard_gap_bytes() }
    }

    /// Returns a stack with the lowest address of its gap.
    fn reach(self, stack: Span) -> Reach {
        Reach { low: stack.start().saturating_sub(self.bytes), stack }
    }

    /// Returns the lowest stack above an address whose gap includes the address.
    fn stack_above(self, layout: &(impl Layout + ?Sized), at: u64, walked: &mut Walked) -> Option<Reach> {
        let first = at.checked_add(1)?;
        let mut above = walked.above(first);
        while let Some(vma) = above.and_then(|above| layout.at_or_above(above)) {
            let reach = self.reach(vma.span);
            if reach.low > at || vma.is_stack() {
                walked.note(first, vma.span.start().saturating_sub(1));
                return (reach.low <= at).then_some(reach);
            }
            above = vma.span.last().checked_add(1).and_then(|above| walked.above(above));
        }
        walked.note(first, u64::MAX);
        None
    }

    /// Returns the highest VMA below a stack that is in its gap and may not be.
    fn intruder(self, layout: &(impl Layout + ?Sized), stack: Span, walked: &mut Walked) -> Option<Seen> {
        let (low, first) = (self.reach(stack).low, stack.start().checked_sub(1)?);
        let mut below = walked.below(first);
        while let Some(vma) = below.and_then(|below| layout.at_or_below(below)) {
            if vma.span.last() < low || vma.is_kept_out() {
                walked.note(vma.span.last().saturating_add(1), first);
                return (vma.span.last() >= low).then_some(vma);
            }
            below = vma.span.start().checked_sub(1).and_then(|below| walked.below(below));
        }
        walked.note(0, first);
        None
    }

    /// Returns pages that an edit of a range brings into the gap of a stack above them, and the stack. Pages that were in such a gap before
    /// are not returned.
    ///
    /// Walks down both layouts in step, from each boundary of a VMA in either to the next. Of the stacks above an address only the lowest
    /// matters, because its gap reaches furthest down.
    fn breach_below(self, before: &(impl Layout + ?Sized), after: &(impl Layout + ?Sized), range: Span) -> Option<(Span, Span)> {
        let mut reaches = [self.stack_above(before, range.last(), &mut Walked::default()); 2];
        let mut at = range.last();
        loop {
            let vmas = [before.at_or_below(at), after.at_or_below(at)];
            let bounds = vmas.map(|vma| match vma {
                Some(vma) if vma.span.last() < at => vma.span.last() + 1,
                Some(vma) => vma.span.start(),
                None => 0,
            });
            let low = bounds[0].max(bounds[1]);
            let here = vmas.map(|vma| vma.filter(|vma| vma.span.last() >= at));
            let [was, is] = [0, 1].map(|i| {
                let reach = reaches[i].filter(|reach: &Reach| reach.low <= at && here[i].is_some_and(Seen::is_kept_out))?;
                Some((Span::from_entry(reach.low.max(low), at), reach.stack))
            });
            if let Some(found) = is.filter(|(pages, _)| was.is_none_or(|(old, _)| old.start() > pages.start())) {
                return Some(found);
            }
            for (reach, vma) in reaches.iter_mut().zip(here) {
                if let Some(stack) = vma.filter(|vma| vma.is_stack() && vma.span.start() == low) {
                    *reach = Some(self.reach(stack.span));
                }
            }
            at = low.checked_sub(1)?;
            // Below the range the layouts are equal, so a new breach needs a gap that reaches further down than before.
            let [was, is] = reaches.map(|reach| reach.map(|reach| reach.low));
            if at < range.start() && is.is_none_or(|is| is > at || was.is_some_and(|was| was <= is)) {
                return None;
            }
        }
    }

    /// Returns pages that an edit of a range brings into a guard gap, and the stack (7.9).
    pub(super) fn breach(self, base: &(impl Layout + ?Sized), range: Span, edit: &(impl Edit + ?Sized)) -> Option<(Span, Span)> {
        let after = Edited { base, range, edit };
        self.breach_below(base, &after, range).or_else(|| {
            let found = self.breach_below(&Mirrored(base), &Mirrored(&after), mirrored(range));
            found.map(|(pages, stack)| (mirrored(pages), mirrored(stack)))
        })
    }

    /// Returns a range of addresses that keeps a new VMA from its place, because of the guard gap of a stack above it, or of its own if it is a
    /// stack. At any place that overlaps the range it would be kept out, too.
    fn zone_below(self, layout: &(impl Layout + ?Sized), vma: Seen, walked: &mut Walked) -> Option<Span> {
        if vma.is_stack() {
            let by = self.intruder(layout, vma.span, walked)?.span;
            return Some(Span::from_entry(by.start(), by.last().saturating_add(self.bytes)));
        }
        if !vma.is_kept_out() {
            return None;
        }
        let reach = self.stack_above(layout, vma.span.last(), walked)?;
        Some(Span::from_entry(reach.low, reach.stack.last()))
    }

    /// Returns a range that keeps a new VMA from its place, as [`zone_below`](Self::zone_below) does, for both directions of growth.
    fn zone(self, layout: &(impl Layout + ?Sized), vma: Seen, [walked, in_mirror]: &mut [Walked; 2]) -> Option<Span> {
        let zone = self.zone_below(layout, vma, walked);
        zone.or_else(|| self.zone_below(&Mirrored(layout), vma.mirrored(), in_mirror).map(mirrored))
    }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Returns pages that come into a guard gap if one VMA fills the range, and the stack (7.9).
    pub(crate) fn guard_breach_of(&self, span: Span, flags: VmaFlags, limits: &Limits) -> Option<(Span, Span)> {
        Gap::of(limits).breach(self.entries(), span, [Seen { span, flags }].as_slice())
    }

    /// Returns a range of addresses that keeps a new VMA from a place because of a guard gap (7.9): it may not overlap the range.
    ///
    /// `walked` belongs to one search, whose places are all for the same flags: the walks in the layout, and in the mirrored one.
    pub(super) fn guard_zone(&self, span: Span, flags: VmaFlags, limits: &Limits, walked: &mut [Walked; 2]) -> Option<Span> {
        Gap::of(limits).zone(self.entries(), Seen { span, flags }, walked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{Gen, QuickCheck};
    use std::cell::Cell;

    /// VMAs in order, and how often they were asked for.
    struct Counted(Vec<Seen>, Cell<usize>);

    impl Counted {
        /// One page each; what each is, and how many pages are free above it.
        fn of(vmas: Vec<(u8, u8)>) -> Self {
            let kinds = [VmaFlags::empty(), VmaFlags::READ, VmaFlags::GROWSDOWN, VmaFlags::GROWSUP, VmaFlags::READ | VmaFlags::GROWSUP];
            let mut at = 0;
            let seen = vmas.into_iter().map(|(kind, free)| {
                let span = Span::from_entry(at, at + 0xfff);
                at += 0x1000 * (1 + u64::from(free % 4));
                Seen { span, flags: kinds[usize::from(kind) % kinds.len()] }
            });
            Self(seen.collect(), Cell::new(0))
        }

        /// The free pages that touch a VMA above them.
        fn places(&self) -> Vec<Span> {
            let starts = self.0.windows(2).filter(|pair| pair[0].span.last() + 1 < pair[1].span.start()).map(|pair| pair[1].span.start());
            starts.map(|start| Span::from_entry(start - 0x1000, start - 1)).collect()
        }
    }

    impl Layout for Counted {
        fn at_or_above(&self, at: u64) -> Option<Seen> {
            self.1.set(self.1.get() + 1);
            self.0.get(self.0.partition_point(|vma| vma.span.last() < at)).copied()
        }

        fn at_or_below(&self, at: u64) -> Option<Seen> {
            self.1.set(self.1.get() + 1);
            self.0.partition_point(|vma| vma.span.start() <= at).checked_sub(1).map(|i| self.0[i])
        }
    }

    const SEARCHED: [VmaFlags; 3] = [VmaFlags::READ, VmaFlags::READ.union(VmaFlags::GROWSDOWN), VmaFlags::READ.union(VmaFlags::GROWSUP)];

    /// What is remembered of earlier walks changes no answer, in either direction.
    #[test]
    fn earlier_walks_change_no_answer() {
        fn agrees(vmas: Vec<(u8, u8)>, gap_pages: u8, skipped: u8) -> bool {
            let layout = Counted::of(vmas);
            let gap = Gap { bytes: u64::from(gap_pages % 12) * 0x1000 };
            let up = layout.places();
            let down = up.iter().rev().copied().collect::<Vec<_>>();
            [up, down].iter().all(|places| {
                SEARCHED.iter().all(|&flags| {
                    let mut walked = Default::default();
                    places.iter().step_by(usize::from(skipped % 3) + 1).all(|&span| {
                        let vma = Seen { span, flags };
                        gap.zone(&layout, vma, &mut walked) == gap.zone(&layout, vma, &mut Default::default())
                    })
                })
            })
        }
        let (tests, size) = if cfg!(miri) { (3, 6) } else { (2000, 100) };
        QuickCheck::new().tests(tests).rng(Gen::new(size)).quickcheck(agrees as fn(_, _, _) -> _);
    }

    /// All is in reach of each gap: a search that tries every place walks over each VMA a few times, in all.
    #[test]
    fn a_search_walks_over_each_vma_once() {
        const VMAS: usize = if cfg!(miri) { 16 } else { 2000 };
        // What cannot be accessed matters to none; of the others each matters to some.
        for kind in 0..5 {
            let layout = Counted::of((0..VMAS).map(|i| (if i % 2 == 0 { 0 } else { kind }, 1)).collect());
            let gap = Gap { bytes: u64::MAX };
            let up = layout.places();
            let down = up.iter().rev().copied().collect::<Vec<_>>();
            for (places, flags) in [&up, &down].into_iter().flat_map(|places| SEARCHED.map(|flags| (places, flags))) {
                layout.1.set(0);
                let mut walked = Default::default();
                for &span in places {
                    _ = gap.zone(&layout, Seen { span, flags }, &mut walked);
                }
                assert!(layout.1.get() < 8 * VMAS, "{} steps over {VMAS} VMAs of kind {kind}, for {flags:?}", layout.1.get());
            }
        }
    }
}
