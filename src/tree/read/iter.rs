//! Iteration over the entries of a range, from both ends. Called through a `View`.
//!
//! An iterator goes through a leaf. For the next leaf it asks the parent that it came by, and at the parent's end it descends again from
//! the root to its cursor. The cursor is the address after the last one reported. What comes is clamped to it, so that addresses come in
//! order and none twice, even if an entry has grown over what was reported.
//!
//! An address that stays mapped throughout is never missed. A leaf routes all addresses from its lower boundary to the end of its last
//! entry, and what it held was true at a moment after the iteration came to it; the next leaf begins where it ended. This also holds below
//! a parent that was replaced: its slots are frozen, so its next child is the one that routed those addresses when the parent was replaced,
//! which was after the iteration came to it; and its keys never change, so that child begins where the leaf before ended.

use super::super::node::{InnerRef, LeafRef, ReaderRole};
use super::entry::Entry;
use super::walk::{Arrival, Containing, View, entries, entry};
use crate::addr::Span;
use crate::error::RangeError;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::RangeBounds;

/// An iterator over the entries of a map, or of a range of it. Created by [`View::iter`] and [`View::range`].
#[must_use = "iterators do nothing unless they are advanced"]
pub struct Iter<'g, V> {
    view: &'g View<V>,
    /// The part of the range that is still to come.
    low: u64,
    high: u64,
    /// What was reported lies below the floor or above the ceiling. An end that has reported nothing has no limit, because the first entry
    /// is reported whole even if it reaches out of the range.
    floor: u64,
    ceiling: u64,
    ended: bool,
    front: Option<Run<'g, V>>,
    back: Option<(LeafRef<'g, V, ReaderRole>, usize)>,
}

/// Entries of one leaf that are reported whole, one after the other. What was reported ends below each of them (T5), and each ends below
/// `high`.
#[derive(Debug)]
struct Run<'g, V> {
    leaf: LeafRef<'g, V, ReaderRole>,
    next: usize,
    end: usize,
    parent: Parent<'g, V>,
}

/// The parent of a leaf, and the leaf's index there. `None` if the leaf is the root.
type Parent<'g, V> = Option<(InnerRef<'g, V, ReaderRole>, usize)>;

/// An entry to come: its leaf, its index there, and the leaf's parent.
type ToCome<'g, V> = (LeafRef<'g, V, ReaderRole>, usize, Parent<'g, V>);

impl<V> Clone for Run<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Run<'_, V> {}

impl<'g, V> Iter<'g, V> {
    fn new(view: &'g View<V>, span: Span) -> Self {
        let (low, high) = (span.start(), span.last());
        Self { view, low, high, floor: 0, ceiling: u64::MAX, ended: false, front: None, back: None }
    }

    /// Ends the run, and notes how far it has come.
    fn end_run(&mut self) {
        if let Some(run) = &mut self.front {
            run.end = run.next;
            self.low = run.leaf.last(run.next - 1) + 1;
            self.floor = self.low;
        }
    }

