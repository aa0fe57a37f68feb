//! The face of a lock that a map can stand on.

#![allow(unsafe_code, reason = "an unsafe trait: the map's soundness rests on what an implementation promises")]

use crate::error::Interrupted;
use crate::sync::Pause;

/// A reader-writer lock with upgrade and downgrade, without data and without guards: what a kernel or an embedder implements to put its
/// own under a [`RangeMap`](crate::map::Builder::lock) or an address space ([`MmBuilder::lock`](crate::mm::MmBuilder::lock)). The default is
/// [`MmLock`](crate::lock::MmLock).
///
/// The guards, the write sequence and the debug check against waiting for oneself are built on top, once for all locks.
///
/// A hold is taken by trying first, and by waiting if that fails: `try_read`, then `read` or `read_interruptible`; `try_write`, then `write` or
/// `write_interruptible`. Debug and release builds make the same calls.
///
/// # Safety
/// The map's memory safety rests on these promises:
/// * **Exclusion.** From the return of a successful write acquisition to `unlock_write` or `downgrade` there is no other hold; from a
///   read acquisition to `unlock_read` or a successful `try_upgrade` there is no write hold.
/// * **No moment in between.** In `downgrade` and in a successful `try_upgrade` the caller's hold changes; nobody else writes between
///   the two.
/// * **Order.** What was done before a hold was released or downgraded happens before what follows a later acquisition, or a successful
///   `try_upgrade`, that excludes it as it was.
/// * **What is said is true.** False, or [`Interrupted`], means that the lock was not taken; after a failed `try_upgrade` the read hold
///   is as it was; after `wait_until` without an error the last that `is_over` said was true.
/// * **No unwinding** out of `unlock_read`, `unlock_write`, `downgrade`, `try_upgrade`, `wait_until`, `look_again` and `is_raised`.
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
    fn read_interruptible(&self, interrupt: &Self::Interrupt) -> Result<(), Interrupted>;

    /// Takes the write hold; waits until nobody is inside.
    fn write(&self);

    /// Takes the write hold, if that needs no waiting.
    #[must_use]
    fn try_write(&self) -> bool;

    /// As [`write`](Self::write), unless it must wait and is interrupted.
    ///
    /// # Errors
    /// As [`read_interruptible`](Self::read_interruptible).
    fn write_interruptible(&self, interrupt: &Self::Interrupt) -> Result<(), Interrupted>;

    /// Whether waits under the interrupt end now: asked by what waits for something else than the lock, and before each wait for the lock
    /// that it may end.
    fn is_raised(interrupt: &Self::Interrupt) -> bool;

    /// Waits for something else than the lock, unless interrupted: until `is_over` says that it is over. So the one who holds the lock for
    /// writing waits for those who read a VMA; no one else calls it. `is_over` is asked first; an interrupt is not looked at where it is
    /// true.
    ///
    /// What is waited for ends with a call of [`look_again`](Self::look_again), and no such call may be lost: `is_over` is asked after it,
    /// and may be asked at any other time. It waits for nothing and calls nothing of the lock's, so a mutex may be held over it.
    ///
    /// Unless a lock brings its own way to sleep, and is told of both by waking it, this polls with growing pauses of at most a
    /// millisecond.
    ///
    /// # Errors
    /// [`Interrupted`]: it was not over when it was last asked. Not without an interrupt.
    fn wait_until(&self, mut is_over: impl FnMut() -> bool, interrupt: Option<&Self::Interrupt>) -> Result<(), Interrupted> {
        let mut pause = Pause::default();
        while !is_over() {
            if interrupt.is_some_and(Self::is_raised) {
                return Err(Interrupted::new());
            }
            pause.next();
        }
        Ok(())
    }

    /// What [`wait_until`](Self::wait_until) waits for may be over: wakes who waits there, if anyone does.
    ///
    /// Called by any thread, whether it holds the lock or not. Does not wait for a hold. Where `wait_until` polls, there is nothing to do.
    fn look_again(&self) {}

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
