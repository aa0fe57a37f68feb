//! The lock that serializes changes, and how to use your own.
//!
//! [`MmLock`] is the default. Implement [`RawMmLock`] to put another lock under a [`RangeMap`](crate::RangeMap) or an [`Mm`](crate::Mm).

// The mm lock (L1): one writer or many readers of the *layout*. It knows no tree; lockless lookups never come here.
//
// `map` comes in, through [`Lock`]: any [`RawMmLock`], with what is the same for all of them: guards, the write sequence, and in debug
// builds the check that a thread does not wait for itself. That check is for waits alone, so a hold is first tried for without waiting; in
// every build, so that a lock is called in the same way in all of them. The default lock is [`MmLock`], in `mm_lock`: `state` has its transitions,
// `queue` those who wait, `bell` the writer who waits, inside, for something else.
//
// | to | the sequence | the lock |
// |---|---|---|
// | take it for writing | begins, odd | after it is taken |
// | upgrade | begins, odd | after it is taken |
// | unlock | ends, even | before it is released |
// | downgrade | ends, even | before a reader or another can see a read hold |

mod bell;
mod held;
mod interrupt;
mod mm_lock;
// Nothing in it is unsafe, and it is much for an interpreter.
#[cfg(all(test, not(any(miri, vmaple_loom, vmaple_shuttle))))]
mod model;
mod patience;
mod queue;
mod raw;
mod sequence;
mod state;

pub use interrupt::Interrupt;
pub use mm_lock::MmLock;
pub use patience::Patience;
pub use raw::RawMmLock;
pub use sequence::Speculation;

pub use crate::error::{Interrupted, WaitError};

use crate::sync::seeded;
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use held::Held;
use sequence::Sequence;
use state::Mode;

/// On lines of its own (two of them: neighbouring lines are fetched together).
#[derive(Debug)]
#[repr(align(128))]
struct Line<T>(T);

/// A lock with its sequence. They are on different lines, and neither on a line of the index: taking the lock dirties no word that
/// lockless code reads.
#[derive(Debug)]
pub(crate) struct Lock<L> {
    raw: Line<L>,
    sequence: Line<Sequence>,
    held: Held,
}

/// A hold stays with the thread that took it (the debug check counts on it, and a kernel's lock may), but others may look.
pub(crate) type Stays = PhantomData<std::sync::MutexGuard<'static, ()>>;

/// The lock held for reading, until dropped.
#[must_use]
pub(crate) struct ReadHold<'l, L: RawMmLock> {
    lock: &'l Lock<L>,
    _stays: Stays,
}

/// The lock held for writing, until dropped.
#[must_use]
pub(crate) struct WriteHold<'l, L: RawMmLock> {
    lock: &'l Lock<L>,
    _stays: Stays,
}

impl<L: RawMmLock> Lock<L> {
    pub(crate) fn new(raw: L) -> Self {
        Self { raw: Line(raw), sequence: Line(Sequence::new()), held: Held::new() }
    }

    /// Waits until no writer holds it or waits for it.
    #[inline]
    #[track_caller]
    pub(crate) fn read(&self) -> ReadHold<'_, L> {
        if !self.raw.0.try_read() {
            self.held.refuse_self(Mode::Read);
            self.raw.0.read();
        }
        ReadHold::taken(self)
    }

    /// The same, without waiting.
    #[inline]
    pub(crate) fn try_read(&self) -> Option<ReadHold<'_, L>> {
        self.raw.0.try_read().then(|| ReadHold::taken(self))
    }

    /// The same, unless interrupted.
    #[track_caller]
    pub(crate) fn read_interruptible(&self, interrupt: &L::Interrupt) -> Result<ReadHold<'_, L>, Interrupted> {
        if !self.raw.0.try_read() {
            self.refuse_self(Mode::Read, interrupt);
            self.raw.0.read_interruptible(interrupt)?;
        }
        Ok(ReadHold::taken(self))
    }

    /// Panics in debug builds if the calling thread is about to wait for itself; not for a wait that is over before it begins.
    #[track_caller]
    fn refuse_self(&self, asked: Mode, interrupt: &L::Interrupt) {
        if !L::is_raised(interrupt) {
            self.held.refuse_self(asked);
        }
    }

    /// Waits until nobody holds it.
    #[inline]
    #[track_caller]
    pub(crate) fn write(&self) -> WriteHold<'_, L> {
        if !self.raw.0.try_write() {
            self.held.refuse_self(Mode::Write);
            self.raw.0.write();
        }
        WriteHold::taken(self)
    }

    /// The same, without waiting.
    #[inline]
    pub(crate) fn try_write(&self) -> Option<WriteHold<'_, L>> {
        self.raw.0.try_write().then(|| WriteHold::taken(self))
    }

    /// The same, unless interrupted.
    #[track_caller]
    pub(crate) fn write_interruptible(&self, interrupt: &L::Interrupt) -> Result<WriteHold<'_, L>, Interrupted> {
        if !self.raw.0.try_write() {
            self.refuse_self(Mode::Write, interrupt);
            self.raw.0.write_interruptible(interrupt)?;
        }
        Ok(WriteHold::taken(self))
    }

    /// For the holder of the write hold: waits for something else, unless interrupted; see [`RawMmLock::wait_until`].
    pub(crate) fn wait_until(&self, is_over: impl FnMut() -> bool, interrupt: Option<&L::Interrupt>) -> Result<(), Interrupted> {
        self.raw.0.wait_until(is_over, interrupt)
    }

    /// What is waited for there may be over.
    #[inline]
    pub(crate) fn look_again(&self) {
        self.raw.0.look_again();
    }

    /// The calling thread has taken a lock that comes after this one: until it has released it, it must not wait for this one.
    #[inline]
    pub(crate) fn note_inner<T>(&self, inner: &T) {
        self.held.note_inner(inner);
    }

    /// It has released it.
    #[inline]
    pub(crate) fn strike_inner<T>(&self, inner: &T) {
        self.held.strike_inner(inner);
    }

    /// The calling thread, which holds this one for writing, is about to wait until nobody holds the inner lock, unless interrupted. Panics in
    /// debug builds if it holds it itself.
    pub(crate) fn refuse_inner<T>(&self, inner: &T, interrupt: Option<&L::Interrupt>) {
        // Not for a wait that is over before it begins.
        if !interrupt.is_some_and(L::is_raised) {
            self.held.refuse_inner(inner);
        }
    }

    /// How many write holds have begun and ended, together: odd while one lasts.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.0.number()
    }

    /// As if so many write holds had begun and ended.
    #[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
    pub(crate) fn start_sequence_at(&self, number: u64) {
        self.sequence.0.start_at(number);
    }

    /// Begins lockless work, if no writer is inside.
    pub(crate) fn speculate(&self) -> Option<Speculation<'_>> {
        Speculation::begin(&self.sequence.0)
    }
}

