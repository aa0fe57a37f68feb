//! The lock's guards: what may be asked of a layout that stands still, and what may be done to it.

use super::dead::Dead;
use super::{RangeMap, Unspliced};
use crate::addr::Span;
use crate::error::{EditError, ExtendError, GapError, InsertError, Rejected, ReplaceError, ResourceError, SpliceError};
use crate::lock::{MmLock, RawMmLock, ReadHold, WriteHold};
use crate::tree::{Editor, EntryList, FoundGap, GapQuery, Position, Removed, View, Violation};
use crate::value::Value;
use core::fmt;
use core::mem::{self, MaybeUninit};
use core::ops::{Deref, DerefMut, RangeBounds};

/// The layout locked for reading: it stands still, and what is read through the guard is one state.
///
/// Growing under it does not compile: what changes the layout is a method of [`WriteGuard`].
///
/// ```compile_fail,E0599
/// # use vmaple::RangeMap;
/// let map: RangeMap<u64> = RangeMap::new();
/// map.read().extend_down(0x2000, 0x1000); // StackRot, CVE-2023-3269: a stack expanded under the read lock
/// ```
/// ```
/// # use vmaple::RangeMap;
/// # let map: RangeMap<u64> = RangeMap::new();
/// map.write().extend_down(0x2000, 0x1000); // the same under the write lock
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<'m, V: Value, L: RawMmLock = MmLock> {
    hold: ReadHold<'m, L>,
    /// After the hold: what a write guard left behind when it became this one is dropped when nothing is locked any more.
    pub(super) dead: Dead<'m, V, L>,
}

impl<'m, V: Value, L: RawMmLock> ReadGuard<'m, V, L> {
    pub(super) fn new(map: &'m RangeMap<V, L>, hold: ReadHold<'m, L>) -> Self {
        Self { hold, dead: Dead::none(map) }
    }

    /// Becomes the write guard, if this is the only guard and no writer waits. The layout stands still from the one to the other: what
    /// was found is still so. Otherwise the read guard comes back, as it was.
    ///
    /// After a failure: drop it, take [`RangeMap::write`], and *find again*. To wait for the write guard with a read guard in hand is to
    /// wait for oneself, and two that do it would wait for each other.
    ///
    /// # Concurrency
    /// Never waits, not even for the budget: one compare-and-swap. The write sequence has begun when it returns.
    ///
    /// # Errors
    /// The read guard: another reader is inside, or a writer waits.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::builder().build_from([(0x3000..0x4000, 1)]).unwrap();
    /// let reader = map.read();
    /// let stack = reader.find(0x2000).unwrap().span();
    /// let Ok(mut writer) = reader.try_upgrade() else { unreachable!("nobody else is here") };
    /// writer.extend_down(stack.start(), 0x2000).unwrap();
    /// let reader = writer.downgrade();
    /// assert!(reader.lookup(0x2000).is_some());
    /// ```
    /// ```compile_fail,E0505
    /// # use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::new();
    /// let reader = map.read();
    /// let entry = reader.lookup(1);
    /// let writer = reader.try_upgrade(); // the entry is borrowed across the upgrade
    /// println!("{entry:?}");
    /// ```
    pub fn try_upgrade(self) -> Result<WriteGuard<'m, V, L>, Self> {
        let Self { hold, dead } = self;
        match hold.try_upgrade() {
            Ok(hold) => {
                let mut writer = WriteGuard::new(dead.map(), hold);
                writer.dead = dead;
                Ok(writer)
            }
            Err(hold) => Err(Self { hold, dead }),
        }
    }
}

impl<V: Value, L: RawMmLock> Deref for ReadGuard<'_, V, L> {
    type Target = View<V>;

    fn deref(&self) -> &View<V> {
        #[allow(unsafe_code, reason = "a read hold is what a view needs")]
        // SAFETY: the read hold keeps writers out as long as the view, which borrows the guard.
        unsafe {
            self.dead.map().tree.view()
        }
    }
}

impl<V: Value, L: RawMmLock> fmt::Debug for ReadGuard<'_, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").finish_non_exhaustive()
    }
}

/// The layout locked for writing: the one way to change it. Derefs to the readers' methods.
///
/// Each method either does all that it says or fails with nothing changed; readers see the whole change or none of it. A panic while
/// the guard is held leaves the map valid and the lock released: there is no half-done state to poison it for.
///
/// ```compile_fail,E0502
/// # use vmaple::RangeMap;
/// let map: RangeMap<u64> = RangeMap::new();
/// let mut writer = map.write();
/// let entry = writer.lookup(1);
/// writer.insert(0..1, 7).unwrap(); // the entry is borrowed across an edit
/// println!("{entry:?}");
/// ```
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard<'m, V: Value, L: RawMmLock = MmLock> {
    map: &'m RangeMap<V, L>,
    editor: MaybeDangling<Editor<'m, V>>,
    /// Taken by the drop, which has work before and after the unlock, or by a downgrade.
    hold: Option<WriteHold<'m, L>>,
    /// What an earlier write guard left behind, brought here by an upgrade, and in the end what this one leaves behind. A field: dropped
    /// after `drop` has released the lock.
    pub(super) dead: Dead<'m, V, L>,
}

