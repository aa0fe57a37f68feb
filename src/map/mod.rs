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
//! [`View`] has the methods that all of them share. Each error says what was asked for and what was in the way.

// [`RangeMap`] (L2): the lock and the tree joined, once.
//
// Who may do what is in the types: a [`PinGuard`] or a [`Reader`] asks without a lock, a [`ReadGuard`] asks a state that stands still, a
// [`WriteGuard`] changes it. A pin is not a lock: it keeps what was read readable, and promises nothing about the present. Which lock
// it is, is a parameter of the map and of the lock's two guards alone: pins and readers do not know.

mod builder;
mod dead;
mod dup;
mod guard;
mod pin;
mod unspliced;

pub use builder::{BudgetPolicy, Builder};
pub use guard::{ReadGuard, WriteGuard};
pub use pin::{Cursor, PinGuard, Reader};
pub use unspliced::Unspliced;

pub use crate::error::{
    BuildCause, BuildError, EditError, ExtendError, GapError, InsertCause, InsertError, Rejected, ReplaceError, ResourceError, SpliceCause,
    SpliceError, SynchronizeError,
};
pub use crate::tree::{Entry, GapQuery, Iter, Removed, RemovedEntry, Stats, View, Violation};

use crate::error::Interrupted;
use crate::lock::{Lock, MmLock, RawMmLock, Speculation, WriteHold};
use crate::sync::{Collector, Pause, Reclaim, TicketLine};
use crate::tree::Tree;
use crate::value::Value;
use core::fmt;

