//! A map from disjoint ranges of addresses to values.
//!
//! [`RangeMap`] is the map. What a caller may do follows from how it reached the map:
//!
//! | type | from | may |
//! |---|---|---|
//! | [`PinGuard`] | [`RangeMap::pin`] | look up, without a lock |
//! | [`Reader`] | [`RangeMap::reader`] | look up again and again, without a lock |
//! | [`ReadGuard`] | [`RangeMap::read`] | look up in a layout that nobody changes meanwhile |
//! | [`WriteGuard`] | [`RangeMap::write`] | look up and change |
//!
//! [`View`] has the methods that all of them share. If an entry is in the way of a change, the error has the range that was
//! asked for and the range of the entry.

// This module (L2) joins the lock and the tree. The address space (`mm`) calls it.
//
// The type of a guard determines what its holder may do. A pin is not a lock: it keeps what was read readable, and promises nothing about
// the present. The lock's type is a parameter of the map and of the lock's two guards only, because pins and readers take no lock.

mod after_unlock;
mod builder;
mod dup;
mod edit;
mod guard;
mod pin;
mod unspliced;

pub use builder::{BudgetPolicy, Builder};
pub use guard::{ReadGuard, WriteGuard};
pub use pin::{Cursor, PinGuard, Reader};
pub use unspliced::Unspliced;

pub use crate::error::{
    BuildCause, BuildError, DupError, ExtendError, GapError, InsertCause, InsertError, RejectedError, RemoveEntryError, RemoveError,
    ReplaceCause, ReplaceError, ResourceError, SetCause, SetError, SpliceCause, SpliceError, SynchronizeError,
};
#[doc(hidden)]
pub use crate::tree::ValidateError;
pub use crate::tree::{Entry, GapQuery, Gaps, Iter, Removed, RemovedEntry, RemovedIter, Segment, Segments, Stats, View};

use crate::error::InterruptedError;
use crate::lock::{Lock, MmLock, RawMmLock, Speculation, WriteHold};
use crate::sync::{Collector, Pause, Reclaim};
use crate::tree::Tree;
use crate::value::Value;
use core::fmt;

/// A map from disjoint ranges of addresses to values, with lookups that take no lock and one writer at a time.
///
/// # Concurrency
/// A lookup through [`pin`](Self::pin) or [`reader`](Self::reader) takes no lock and writes nothing that other readers read: only pinning
/// stores, to a word of the calling thread, which writers read. A lookup neither waits for the writer nor makes the writer wait. [`write`](Self::write) admits one writer at a time. The memory of what a writer removes is reused
/// after the readers that were pinned at that time have unpinned. [`read`](Self::read) excludes writers, for a caller that needs several
/// answers about one state. A read guard converts to the write guard ([`ReadGuard::try_upgrade`]) and back ([`WriteGuard::downgrade`])
/// without a moment in which the map is unlocked.
///
/// # Panics
/// In debug builds with the feature `std`, waiting for the lock panics if the calling thread already holds it, because the thread would
/// wait for itself; in other builds it waits forever. A thread that holds a read guard must not ask for another while a writer waits, nor
/// wait for the write guard.
///
/// A panic while a guard is held releases the lock and poisons nothing, because no change is ever half made.
///
/// # When values are dropped
/// Writers, [`reclaim`](Self::reclaim) and the map's own drop drop removed values, after the lock is released; readers never do. So a
/// value's `Drop` may use the map. A panic in it is caught and counted. The same holds for values that were to be put in when the
/// caller's code (a range, an iterator, a `Clone`) panicked. The values of an unfinished copy are also dropped after the lock is released;
/// a panic is then caught but not counted. The caller drops a value that an error hands back.
///
/// # Examples
/// ```
/// use vmaple::RangeMap;
///
/// let map = RangeMap::new();
/// map.write().insert(0x1000..0x5000, 1u64).unwrap();
///
/// let mut reader = map.reader(); // a thread keeps one
/// assert_eq!(reader.lookup(0x1234).map(|entry| *entry.value()), Some(1));
///
/// let mut writer = map.write();
/// for gone in writer.remove(0x2000..0x3000).unwrap() {
///     assert!(gone.was_cut());
/// }
/// drop(writer);
/// assert!(reader.lookup(0x2000).is_none());
/// ```
pub struct RangeMap<V: Value, L: RawMmLock = MmLock> {
    tree: Tree<V>,
    lock: Lock<L>,
    collector: Collector,
    budget_bytes: usize,
    policy: BudgetPolicy,
}

