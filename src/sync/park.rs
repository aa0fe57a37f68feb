//! Sleeping until woken: what a lock's slow path needs of the system.
//!
//! The lock comes in. A thread sleeps under a [`Key`] while [`Flag`]s are down; to raise one of them wakes the key. On the machine
//! that is `parking_lot_core`, or, without the feature `parking`, a spin on the flags (`spinning`); in models a mutex and a condition
//! variable of the checker, so that the lock above runs as it is and the checker sees each step of it.

use super::prim::AtomicU64;
use core::time::Duration;
use std::sync::atomic::Ordering;

#[cfg(all(feature = "parking", not(any(vmaple_loom, vmaple_shuttle))))]
pub(crate) use machine::{Mutex, Parking};
#[cfg(any(vmaple_loom, vmaple_shuttle))]
pub(crate) use model::{Mutex, Parking};

#[cfg(all(not(feature = "parking"), not(any(vmaple_loom, vmaple_shuttle))))]
pub(crate) use super::spinning::{Mutex, Parking};

/// What is slept under: an address that belongs to the sleeper, or to what it sleeps for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(usize);

impl Key {
    /// The key of something that lives as long as it is slept under.
    pub(crate) fn of<T>(owned: &T) -> Self {
        Self(core::ptr::from_ref(owned).addr())
    }
}

/// A word that is down until someone raises it.
#[derive(Debug)]
pub(crate) struct Flag(AtomicU64);

impl Flag {
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The checkers' atomics are made at run time.
    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Raises it; one store, so a signal handler may.
    pub(crate) fn raise(&self) {
        // Release: what came before is seen by whoever finds it up; pairs with `is_up`.
        self.0.store(1, Ordering::Release);
    }

    /// Lowers it.
    pub(crate) fn lower(&self) {
        // Relaxed: tells nobody anything.
        self.0.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self) -> bool {
        // Acquire: pairs with `raise`.
        self.0.load(Ordering::Acquire) != 0
    }
}

/// How a thread sleeps. Small, so that another way is soon brought.
pub(crate) trait Park {
    /// Sleeps until the key is woken or the limit is over, and not at all if a flag is up. May return early.
    ///
    /// No wake is lost: either it finds the sleeper asleep, or the sleeper finds the flag.
    fn sleep(key: Key, flags: [Option<&Flag>; 2], limit: Option<Duration>);

    /// Raises the flag, and wakes all who sleep under the key. Not for signal handlers.
    ///
    /// Once the flag is up its owner may go away, and the key with it: who sleeps under the key is found out before, and nothing but the
    /// sleepers is touched after.
    fn wake(key: Key, flag: &Flag);
}

pub(super) fn any_up(flags: [Option<&Flag>; 2]) -> bool {
    flags.into_iter().flatten().any(Flag::is_up)
}

#[cfg(all(feature = "parking", not(any(vmaple_loom, vmaple_shuttle))))]
#[allow(unsafe_code, reason = "parking_lot_core trusts its callers with the key and with what they do under its lock")]
mod machine {
    use super::{Flag, Key, Park, any_up};
    use core::time::Duration;
    use parking_lot_core::{DEFAULT_PARK_TOKEN, DEFAULT_UNPARK_TOKEN, FilterOp};
    use std::sync::PoisonError;
    use std::time::Instant;

    /// Sleeps by `parking_lot_core`.
    #[derive(Debug)]
    pub(crate) struct Parking;

    impl Park for Parking {
        fn sleep(key: Key, flags: [Option<&Flag>; 2], limit: Option<Duration>) {
            let deadline = limit.map(|limit| Instant::now() + limit);
            // SAFETY: the key is the address of what the crate owns, so nobody else parks under it; what is called under the lot's lock
            // loads atomics, and neither unwinds nor parks.
            _ = unsafe { parking_lot_core::park(key.0, || !any_up(flags), || {}, |_, _| {}, DEFAULT_PARK_TOKEN, deadline) };
        }

        fn wake(key: Key, flag: &Flag) {
            let raise = |_| {
                flag.raise();
                DEFAULT_UNPARK_TOKEN
            };
            // SAFETY: the key is the address of what the crate owns, and does so until the flag is up; what is called under the lot's lock
            // stores to an atomic, and neither unwinds nor parks.
            unsafe { parking_lot_core::unpark_filter(key.0, |_| FilterOp::Unpark, raise) };
        }
    }

    /// std's, without poison: what it guards is changed by steps that cannot panic halfway.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}

#[cfg(any(vmaple_loom, vmaple_shuttle))]
mod model {
    use super::{Flag, Key, Park, any_up};
    use core::time::Duration;

    #[cfg(vmaple_loom)]
    use loom::{lazy_static, sync as raw};
    #[cfg(vmaple_shuttle)]
    use shuttle::{lazy_static, sync as raw};

    lazy_static! {
        /// One for all keys of an execution: a wake wakes too many, never too few.
        static ref LOT: (raw::Mutex<()>, raw::Condvar) = (raw::Mutex::new(()), raw::Condvar::new());
    }

    /// Sleeps by the checker's condition variable. There is no clock, and so no limit.
    #[derive(Debug)]
    pub(crate) struct Parking;

    impl Park for Parking {
        fn sleep(_: Key, flags: [Option<&Flag>; 2], _: Option<Duration>) {
            let mut lot = LOT.0.lock().expect("no panic in a model");
            while !any_up(flags) {
                lot = LOT.1.wait(lot).expect("no panic in a model");
            }
        }

        fn wake(_: Key, flag: &Flag) {
            let lot = LOT.0.lock().expect("no panic in a model");
            flag.raise();
            LOT.1.notify_all();
            drop(lot);
        }
    }

    /// The checker's.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(raw::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(raw::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> raw::MutexGuard<'_, T> {
            self.0.lock().expect("no panic in a model")
        }
    }
}
