//! What ends a wait for the lock from outside.

use crate::sync::{Flag, Key, Park, Parking};
use core::time::Duration;

/// How often a wait looks whether it was interrupted from a signal handler, which can wake nobody.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Ends waits for the lock: given to [`RangeMap::read_interruptible`](crate::RangeMap::read_interruptible) or
/// [`write_interruptible`](crate::RangeMap::write_interruptible), and raised by another thread or by a signal handler.
///
/// Once raised it stays raised, and no wait under it begins, until it is [lowered](Self::lower). It ends *waits*: a lock that can be
/// had without waiting is taken, raised or not. One interrupt may stand over any number of waits, of any number of locks.
///
/// # Examples
/// ```
/// use vmaple::{Interrupt, RangeMap};
/// let map: RangeMap<u64> = RangeMap::new();
/// let killed = Interrupt::new();
/// let writer = map.write();
/// std::thread::scope(|threads| {
///     let waits = threads.spawn(|| map.read_interruptible(&killed).is_err());
///     killed.raise();
///     assert!(waits.join().unwrap()); // the writer is inside still
/// });
/// # drop(writer);
/// ```
#[derive(Debug)]
pub struct Interrupt {
    raised: Flag,
}

impl Interrupt {
    /// Makes one that is not raised.
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    #[must_use]
    pub const fn new() -> Self {
        Self { raised: Flag::new() }
    }

    /// Makes one that is not raised; the checkers' atomics are made at run time.
    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    #[must_use]
    pub fn new() -> Self {
        Self { raised: Flag::new() }
    }

    /// Ends the waits under it, now, and those that would begin.
    ///
    /// # Concurrency
    /// Wakes the threads that wait. Not async-signal-safe: a signal handler calls [`raise_from_signal`](Self::raise_from_signal).
    pub fn raise(&self) {
        Parking::wake(self.key(), &self.raised);
    }

    /// Ends the waits under it within some 10 milliseconds, and those that would begin at once.
    ///
    /// # Concurrency
    /// Async-signal-safe: one atomic store. It wakes nobody, so the waits find it at their next look, every 10 milliseconds.
    pub fn raise_from_signal(&self) {
        self.raised.raise();
    }

    /// Makes it fit for the next use. A wait that has not noticed yet that it was raised goes on.
    pub fn lower(&self) {
        self.raised.lower();
    }

    /// Whether it is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.is_up()
    }

    pub(crate) fn key(&self) -> Key {
        Key::of(&self.raised)
    }

    pub(crate) fn flag(&self) -> &Flag {
        &self.raised
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