#[allow(unsafe_code, reason = "the tree's cell is reached under the lock alone")]
// SAFETY: with the map go its values, and no borrow stays behind.
unsafe impl<V: Value + Send, L: RawMmLock + Send> Send for RangeMap<V, L> {}

#[allow(unsafe_code, reason = "as above")]
// SAFETY: readers share nodes through atomics and memory that never changes, and hand out `&V` (V: Sync); writers are one at a time, by the
// lock, and may drop a value that another thread put in (V: Send).
unsafe impl<V: Value + Send + Sync, L: RawMmLock + Sync> Sync for RangeMap<V, L> {}

impl<V: Value> RangeMap<V> {
    /// Creates an empty map with the default configuration: an [`MmLock`], a budget of 64 MiB, edits that fail beyond it, shared epochs.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// static SEGMENTS: RangeMap<u64> = RangeMap::new();
    /// SEGMENTS.write().insert(0x1000..0x2000, 1).unwrap();
    /// assert_eq!(SEGMENTS.pin().lookup(0x1234).map(|entry| *entry.value()), Some(1));
    /// ```
    #[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
    #[must_use]
    pub const fn new() -> Self {
        let budget_bytes = builder::BUDGET_BYTES;
        Self {
            tree: Tree::new(Collector::Shared, budget_bytes),
            lock: Lock::new(MmLock::new()),
            collector: Collector::Shared,
            budget_bytes,
            policy: BudgetPolicy::Fail,
        }
    }

    /// Creates an empty map with the default configuration. Not `const`: the checkers make their collector at run time.
    #[cfg(any(vmaple_loom, vmaple_shuttle, vmaple_model))]
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, which configures the lock, the budget and the epochs.
    pub fn builder() -> Builder<V> {
        Builder::new()
    }
}

impl<V: Value, L: RawMmLock> RangeMap<V, L> {
    /// Calls `look` with each value that is in the map when the map is dropped.
    pub(crate) fn at_end(&mut self, look: fn(&V)) {
        self.tree.at_end(look);
    }

    /// Creates a map with the same epochs, budget and policy, over a tree of those epochs.
    fn like<K: RawMmLock>(map: &RangeMap<V, K>, tree: Tree<V>, lock: L) -> Self {
        let &RangeMap { ref collector, budget_bytes, policy, .. } = map;
        Self { tree, lock: Lock::new(lock), collector: collector.clone(), budget_bytes, policy }
    }

    /// Counts a panic in a value's drop that was caught.
    pub(crate) fn note_drop_panic(&self) {
        self.tree.counters().drop_panics.bump();
    }