/// A map from disjoint ranges of addresses to values: lookups without a lock, one writer at a time.
///
/// # Concurrency
/// Through [`pin`](Self::pin) and [`reader`](Self::reader) a lookup takes no lock and writes no shared memory; it neither waits for the
/// writer nor makes it wait. [`write`](Self::write) serializes writers; what they remove is reused when the readers that were pinned
/// at the time have gone on. [`read`](Self::read) keeps writers out, for those who need the whole to stand still; a read guard can
/// become the write guard with no moment in between ([`ReadGuard::try_upgrade`]), and a write guard a read guard
/// ([`WriteGuard::downgrade`]).
///
/// # Panics
/// Waiting for the lock panics in debug builds where the calling thread holds it already, and would wait for itself; in release builds
/// it waits for ever. A thread that reads must not read again while a writer waits, nor wait to write.
///
/// A panic under a guard releases it and poisons nothing: there is no half-done state.
///
/// Values are dropped by writers (or [`reclaim`](Self::reclaim), or the map's own drop), after their lock is released, never by
/// readers; so a value's `Drop` may use the map. A panic in it is contained and counted. The same holds for values on their way in when
/// the caller's code panics (a range, an iterator, a `Clone`). Those of a copy that was not finished are dropped after the lock is released,
/// too, and a panic is contained but not counted. A value that an error hands back is the caller's to drop.
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
/// for gone in writer.remove(0x2000..0x3000).unwrap().iter() {
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
    /// Has each value looked at that is in the map when the map ends, before it is dropped.
    pub(crate) fn at_end(&mut self, look: fn(&V)) {
        self.tree.at_end(look);
    }

    /// A map that lives by the same epochs, with the same budget and policy, over a tree of those epochs.
    fn like<K: RawMmLock>(map: &RangeMap<V, K>, tree: Tree<V>, lock: L) -> Self {
        let &RangeMap { ref collector, budget_bytes, policy, .. } = map;
        Self { tree, lock: Lock::new(lock), collector: collector.clone(), budget_bytes, policy }
    }

    /// Counts a panic of the embedder's in a drop that was contained.
    pub(crate) fn note_drop_panic(&self) {
        self.tree.counters().drop_panics.bump();
    }

    /// Pins the calling thread: what is read through the guard stays readable until it is dropped.
    ///
    /// For a single question. A thread that asks often keeps a [`reader`](Self::reader), which is several times cheaper to ask.
    ///
    /// # Concurrency
    /// Lock-free, and not for signal handlers: now and then a pin moves the collector's own queue along by a bounded amount.
    pub fn pin(&self) -> PinGuard<'_, V> {
        PinGuard::new(&self.tree, &self.collector)
    }

    /// Registers the calling thread with the map's epochs, in advance.
    ///
    /// A thread's first pin of a map, or of the maps that share their epochs, allocates some KiB, and so does its first [`Reader`]; the
    /// process aborts if that fails, since neither can be refused. After this call the thread's pins and its first reader need no
    /// registration, and lookups and faults allocate nothing beyond their pins. Every 128th pin helps the collector along, which may
    /// allocate 2 KiB (and abort) where much was retired, or many threads ended since.
    ///
    /// Among maps with [private epochs](Builder::private_epochs) a thread remembers the eight that it asked last.
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

    /// Registers a reader of the calling thread. Allocates, once: see [`register_thread`](Self::register_thread).
    pub fn reader(&self) -> Reader<'_, V> {
        Reader::new(&self.tree, &self.collector)
    }

    /// Locks the layout for reading: nothing changes while the guard lives.
    ///
    /// # Concurrency
    /// Waits for a writer that holds the lock or waits for it. A thread that holds a read guard and asks for another while a writer
    /// waits, or asks for a write guard, would wait for ever.
    ///
    /// # Panics
    /// In debug builds, where the calling thread would wait for itself.
    #[track_caller]
    pub fn read(&self) -> ReadGuard<'_, V, L> {
        ReadGuard::new(self, self.lock.read())
    }

    /// The same without waiting; none if a writer is inside, or waits.
    #[must_use]
    pub fn try_read(&self) -> Option<ReadGuard<'_, V, L>> {
        Some(ReadGuard::new(self, self.lock.try_read()?))
    }

    /// As [`read`](Self::read), but a wait ends when the interrupt is raised. What needs no wait is not interrupted.
    ///
    /// # Errors
    /// [`Interrupted`]: nothing is held.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[track_caller]
    pub fn read_interruptible(&self, interrupt: &L::Interrupt) -> Result<ReadGuard<'_, V, L>, Interrupted> {
        Ok(ReadGuard::new(self, self.lock.read_interruptible(interrupt)?))
    }

    /// Locks the layout for writing: the one way to change it.
    ///
    /// # Concurrency
    /// Waits for all holders of a read or a write guard; never for pins, but as [`BudgetPolicy::Wait`] says. Lockless readers go on
    /// meanwhile. A writer may look things up through a pin of its own.
    ///
    /// # Panics
    /// In debug builds, where the calling thread would wait for itself.
    #[track_caller]
    pub fn write(&self) -> WriteGuard<'_, V, L> {
        if self.is_over_half() {
            // Neither of the two ways to wait has an end of its own.
            _ = self.wait_for_budget(|| Ok(self.lock.write()), || false);
        }
        WriteGuard::new(self, self.lock.write())
    }

    /// The same without waiting; none if anyone is inside.
    #[must_use]
    pub fn try_write(&self) -> Option<WriteGuard<'_, V, L>> {
        Some(WriteGuard::new(self, self.lock.try_write()?))
    }

    /// As [`write`](Self::write), but a wait, be it for the lock or for the budget, ends when the interrupt is raised. What needs no wait
    /// is not interrupted.
    ///
    /// # Errors
    /// [`Interrupted`]: nothing is held. Readers that waited because of this writer alone are let in.
    ///
    /// # Panics
    /// As [`write`](Self::write).
    #[track_caller]
    pub fn write_interruptible(&self, interrupt: &L::Interrupt) -> Result<WriteGuard<'_, V, L>, Interrupted> {
        if self.is_over_half() {
            self.wait_for_budget(|| self.lock.write_interruptible(interrupt), || L::is_raised(interrupt))?;
        }
        Ok(WriteGuard::new(self, self.lock.write_interruptible(interrupt)?))
    }

    /// Begins lockless work that is to be worth something only if no writer was inside meanwhile; none if one is inside now.
    ///
    /// What is read through a pin is true at some moment; of *several* answers, or of an answer and something else that is changed under
    /// the write guard, [`Speculation::validate`] says whether they were true together.
    ///
    /// # Concurrency
    /// Wait-free; stores nothing.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map: RangeMap<u64> = RangeMap::builder().build_from([(0..4, 1), (4..8, 2)]).unwrap();
    /// let speculation = map.speculate().expect("no writer is inside");
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

    /// How often the lock was taken for writing and how often such a hold ended, together: odd while one lasts. Successful upgrades
    /// begin one, downgrades end one.
    #[must_use]
    pub fn write_sequence(&self) -> u64 {
        self.lock.sequence()
    }

    /// The lock, for who keeps locks of his own that come after it.
    #[inline]
    pub(crate) fn lock(&self) -> &Lock<L> {
        &self.lock
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tree.counters().entries()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the map holds and has done, without a lock.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.tree.counters().stats()
    }

    /// Recycles what no reader can reach any more, when no write comes along to do it, and says how many bytes must wait still. What was
    /// recycled and is kept for the next writes goes back to the system.
    ///
    /// # Concurrency
    /// Takes the write lock; never waits for lockless readers.
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

    /// Waits until every pin and every `Reader` that was pinned before the call has gone on.
    ///
    /// After it no reader looks at what was removed before it. (The memory itself is recycled by the next writes, or [`reclaim`](Self::reclaim).)
    ///
    /// # Concurrency
    /// Blocks by polling, with growing pauses of at most a millisecond. Takes no lock. Waits for an idle `Reader` that is pinned: call
    /// [`Reader::unpin`] on it before. If memory is short (a few KiB are needed), waits for memory, too.
    ///
    /// # Errors
    /// [`SynchronizeError`] instead of a deadlock, if the calling thread holds a pin or a pinned `Reader`.
    pub fn synchronize(&self) -> Result<(), SynchronizeError> {
        if self.collector.is_pinned() {
            return Err(SynchronizeError);
        }
        let mut pause = Pause::default();
        let mut line = TicketLine::new();
        let mut start = || self.collector.probe(1).and_then(|mut probed| self.collector.start_grace_period(&mut line, &mut probed));
        while start().is_err() {
            pause.next();
        }
        while !line.expired() {
            // Where memory is short, another thread may have some, or this one later.
            if let Ok(mut probed) = self.collector.probe(1) {
                self.collector.advance(&mut probed);
            }
            pause.next();
        }
        Ok(())
    }

    /// Whether less than half of the budget is free, and a writer is to wait for that.
    #[inline]
    fn is_over_half(&self) -> bool {
        self.policy == BudgetPolicy::Wait && self.tree.counters().held_bytes() > self.budget_bytes / 2
    }

    /// Waits until half of the budget is free; not where this very thread is pinned. What can be had without a wait is not interrupted.
    #[cold]
    fn wait_for_budget<'m>(
        &'m self,
        lock: impl Fn() -> Result<WriteHold<'m, L>, Interrupted>,
        interrupted: impl Fn() -> bool,
    ) -> Result<(), Interrupted> {
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
                return Err(Interrupted);
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