impl<'l, L: RawMmLock> ReadHold<'l, L> {
    #[inline]
    fn taken(lock: &'l Lock<L>) -> Self {
        lock.held.note(Mode::Read);
        Self { lock, _stays: PhantomData }
    }

    /// Becomes the write hold if it is the only hold and no writer waits, else comes back as it was. Never waits.
    #[inline]
    pub(crate) fn try_upgrade(self) -> Result<WriteHold<'l, L>, Self> {
        #[allow(unsafe_code, reason = "changes the hold")]
        // SAFETY: this is a read hold; where it succeeds, it is replaced by a write hold.
        if unsafe { self.lock.raw.0.try_upgrade() } {
            let lock = ManuallyDrop::new(self).lock;
            lock.held.strike(Mode::Read);
            if seeded("sequence_not_begun_on_upgrade") {
                lock.held.note(Mode::Write);
                return Ok(WriteHold { lock, _stays: PhantomData });
            }
            Ok(WriteHold::taken(lock))
        } else {
            Err(self)
        }
    }
}

impl<L: RawMmLock> Drop for ReadHold<'_, L> {
    #[inline]
    fn drop(&mut self) {
        self.lock.held.strike(Mode::Read);
        #[allow(unsafe_code, reason = "ends the hold")]
        // SAFETY: this is a read hold, and its last use.
        unsafe {
            self.lock.raw.0.unlock_read();
        }
    }
}

impl<'l, L: RawMmLock> WriteHold<'l, L> {
    #[inline]
    fn taken(lock: &'l Lock<L>) -> Self {
        lock.held.note(Mode::Write);
        lock.sequence.0.begin();
        Self { lock, _stays: PhantomData }
    }

    /// Becomes a read hold, with no moment in between. Never waits.
    #[inline]
    pub(crate) fn downgrade(self) -> ReadHold<'l, L> {
        if seeded("downgrade_opens_a_window") {
            let lock = self.lock;
            drop(self);
            return lock.read();
        }
        let lock = ManuallyDrop::new(self).lock;
        lock.held.strike(Mode::Write);
        if !seeded("sequence_not_ended_on_downgrade") {
            lock.sequence.0.end();
        }
        #[allow(unsafe_code, reason = "changes the hold")]
        // SAFETY: this was the write hold; it is replaced by a read hold.
        unsafe {
            lock.raw.0.downgrade();
        }
        ReadHold::taken(lock)
    }
}

impl<L: RawMmLock> Drop for WriteHold<'_, L> {
    #[inline]
    fn drop(&mut self) {
        self.lock.held.strike(Mode::Write);
        self.lock.sequence.0.end();
        #[allow(unsafe_code, reason = "ends the hold")]
        // SAFETY: this is the write hold, and its last use.
        unsafe {
            self.lock.raw.0.unlock_write();
        }
    }
}

impl<L: RawMmLock> fmt::Debug for ReadHold<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReadHold")
    }
}

impl<L: RawMmLock> fmt::Debug for WriteHold<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteHold")
    }
}