    /// Pins the calling thread: what is read through the guard stays readable until the guard is dropped.
    ///
    /// A thread that looks up often keeps a [`reader`](Self::reader), whose lookups are several times cheaper.
    ///
    /// # Concurrency
    /// Lock-free, but not for signal handlers: with the feature `std`, a pin now and then does a bounded amount of crossbeam-epoch's work;
    /// without it, a pin that finds no free slot allocates.
    pub fn pin(&self) -> PinGuard<'_, V> {
        PinGuard::new(&self.tree, &self.collector)
    }

    /// Registers the calling thread with the map's epochs in advance.
    ///
    /// With the feature `std`, a thread's first pin of a map, or of the maps that share their epochs, allocates some KiB, and so does its
    /// first [`Reader`]. The process aborts if that fails, because neither can be refused. After this call the thread's pins and its first
    /// reader need no registration, and lookups and faults allocate nothing beyond their pins. Every 128th pin does some of
    /// crossbeam-epoch's work, which may allocate 2 KiB (and abort) if much was retired or many threads ended since. A thread remembers the
    /// last eight maps with [private epochs](Builder::private_epochs) that it pinned.
    ///
    /// Without the feature `std` no thread is registered. A pin or a reader that finds no free slot allocates, and the process aborts if
    /// that fails. This call does not prevent it, because it keeps no slot for the thread.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::new();
    /// std::thread::scope(|threads| {
    ///     threads.spawn(|| {
    ///         map.register_thread(); // while there is memory
    ///         assert!(map.pin().lookup(7).is_none());
    ///     });
    /// });
    /// ```
    pub fn register_thread(&self) {
        drop(self.pin());
        drop(self.reader());
    }

    /// Returns a reader for the calling thread. The first one allocates: see [`register_thread`](Self::register_thread).
    pub fn reader(&self) -> Reader<'_, V> {
        Reader::new(&self.tree, &self.collector)
    }

    /// Locks the map for reading: nothing changes while the guard lives.
    ///
    /// # Concurrency
    /// Waits for a writer that holds the lock or waits for it. A thread that holds a read guard waits forever if it asks for another while
    /// a writer waits, or for a write guard.
    ///
    /// # Panics
    /// In debug builds with the feature `std`, if the calling thread would wait for itself.
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, V, L> {
        ReadGuard::new(self, self.lock.read())
    }

    /// Locks the map for reading without waiting. Returns `None` if a writer holds the lock or waits for it.
    #[must_use]
    pub fn try_read(&self) -> Option<ReadGuard<'_, V, L>> {
        Some(ReadGuard::new(self, self.lock.try_read()?))
    }

    /// Locks the map for reading, unless the interrupt is raised during a wait for the lock.
    ///
    /// A lock that is free is taken even if the interrupt is raised already.
    ///
    /// # Errors
    /// [`InterruptedError`]: nothing is held.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_interruptible(&self, interrupt: &L::Interrupt) -> Result<ReadGuard<'_, V, L>, InterruptedError> {
        Ok(ReadGuard::new(self, self.lock.read_interruptible(interrupt)?))
    }

    /// Locks the map for writing: the only way to change it.
    ///
    /// # Concurrency
    /// Waits for all holders of a read or a write guard, and never for pins, except under [`BudgetPolicy::Wait`]. Readers without a lock
    /// continue meanwhile. A writer may also look up through a pin of its own.
    ///
    /// # Panics
    /// In debug builds with the feature `std`, if the calling thread would wait for itself.
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, V, L> {
        if self.is_over_half() {
            // Always `Ok`, because neither taking the lock nor the wait can be interrupted here.
            _ = self.wait_for_budget(|| Ok(self.lock.write()), || false);
        }
        WriteGuard::new(self, self.lock.write())
    }

    /// Locks the map for writing without waiting. Returns `None` if the lock is held.
    #[must_use]
    pub fn try_write(&self) -> Option<WriteGuard<'_, V, L>> {
        Some(WriteGuard::new(self, self.lock.try_write()?))
    }

    /// Locks the map for writing, unless the interrupt is raised during a wait for the lock or for the budget.
    ///
    /// A lock that is free is taken even if the interrupt is raised already.
    ///
    /// # Errors
    /// [`InterruptedError`]: nothing is held. Readers that waited only because of this writer are admitted.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_interruptible(&self, interrupt: &L::Interrupt) -> Result<WriteGuard<'_, V, L>, InterruptedError> {
        if self.is_over_half() {
            self.wait_for_budget(|| self.lock.write_interruptible(interrupt), || L::is_raised(interrupt))?;
        }
        Ok(WriteGuard::new(self, self.lock.write_interruptible(interrupt)?))
    }

    /// Begins a speculation: reads without a lock that count only if no writer held the lock meanwhile. Returns `None` if one holds it now.
    ///
    /// What is read through a pin was true at some moment. [`Speculation::validate`] returns whether *several* answers were true together, or
    /// an answer and something else that changes only under the write guard.
    ///
    /// # Concurrency
    /// Wait-free; stores nothing.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::builder().build_from([(0..4, 1), (4..8, 2)]).unwrap();
    /// let speculation = map.speculate().expect("no writer holds the lock");
    /// let pin = map.pin();
    /// let both = (pin.lookup(1).map(|e| *e.value()), pin.lookup(5).map(|e| *e.value()));
    /// assert!(speculation.validate()); // both at once
    /// assert_eq!(both, (Some(1), Some(2)));
    ///
    /// drop(map.write()); // even a writer that changes nothing
    /// assert!(!speculation.validate());
    /// ```
    #[must_use]
    pub fn speculate(&self) -> Option<Speculation<'_>> {
        self.lock.speculate()
    }

    /// Returns the number of write holds that began plus the number of those that ended, which is odd during a write hold.
    ///
    /// A successful upgrade begins a write hold, and a downgrade ends one.
    #[must_use]
    pub fn write_sequence(&self) -> u64 {
        self.lock.sequence()
    }

    /// Returns the lock, for VMA locks, which come after it in the lock order.
    #[inline]
    pub(crate) fn lock(&self) -> &Lock<L> {
        &self.lock
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.counters().entries()
    }

    /// Returns whether the map has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns counters of what the map holds and has done. Takes no lock.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.tree.counters().stats()
    }

    /// Frees what no reader can reach any more, and returns the number of bytes that must still wait.
    ///
    /// Writes do this by themselves, as long as there are any. Memory that is kept for the next writes is returned to the allocator, too.
    ///
    /// # Concurrency
    /// Takes the write lock; never waits for readers without a lock.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn reclaim(&self) -> usize {
        let mut writer = WriteGuard::new(self, self.lock.write());
        writer.reclaim();
        writer.release();
        drop(writer);
        self.stats().held_bytes
    }

    /// Waits until every pin and every [`Reader`] that was pinned at the time of the call has unpinned or been refreshed.
    ///
    /// Afterwards no reader looks at what was removed before the call. (The next writes, or [`reclaim`](Self::reclaim), free the memory.)
    ///
    /// # Concurrency
    /// Blocks by polling, with growing pauses of at most a millisecond (without the feature `std` it spins). Takes no lock. Waits for an
    /// idle `Reader` that is pinned: call [`Reader::unpin`] on it before. With the feature `std` a few KiB of memory are needed; if memory
    /// is short, waits for memory, too.
    ///
    /// # Errors
    /// With the feature `std`, [`SynchronizeError`] instead of a deadlock, if the calling thread holds a pin or a pinned `Reader`. Without
    /// it, no thread is known, so the call waits forever.
    pub fn synchronize(&self) -> Result<(), SynchronizeError> {
        if self.collector.is_pinned() {
            return Err(SynchronizeError);
        }
        let mut pause = Pause::default();
        let mut grace = Collector::NO_GRACE;
        let mut start = || self.collector.probe(1).and_then(|mut probed| self.collector.start_grace_period(&mut grace, &mut probed));
        while start().is_err() {
            pause.next();
        }
        while !self.collector.is_over(&mut grace) {
            // Where memory is short, another thread may have some, or this one later.
            if let Ok(mut probed) = self.collector.probe(1) {
                self.collector.advance(&mut probed);
            }
            pause.next();
        }
        Ok(())
    }

    /// Returns whether less than half of the budget is free and the policy is to wait for that.
    #[inline]
    fn is_over_half(&self) -> bool {
        self.policy == BudgetPolicy::Wait && self.tree.counters().held_bytes() > self.budget_bytes / 2
    }

    /// Waits until half of the budget is free, unless this thread is pinned. A lock that is free is taken even if interrupted already.
    #[cold]
    fn wait_for_budget<'m>(
        &'m self,
        lock: impl Fn() -> Result<WriteHold<'m, L>, InterruptedError>,
        interrupted: impl Fn() -> bool,
    ) -> Result<(), InterruptedError> {
        let mut pause = Pause::default();
        loop {
            if self.collector.is_pinned() {
                return Ok(());
            }
            WriteGuard::new(self, lock()?).reclaim();
            if !self.is_over_half() {
                return Ok(());
            }
            if interrupted() {
                return Err(InterruptedError);
            }
            pause.next();
        }
    }
}

impl<V: Value> Default for RangeMap<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Value, L: RawMmLock> fmt::Debug for RangeMap<V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeMap").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
