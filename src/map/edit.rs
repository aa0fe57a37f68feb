//! The writer's operations on a map. Each is one call of the tree's editor, which makes the whole change or none of it.
//!
//! Called by holders of a `WriteGuard`; the crate-private ones by the operations of an address space.

use super::{Unspliced, WriteGuard};
use crate::addr::Span;
use crate::error::{ExtendError, GapError, InsertError, RejectedError, RemoveEntryError, RemoveError, ReplaceError, SetError, SpliceError};
use crate::lock::RawMmLock;
use crate::tree::{Entry, EntryList, FoundGap, GapQuery, Position, Removed, ValidateError};
use crate::value::Value;
use core::ops::RangeBounds;

impl<'m, V: Value, L: RawMmLock> WriteGuard<'m, V, L> {
    /// Inserts an entry into a range that holds none.
    ///
    /// # Complexity
    /// O(log n): copies one leaf and stores to one slot.
    ///
    /// # Errors
    /// [`InsertError`], with the value: the range is empty, an entry is in the range, memory is short, or pinned readers would hold back
    /// more than the [budget](crate::map::Builder::budget_bytes).
    ///
    /// # Examples
    /// ```
    /// use vmaple::map::InsertCause;
    /// use vmaple::{RangeMap, Span};
    /// let map = RangeMap::new();
    /// let mut writer = map.write();
    /// writer.insert(0x1000..0x3000, 1u64).unwrap();
    /// let error = writer.insert(0x2000..=u64::MAX, 2).unwrap_err();
    /// assert_eq!(error.value, 2);
    /// let asked = Span::new(0x2000, u64::MAX).unwrap();
    /// assert_eq!(error.cause, InsertCause::Occupied { asked, by: Span::new(0x1000, 0x2fff).unwrap() });
    /// ```
    pub fn insert(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<(), InsertError<V>> {
        self.editor.insert(range, value)
    }

    /// Sets the value of the entry that contains the address, and returns the entry as it was.
    ///
    /// The entry keeps its bounds, so `V` need not be `Clone`. The old value is dropped when no reader can reach it any more.
    ///
    /// # Concurrency
    /// A reader sees the old value or the new one: one store publishes the change.
    ///
    /// # Errors
    /// [`SetError`], with the value: no entry contains the address, memory is short, or pinned readers would hold back more than the
    /// [budget](crate::map::Builder::budget_bytes).
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// #[derive(Debug)]
    /// struct Device(u32); // not Clone
    /// let bus = RangeMap::new();
    /// let mut writer = bus.write();
    /// writer.insert(0x1000..0x2000, Box::new(Device(1))).unwrap();
    /// let old = writer.set(0x1800, Box::new(Device(2))).unwrap();
    /// assert_eq!((old.start(), old.value().0), (0x1000, 1));
    /// assert_eq!(writer.lookup(0x1fff).unwrap().value().0, 2);
    /// assert!(writer.set(0x2000, Box::new(Device(3))).is_err());
    /// ```
    pub fn set(&mut self, address: u64, value: V) -> Result<Entry<'_, V>, SetError<V>> {
        self.editor.set(address, value)
    }

