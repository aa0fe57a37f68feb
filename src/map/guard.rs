//! The guards of a map's lock, and the conversions between them. `edit.rs` has the writer's operations.
//!
//! Called by `RangeMap`.

use super::RangeMap;
use super::after_unlock::AfterUnlock;
use crate::lock::{MmLock, RawMmLock, ReadHold, WriteHold};
use crate::tree::{Editor, View};
use crate::value::Value;
use core::fmt;
use core::mem::{self, MaybeUninit};
use core::ops::{Deref, DerefMut};

/// A map locked for reading: nothing changes while the guard lives. Dereferences to [`View`].
///
/// An operation that changes the map is a method of [`WriteGuard`], so that it does not compile under a read guard.
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
    pub(super) after_unlock: AfterUnlock<'m, V, L>,
}

impl<'m, V: Value, L: RawMmLock> ReadGuard<'m, V, L> {
    pub(super) fn new(map: &'m RangeMap<V, L>, hold: ReadHold<'m, L>) -> Self {
        Self { hold, after_unlock: AfterUnlock::none(map) }
    }

    /// Converts to the write guard, if this is the only guard and no writer waits.
    ///
    /// The map does not change in between, so that what was found is still true. After a failure, drop the read guard, call
    /// [`RangeMap::write`], and *search again*: a thread that waits for the write guard while it holds a read guard waits for itself.
    ///
    /// # Concurrency
    /// Never waits, not even for the budget: one compare-and-swap. The write sequence has begun when it returns.
    ///
    /// # Errors
    /// The read guard, if there is another reader, or a writer waits.
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
        let Self { hold, after_unlock } = self;
        match hold.try_upgrade() {
            Ok(hold) => Ok(WriteGuard::carrying(after_unlock, hold)),
            Err(hold) => Err(Self { hold, after_unlock }),
        }
    }
}

impl<V: Value, L: RawMmLock> Deref for ReadGuard<'_, V, L> {
    type Target = View<V>;

    fn deref(&self) -> &View<V> {
        #[allow(unsafe_code, reason = "a read hold is what a view needs")]
        // SAFETY: the read hold keeps writers out as long as the view, which borrows the guard.
        unsafe {
            self.after_unlock.map().tree.view()
        }
    }
}

impl<V: Value, L: RawMmLock> fmt::Debug for ReadGuard<'_, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadGuard").finish_non_exhaustive()
    }
}

/// A map locked for writing: the only way to change it. Dereferences to [`View`].
///
/// Each method makes the whole change, or fails and changes nothing. Readers see the whole change or none of it: each is published by one
/// store, and takes effect at that moment. A panic while the guard is held leaves the map valid and releases the lock. There is no
/// poisoning, because no change is ever half made.
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
    pub(super) editor: MaybeDangling<Editor<'m, V>>,
    /// Taken by the drop, which has work before and after the unlock, or by a downgrade.
    hold: Option<WriteHold<'m, L>>,
    /// What an earlier write guard left behind, brought here by an upgrade, and in the end what this one leaves behind. A field: dropped
    /// after `drop` has released the lock.
    pub(super) after_unlock: AfterUnlock<'m, V, L>,
}

impl<'m, V: Value, L: RawMmLock> WriteGuard<'m, V, L> {
    pub(super) fn new(map: &'m RangeMap<V, L>, hold: WriteHold<'m, L>) -> Self {
        Self::carrying(AfterUnlock::none(map), hold)
    }

    /// Makes the write guard of the map that `after_unlock` belongs to. The guard takes over what is in there, and drops it after the unlock.
    fn carrying(after_unlock: AfterUnlock<'m, V, L>, hold: WriteHold<'m, L>) -> Self {
        #[allow(unsafe_code, reason = "a write hold is what an editor needs")]
        // SAFETY: the write hold makes this the one writer, until the drop or a downgrade gives it up as its last use of the editor.
        let editor = unsafe { after_unlock.map().tree.edit() };
        Self { editor: MaybeDangling(MaybeUninit::new(editor)), hold: Some(hold), after_unlock }
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
        let map = self.after_unlock.map();
        let after_unlock = mem::replace(&mut self.after_unlock, AfterUnlock::none(map));
        let Some(hold) = self.hold.take() else { unreachable!("it is taken here and in the drop alone") };
        ReadGuard { hold: hold.downgrade(), after_unlock }
    }

    /// Ends the work of the editor while the lock is still held. What must be dropped after the unlock joins what the guard carries.
    fn settle(&mut self) {
        self.editor.poll_reclaim();
        if self.editor.has_droppable() {
            self.editor.hand_out_droppable(self.after_unlock.values_mut());
        }
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
pub(super) struct MaybeDangling<T>(MaybeUninit<T>);

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
