//! Waiting without the system's help: what `park` is without the feature `parking`.
//!
//! The lock comes in, through `park`'s names. Who waits looks at his flags again and again, with growing pauses; nobody is woken, so a
//! key means nothing here, and a signal handler's raise is found as soon as another thread's. Of the system it needs the yield alone, so
//! that on one processor the one who is waited for comes to his turn.

#![allow(unsafe_code, reason = "a lock over a value, as std's is")]

use super::park::{Flag, Key, Park, any_up};
use super::pause::Spin;
use super::prim::AtomicU64;
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::time::Duration;
use std::sync::atomic::Ordering;

/// Growing turns between two looks: a few of spinning, then the processor is left to others.
#[derive(Default)]
struct Backoff(Spin);

impl Backoff {
    fn turn(&mut self) {
        if !self.0.turn() {
            std::thread::yield_now();
        }
    }
}

/// Spins on the flags.
#[derive(Debug)]
pub(crate) struct Parking;

impl Park for Parking {
    /// Looks oftener than any limit asks for, and so needs no clock.
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

/// A lock that spins, for what is held for a few steps.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    /// 1 while it is locked.
    word: AtomicU64,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached by one thread at a time, through the one guard (so `Send` is enough).
unsafe impl<T: Send> Sync for Mutex<T> {}

// As std's: what it guards is changed by steps that cannot panic halfway.
impl<T> core::panic::UnwindSafe for Mutex<T> {}
impl<T> core::panic::RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self { word: AtomicU64::new(0), value: UnsafeCell::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        let mut backoff = Backoff::default();
        // Acquire: what was done under it before is seen; pairs with the guard's drop. Relaxed on failure: it is tried again.
        while self.word.compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // Relaxed: a look, so that waiting takes the line from nobody.
            while self.word.load(Ordering::Relaxed) != 0 {
                backoff.turn();
            }
        }
        MutexGuard { mutex: self }
    }
}

/// The value, locked until this is dropped.
#[derive(Debug)]
pub(crate) struct MutexGuard<'m, T> {
    mutex: &'m Mutex<T>,
}

// SAFETY: a shared guard lends the value shared (so `Sync` is needed: std's guard says the same).
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the one guard there is while the word is 1; the borrow is the guard's.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as `deref`, and the guard is borrowed for this alone.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // Release: what was done under it is seen by who locks it next; pairs with `lock`.
        self.mutex.word.store(0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// Two steps under it are one to the others.
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
                        thread::yield_now(); // here the others come to their turn
                        assert_eq!(pair.0, pair.1 + 1, "another was inside");
                        pair.1 += 1;
                    }
                });
            }
        });
        assert_eq!(*pair.lock(), (3 * ROUNDS, 3 * ROUNDS));
    }

    /// Either flag ends a sleep, whoever raises it; what is up before it needs none.
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
