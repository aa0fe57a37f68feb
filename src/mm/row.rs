//! The VMAs of a draft, in the order of their addresses: appended when the draft is loaded, then edited anywhere.
//!
//! Called by `draft`.
//!
//! An operation edits its VMAs from the lowest to the highest, at one place or at two that advance together (a move of several VMAs edits
//! where they were and where they go). An edit of a plain vector moves all items behind it, so n edits would move n² of them. A long row
//! therefore has two *folds*, which follow the edits:
//!
//! ```text
//!   low ............│ middle .....................│ high
//!   a vector        │ a queue with two ends       │ a vector, kept from back to front
//!                   └ the lower fold              └ the upper fold
//! ```
//!
//! At a fold an item is inserted or removed without moving another. An edit elsewhere first brings a fold there, item by item: the nearer
//! fold if the edit lies outside both, and both towards it, equally fast, if it lies between them. That is the "double coverage"
//! algorithm for two servers on a line, and never moves more than twice as many items as the best choice for the same edits (Chrobak, Karloff,
//! Payne and Vishwanathan, "New results on server problems", 1991). So two sweeps over a row of n items, side by side, move O(n) items.
//!
//! A short row has no folds, and is a plain vector.

use crate::error::ResourceError;
use crate::fallible::push;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::{Index, IndexMut, Range};
use smallvec::SmallVec;

/// How many VMAs a row holds without allocating. Most operations meet no more.
const FEW: usize = 6;

/// A row stays plain as long as an edit moves at most this many items.
const FLAT: usize = 32;

/// Items in order.
#[derive(Debug)]
pub(super) struct Row<T> {
    /// The items below the lower fold, which are all of them unless the row is folded.
    low: SmallVec<[T; FEW]>,
    folded: Option<Folded<T>>,
}

/// The items above the lower fold.
#[derive(Debug)]
struct Folded<T> {
    middle: VecDeque<T>,
    /// The items above the upper fold, from back to front.
    high: Vec<T>,
}

impl<T> Folded<T> {
    fn len(&self) -> usize {
        self.middle.len() + self.high.len()
    }

    /// Returns the index in `high` of item `i` of those above the lower fold, if the item is not in the middle.
    fn place_in_high(&self, i: usize) -> Option<usize> {
        self.len().checked_sub(i + 1)
    }

    fn get(&self, i: usize) -> Option<&T> {
        self.middle.get(i).or_else(|| self.high.get(self.place_in_high(i)?))
    }

    fn get_mut(&mut self, i: usize) -> Option<&mut T> {
        let place = self.place_in_high(i);
        if i < self.middle.len() { self.middle.get_mut(i) } else { self.high.get_mut(place?) }
    }

    fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        if self.middle.back().is_some_and(|last| !is_before(last)) {
            return self.middle.partition_point(is_before);
        }
        self.len() - self.high.partition_point(|item| !is_before(item))
    }
}

impl<T> Row<T> {
    pub(super) fn new() -> Self {
        Self { low: SmallVec::new(), folded: None }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.low.len() + self.folded.as_ref().map_or(0, Folded::len)
    }

    /// Appends an item. Called before the first edit.
    #[inline]
    pub(super) fn push(&mut self, item: T) -> Result<(), ResourceError> {
        debug_assert!(self.folded.is_none(), "items are appended before the first edit");
        push(&mut self.low, item)
    }

    #[inline]
    pub(super) fn get(&self, i: usize) -> Option<&T> {
        if let Some(item) = self.low.get(i) {
            return Some(item);
        }
        self.folded.as_ref().and_then(|folded| folded.get(i - self.low.len()))
    }

