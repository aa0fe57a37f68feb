//! Sleeping until woken: what a lock's slow path needs of the system.
//!
//! The lock comes in. A thread sleeps under a [`Key`] while [`Flag`]s are down; to raise one of them wakes the key. On the machine
//! the key leads to one of a fixed number of rooms, each with a mutex and a condition variable of std; without the feature `parking`
//! a thread spins on the flags instead (`spinning`). In models there is one room, with a mutex and a condition variable of the checker.
//! It runs this code, so the checker sees each step of the room and of the lock above it.
//!
//! Why no wake is lost: a flag is raised under the room's mutex, and who sleeps looks at it under that mutex, which the wait gives up in
//! one step with falling asleep. So the raise comes before the look, which finds it; or the sleeper is counted, and the bell rings after.
//!
//! Sleeping needs no memory: a lot that grows with the threads that sleep in it could not be had where memory is short, which is when a
//! thread may have to wait for the first time.

use super::prim::AtomicU64;
use core::time::Duration;
use std::sync::atomic::Ordering;

#[cfg(all(feature = "parking", not(any(vmaple_loom, vmaple_shuttle))))]
pub(crate) use machine::Mutex;
#[cfg(any(vmaple_loom, vmaple_shuttle))]
pub(crate) use model::Mutex;
#[cfg(any(feature = "parking", vmaple_loom, vmaple_shuttle))]
pub(crate) use room::Parking;

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

/// Where threads sleep: one protocol, over the primitives of the machine and of the checkers.
#[cfg(any(feature = "parking", vmaple_loom, vmaple_shuttle))]
mod room {
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    use super::machine::{Condvar, Deadline, Mutex, room_of};
    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    use super::model::{Condvar, Deadline, Mutex, room_of};
    use super::{Flag, Key, Park, any_up};
    use crate::sync::seeded;
    use core::time::Duration;

    /// Where threads sleep whose keys lead here. On a line of its own.
    #[derive(Debug)]
    #[repr(align(64))]
    pub(super) struct Room {
        /// How many sleep here. Flags that are slept on here are raised while it is locked.
        pub(super) sleepers: Mutex<usize>,
        pub(super) bell: Condvar,
    }

    impl Room {
        fn sleep(&self, flags: [Option<&Flag>; 2], limit: Option<Duration>) {
            let deadline = Deadline::after(limit);
            let mut sleepers = self.sleepers.lock();
            *sleepers += 1;
            while !any_up(flags) && !deadline.is_over() {
                sleepers = self.bell.wait(sleepers, deadline);
            }
            *sleepers -= 1;
        }

        fn wake(&self, flag: &Flag) {
            let is_late = seeded("flag_raised_outside_the_room");
            let sleepers = self.sleepers.lock();
            if !is_late {
                flag.raise();
            }
            let is_slept_in = *sleepers > 0;
            drop(sleepers);
            if is_late {
                flag.raise();
            }
            if is_slept_in {
                self.bell.notify_all();
            }
        }
    }

    /// Sleeps in rooms.
    #[derive(Debug)]
    pub(crate) struct Parking;

    impl Park for Parking {
        fn sleep(key: Key, flags: [Option<&Flag>; 2], limit: Option<Duration>) {
            room_of(key).sleep(flags, limit);
        }

        fn wake(key: Key, flag: &Flag) {
            room_of(key).wake(flag);
        }
    }
}

/// std's primitives, which need no memory where they are futexes. Without poison: what a mutex guards is changed by steps that cannot panic
/// halfway.
#[cfg(all(feature = "parking", not(any(vmaple_loom, vmaple_shuttle))))]
mod machine {
    use super::Key;
    use super::room::Room;
    use core::time::Duration;
    use std::sync::{MutexGuard, PoisonError};
    use std::time::Instant;

    /// A power of two. Keys that share a room wake each other, and sleep on.
    const ROOMS: usize = 256;

    /// They are never given back, so a wake touches nothing that may be gone.
    static LOT: [Room; ROOMS] = [const { Room { sleepers: Mutex::new(0), bell: Condvar::new() } }; ROOMS];

    pub(super) fn room_of(key: Key) -> &'static Room {
        // Keys are addresses of words: the upper bits of a product spread them.
        let spread = (key.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - ROOMS.ilog2());
        &LOT[usize::try_from(spread).unwrap_or_default() % ROOMS]
    }

    /// When a sleep ends, if it has an end of its own.
    #[derive(Clone, Copy)]
    pub(super) struct Deadline(Option<Instant>);

    impl Deadline {
        pub(super) fn after(limit: Option<Duration>) -> Self {
            Self(limit.map(|limit| Instant::now() + limit))
        }

        pub(super) fn is_over(self) -> bool {
            self.0.is_some_and(|deadline| deadline <= Instant::now())
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    #[derive(Debug)]
    pub(super) struct Condvar(std::sync::Condvar);

    impl Condvar {
        const fn new() -> Self {
            Self(std::sync::Condvar::new())
        }

        pub(super) fn wait<'m, T>(&self, guard: MutexGuard<'m, T>, Deadline(deadline): Deadline) -> MutexGuard<'m, T> {
            match deadline {
                None => self.0.wait(guard).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    self.0.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0
                }
            }
        }

        pub(super) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

/// The checker's.
#[cfg(any(vmaple_loom, vmaple_shuttle))]
mod model {
    use super::Key;
    use super::room::Room;
    use core::time::Duration;

    #[cfg(vmaple_loom)]
    use loom::{lazy_static, sync as raw};
    #[cfg(vmaple_shuttle)]
    use shuttle::{lazy_static, sync as raw};

    lazy_static! {
        /// One for all keys of an execution: a wake wakes too many, never too few.
        static ref LOT: Room = Room { sleepers: Mutex::new(0), bell: Condvar(raw::Condvar::new()) };
    }

    pub(super) fn room_of(_: Key) -> &'static Room {
        &LOT
    }

    /// There is no clock, and so no limit.
    #[derive(Clone, Copy)]
    pub(super) struct Deadline;

    impl Deadline {
        pub(super) fn after(_: Option<Duration>) -> Self {
            Self
        }

        pub(super) fn is_over(self) -> bool {
            false
        }
    }

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

    #[derive(Debug)]
    pub(super) struct Condvar(raw::Condvar);

    impl Condvar {
        pub(super) fn wait<'m, T>(&self, guard: raw::MutexGuard<'m, T>, _: Deadline) -> raw::MutexGuard<'m, T> {
            self.0.wait(guard).expect("no panic in a model")
        }

        pub(super) fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}