    /// Finds the first entry that ends at or after the cursor.
    fn front(&self) -> Option<ToCome<'g, V>> {
        if let Some(Run { leaf, next, parent, .. }) = self.front {
            if next < leaf.len() {
                return Some((leaf, next, parent));
            }
            if let Some((parent, i)) = parent.filter(|(parent, i)| i + 1 < parent.len()) {
                // All entries of the next child end above the key between the two, and what was reported does not.
                return Some((self.view.leaf_at(parent, i + 1), 0, Some((parent, i + 1))));
            }
        }
        let Arrival { leaf, parent, .. } = self.view.arrive(self.low)?;
        let i = leaf.rank(self.low);
        (i < leaf.len()).then_some((leaf, i, parent))
    }

    /// Returns the next entry if it is not in the run, and begins a new run.
    fn next_run(&mut self) -> Option<Entry<'g, V>> {
        if self.ended {
            return None;
        }
        self.end_run();
        let place = self.front();
        let found = place.and_then(|(leaf, i, _)| self.clamped(leaf, i));
        self.ended = found.is_none_or(|found| found.last() >= self.high);
        if !self.ended {
            self.front = place.map(|(leaf, i, parent)| Run { leaf, next: i + 1, end: self.end_in(leaf), parent });
        }
        found
    }

    /// Returns how many entries of a leaf end below `high`.
    fn end_in(&self, leaf: LeafRef<'g, V, ReaderRole>) -> usize {
        if leaf.last(leaf.len() - 1) < self.high { leaf.len() } else { leaf.rank(self.high) }
    }

    /// Finds the last entry that starts at or before the back cursor.
    fn back(&mut self) -> Option<(LeafRef<'g, V, ReaderRole>, usize)> {
        self.back.take().or_else(|| self.view.last_below(self.high, Containing::Yes).map(|(leaf, i, _)| (leaf, i)))
    }

    /// Returns entry `i` of a leaf, clamped to what was not reported yet, or `None` if it lies outside what is still to come.
    fn clamped(&self, leaf: LeafRef<'g, V, ReaderRole>, i: usize) -> Option<Entry<'g, V>> {
        let (start, last) = (leaf.start(i), leaf.last(i));
        (start <= self.high && last >= self.low)
            .then(|| Entry::new(Span::from_entry(start.max(self.floor), last.min(self.ceiling)), leaf.value(i)))
    }
}

impl<'g, V> Iterator for Iter<'g, V> {
    type Item = Entry<'g, V>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'g, V>> {
        if let Some(run) = &mut self.front
            && run.next < run.end
        {
            run.next += 1;
            return Some(entry(run.leaf, run.next - 1));
        }
        self.next_run()
    }

    /// Goes leaf by leaf, which is faster than entry by entry. `for_each`, `count`, `sum` and others are built on this.
    #[inline]
    fn fold<B, F: FnMut(B, Entry<'g, V>) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = init;
        while let Some(found) = self.next() {
            folded = f(folded, found);
            if let Some(run) = &mut self.front {
                folded = entries(run.leaf, run.next..run.end).fold(folded, &mut f);
                run.next = run.end;
            }
        }
        folded
    }
}

impl<V> DoubleEndedIterator for Iter<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.end_run();
        let place = self.back();
        let found = place.and_then(|(leaf, i)| self.clamped(leaf, i));
        self.back = place.and_then(|(leaf, i)| Some((leaf, i.checked_sub(1)?)));
        self.ended = found.is_none_or(|found| found.start() <= self.low);
        if let (Some(found), false) = (found, self.ended) {
            self.high = found.start() - 1;
            self.ceiling = self.high;
        }
        found
    }
}

impl<V> FusedIterator for Iter<'_, V> {}

impl<V> View<V> {
    /// Returns an iterator over all entries, in order.
    pub fn iter(&self) -> Iter<'_, V> {
        self.within(Span::ALL)
    }

    /// Returns an iterator over the entries that have an address in the range, in order.
    ///
    /// An entry that extends beyond the range comes whole.
    ///
    /// # Concurrency
    /// Addresses come in order and none twice, and an address that stays mapped throughout is never missed. It is a snapshot
    /// only under a lock guard.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty.
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<Iter<'_, V>, RangeError> {
        Ok(self.within(Span::from_bounds(range)?))
    }

    /// [`range`](Self::range) of a span.
    pub(crate) fn within(&self, span: Span) -> Iter<'_, V> {
        Iter::new(self, span)
    }
}

impl<'g, V> IntoIterator for &'g View<V> {
    type Item = Entry<'g, V>;
    type IntoIter = Iter<'g, V>;

    fn into_iter(self) -> Iter<'g, V> {
        self.iter()
    }
}

impl<V> Clone for Iter<'_, V> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<V> fmt::Debug for Iter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").field("low", &self.low).field("high", &self.high).finish_non_exhaustive()
    }
}