    /// Returns an iterator over the items, in order.
    #[inline]
    pub(super) fn iter(&self) -> Items<'_, T> {
        Items { row: self, at: 0 }
    }

    /// Returns the indices of the items that are neither before nor behind.
    #[inline]
    pub(super) fn between(&self, is_before: impl Fn(&T) -> bool, is_behind: impl Fn(&T) -> bool) -> Range<usize> {
        if self.folded.is_some() {
            return self.partition_point(is_before)..self.partition_point(|item| !is_behind(item));
        }
        let items = self.low.as_slice();
        let first = items.partition_point(is_before);
        let mut end = first;
        while items.get(end).is_some_and(|item| !is_behind(item)) {
            end += 1;
        }
        first..end
    }

    /// Returns the index of the first item for which `is_before` is false, as `slice::partition_point` does.
    #[inline]
    pub(super) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        match &self.folded {
            Some(folded) if self.low.last().is_none_or(&is_before) => self.low.len() + folded.partition_point(is_before),
            _ => self.low.partition_point(is_before),
        }
    }

    /// Inserts an item at an index.
    #[inline]
    pub(super) fn insert(&mut self, i: usize, item: T) -> Result<(), ResourceError> {
        if !self.is_near_the_end(i) {
            return self.insert_at_a_fold(i, item);
        }
        if self.low.len() == self.low.capacity() {
            self.low.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
        }
        self.low.insert(i, item);
        Ok(())
    }

    /// Inserts an item after a fold was brought to the index.
    #[cold]
    fn insert_at_a_fold(&mut self, i: usize, item: T) -> Result<(), ResourceError> {
        self.fold_at(i)?;
        let Some(folded) = self.folded.as_mut().filter(|_| self.low.len() < i) else { return push(&mut self.low, item) };
        folded.middle.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
        folded.middle.push_back(item);
        Ok(())
    }

    /// Removes the item at an index, which must be below the length, and returns it.
    #[inline]
    pub(super) fn remove(&mut self, i: usize) -> Result<T, ResourceError> {
        if self.is_near_the_end(i) { Ok(self.low.remove(i)) } else { self.remove_at_a_fold(i) }
    }

    /// Removes an item after a fold was brought to the index.
    #[cold]
    fn remove_at_a_fold(&mut self, i: usize) -> Result<T, ResourceError> {
        self.fold_at(i)?;
        let is_lower = self.low.len() == i;
        let item = self.folded.as_mut().and_then(|folded| {
            let above_lower = if is_lower { folded.middle.pop_front() } else { None };
            above_lower.or_else(|| folded.high.pop())
        });
        let Some(item) = item else { unreachable!("an index of the row") };
        Ok(item)
    }

    /// Drops the items at these indices.
    #[inline]
    pub(super) fn remove_range(&mut self, places: Range<usize>) -> Result<(), ResourceError> {
        // It moves no more items than it removes, or than a short row has.
        if self.folded.is_none() && self.low.len() - places.end <= FLAT.max(places.len()) {
            note_moved(self.low.len() - places.end);
            drop(self.low.drain(places));
            return Ok(());
        }
        self.remove_range_at_a_fold(places)
    }

    /// Drops the items at these indices, one by one, at a fold.
    #[cold]
    fn remove_range_at_a_fold(&mut self, mut places: Range<usize>) -> Result<(), ResourceError> {
        let first = places.start;
        places.try_for_each(|_| self.remove_at_a_fold(first).map(drop))
    }

    /// Returns whether an edit at an index moves few items, because the row is not folded and the index is near its end.
    #[inline]
    fn is_near_the_end(&self, i: usize) -> bool {
        let is_near = self.folded.is_none() && self.low.len() - i <= FLAT;
        if is_near {
            note_moved(self.low.len() - i);
        }
        is_near
    }

    /// Brings a fold to an index.
    fn fold_at(&mut self, i: usize) -> Result<(), ResourceError> {
        let Self { low, folded } = self;
        let folded = folded.get_or_insert_with(|| Folded { middle: VecDeque::new(), high: Vec::new() });
        let oom = |_| ResourceError::OutOfMemory;
        let (lower, upper) = (low.len(), low.len() + folded.middle.len());
        if i <= lower {
            note_moved(lower - i);
            folded.middle.try_reserve(lower - i).map_err(oom)?;
            low.drain(i..).rev().for_each(|item| folded.middle.push_front(item));
        } else if i >= upper {
            note_moved(i - upper);
            folded.middle.try_reserve(i - upper).map_err(oom)?;
            let from = folded.high.len() - (i - upper);
            folded.middle.extend(folded.high.drain(from..).rev());
        } else {
            let moved = (i - lower).min(upper - i);
            note_moved(2 * moved);
            low.try_reserve(moved).map_err(|_| ResourceError::OutOfMemory)?;
            folded.high.try_reserve(moved).map_err(oom)?;
            low.extend(folded.middle.drain(..moved));
            let from = folded.middle.len() - moved;
            folded.high.extend(folded.middle.drain(from..).rev());
        }
        Ok(())
    }
}

/// The items of a row.
#[derive(Debug)]
pub(super) struct Items<'r, T> {
    row: &'r Row<T>,
    at: usize,
}

impl<'r, T> Iterator for Items<'r, T> {
    type Item = &'r T;

    #[inline]
    fn next(&mut self) -> Option<&'r T> {
        self.at += 1;
        self.row.get(self.at - 1)
    }
}

impl<T> Index<usize> for Row<T> {
    type Output = T;

    #[inline]
    fn index(&self, i: usize) -> &T {
        let Some(item) = self.get(i) else { unreachable!("an index of the row") };
        item
    }
}

