//! The lock that serializes changes, and how to use your own.
//!
//! [`MmLock`] is the default. Implement [`RawMmLock`] to put another lock under a [`RangeMap`](crate::RangeMap) or an [`Mm`](crate::Mm).

// The mm lock (L1): one writer or many readers of the layout. Lockless lookups do not use it.
//
// Called by `map`, through [`Lock`]; by `vma`, whose locks wait through it; and by `mm`, whose operations have a [`Patience`]. `Lock` adds to
// any [`RawMmLock`] what is the same for all of them: holds that release when dropped, the write sequence, and in debug builds with std
// the check for deadlocks. This module uses no tree and no map.
//
// | file | contents |
// |---|---|
// | `raw` | [`RawMmLock`], the trait of a lock |
// | `mm_lock` | [`MmLock`], the default lock |
// | `state` | its state word and the transitions |
// | `queue` | its waiters |
// | `notify` | how its write holder waits for something other than the lock |
// | `interrupt`, `patience` | what ends a wait |
// | `sequence` | the write sequence and [`Speculation`] |
// | `deadlock` | the check in debug builds with std |
// | `model` | all interleavings of the transitions, as a test |
//
// When the sequence changes:
//
// | operation | the sequence becomes | when |
// |---|---|---|
// | write, upgrade | odd | after the lock is taken |
// | unlock, downgrade | even | before the lock is released or downgraded |

mod deadlock;
mod interrupt;
mod mm_lock;
// Not under Miri: it takes too long there, and has no unsafe code.
#[cfg(all(test, not(any(miri, vmaple_loom, vmaple_shuttle))))]
mod model;
mod notify;
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

pub use crate::error::{InterruptedError, WaitError};

use crate::sync::{const_fn, seeded};
use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use deadlock::DeadlockCheck;
use sequence::Sequence;
use state::Mode;

/// A value on cache lines of its own. Two lines, because processors fetch neighbouring lines together.
#[derive(Debug)]
#[repr(align(128))]
struct CacheAligned<T>(T);

/// A lock with its sequence. Each is on cache lines of its own, so that taking the lock for reading invalidates no line that lockless code
/// reads.
#[derive(Debug)]
pub(crate) struct Lock<L> {
    raw: CacheAligned<L>,
    sequence: CacheAligned<Sequence>,
    deadlock: DeadlockCheck,
}

/// Makes a hold `!Send`, because the debug check and perhaps a kernel's lock require that the thread that took it releases it. It is
/// `Sync`.
#[derive(Debug)]
pub(crate) struct NotSend(PhantomData<*mut ()>);

#[allow(unsafe_code, reason = "a hold may be shared with threads that may not end it")]
// SAFETY: it has no contents.
unsafe impl Sync for NotSend {}

impl NotSend {
    pub(crate) const fn new() -> Self {
        Self(PhantomData)
    }
}

/// A read hold. Released when dropped.
#[must_use]
pub(crate) struct ReadHold<'l, L: RawMmLock> {
    lock: &'l Lock<L>,
    _not_send: NotSend,
}

/// The write hold. Released when dropped.
#[must_use]
pub(crate) struct WriteHold<'l, L: RawMmLock> {
    lock: &'l Lock<L>,
    _not_send: NotSend,
}

impl<L: RawMmLock> Lock<L> {
    const_fn! {
        pub(crate) fn new(raw: L) -> Self {
            Self { raw: CacheAligned(raw), sequence: CacheAligned(Sequence::new()), deadlock: DeadlockCheck::new() }
        }
    }

