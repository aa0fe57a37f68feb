//! The trait of a lock that a map can use.
//!
//! Called by `Lock`, and implemented by `mm_lock` and by embedders.

#![allow(unsafe_code, reason = "an unsafe trait: the map's soundness rests on what an implementation promises")]

use crate::error::InterruptedError;
use crate::sync::Pause;

/// A reader-writer lock with upgrade and downgrade, without data and without guards.
///
/// Implemented by an embedder that brings its own lock to a [`RangeMap`](crate::map::Builder::lock) or an address space
/// ([`MmBuilder::lock`](crate::mm::MmBuilder::lock)). The default is [`MmLock`](crate::lock::MmLock). The guards, the write sequence and
/// the debug check for deadlocks are built on top of it and are the same for all locks.
///
/// A lock is always tried first and waited for only if that fails: `try_read`, then `read` or `read_interruptible`; `try_write`, then
/// `write` or `write_interruptible`. Debug and release builds make the same calls.
///
/// # Safety
/// The map's memory safety rests on these promises:
/// * **Exclusion.** From the return of a successful write acquisition until `unlock_write` or `downgrade` there is no other hold. From a
///   read acquisition until `unlock_read` or a successful `try_upgrade` there is no write hold.
/// * **No gap.** `downgrade` and a successful `try_upgrade` change the caller's hold in one step: no other thread writes in between.
/// * **Order.** What was done under a hold before it was released or downgraded happens before what follows a later acquisition, or a
///   successful `try_upgrade`, that the hold excluded.
/// * **Truth.** If a method returns false or [`InterruptedError`], the lock was not taken. After a failed `try_upgrade` the read hold is as it
///   was. If `wait_until` returns without an error, the last call of `is_over` returned true.
/// * **No unwinding** out of `unlock_read`, `unlock_write`, `downgrade`, `try_upgrade`, `wait_until`, `notify` and `is_raised`.
///
/// Fairness is not required for safety. In the default lock neither a stream of readers nor one of writers can starve the others.
pub unsafe trait RawMmLock {
    /// The type that interrupts a wait: [`Interrupt`](crate::lock::Interrupt) for the default lock.
    type Interrupt: ?Sized;

    /// Takes a read hold. Waits while a writer holds the lock or waits for it.
    fn read(&self);

    /// Takes a read hold if that is possible without waiting, and returns whether it did.
    #[must_use]
    fn try_read(&self) -> bool;

    /// Takes a read hold like [`read`](Self::read), or fails if it must wait and is interrupted.
    ///
    /// # Errors
    /// [`InterruptedError`]: no hold was taken, the wait has left no trace in the lock, and threads that waited because of it have been
    /// admitted.
    fn read_interruptible(&self, interrupt: &Self::Interrupt) -> Result<(), InterruptedError>;

    /// Takes the write hold. Waits while there is any other hold.
    fn write(&self);

    /// Takes the write hold if that is possible without waiting, and returns whether it did.
    #[must_use]
    fn try_write(&self) -> bool;

    /// Takes the write hold like [`write`](Self::write), or fails if it must wait and is interrupted.
    ///
    /// # Errors
    /// As [`read_interruptible`](Self::read_interruptible).
    fn write_interruptible(&self, interrupt: &Self::Interrupt) -> Result<(), InterruptedError>;

    /// Returns whether waits with this interrupt end now.
    ///
    /// Called during waits for something other than the lock, and before each wait for the lock.
    fn is_raised(interrupt: &Self::Interrupt) -> bool;

    /// Waits until `is_over` returns true, or until interrupted.
    ///
    /// Called only by the holder of the write hold, which waits for the readers of a VMA. `is_over` is called first; the interrupt is
    /// checked only if it returns false. Each call of [`notify`](Self::notify) must be followed by another call of `is_over`; no
    /// notification may be lost. `is_over` may be called at other times, too. It does not wait and does not call the lock, so a mutex may
    /// be held around it.
    ///
    /// The default implementation polls, with growing pauses of about a millisecond at most. A lock with its own way to sleep overrides
    /// both this method and `notify`.
    ///
    /// # Errors
    /// [`InterruptedError`], only with an interrupt: `is_over` returned false when it was last called.
    fn wait_until(&self, mut is_over: impl FnMut() -> bool, interrupt: Option<&Self::Interrupt>) -> Result<(), InterruptedError> {
        let mut pause = Pause::default();
        while !is_over() {
            if interrupt.is_some_and(Self::is_raised) {
                return Err(InterruptedError::new());
            }
            pause.next();
        }
        Ok(())
    }

    /// Wakes the thread in [`wait_until`](Self::wait_until), if there is one, because its condition may have become true.
    ///
    /// Called by any thread, whether it holds the lock or not. Does not wait for a hold. The default implementation does nothing, because
    /// the default `wait_until` polls.
    fn notify(&self) {}

    /// Releases a read hold.
    ///
    /// # Safety
    /// The caller owns a read hold, and gives it up.
    unsafe fn unlock_read(&self);

    /// Releases the write hold.
    ///
    /// # Safety
    /// The caller owns the write hold, and gives it up.
    unsafe fn unlock_write(&self);

    /// Turns the write hold into a read hold. Does not wait.
    ///
    /// # Safety
    /// The caller owns the write hold. Afterwards it owns a read hold instead.
    unsafe fn downgrade(&self);

    /// Turns a read hold into the write hold if it is the only hold and no writer waits, and returns whether it did. Does not wait.
    ///
    /// # Safety
    /// The caller owns a read hold. If this returns true, it owns the write hold instead.
    #[must_use]
    unsafe fn try_upgrade(&self) -> bool;
}
