//! The face of a lock that a map can stand on.

#![allow(unsafe_code, reason = "an unsafe trait: the map's soundness rests on what an implementation promises")]

use crate::error::Interrupted;

/// A reader-writer lock with upgrade and downgrade, without data and without guards: what a kernel or an embedder implements to put its
/// own under a [`RangeMap`](crate::RangeMap::with_lock). The default is [`MmLock`](crate::MmLock).
///
/// The guards, the write sequence and the debug check against waiting for oneself are built on top, once for all locks.
///
/// # Safety
/// The map's memory safety rests on these promises:
/// * **Exclusion.** From the return of a successful write acquisition to `unlock_write` or `downgrade` there is no other hold; from a
///   read acquisition to `unlock_read` or a successful `try_upgrade` there is no write hold.
/// * **No moment in between.** In `downgrade` and in a successful `try_upgrade` the caller's hold changes; nobody else writes between
///   the two.
/// * **Order.** What was done before a hold was released happens before what follows a later acquisition that excludes it.
/// * **What is said is true.** False, or [`Interrupted`], means that the lock was not taken; after a failed `try_upgrade` the read hold
///   is as it was.
/// * **No unwinding** out of `unlock_read`, `unlock_write`, `downgrade` and `try_upgrade`.
///
/// Fairness is not a matter of safety: the default neither lets a stream of readers starve a writer, nor one of writers a reader.
pub unsafe trait RawMmLock {
    /// What ends a wait from outside: [`Interrupt`](crate::Interrupt) for the default, a kernel's "this task is being killed".
    type Interrupt: ?Sized;

    /// Takes a read hold; waits for a writer that is inside, or waits.
    fn read(&self);

    /// Takes a read hold, if that needs no waiting.
    #[must_use]
    fn try_read(&self) -> bool;

    /// As [`read`](Self::read), unless it must wait and is interrupted.
    ///
    /// # Errors
    /// [`Interrupted`]: nothing is held, nobody waits any more on the caller's behalf, and who waited because of it is let in.
    fn read_unless(&self, interrupt: &Self::Interrupt) -> Result<(), Interrupted>;

    /// Takes the write hold; waits until nobody is inside.
    fn write(&self);

    /// Takes the write hold, if that needs no waiting.
    #[must_use]
    fn try_write(&self) -> bool;

    /// As [`write`](Self::write), unless it must wait and is interrupted.
    ///
    /// # Errors
    /// As [`read_unless`](Self::read_unless).
    fn write_unless(&self, interrupt: &Self::Interrupt) -> Result<(), Interrupted>;

    /// Whether waits under the interrupt end now: asked by what waits for something else than the lock.
    fn is_raised(interrupt: &Self::Interrupt) -> bool;

    /// Ends a read hold.
    ///
    /// # Safety
    /// The caller owns one, and gives it up.
    unsafe fn unlock_read(&self);

    /// Ends the write hold.
    ///
    /// # Safety
    /// The caller owns it, and gives it up.
    unsafe fn unlock_write(&self);

    /// Turns the write hold into a read hold. Does not wait.
    ///
    /// # Safety
    /// The caller owns the write hold, and owns a read hold after.
    unsafe fn downgrade(&self);

    /// Turns a read hold into the write hold if it is the only hold and no writer waits, and says whether it did. Does not wait.
    ///
    /// # Safety
    /// The caller owns a read hold; where this is true, it owns the write hold after.
    #[must_use]
    unsafe fn try_upgrade(&self) -> bool;
}