    /// Takes a read hold. Waits while a writer holds the lock or waits for it.
    #[inline]
    #[track_caller]
    pub(crate) fn read(&self) -> ReadHold<'_, L> {
        if !self.raw.0.try_read() {
            self.deadlock.refuse_self(Mode::Read);
            self.raw.0.read();
        }
        ReadHold::taken(self)
    }

    /// Takes a read hold if that is possible without waiting.
    #[inline]
    pub(crate) fn try_read(&self) -> Option<ReadHold<'_, L>> {
        self.raw.0.try_read().then(|| ReadHold::taken(self))
    }

    /// Takes a read hold, or fails if it must wait and is interrupted.
    #[track_caller]
    pub(crate) fn read_interruptible(&self, interrupt: &L::Interrupt) -> Result<ReadHold<'_, L>, InterruptedError> {
        if !self.raw.0.try_read() {
            self.refuse_self(Mode::Read, interrupt);
            self.raw.0.read_interruptible(interrupt)?;
        }
        Ok(ReadHold::taken(self))
    }

    /// Panics in debug builds with std if the calling thread is about to wait for itself. Not if it is interrupted already, because then it
    /// does not wait.
    #[track_caller]
    fn refuse_self(&self, wanted: Mode, interrupt: &L::Interrupt) {
        if !L::is_raised(interrupt) {
            self.deadlock.refuse_self(wanted);
        }
    }

    /// Takes the write hold. Waits while there is any other hold.
    #[inline]
    #[track_caller]
    pub(crate) fn write(&self) -> WriteHold<'_, L> {
        if !self.raw.0.try_write() {
            self.deadlock.refuse_self(Mode::Write);
            self.raw.0.write();
        }
        WriteHold::taken(self)
    }

    /// Takes the write hold if that is possible without waiting.
    #[inline]
    pub(crate) fn try_write(&self) -> Option<WriteHold<'_, L>> {
        self.raw.0.try_write().then(|| WriteHold::taken(self))
    }

    /// Takes the write hold, or fails if it must wait and is interrupted.
    #[track_caller]
    pub(crate) fn write_interruptible(&self, interrupt: &L::Interrupt) -> Result<WriteHold<'_, L>, InterruptedError> {
        if !self.raw.0.try_write() {
            self.refuse_self(Mode::Write, interrupt);
            self.raw.0.write_interruptible(interrupt)?;
        }
        Ok(WriteHold::taken(self))
    }

    /// Waits, as the holder of the write hold, for something other than the lock; see [`RawMmLock::wait_until`].
    pub(crate) fn wait_until(&self, is_over: impl FnMut() -> bool, interrupt: Option<&L::Interrupt>) -> Result<(), InterruptedError> {
        self.raw.0.wait_until(is_over, interrupt)
    }

    /// Wakes the thread in [`wait_until`](Self::wait_until), if there is one.
    #[inline]
    pub(crate) fn notify(&self) {
        self.raw.0.notify();
    }

    /// Records that the calling thread has taken a lock that comes after this one. Until it releases that one, it must not wait for this
    /// one.
    #[inline]
    pub(crate) fn record_inner<T>(&self, inner: &T) {
        self.deadlock.record_inner(inner);
    }

    /// Records that the calling thread releases an inner lock.
    #[inline]
    pub(crate) fn forget_inner<T>(&self, inner: &T) {
        self.deadlock.forget_inner(inner);
    }

    /// Panics in debug builds with std if the calling thread, which has the write hold and is about to wait for the readers of an inner
    /// lock, is one of them.
    pub(crate) fn refuse_inner<T>(&self, inner: &T, interrupt: Option<&L::Interrupt>) {
        // If it is interrupted already, it does not wait.
        if !interrupt.is_some_and(L::is_raised) {
            self.deadlock.refuse_inner(inner);
        }
    }

    /// Returns the number of write holds begun plus the number ended. Odd while the lock is write-held.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence.0.number()
    }

    /// Sets the sequence.
    #[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
    pub(crate) fn start_sequence_at(&self, number: u64) {
        self.sequence.0.start_at(number);
    }

    /// Begins lockless work. `None` while the lock is write-held.
    pub(crate) fn speculate(&self) -> Option<Speculation<'_>> {
        Speculation::begin(&self.sequence.0)
    }
}

impl<'l, L: RawMmLock> ReadHold<'l, L> {
    #[inline]
    fn taken(lock: &'l Lock<L>) -> Self {
        lock.deadlock.record(Mode::Read);
        Self { lock, _not_send: NotSend::new() }
    }

    /// Becomes the write hold if it is the only hold and no writer waits. Otherwise returns the read hold. Never waits.
    #[inline]
    pub(crate) fn try_upgrade(self) -> Result<WriteHold<'l, L>, Self> {
        #[allow(unsafe_code, reason = "changes the hold")]
        // SAFETY: this is a read hold. If it succeeds, the hold is replaced by a write hold.
        if unsafe { self.lock.raw.0.try_upgrade() } {
            let lock = ManuallyDrop::new(self).lock;
            lock.deadlock.forget(Mode::Read);
            if seeded("sequence_not_begun_on_upgrade") {
                lock.deadlock.record(Mode::Write);
                return Ok(WriteHold { lock, _not_send: NotSend::new() });
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
        self.lock.deadlock.forget(Mode::Read);
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
        lock.deadlock.record(Mode::Write);
        lock.sequence.0.begin();
        Self { lock, _not_send: NotSend::new() }
    }

    /// Becomes a read hold, in one step. Never waits.
    #[inline]
    pub(crate) fn downgrade(self) -> ReadHold<'l, L> {
        if seeded("downgrade_opens_a_window") {
            let lock = self.lock;
            drop(self);
            return lock.read();
        }
        let lock = ManuallyDrop::new(self).lock;
        lock.deadlock.forget(Mode::Write);
        if !seeded("sequence_not_ended_on_downgrade") {
            lock.sequence.0.end();
        }
        #[allow(unsafe_code, reason = "changes the hold")]
        // SAFETY: this was the write hold, which is replaced by a read hold.
        unsafe {
            lock.raw.0.downgrade();
        }
        ReadHold::taken(lock)
    }
}

impl<L: RawMmLock> Drop for WriteHold<'_, L> {
    #[inline]
    fn drop(&mut self) {
        self.lock.deadlock.forget(Mode::Write);
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
