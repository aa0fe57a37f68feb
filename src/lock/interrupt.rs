//! The interrupt of the default lock, which ends waits from outside.
//!
//! Called by `mm_lock` and `notify`, and by the embedder.

use crate::sync::{Flag, Key, Park, Parking, const_fn};
use core::time::Duration;

/// How often a waiting thread checks its interrupt by itself, because a signal handler cannot wake it.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Ends waits for a lock. Raised by another thread or by a signal handler.
///
/// Passed to [`RangeMap::read_interruptible`](crate::RangeMap::read_interruptible),
/// [`write_interruptible`](crate::RangeMap::write_interruptible) and the operations that wait. Once raised it stays raised until it is
/// [lowered](Self::lower), and no wait with it begins. It ends *waits* only: a lock that is available without waiting is taken even if the
/// interrupt is raised. One interrupt may be used for any number of waits and locks at once.
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
///     assert!(waits.join().unwrap()); // the writer still holds the lock
/// });
/// # drop(writer);
/// ```
#[derive(Debug)]
pub struct Interrupt {
    raised: Flag,
}

impl Interrupt {
    const_fn! {
        /// Creates an interrupt that is not raised.
        #[must_use]
        pub fn new() -> Self {
            Self { raised: Flag::new() }
        }
    }

    /// Raises the interrupt and wakes the threads that wait with it.
    ///
    /// # Concurrency
    /// Not async-signal-safe; a signal handler calls [`raise_from_signal`](Self::raise_from_signal).
    pub fn raise(&self) {
        Parking::wake(self.key(), &self.raised);
    }

    /// Raises the interrupt from a signal handler.
    ///
    /// # Concurrency
    /// Async-signal-safe: one atomic store. Wakes no thread, so a wait that has already begun ends when it next checks the interrupt, which
    /// it does every 10 milliseconds.
    pub fn raise_from_signal(&self) {
        self.raised.raise();
    }

    /// Lowers the interrupt, so that it can be used again. A wait that has not noticed that it was raised continues.
    pub fn lower(&self) {
        self.raised.lower();
    }

    /// Returns whether the interrupt is raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.raised.is_up()
    }

    pub(super) fn key(&self) -> Key {
        Key::of(&self.raised)
    }

    pub(super) fn flag(&self) -> &Flag {
        &self.raised
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
