//! A list of entries to insert together. It is sorted, and owns the values until they are in the index.
//!
//! Filled by the write guard and by the operations of an address space, and taken by `edit` and `prepared`.

use super::super::memory::{FirstPanic, drop_contained};
use super::super::node::{RawEntry, copy_bits};
use super::super::read::Entry;
use crate::addr::Span;
use crate::error::{ResourceError, SpliceCause};
use crate::unwind;
use core::fmt;
use core::mem::{self, MaybeUninit};
use smallvec::SmallVec;

/// Entries in order. If the list is dropped, it drops all values, even if a drop panics.
pub(crate) struct EntryList<V> {
    items: SmallVec<[RawEntry<V>; 3]>,
}

impl<V> EntryList<V> {
    pub(crate) fn new() -> Self {
        Self { items: SmallVec::new() }
    }

    /// Appends an entry. Returns the value if the entry does not start above the one before, or if memory is short.
    pub(crate) fn push(&mut self, span: Span, value: V) -> Result<(), (V, SpliceCause)> {
        if let Some(after) = self.items.last().filter(|after| span.start() <= after.last) {
            return Err((value, SpliceCause::Unsorted { item: span, after: after.span() }));
        }
        if self.items.len() == self.items.capacity() && self.items.try_reserve(1).is_err() {
            return Err((value, ResourceError::OutOfMemory.into()));
        }
        self.items.push(RawEntry::new(span, value));
        Ok(())
    }

    /// A list of one entry. It allocates nothing.
    pub(super) fn of(span: Span, value: V) -> Self {
        let mut list = Self::new();
        list.items.push(RawEntry::new(span, value));
        list
    }

    /// Returns the value of a list of one.
    pub(super) fn into_only(mut self) -> V {
        let Some((_, value)) = self.take().next() else { unreachable!("a list of one") };
        value
    }

    pub(super) fn items(&self) -> &[RawEntry<V>] {
        &self.items
    }

    /// Returns the span from the first address to the last, or `None` if the list is empty.
    pub(crate) fn hull(&self) -> Option<Span> {
        let (first, last) = (self.items.first()?, self.items.last()?);
        Some(first.span().hull(last.span()))
    }

    /// Removes the entries, and returns them.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (Span, V)> + '_ {
        self.items.drain(..).map(|item| {
            let span = item.span();
            #[allow(unsafe_code, reason = "hands a value back")]
            // SAFETY: `push` initialized it, and what leaves the list is not dropped with it.
            let value = unsafe { item.value.assume_init() };
            (span, value)
        })
    }

    /// Returns the entries, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_, V>> {
        self.items.iter().map(|item| {
            #[allow(unsafe_code, reason = "lends a value")]
            // SAFETY: `push` initialized it, and whatever takes it out takes its item out of the list.
            let value = unsafe { item.value.assume_init_ref() };
            Entry::new(item.span(), value)
        })
    }

    /// Converts the list into an iterator. Allocates nothing.
    pub(crate) fn into_entries(mut self) -> EntryListIter<V> {
        EntryListIter { items: mem::take(&mut self.items).into_iter() }
    }

    /// Forgets the entries, because the index owns the values now.
    pub(super) fn forget(&mut self) {
        // Items have no destructor, so no value is dropped.
        self.items.clear();
    }

    /// Returns the bits of the values, which the caller owns then.
    pub(super) fn give_up(mut self) -> impl Iterator<Item = MaybeUninit<V>> {
        mem::take(&mut self.items).into_iter().map(|item| copy_bits(&item.value))
    }
}

impl<V> Drop for EntryList<V> {
    fn drop(&mut self) {
        // Usually the index owns the values by now, and the list is empty.
        if !self.items.is_empty() {
            self.take().for_each(|(_, value)| _ = drop_contained(MaybeUninit::new(value)));
        }
    }
}

/// The iterator over the entries of a list. If it is dropped, it drops the values that are left, even if a drop panics; then the first
/// panic goes on, because the values are the caller's.
pub(crate) struct EntryListIter<V> {
    items: smallvec::IntoIter<[RawEntry<V>; 3]>,
}

impl<V> Iterator for EntryListIter<V> {
    type Item = (Span, V);

    fn next(&mut self) -> Option<(Span, V)> {
        let item = self.items.next()?;
        let span = item.span();
        #[allow(unsafe_code, reason = "hands a value back")]
        // SAFETY: `push` initialized it, and it has just left the list.
        let value = unsafe { item.value.assume_init() };
        Some((span, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl<V> Drop for EntryListIter<V> {
    fn drop(&mut self) {
        let mut panicked = FirstPanic::default();
        for (_, value) in self {
            panicked.run(|| drop(value));
        }
        // A second panic would abort.
        if unwind::is_panicking() { mem::forget(panicked) } else { panicked.go_on() }
    }
}

impl<V> fmt::Debug for EntryList<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.items.iter().map(RawEntry::span)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    /// The second and the fourth of five panic.
    #[test]
    #[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
    fn entries_are_all_dropped_whichever_of_them_panic() {
        // Of no size: a panic that is never dropped leaks nothing.
        struct First;
        struct Later;
        struct Counted<'c>(u64, &'c Cell<u64>);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.1.set(self.1.get() + 1);
                // Without the hook, which would print.
                match self.0 {
                    1 => resume_unwind(Box::new(First)),
                    3 => resume_unwind(Box::new(Later)),
                    _ => {}
                }
            }
        }
        let dropped = Cell::new(0);
        let list = || {
            let mut list = EntryList::new();
            for at in 0..5 {
                assert!(list.push(Span::from_entry(at, at), Counted(at, &dropped)).is_ok(), "in order");
            }
            list.into_entries()
        };
        let entries = list();
        let outcome = catch_unwind(AssertUnwindSafe(|| drop(entries))).map_err(|with| with.is::<First>());
        assert_eq!((outcome, dropped.get()), (Err(true), 5));
        // While a panic is under way already, there is no second one.
        let entries = list();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let _entries = entries;
            resume_unwind(Box::new(7_u64));
        }));
        assert_eq!((outcome.map_err(|with| with.downcast_ref::<u64>().copied()), dropped.get()), (Err(Some(7)), 10));
    }

    #[test]
    fn a_list_shows_its_ranges() {
        let mut list = EntryList::new();
        for start in [0, 0x10] {
            list.push(Span::from_entry(start, start + 4), ()).expect("in order");
        }
        assert_eq!(format!("{list:?}"), "[0x0..=0x4, 0x10..=0x14]");
    }
}