impl<T> IndexMut<usize> for Row<T> {
    #[inline]
    fn index_mut(&mut self, i: usize) -> &mut T {
        let below = self.low.len();
        let item = if i < below { self.low.get_mut(i) } else { self.folded.as_mut().and_then(|folded| folded.get_mut(i - below)) };
        let Some(item) = item else { unreachable!("an index of the row") };
        item
    }
}

/// Notes that an edit moved `items` items, for the tests that count them.
#[inline]
fn note_moved(items: usize) {
    #[cfg(test)]
    tests::MOVED.set(tests::MOVED.get() + items);
    #[cfg(not(test))]
    let _ = items;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use quickcheck::{QuickCheck, TestResult};
    use std::cell::Cell;

    thread_local! {
        /// How many items this thread's edits have moved.
        pub(in crate::mm) static MOVED: Cell<usize> = const { Cell::new(0) };
    }

    /// How many items are moved meanwhile.
    pub(in crate::mm) fn moved_by<T>(work: impl FnOnce() -> T) -> (usize, T) {
        let before = MOVED.get();
        let result = work();
        (MOVED.get() - before, result)
    }

    fn row_of(len: usize) -> Row<usize> {
        let mut row = Row::new();
        (0..len).for_each(|item| row.push(item).expect("memory"));
        row
    }

    fn assert_is(row: &Row<usize>, items: &[usize]) {
        assert_eq!((0..row.len()).map(|i| row[i]).collect::<Vec<_>>(), items);
        assert_eq!((row.len(), row.get(items.len())), (items.len(), None));
    }

    /// Edits anywhere, beside a plain vector.
    #[test]
    fn a_row_holds_what_a_vector_holds() {
        fn agrees(len: u8, edits: Vec<(u16, u8)>) -> TestResult {
            let len = if cfg!(miri) { usize::from(len) / 8 } else { 4 * usize::from(len) };
            let (mut row, mut items) = (row_of(len), (0..len).collect::<Vec<_>>());
            for (edit, (at, what)) in edits.into_iter().enumerate() {
                let at = usize::from(at) % (items.len() + 1);
                let end = (at + usize::from(what / 4)).min(items.len());
                match what % 4 {
                    0 | 1 => {
                        row.insert(at, 10_000 + edit).expect("memory");
                        items.insert(at, 10_000 + edit);
                    }
                    2 if at < items.len() => assert_eq!(row.remove(at), Ok(items.remove(at))),
                    3 => {
                        row.remove_range(at..end).expect("memory");
                        drop(items.drain(at..end));
                    }
                    _ => {}
                }
                if let Some(item) = items.get_mut(at) {
                    *item += 20_000;
                    row[at] += 20_000;
                }
                assert_is(&row, &items);
            }
            TestResult::passed()
        }
        QuickCheck::new().tests(if cfg!(miri) { 4 } else { 100 }).quickcheck(agrees as fn(u8, Vec<(u16, u8)>) -> TestResult);
    }

    /// The items stay in order, so each place can be searched for.
    #[test]
    fn places_are_found_in_a_folded_row() {
        for (first, second) in [(0, 0), (10, 90), (90, 10), (50, 50), (0, 99), (99, 0), (99, 99)] {
            let mut row = row_of(100);
            let mut items: Vec<_> = (0..100).collect();
            for at in [first, second] {
                row.remove(at.min(row.len() - 1)).expect("memory");
                items.remove(at.min(items.len() - 1));
            }
            for item in 0..=100 {
                assert_eq!(
                    row.partition_point(|other| *other < item),
                    items.partition_point(|other| *other < item),
                    "{first} {second} {item}"
                );
            }
        }
    }

    /// One sweep, as of `mprotect`, and two side by side, as of a move of several VMAs: upward and downward.
    #[test]
    fn sweeps_move_each_item_a_few_times() {
        const LEN: usize = if cfg!(miri) { 300 } else { 10_000 };
        let (moved, ()) = moved_by(|| {
            let mut row = row_of(LEN);
            (0..LEN / 2).for_each(|i| _ = row.remove(i).expect("memory"));
        });
        assert!(moved <= 3 * LEN, "one sweep: {moved}");
        for is_up in [true, false] {
            let (moved, row) = moved_by(|| {
                let mut row = row_of(LEN);
                for step in 0..LEN / 4 {
                    let step = if is_up { step } else { LEN / 4 - step - 1 };
                    row.insert(step, LEN).expect("memory");
                    row.remove(LEN / 2 + step).expect("memory");
                }
                row
            });
            assert_eq!(row.len(), LEN);
            assert!(moved <= 6 * LEN, "two sweeps: {moved}");
        }
    }
}
