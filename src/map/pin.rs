//! Readers without a lock: the pin for one lookup, and the `Reader` that a thread keeps.
//!
//! Called by `RangeMap` and by the readers of an address space.

use crate::addr::Span;
use crate::error::RangeError;
use crate::sync::{Collector, Reclaim};
use crate::tree::{Entry, Tree, View};
use crate::value::Value;
use core::fmt;
use core::ops::{Deref, RangeBounds};

/// A pin: what is read through it stays readable until it is dropped. Dereferences to [`View`].
///
/// A pin is not a lock: the map may change meanwhile. It is bound to its thread. While it lives, the memory of what writers remove cannot be
/// reused, so hold it briefly.
///
/// ```compile_fail,E0505
/// # use vmaple::RangeMap;
/// let map: RangeMap<u64> = RangeMap::new();
/// let pin = map.pin();
/// let entry = pin.lookup(1);
/// drop(pin); // the entry is borrowed from it
/// println!("{entry:?}");
/// ```
/// ```compile_fail,E0599
/// # use vmaple::RangeMap;
/// let map: RangeMap<u64> = RangeMap::new();
/// map.pin().insert(0..1, 7); // a pin is not a lock
/// ```
#[must_use = "the pin ends when it is dropped"]
pub struct PinGuard<'m, V: Value> {
    tree: &'m Tree<V>,
    _pin: <Collector as Reclaim>::Pin<'m>,
}

impl<'m, V: Value> PinGuard<'m, V> {
    /// Pins a tree, whose collector this is.
    pub(super) fn new(tree: &'m Tree<V>, collector: &'m Collector) -> Self {
        Self { tree, _pin: collector.pin() }
    }
}

impl<V: Value> Deref for PinGuard<'_, V> {
    type Target = View<V>;

    #[inline]
    fn deref(&self) -> &View<V> {
        #[allow(unsafe_code, reason = "a pin is what a view needs")]
        // SAFETY: pinned by the tree's collector as long as the view, which borrows the guard.
        unsafe {
            self.tree.view()
        }
    }
}

impl<V: Value> fmt::Debug for PinGuard<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinGuard").finish_non_exhaustive()
    }
}

/// A reader that a thread keeps. Each lookup refreshes its pin, which takes less than a nanosecond if the epoch has not advanced since
/// the last lookup.
///
/// An entry is borrowed from the reader until the next lookup. The reader stays pinned between lookups, so call [`unpin`](Self::unpin)
/// before it goes idle: otherwise writers can reuse no memory. It is bound to its thread.
///
/// # Examples
/// ```
/// # use vmaple::RangeMap;
/// let map = RangeMap::new();
/// map.write().insert(0x1000..0x2000, 'r').unwrap();
/// let mut reader = map.reader();
/// assert_eq!(reader.lookup(0x1800).map(|entry| *entry.value()), Some('r'));
/// reader.unpin(); // no more lookups for a while
/// ```
pub struct Reader<'m, V: Value> {
    tree: &'m Tree<V>,
    session: <Collector as Reclaim>::Session<'m>,
}

impl<'m, V: Value> Reader<'m, V> {
    /// Creates a reader of a tree, whose collector this is.
    pub(super) fn new(tree: &'m Tree<V>, collector: &'m Collector) -> Self {
        Self { tree, session: collector.session() }
    }

    /// Refreshes the pin and returns a view, for several lookups or an iteration under one pin.
    #[inline]
    pub fn view(&mut self) -> &View<V> {
        Collector::repin(&mut self.session);
        #[allow(unsafe_code, reason = "a pinned session is what a view needs")]
        // SAFETY: pinned by the tree's collector until the next repin or unpin, which need `&mut self`; the view borrows it.
        unsafe {
            self.tree.view()
        }
    }

    /// Returns the entry that contains the address. See [`View::lookup`].
    #[inline]
    pub fn lookup(&mut self, address: u64) -> Option<Entry<'_, V>> {
        self.view().lookup(address)
    }

    /// Returns the entry that contains the address, or else the first one above it. See [`View::find`].
    #[inline]
    pub fn find(&mut self, address: u64) -> Option<Entry<'_, V>> {
        self.view().find(address)
    }

    /// Returns the first entry that starts after the address. See [`View::next`].
    pub fn next(&mut self, address: u64) -> Option<Entry<'_, V>> {
        self.view().next(address)
    }

    /// Returns the last entry that lies wholly below the address. See [`View::prev`].
    pub fn prev(&mut self, address: u64) -> Option<Entry<'_, V>> {
        self.view().prev(address)
    }

    /// Returns a cursor over the entries of a range, which refreshes the pin at each step.
    ///
    /// For long iterations: one pin for all of it would keep writers from reusing memory all the time.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty.
    pub fn cursor(&mut self, range: impl RangeBounds<u64>) -> Result<Cursor<'_, 'm, V>, RangeError> {
        Ok(Cursor { rest: Some(Span::from_bounds(range)?), floor: 0, reader: self })
    }

    /// Ends the pin until the next lookup.
    pub fn unpin(&mut self) {
        Collector::unpin(&mut self.session);
    }
}

impl<V: Value> fmt::Debug for Reader<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// A cursor over the entries of a range. Created by [`Reader::cursor`].
///
/// Each step refreshes the pin, and its entry is borrowed from the reader until the next step. Addresses come in order and none twice, and
/// an address that stays mapped throughout is never missed.
///
/// # Examples
/// ```
/// # use vmaple::RangeMap;
/// let map = RangeMap::builder().build_from([(0u64..1, 'a'), (5..9, 'b')]).unwrap();
/// let mut reader = map.reader();
/// let mut cursor = reader.cursor(..).unwrap();
/// let mut seen = String::new();
/// while let Some(entry) = cursor.next() {
///     seen.push(*entry.value());
/// }
/// assert_eq!(seen, "ab");
/// ```
pub struct Cursor<'r, 'm, V: Value> {
    reader: &'r mut Reader<'m, V>,
    rest: Option<Span>,
    /// What was reported lies below it. 0 at first, because the first entry is reported whole even if it starts below the range.
    floor: u64,
}

impl<V: Value> Cursor<'_, '_, V> {
    /// Returns the next entry, clamped to the addresses that were not reported yet, or `None` at the end of the range.
    #[allow(clippy::should_implement_trait, reason = "an iterator cannot lend: the entry is borrowed from the reader until the next call")]
    pub fn next(&mut self) -> Option<Entry<'_, V>> {
        let rest = self.rest.take()?;
        let found = self.reader.view().find(rest.start())?;
        if found.start() > rest.last() {
            return None;
        }
        let found = found.clamped(self.floor);
        if let Some(after) = found.end() {
            self.floor = after;
            self.rest = Span::new(after, rest.last()).ok();
        }
        Some(found)
    }
}

impl<V: Value> fmt::Debug for Cursor<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursor").field("rest", &self.rest).finish_non_exhaustive()
    }
}
