//! The parking lot: a fixed number of buckets, each a mutex and a condition variable. A key hashes to a bucket.
//!
//! Called by `lock` and `newest`, through `park`. On the machine the primitives are std's. In models there is one bucket, with the checker's
//! mutex and condition variable; the code is the same, so the checker sees each step of the bucket and of the lock above it.
//!
//! Why no wake-up is lost: a flag is raised under the bucket's mutex, and a sleeper checks its flags under that mutex, which the condition
//! variable releases in one step with falling asleep. If the raise comes first, the check sees it. If the check comes first, the sleeper is
//! counted, so the raiser notifies the condition variable afterwards.
//!
//! The number of buckets is fixed so that sleeping allocates nothing. A lot that grows with its sleepers could fail to grow when memory is
//! short, which is when a thread may have to wait for the first time.

pub(crate) use bucket::Parking;
#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
pub(crate) use machine::Mutex;
#[cfg(any(vmaple_loom, vmaple_shuttle))]
pub(crate) use model::Mutex;

/// The buckets: one protocol, over the primitives of the machine or of the checkers.
mod bucket {
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    use super::machine::{Condvar, Deadline, Mutex, bucket_of};
    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    use super::model::{Condvar, Deadline, Mutex, bucket_of};
    use crate::sync::flag::{Flag, Key, Park, any_up};
    use crate::sync::seeded::seeded;
    use core::time::Duration;

    /// Where the threads sleep whose keys hash here. On a cache line of its own.
    #[derive(Debug)]
    #[repr(align(64))]
    pub(super) struct Bucket {
        /// The number of threads that sleep here. Their flags are raised while this is locked.
        pub(super) sleepers: Mutex<usize>,
        pub(super) condvar: Condvar,
    }

    impl Bucket {
        fn sleep(&self, flags: [Option<&Flag>; 2], limit: Option<Duration>) {
            let deadline = Deadline::after(limit);
            let mut sleepers = self.sleepers.lock();
            *sleepers += 1;
            while !any_up(flags) && !deadline.is_over() {
                sleepers = self.condvar.wait(sleepers, deadline);
            }
            *sleepers -= 1;
        }

        fn wake(&self, flag: &Flag) {
            let is_late = seeded("flag_raised_outside_the_mutex");
            let sleepers = self.sleepers.lock();
            if !is_late {
                flag.raise();
            }
            let has_sleepers = *sleepers > 0;
            drop(sleepers);
            if is_late {
                flag.raise();
            }
            if has_sleepers {
                self.condvar.notify_all();
            }
        }
    }

    /// The parking lot of this build.
    #[derive(Debug)]
    pub(crate) struct Parking;

    impl Park for Parking {
        fn sleep(key: Key, flags: [Option<&Flag>; 2], limit: Option<Duration>) {
            bucket_of(key).sleep(flags, limit);
        }

        fn wake(key: Key, flag: &Flag) {
            bucket_of(key).wake(flag);
        }
    }
}

/// std's primitives, which allocate nothing where they are futexes. A poisoned mutex is used as it is, because what it guards is changed in
/// steps that cannot panic halfway.
#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
mod machine {
    use super::bucket::Bucket;
    use crate::sync::flag::Key;
    use core::time::Duration;
    use std::sync::{MutexGuard, PoisonError};
    use std::time::Instant;

    /// A power of two. A thread that is woken because another key shares its bucket goes back to sleep.
    const BUCKETS: usize = 256;

    /// Never freed, so `wake` touches nothing that may be gone.
    static LOT: [Bucket; BUCKETS] = [const { Bucket { sleepers: Mutex::new(0), condvar: Condvar::new() } }; BUCKETS];

    pub(super) fn bucket_of(key: Key) -> &'static Bucket {
        // Keys are addresses of words, so their low bits hardly differ: the upper bits of a product do.
        let hash = (key.0 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BUCKETS.ilog2());
        &LOT[usize::try_from(hash).unwrap_or_default() % BUCKETS]
    }

    /// When a sleep ends, if it is limited.
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

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
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

/// The checker's primitives.
#[cfg(any(vmaple_loom, vmaple_shuttle))]
mod model {
    use super::bucket::Bucket;
    use crate::sync::flag::Key;
    use core::time::Duration;

    #[cfg(vmaple_loom)]
    use loom::{lazy_static, sync as raw};
    #[cfg(vmaple_shuttle)]
    use shuttle::{lazy_static, sync as raw};

    lazy_static! {
        /// One bucket for all keys: a wake-up may reach too many threads, never too few.
        static ref LOT: Bucket = Bucket { sleepers: Mutex::new(0), condvar: Condvar(raw::Condvar::new()) };
    }

    pub(super) fn bucket_of(_: Key) -> &'static Bucket {
        &LOT
    }

    /// Never over, because a checker has no clock.
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

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().expect("no panic in a model")
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