impl<'m, V: Value, L: RawMmLock> WriteGuard<'m, V, L> {
    pub(super) fn new(map: &'m RangeMap<V, L>, hold: WriteHold<'m, L>) -> Self {
        #[allow(unsafe_code, reason = "a write hold is what an editor needs")]
        // SAFETY: the write hold makes this the one writer, until the drop or a downgrade gives it up as its last use of the editor.
        let editor = unsafe { map.tree.edit() };
        Self { map, editor: MaybeDangling(MaybeUninit::new(editor)), hold: Some(hold), dead: Dead::none(map) }
    }

    /// Turns the write guard into a read guard in one step: no other writer can come in between. Waiting readers are admitted, even if writers
    /// wait, too.
    ///
    /// Removed values that no reader can reach any more are dropped after the read guard has released the lock, so their `Drop` may use the map.
    ///
    /// # Concurrency
    /// Never waits. The write sequence is even before another thread can take a read hold.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::new();
    /// let mut writer = map.write();
    /// writer.insert(0..8, 1).unwrap();
    /// let reader = writer.downgrade();
    /// assert!(map.try_read().is_some() && map.try_write().is_none());
    /// assert_eq!(reader.lookup(3).map(|entry| *entry.value()), Some(1));
    /// ```
    /// ```compile_fail,E0382
    /// # use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::new();
    /// let mut writer = map.write();
    /// let reader = writer.downgrade();
    /// writer.insert(0..8, 1); // it is no writer any more
    /// ```
    pub fn downgrade(mut self) -> ReadGuard<'m, V, L> {
        self.settle();
        let dead = mem::replace(&mut self.dead, Dead::none(self.map));
        let Some(hold) = self.hold.take() else { unreachable!("it is taken here and in the drop alone") };
        ReadGuard { hold: hold.downgrade(), dead }
    }

    /// Ends the work of the editor, with the lock held still; what is to be dropped when it is not joins what is carried.
    fn settle(&mut self) {
        self.editor.poll_reclaim();
        if self.editor.has_dead() {
            self.editor.hand_out_dead(self.dead.values_mut());
        }
    }

    /// Puts a value over a range in which there is nothing yet.
    ///
    /// # Complexity
    /// O(log n): copies one leaf, and stores to one slot.
    ///
    /// # Errors
    /// [`InsertError`], with the value: the range holds no address, an entry is in the way, memory is short, or pinned readers would
    /// hold back more than the [budget](crate::map::Builder::budget_bytes).
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

    /// Puts a value over a range, whatever is there: entries inside go, entries that stick out keep what sticks out (the value is
    /// cloned where one is cut in two). No address of the range ever looks unmapped to a reader.
    ///
    /// Tells what was removed; those values are dropped when no reader can reach them any more.
    ///
    /// # Errors
    /// [`ReplaceError`], with the value: the range holds no address, memory is short, or pinned readers would hold back more than the
    /// [budget](crate::map::Builder::budget_bytes).
    ///
    /// # Panics
    /// If `V::clone` does; nothing has changed then.
    pub fn replace(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>>
    where
        V: Clone,
    {
        self.editor.replace(range, value)
    }

    /// Replaces all that is in a range by several entries at once: entries inside go, entries that stick out keep what sticks out (the
    /// value is cloned where one is cut in two). A reader sees what was there before or what is there after: so is an entry moved without
    /// a moment in which it is nowhere, or twice.
    ///
    /// Tells what was removed; those values are dropped when no reader can reach them any more.
    ///
    /// # Complexity
    /// O(log n + k), with k the entries in the range and the new ones: over a wide range it copies all that stays in between.
    ///
    /// # Errors
    /// [`SpliceError`], with the entries: a range holds no address, they are not in order or not inside the range, memory is short, or
    /// pinned readers would hold back more than the [budget](crate::map::Builder::budget_bytes). A splice without entries is a removal, which
    /// is never refused for the budget. The entries come back as an [iterator](Unspliced), so that handing them back needs no memory.
    ///
    /// # Panics
    /// If `V::clone` or the iterator does; nothing has changed then, and what the iterator had handed out is dropped after the unlock. The
    /// iterator itself is the caller's, and is dropped here.
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
    #[allow(clippy::result_large_err, reason = "what is handed back is where it was: to box it would need memory")]
    pub fn splice<I>(&mut self, range: impl RangeBounds<u64>, entries: I) -> Result<Removed<'_, V>, SpliceError<Unspliced<V, I::IntoIter>>>
    where
        I: IntoIterator<Item = (Span, V)>,
        V: Clone,
    {
        let mut entries = entries.into_iter();
        let (list, gathered) = self.editor.hold_list_while(EntryList::new(), |list| {
            entries.by_ref().try_for_each(|(span, value)| list.push(span, value).map_err(|(value, cause)| ((span, value), cause)))
        });
        if let Err((refused, cause)) = gathered {
            return Err(Rejected::new(Unspliced::stopped_at(list, refused, entries), cause));
        }
        self.editor.splice_list(range, list).map_err(|(list, cause)| Rejected::new(Unspliced::all_taken(list), cause))
    }

    /// Goes to a range, to look at what is there and then to edit it.
    pub(crate) fn locate(&mut self, span: Span) -> Position<'_, 'm, V> {
        self.editor.locate(span)
    }

    /// Empties a range: entries inside go, entries that stick out keep what sticks out (the value is cloned where one is cut in two).
    ///
    /// Tells what was removed; nothing where there was nothing. Those values are dropped when no reader can reach them any more.
    ///
    /// # Errors
    /// [`EditError`]: the range holds no address, or memory is short. A removal is never refused for the
    /// [budget](crate::map::Builder::budget_bytes), so this is never [`ResourceError::OverBudget`].
    ///
    /// # Panics
    /// If `V::clone` does; nothing has changed then.
    pub fn remove(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, EditError>
    where
        V: Clone,
    {
        self.editor.remove(range)
    }

    /// Removes the whole entry that contains the address; cuts nothing, so it needs no `Clone`.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`]. A removal is never refused for the [budget](crate::map::Builder::budget_bytes).
    pub fn remove_entry(&mut self, address: u64) -> Result<Removed<'_, V>, ResourceError> {
        self.editor.remove_entry(address)
    }

    /// Grows the entry that contains `address` downward until it starts at `start`, and tells its bounds. Where it starts there or
    /// below already, that is all.
    ///
    /// # Complexity
    /// O(log n). One store that readers see: nothing is allocated, nothing retired.
    ///
    /// # Errors
    /// [`ExtendError`]: no entry there, or a neighbour in the way.
    pub fn extend_down(&mut self, address: u64, start: u64) -> Result<Span, ExtendError> {
        self.editor.extend_down(address, start)
    }

    /// Grows the entry that contains `address` upward until its last address is `last`, and tells its bounds. Where it ends there or
    /// above already, that is all.
    ///
    /// # Errors
    /// [`ExtendError`]: no entry there, a neighbour in the way, or a resource short.
    pub fn extend_up(&mut self, address: u64, last: u64) -> Result<Span, ExtendError> {
        self.editor.extend_up(address, last)
    }

    /// Finds unmapped room.
    ///
    /// # Complexity
    /// O(log n) where every gap of the size has room for the alignment (so always for alignments up to that of the entries); a gap
    /// that is large enough but lies wrong costs a look each.
    ///
    /// # Errors
    /// [`GapError`]: the query makes no sense, or nothing fits.
    pub fn find_gap(&self, query: &GapQuery) -> Result<Span, GapError> {
        self.editor.find_gap(query).map(|gap| gap.span())
    }

    /// [`find_gap`](Self::find_gap) with what is next to the gap.
    pub(crate) fn find_gap_and_neighbours(&self, query: &GapQuery) -> Result<FoundGap<'_, V>, GapError> {
        self.editor.find_gap(query)
    }

    /// Checks the index's invariants, by number, and its counters.
    ///
    /// # Complexity
    /// O(n).
    ///
    /// # Errors
    /// [`Violation`]: this crate has a bug.
    pub fn validate(&self) -> Result<(), Violation> {
        self.editor.validate()
    }

    pub(super) fn reclaim(&mut self) {
        self.editor.reclaim();
    }

    pub(super) fn release(&mut self) {
        self.editor.release();
    }
}