    /// Replaces everything in a range by one entry, and returns what was removed.
    ///
    /// Entries inside the range are removed. An entry that extends beyond it keeps the part outside, and its value is cloned if it is cut
    /// in two. [`replace_entries`](Self::replace_entries) cuts no entry and needs no `Clone`.
    ///
    /// Removed values are dropped when no reader can reach them any more.
    ///
    /// # Concurrency
    /// A reader sees what was in the range before or what is there after: no address of the range ever looks unmapped meanwhile.
    ///
    /// # Errors
    /// [`ReplaceError`], with the value: the range is empty, memory is short, or pinned readers would hold back more than the
    /// [budget](crate::map::Builder::budget_bytes).
    ///
    /// # Panics
    /// If `V::clone` panics; nothing has changed then.
    pub fn replace(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>>
    where
        V: Clone,
    {
        self.editor.replace(range, value)
    }

    /// Replaces the entries in a range by one entry, unless an entry would be cut, and returns what was removed.
    ///
    /// As [`replace`](Self::replace), but `V` need not be `Clone`, because an entry that extends beyond the range is an error.
    ///
    /// # Concurrency
    /// A reader sees what was in the range before or what is there after, as for `replace`.
    ///
    /// # Errors
    /// [`ReplaceError`], with the value: as for `replace`, or [`ReplaceCause::Cut`](crate::map::ReplaceCause::Cut), which names the first
    /// entry that would be cut.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// use vmaple::map::ReplaceCause;
    /// #[derive(Debug)]
    /// struct Device; // not Clone
    /// let bus = RangeMap::new();
    /// let mut writer = bus.write();
    /// writer.insert(0x1000..0x2000, Box::new(Device)).unwrap();
    /// assert_eq!(writer.replace_entries(0x0..0x4000, Box::new(Device)).unwrap().len(), 1);
    /// let refused = writer.replace_entries(0x1000..0x2000, Box::new(Device)).unwrap_err();
    /// assert!(matches!(refused.cause, ReplaceCause::Cut { entry, .. } if entry.range() == Some(0x0..0x4000)));
    /// ```
    pub fn replace_entries(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>> {
        self.editor.replace_entries(range, value)
    }

    /// Replaces everything in a range by several entries, and returns what was removed.
    ///
    /// The entries' ranges are [`Span`]s, which a refused splice can hand back as they are.
    ///
    /// Entries inside the range are removed. An entry that extends beyond it keeps the part outside, and its value is cloned if it is cut
    /// in two. [`splice_entries`](Self::splice_entries) cuts no entry and needs no `Clone`.
    ///
    /// Removed values are dropped when no reader can reach them any more.
    ///
    /// # Complexity
    /// O(log n + k), with k the entries in the range and the new ones. A wide range costs more, because everything that stays in it is
    /// copied.
    ///
    /// # Concurrency
    /// A reader sees what was in the range before or what is there after. So an entry can be moved without a moment in which it is
    /// nowhere, or twice in the map.
    ///
    /// # Errors
    /// [`SpliceError`], with the entries: a range is empty, they are not in order or not inside the range, memory is short, or pinned
    /// readers would hold back more than the [budget](crate::map::Builder::budget_bytes). A splice without entries is a removal, which is
    /// never refused for the budget. The entries come back as an [iterator](Unspliced), because that needs no memory.
    ///
    /// # Panics
    /// If `V::clone` or the iterator panics; nothing has changed then, and what the iterator had returned is dropped after the unlock. The
    /// iterator itself is dropped here.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{RangeMap, Span};
    /// // before  A..B
    /// // after   .A.B
    /// let map: RangeMap<char> = RangeMap::new();
    /// let mut writer = map.write();
    /// writer.insert(0..4, 'A').unwrap();
    /// writer.insert(12..16, 'B').unwrap();
    /// writer.splice(0..12, [(Span::new(4, 7).unwrap(), 'A')])?;
    /// assert_eq!(writer.iter().map(|entry| (entry.start(), *entry.value())).collect::<Vec<_>>(), [(4, 'A'), (12, 'B')]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[allow(clippy::result_large_err, reason = "the entries are handed back where they are: to box them would need memory")]
    pub fn splice<I>(&mut self, range: impl RangeBounds<u64>, entries: I) -> Result<Removed<'_, V>, SpliceError<Unspliced<V, I::IntoIter>>>
    where
        I: IntoIterator<Item = (Span, V)>,
        V: Clone,
    {
        let list = self.gather(entries.into_iter())?;
        self.editor.splice_list(range, list).map_err(|(list, cause)| RejectedError::new(Unspliced::all_taken(list), cause))
    }

    /// Replaces the entries in a range by several entries, unless an entry would be cut, and returns what was removed.
    ///
    /// As [`splice`](Self::splice), but `V` need not be `Clone`, because an entry that extends beyond the range is an error.
    ///
    /// # Concurrency
    /// A reader sees what was in the range before or what is there after, as for `splice`.
    ///
    /// # Errors
    /// [`SpliceError`], with the entries: as for `splice`, or [`SpliceCause::Cut`](crate::map::SpliceCause::Cut), which names the first entry
    /// that would be cut.
    ///
    /// # Panics
    /// If the iterator panics, as for `splice`.
    #[allow(clippy::result_large_err, reason = "as for `splice`")]
    pub fn splice_entries<I>(
        &mut self,
        range: impl RangeBounds<u64>,
        entries: I,
    ) -> Result<Removed<'_, V>, SpliceError<Unspliced<V, I::IntoIter>>>
    where
        I: IntoIterator<Item = (Span, V)>,
    {
        let list = self.gather(entries.into_iter())?;
        self.editor.splice_entries(range, list).map_err(|(list, cause)| RejectedError::new(Unspliced::all_taken(list), cause))
    }

    /// Takes the entries of a splice into a list.
    #[allow(clippy::result_large_err, reason = "as for `splice`")]
    fn gather<I: Iterator<Item = (Span, V)>>(&mut self, mut entries: I) -> Result<EntryList<V>, SpliceError<Unspliced<V, I>>> {
        let (list, gathered) = self.editor.hold_list_while(EntryList::new(), move |list| {
            let push = |(span, value)| list.push(span, value).map_err(|(value, cause)| ((span, value), cause));
            // At the end the iterator is dropped here, because its drop is the embedder's code, too.
            entries.by_ref().try_for_each(push).map_err(|refused| (refused, entries))
        });
        match gathered {
            Ok(()) => Ok(list),
            Err(((refused, cause), entries)) => Err(RejectedError::new(Unspliced::stopped_at(list, refused, entries), cause)),
        }
    }

    /// Removes everything in a range, and returns what was removed.
    ///
    /// Entries inside the range are removed. An entry that extends beyond it keeps the part outside, and its value is cloned if it is cut
    /// in two. [`remove_entries`](Self::remove_entries) cuts no entry and needs no `Clone`.
    ///
    /// Removed values are dropped when no reader can reach them any more.
    ///
    /// # Errors
    /// [`RemoveError`]: the range is empty, or memory is short. A removal is never refused for the
    /// [budget](crate::map::Builder::budget_bytes), so this is never [`ResourceError::OverBudget`](crate::map::ResourceError::OverBudget).
    ///
    /// # Panics
    /// If `V::clone` panics; nothing has changed then.
    pub fn remove(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, RemoveError>
    where
        V: Clone,
    {
        self.editor.remove(range)
    }

    /// Removes the entries in a range, unless an entry would be cut, and returns what was removed.
    ///
    /// As [`remove`](Self::remove), but `V` need not be `Clone`, because an entry that extends beyond the range is an error.
    ///
    /// # Errors
    /// [`RemoveError`]: as for `remove`, or [`RemoveError::Cut`], which names the first entry that would be cut.
    pub fn remove_entries(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, RemoveError> {
        self.editor.remove_entries(range)
    }

    /// Removes the entry that contains the address, and returns what was removed: nothing if no entry contains the address.
    ///
    /// # Errors
    /// [`RemoveEntryError`]: memory is short. A removal is never refused for the [budget](crate::map::Builder::budget_bytes).
    pub fn remove_entry(&mut self, address: u64) -> Result<Removed<'_, V>, RemoveEntryError> {
        Ok(self.editor.remove_entry(address)?)
    }

    /// Extends the entry that contains `address` downward until it starts at `start`, and returns its bounds.
    ///
    /// Changes nothing if the entry starts at `start` or below it already.
    ///
    /// # Complexity
    /// O(log n). Readers see one store; nothing is allocated and nothing retired.
    ///
    /// # Errors
    /// [`ExtendError`]: no entry contains the address, or another entry is in the way.
    pub fn extend_down(&mut self, address: u64, start: u64) -> Result<Span, ExtendError> {
        self.editor.extend_down(address, start)
    }

    /// Extends the entry that contains `address` upward until its last address is `last`, which is included, and returns its bounds.
    ///
    /// Changes nothing if the entry ends at `last` or above it already.
    ///
    /// # Errors
    /// [`ExtendError`]: no entry contains the address, another entry is in the way, memory is short, or pinned readers would hold back more
    /// than the [budget](crate::map::Builder::budget_bytes).
    pub fn extend_up(&mut self, address: u64, last: u64) -> Result<Span, ExtendError> {
        self.editor.extend_up(address, last)
    }

    /// Finds addresses that no entry contains.
    ///
    /// The search is exact: an aligned gap that fits is found. This is deliberately better than Linux's search, which looks for the size plus the
    /// alignment, and so misses a gap that fits only because it starts at an aligned address. It needs the write guard because the sizes of
    /// gaps are kept in parts of the nodes that only the writer reads.
    ///
    /// # Complexity
    /// O(log n) if every gap of the size has room for the alignment, which is always so for alignments up to that of the entries. A gap
    /// that is large enough but not suitably aligned costs one step each.
    ///
    /// # Errors
    /// [`GapError`]: the query makes no sense, or no gap fits.
    pub fn find_gap(&self, query: &GapQuery) -> Result<Span, GapError> {
        self.editor.find_gap(query).map(|gap| gap.span())
    }

    /// Checks the index's invariants and its counters.
    ///
    /// # Complexity
    /// O(n).
    ///
    /// # Errors
    /// [`ValidateError`]: this crate has a bug.
    // Hidden: tests and checkers call it; it never fails otherwise.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<(), ValidateError> {
        self.editor.validate()
    }

    /// Goes to a range, to look at what is there and then to edit it.
    pub(crate) fn locate(&mut self, span: Span) -> Position<'_, 'm, V> {
        self.editor.locate(span)
    }

    /// [`find_gap`](Self::find_gap) with what is next to the gap.
    pub(crate) fn find_gap_and_neighbours(&self, query: &GapQuery) -> Result<FoundGap<'_, V>, GapError> {
        self.editor.find_gap(query)
    }
}
