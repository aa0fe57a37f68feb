//! Who would wait for itself: in debug builds each thread knows the locks that it holds, and may not wait for one of them.
//!
//! A thread that reads, and reads again while a writer waits, waits for the writer, which waits for its first hold. Only a *wait* is
//! refused: that the same thread reads twice when nobody waits may be luck, but is no deadlock.
//!
//! The lock of a VMA comes after this one in the order. A thread that holds a VMA may not wait for this lock, whose writer may wait for
//! the VMA; nor, as the writer, for that VMA (3.11). In release builds, and in models (their threads share one thread of the system, and
//! the checkers see deadlocks themselves), there is nothing here.

#[cfg(all(debug_assertions, not(any(vmaple_loom, vmaple_shuttle))))]
pub(super) use noted::Held;

#[cfg(not(all(debug_assertions, not(any(vmaple_loom, vmaple_shuttle)))))]
pub(super) use nothing::Held;

#[cfg(all(debug_assertions, not(any(vmaple_loom, vmaple_shuttle))))]
mod noted {
    use super::super::state::Mode;
    use core::ptr;
    use std::cell::RefCell;
    use std::sync::{Mutex, PoisonError};

    thread_local! {
        /// The locks that the thread holds, by number; one as often as it is held.
        static HOLDS: RefCell<Vec<(u64, Mode)>> = const { RefCell::new(Vec::new()) };
        /// The locks of VMAs that it holds: the number of the mm lock that each belongs to, and its own address.
        static INNER: RefCell<Vec<(u64, usize)>> = const { RefCell::new(Vec::new()) };
    }

    /// Puts a hold into a list. Where memory is short it is not noted, and a wait for oneself is not noticed.
    fn note<T>(holds: &mut Vec<T>, hold: T) {
        if holds.try_reserve(1).is_ok() {
            holds.push(hold);
        }
    }

    /// A lock's number. Not its address: a guard that was forgotten must not be charged to a later lock at the same place.
    #[derive(Debug)]
    pub(in super::super) struct Held(u64);

    impl Held {
        pub(in super::super) fn new() -> Self {
            static LAST: Mutex<u64> = Mutex::new(0);
            let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
            *last += 1;
            Self(*last)
        }

        /// The calling thread has taken the lock.
        pub(in super::super) fn note(&self, mode: Mode) {
            // A thread that is ending has no list any more, and nothing to wait for.
            _ = HOLDS.try_with(|holds| note(&mut holds.borrow_mut(), (self.0, mode)));
        }

        /// It has released it.
        pub(in super::super) fn strike(&self, mode: Mode) {
            _ = HOLDS.try_with(|holds| {
                let mut holds = holds.borrow_mut();
                if let Some(i) = holds.iter().rposition(|hold| *hold == (self.0, mode)) {
                    holds.swap_remove(i);
                }
            });
        }

        /// An inner lock, as it is listed. Its address is its name: while it is held, its record stays where it is.
        fn name_of<T>(&self, inner: &T) -> (u64, usize) {
            (self.0, ptr::from_ref(inner).addr())
        }

        /// The calling thread has taken a lock that comes after this one.
        pub(in super::super) fn note_inner<T>(&self, inner: &T) {
            _ = INNER.try_with(|list| note(&mut list.borrow_mut(), self.name_of(inner)));
        }

        /// It has released it.
        pub(in super::super) fn strike_inner<T>(&self, inner: &T) {
            _ = INNER.try_with(|list| {
                let mut list = list.borrow_mut();
                if let Some(i) = list.iter().rposition(|hold| *hold == self.name_of(inner)) {
                    list.swap_remove(i);
                }
            });
        }

        /// Panics if the calling thread, which is about to wait until nobody holds the inner lock, holds it.
        pub(in super::super) fn refuse_inner<T>(&self, inner: &T) {
            let is_held = INNER.try_with(|list| list.borrow().contains(&self.name_of(inner))).unwrap_or(false);
            assert!(!is_held, "deadlock: a thread that holds a VMA waits to change it, which waits for its own hold");
        }

        /// Panics if the calling thread, which is about to wait for the lock, holds it, or one inside it.
        #[track_caller]
        pub(in super::super) fn refuse_self(&self, asked: Mode) {
            let held = HOLDS.try_with(|holds| holds.borrow().iter().find(|hold| hold.0 == self.0).map(|hold| hold.1)).ok().flatten();
            let said = |mode| if mode == Mode::Read { "read" } else { "write" };
            if let Some(held) = held {
                let (asked, held) = (said(asked), said(held));
                panic!("deadlock: a thread that holds the mm lock for {held} waits to take it for {asked}, which waits for its own hold");
            }
            if INNER.try_with(|list| list.borrow().iter().any(|inner| inner.0 == self.0)).unwrap_or(false) {
                let asked = said(asked);
                panic!(
                    "lock order: a thread that holds a VMA waits to take the mm lock for {asked}; a writer that has it may wait for the VMA"
                );
            }
        }
    }
}

#[cfg(not(all(debug_assertions, not(any(vmaple_loom, vmaple_shuttle)))))]
mod nothing {
    use super::super::state::Mode;

    #[derive(Debug)]
    pub(in super::super) struct Held;

    impl Held {
        pub(in super::super) fn new() -> Self {
            Self
        }
        #[inline]
        pub(in super::super) fn note(&self, _: Mode) {}
        #[inline]
        pub(in super::super) fn strike(&self, _: Mode) {}
        #[inline]
        pub(in super::super) fn note_inner<T>(&self, _: &T) {}
        #[inline]
        pub(in super::super) fn strike_inner<T>(&self, _: &T) {}
        #[inline]
        pub(in super::super) fn refuse_inner<T>(&self, _: &T) {}
        #[inline]
        pub(in super::super) fn refuse_self(&self, _: Mode) {}
    }
}
