//! What a thread sleeps under and what ends its sleep; and the trait of the two ways to sleep, `lot` and `spinning`.
//!
//! Called by `lock`, and by `lot` and `spinning`, which sleep.

use super::const_fn::const_fn;
use super::prim::AtomicU64;
use core::sync::atomic::Ordering;
use core::time::Duration;

/// What a thread sleeps under: the address of something that the sleeper owns, or that it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(pub(super) usize);

impl Key {
    /// Returns the key of something that lives as long as a thread sleeps under it.
    pub(crate) fn of<T>(owned: &T) -> Self {
        Self(core::ptr::from_ref(owned).addr())
    }
}

/// A word that is down until a thread raises it.
#[derive(Debug)]
pub(crate) struct Flag(AtomicU64);

impl Flag {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Raises the flag. Async-signal-safe: one store.
    pub(crate) fn raise(&self) {
        // Release: what came before happens before what follows a load that finds it up; pairs with `is_up`.
        self.0.store(1, Ordering::Release);
    }

    /// Lowers the flag.
    pub(crate) fn lower(&self) {
        // Relaxed: publishes nothing.
        self.0.store(0, Ordering::Relaxed);
    }

    pub(crate) fn is_up(&self) -> bool {
        // Acquire: pairs with `raise`.
        self.0.load(Ordering::Acquire) != 0
    }
}

/// How threads sleep and are woken.
pub(crate) trait Park {
    /// Sleeps until `key` is woken or `limit` has passed. Does not sleep if one of `flags` is up. May return early.
    ///
    /// No wake-up is lost: either `wake` finds the sleeper asleep, or the sleeper finds the flag up.
    fn sleep(key: Key, flags: [Option<&Flag>; 2], limit: Option<Duration>);

    /// Raises `flag`, and wakes all threads that sleep under `key`. Not async-signal-safe.
    ///
    /// Does not touch the flag or the key's owner after raising the flag, because both may be gone by then.
    fn wake(key: Key, flag: &Flag);
}

/// Returns whether one of the flags is up.
pub(super) fn any_up(flags: [Option<&Flag>; 2]) -> bool {
    flags.into_iter().flatten().any(Flag::is_up)
}
