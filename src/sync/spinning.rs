//! Waiting by spinning: what `park` does without the feature `parking`.
//!
//! Called by `lock` and `newest`, through `park`. A waiting thread checks its flags again and again, with growing pauses. No thread is woken, so a key
//! has no meaning here, and a flag raised by a signal handler is found as soon as any other. The only thing needed of the system is to
//! yield, so that on a single processor the thread that is waited for can run. Without the feature `std` it does not even yield.

#![allow(unsafe_code, reason = "a mutex around a value, like std's")]

use super::flag::{Flag, Key, Park, any_up};
use super::pause::Spin;
use super::prim::AtomicU64;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering;
use core::time::Duration;

/// The pauses between two checks: a few spins first, then yields, or single spins without the feature `std`.
#[derive(Default)]
struct Backoff(Spin);

impl Backoff {
    fn turn(&mut self) {
        if !self.0.turn() {
            #[cfg(feature = "std")]
            std::thread::yield_now();
            #[cfg(not(feature = "std"))]
            core::hint::spin_loop();
        }
    }
}

/// Spins on the flags.
#[derive(Debug)]
pub(crate) struct Parking;

impl Park for Parking {
    /// Ignores the limit: it checks its flags far more often than any limit requires.
    fn sleep(_: Key, flags: [Option<&Flag>; 2], _: Option<Duration>) {
        let mut backoff = Backoff::default();
        while !any_up(flags) {
            backoff.turn();
        }
    }

    fn wake(_: Key, flag: &Flag) {
        flag.raise();
    }
}

/// A mutex that spins. It must be held for a few steps only.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    /// 1 while it is locked.
    word: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: one thread at a time accesses the value, through the only guard (so `Send` is enough).
unsafe impl<T: Send> Sync for Mutex<T> {}

// As std's mutex in `lot`: what it guards is changed in steps that cannot panic halfway.
impl<T> core::panic::UnwindSafe for Mutex<T> {}
impl<T> core::panic::RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { word: AtomicU64::new(0), value: UnsafeCell::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let mut backoff = Backoff::default();
        // Acquire: what earlier holders did is seen; pairs with the guard's drop. Relaxed on failure: it is tried again.
        while self.word.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // Relaxed: only a hint for the next swap. A load, so that waiting does not take the cache line from the holder.
            while self.word.load(Ordering::Relaxed) != 0 {
                backoff.turn();
            }
        }
        MutexGuard { mutex: self }
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

/// The locked value. Unlocks when dropped.
#[derive(Debug)]
pub(crate) struct MutexGuard<'m, T> {
    mutex: &'m Mutex<T>,
}

// SAFETY: a shared guard gives out `&T` (so `T: Sync` is needed, as for std's guard).
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this is the only guard while the word is 1, and the borrow is the guard's.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as `deref`, and the guard is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // Release: what was done under the lock is seen by the next holder; pairs with `lock`.
        self.mutex.word.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Two steps under the mutex are one step to other threads.
    #[test]
    fn the_mutex_excludes() {
        const ROUNDS: u64 = if cfg!(miri) { 20 } else { 1_000 };
        let pair = Mutex::new((0, 0));
        thread::scope(|threads| {
            for _ in 0..3 {
                threads.spawn(|| {
                    for _ in 0..ROUNDS {
                        let mut pair = pair.lock();
                        pair.0 += 1;
                        thread::yield_now(); // the others run here
                        assert_eq!(pair.0, pair.1 + 1, "another thread was inside");
                        pair.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*pair.lock(), (3 * ROUNDS, 3 * ROUNDS));
    }

    /// Either flag ends a sleep, and a flag that is up before the sleep prevents it.
    #[test]
    fn a_raised_flag_ends_the_sleep() {
        let (granted, killed) = (Flag::new(), Flag::new());
        for raise in [&granted, &killed] {
            thread::scope(|threads| {
                threads.spawn(|| Parking::sleep(Key::of(&granted), [Some(&granted), Some(&killed)], None));
                Parking::wake(Key::of(&granted), raise);
            });
            Parking::sleep(Key::of(&granted), [Some(raise), None], None);
            raise.lower();
        }
    }
}