/// What may be stale while it is still there: the writer's exclusive borrow, once the guard's drop has released the lock.
///
/// The guard goes into a function by value (`drop(writer)`), and an exclusive reference in it would be promised to be the only one until that
/// returns; but from the unlock on there may be another writer. In a union it promises nothing (std's unstable `MaybeDangling`).
#[derive(Debug)]
struct MaybeDangling<T>(MaybeUninit<T>);

impl<T> Deref for MaybeDangling<T> {
    type Target = T;

    fn deref(&self) -> &T {
        #[allow(unsafe_code, reason = "looks into a union")]
        // SAFETY: made of a value, and never taken out.
        unsafe {
            self.0.assume_init_ref()
        }
    }
}

impl<T> DerefMut for MaybeDangling<T> {
    fn deref_mut(&mut self) -> &mut T {
        #[allow(unsafe_code, reason = "looks into a union")]
        // SAFETY: as above.
        unsafe {
            self.0.assume_init_mut()
        }
    }
}

impl<V: Value, L: RawMmLock> Deref for WriteGuard<'_, V, L> {
    type Target = View<V>;

    fn deref(&self) -> &View<V> {
        self.editor.view()
    }
}

impl<V: Value, L: RawMmLock> Drop for WriteGuard<'_, V, L> {
    fn drop(&mut self) {
        if self.hold.is_none() {
            return; // downgraded: the editor is another's by now
        }
        self.settle();
        // The embedder's code runs only after this, in the drop of what is carried, when nothing is locked: it may use the map.
        drop(self.hold.take());
    }
}

impl<V: Value, L: RawMmLock> fmt::Debug for WriteGuard<'_, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteGuard").finish_non_exhaustive()
    }
}
