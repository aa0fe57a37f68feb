//! A check for threads that would wait for themselves, in debug builds with std: each thread keeps a list of the locks that it holds, and
//! panics before it waits for one of them.
//!
//! Called by `Lock` when a hold begins, before a wait, and when a hold ends.
//!
//! * A thread that holds the mm lock for reading and waits to read again may wait for a writer that waits for the first hold. Only the
//!   *wait* is refused: reading twice while no writer waits is not a deadlock.
//! * A VMA's lock comes after the mm lock in the lock order (3.11). A thread that holds a VMA must not wait for the mm lock, because the
//!   writer that holds it may wait for the VMA. Nor may it, as the writer, wait for that VMA.
//!
//! This is empty in release builds; without the feature `std`, because the lists are thread locals; and in models, because their threads
//! share one thread of the system, and the checkers report deadlocks themselves.

#[cfg(all(feature = "std", debug_assertions, not(any(vmaple_loom, vmaple_shuttle))))]
pub(super) use checked::DeadlockCheck;

#[cfg(not(all(feature = "std", debug_assertions, not(any(vmaple_loom, vmaple_shuttle)))))]
pub(super) use unchecked::DeadlockCheck;

#[cfg(all(feature = "std", debug_assertions, not(any(vmaple_loom, vmaple_shuttle))))]
mod checked {
    use super::super::state::Mode;
    use core::cell::RefCell;
    use core::ptr;
    use std::sync::{Mutex, OnceLock, PoisonError};

    thread_local! {
        /// The mm locks that this thread holds, by id, once per hold.
        static HOLDS: RefCell<Vec<(u64, Mode)>> = const { RefCell::new(Vec::new()) };
        /// The VMA locks that this thread holds: the id of the mm lock that each belongs to, and its own address.
        static INNER: RefCell<Vec<(u64, usize)>> = const { RefCell::new(Vec::new()) };
    }

    /// Adds a hold to a list. If memory is short the hold is not recorded, and a deadlock through it is not noticed.
    fn push<T>(holds: &mut Vec<T>, hold: T) {
        if holds.try_reserve(1).is_ok() {
            holds.push(hold);
        }
    }

    /// Removes the newest of the holds that are equal to this one.
    fn remove<T: PartialEq>(holds: &mut Vec<T>, hold: &T) {
        if let Some(i) = holds.iter().rposition(|other| other == hold) {
            holds.swap_remove(i);
        }
    }

    /// A lock's id. Not its address, because the hold of a guard that was forgotten must not be taken for one of a later lock at that
    /// address.
    #[derive(Debug)]
    pub(in super::super) struct DeadlockCheck(OnceLock<u64>);

    // A thread that is exiting has no lists any more; then nothing is recorded, and nothing refused.
    impl DeadlockCheck {
        pub(in super::super) const fn new() -> Self {
            Self(OnceLock::new())
        }

        /// Returns the lock's id, which it is given when it is first asked for.
        fn id(&self) -> u64 {
            static LAST_ID: Mutex<u64> = Mutex::new(0);
            *self.0.get_or_init(|| {
                let mut last = LAST_ID.lock().unwrap_or_else(PoisonError::into_inner);
                *last += 1;
                *last
            })
        }

        /// Records that the calling thread has taken the lock.
        pub(in super::super) fn record(&self, mode: Mode) {
            _ = HOLDS.try_with(|holds| push(&mut holds.borrow_mut(), (self.id(), mode)));
        }

        /// Forgets a hold that the calling thread is about to release.
        pub(in super::super) fn forget(&self, mode: Mode) {
            _ = HOLDS.try_with(|holds| remove(&mut holds.borrow_mut(), &(self.id(), mode)));
        }

        /// How an inner lock is listed. By its address, because its record does not move while it is held.
        fn inner_id<T>(&self, inner: &T) -> (u64, usize) {
            (self.id(), ptr::from_ref(inner).addr())
        }

        /// Records that the calling thread has taken a lock that comes after this one.
        pub(in super::super) fn record_inner<T>(&self, inner: &T) {
            _ = INNER.try_with(|holds| push(&mut holds.borrow_mut(), self.inner_id(inner)));
        }

        /// Forgets a hold of an inner lock that the calling thread is about to release.
        pub(in super::super) fn forget_inner<T>(&self, inner: &T) {
            _ = INNER.try_with(|holds| remove(&mut holds.borrow_mut(), &self.inner_id(inner)));
        }

        /// Panics if the calling thread, which is about to wait for the readers of an inner lock, is one of them.
        pub(in super::super) fn refuse_inner<T>(&self, inner: &T) {
            let is_held = INNER.try_with(|holds| holds.borrow().contains(&self.inner_id(inner))).unwrap_or(false);
            assert!(!is_held, "deadlock: a thread that holds a VMA waits to change it, which waits for its own hold");
        }

        /// Panics if the calling thread, which is about to wait for the lock, holds it or an inner lock.
        #[track_caller]
        pub(in super::super) fn refuse_self(&self, wanted: Mode) {
            let name = |mode| if mode == Mode::Read { "read" } else { "write" };
            let wanted = name(wanted);
            let held = HOLDS.try_with(|holds| holds.borrow().iter().find(|hold| hold.0 == self.id()).map(|hold| hold.1)).ok().flatten();
            if let Some(held) = held.map(name) {
                panic!("deadlock: a thread that holds the mm lock for {held} waits to take it for {wanted}, which waits for its own hold");
            }
            let holds_inner = INNER.try_with(|holds| holds.borrow().iter().any(|inner| inner.0 == self.id())).unwrap_or(false);
            assert!(
                !holds_inner,
                "lock order: a thread that holds a VMA waits to take the mm lock for {wanted}; a writer that holds it may wait for the VMA"
            );
        }
    }
}

#[cfg(not(all(feature = "std", debug_assertions, not(any(vmaple_loom, vmaple_shuttle)))))]
mod unchecked {
    use super::super::state::Mode;

    #[derive(Debug)]
    pub(in super::super) struct DeadlockCheck;

    impl DeadlockCheck {
        pub(in super::super) const fn new() -> Self {
            Self
        }
        #[inline]
        pub(in super::super) fn record(&self, _: Mode) {}
        #[inline]
        pub(in super::super) fn forget(&self, _: Mode) {}
        #[inline]
        pub(in super::super) fn record_inner<T>(&self, _: &T) {}
        #[inline]
        pub(in super::super) fn forget_inner<T>(&self, _: &T) {}
        #[inline]
        pub(in super::super) fn refuse_inner<T>(&self, _: &T) {}
        #[inline]
        pub(in super::super) fn refuse_self(&self, _: Mode) {}
    }
}
