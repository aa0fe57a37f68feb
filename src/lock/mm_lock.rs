//! The default lock: one state word, and a queue of waiters.
//!
//! Called by `Lock`, through the trait `RawMmLock`. The transitions of the word are in `state`, with the table of races; the lists of
//! waiters are in `queue`; `notify` is where the holder of the write hold waits for something other than the lock.
//!
//! * **Without contention** a thread acquires and releases with one compare-and-swap of the word.
//! * **A thread that must wait** locks the queue's mutex, loads the word again, and is counted in the word and listed in the queue before
//!   it unlocks the mutex. Then it sleeps, or spins without the feature `parking`, until its
//!   `granted` flag is up.
//! * **A thread that releases** and sees in the counts that a waiter must be woken locks the mutex, changes the word, and raises the flags
//!   of the new holders: the lock is handed over.
//!
//! # Orderings
//!
//! An acquisition is an Acquire and a release is a Release, on the one word. Every change of the word is a read-modify-write, so a release
//! happens before every later acquisition (a release sequence). A handover by a third thread does both in its change.

#![allow(unsafe_code, reason = "implements an unsafe trait, and lists waiters by address")]

use super::interrupt::{Interrupt, POLL_INTERVAL};
use super::notify::Notify;
use super::queue::{Queue, Waiter};
use super::raw::RawMmLock;
use super::state::{Mode, State, Wake};
use crate::error::InterruptedError;
use crate::sync::{AtomicU64, Mutex, Ordering, Park, Parking, Spin, const_fn, seeded};

/// The default lock of a map. It is fair.
///
/// With the feature `parking` a thread that waits sleeps. Without it the thread spins.
///
/// Readers do not overtake a waiting writer. A writer that releases the lock admits all waiting readers, or if there are none the writer
/// that has waited longest. The lock is handed over: a thread that is woken already holds it. Waiting allocates nothing.
///
/// A forgotten guard keeps the lock held. Two million read holds or waiters are more than the lock can count: the next wait panics, with
/// nothing changed.
#[derive(Debug)]
pub struct MmLock {
    word: AtomicU64,
    queue: Mutex<Queue>,
    notify: Notify,
}

impl MmLock {
    const_fn! {
        /// Creates a lock that is not held.
        #[must_use]
        pub fn new() -> Self {
            Self { word: AtomicU64::new(State::FREE.to_bits()), queue: Mutex::new(Queue::new()), notify: Notify::new() }
        }
    }

    #[inline]
    fn load(&self) -> State {
        // Relaxed: only a guess for the swap that follows.
        State::from_bits(self.word.load(Ordering::Relaxed))
    }

    #[inline]
    fn swap(&self, seen: State, next: State, order: Ordering) -> Result<(), State> {
        // Relaxed on failure: only the next guess.
        match self.word.compare_exchange(seen.to_bits(), next.to_bits(), order, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(now) => Err(State::from_bits(now)),
        }
    }

    #[inline]
    fn try_acquire(&self, mode: Mode, mut seen: State) -> bool {
        while let Some(next) = seen.acquired(mode) {
            // Acquire: everything done under earlier holds is seen; pairs with the swaps of `release` and `change`.
            match self.swap(seen, next, Ordering::Acquire) {
                Ok(()) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Acquires the lock, waiting if necessary.
    #[cold]
    fn acquire_slow(&self, mode: Mode, interrupt: Option<&Interrupt>) -> Result<(), InterruptedError> {
        let mut spin = Spin::default();
        while spin.turn() {
            if self.try_acquire(mode, self.load()) {
                return Ok(());
            }
        }
        let waiter = Waiter::new(mode, interrupt.map(Interrupt::key));
        if self.acquire_or_queue(mode, &waiter) {
            return Ok(());
        }
        loop {
            Parking::sleep(waiter.key(), [Some(&waiter.granted), interrupt.map(Interrupt::flag)], interrupt.map(|_| POLL_INTERVAL));
            if waiter.granted.is_up() {
                return Ok(());
            }
            if interrupt.is_some_and(Interrupt::is_raised) {
                return if self.cancel(mode, &waiter) { Err(InterruptedError) } else { Ok(()) };
            }
        }
    }

    /// Under the mutex: acquires the lock, or counts and lists the waiter. Returns whether it acquired the lock.
    fn acquire_or_queue(&self, mode: Mode, waiter: &Waiter) -> bool {
        let mut queue = self.queue.lock();
        let mut seen = self.load();
        loop {
            let acquired = seen.acquired(mode).filter(|_| !seeded("lost_wake_up"));
            let Some(next) = acquired.or_else(|| seen.queued(mode)) else {
                drop(queue);
                panic!("the mm lock cannot count more holds and waiters: {seen:?}");
            };
            // Acquire: for the acquisition, as in `try_acquire`. Counting a waiter needs no ordering.
            match self.swap(seen, next, Ordering::Acquire) {
                Ok(()) if acquired.is_some() => return true,
                Ok(()) => break,
                Err(now) => seen = now,
            }
        }
        // SAFETY: new, so in no list; the caller keeps it in place until it is granted or cancelled.
        unsafe { queue.push(waiter) };
        false
    }

    /// Under the mutex: removes the waiter, unless it was granted the lock meanwhile. Returns whether it was removed.
    fn cancel(&self, mode: Mode, waiter: &Waiter) -> bool {
        let mut queue = self.queue.lock();
        if waiter.granted.is_up() {
            return false;
        }
        // SAFETY: it was pushed, and has not been granted.
        unsafe { queue.remove(waiter) };
        if !seeded("cancelled_writer_stays_counted") {
            self.change(&mut queue, |state| match state.cancelled(mode) {
                (next, _) if seeded("cancelled_writer_wakes_nobody") => (next, Wake::None),
                cancelled => cancelled,
            });
        }
        true
    }

    /// Under the mutex: applies a transition and wakes the new holders.
    fn change(&self, queue: &mut Queue, transition: impl Fn(State) -> (State, Wake)) {
        let mut seen = self.load();
        loop {
            let (next, wake) = transition(seen);
            // AcqRel: passes on what earlier holders released, its own hold included, to the new holders (by `granted`) and to later
            // acquisitions; pairs with `try_acquire`, `release` and itself.
            match self.swap(seen, next, Ordering::AcqRel) {
                Ok(()) => return queue.wake(wake),
                Err(now) => seen = now,
            }
        }
    }

    /// Releases or downgrades a hold: with one swap, if no waiter is to be woken.
    #[inline]
    fn release(&self, mut seen: State, transition: impl Fn(State) -> (State, Wake)) {
        loop {
            let (next, Wake::None) = transition(seen) else { return self.release_slow(transition) };
            // Release: what was done under the hold is seen by later holders; pairs with `try_acquire` and `change`.
            let order = if seeded("relaxed_unlock") { Ordering::Relaxed } else { Ordering::Release };
            match self.swap(seen, next, order) {
                Ok(()) => return,
                Err(now) => seen = now,
            }
        }
    }

    #[cold]
    fn release_slow(&self, transition: impl Fn(State) -> (State, Wake)) {
        self.change(&mut self.queue.lock(), transition);
    }
}

impl Default for MmLock {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: exclusion is S1, which every transition keeps (`state` tests all of them), each as one swap of the word. `downgraded` and
// `try_upgrade` go from held to held in one swap. The orderings are argued above. No release panics.
unsafe impl RawMmLock for MmLock {
    type Interrupt = Interrupt;

    #[inline]
    fn read(&self) {
        if !self.try_read() {
            // Without an interrupt it always succeeds.
            _ = self.acquire_slow(Mode::Read, None);
        }
    }

    #[inline]
    fn try_read(&self) -> bool {
        self.try_acquire(Mode::Read, self.load())
    }

    #[inline]
    fn read_interruptible(&self, interrupt: &Interrupt) -> Result<(), InterruptedError> {
        if self.try_read() { Ok(()) } else { self.acquire_slow(Mode::Read, Some(interrupt)) }
    }

    #[inline]
    fn write(&self) {
        if !self.try_write() {
            _ = self.acquire_slow(Mode::Write, None);
        }
    }

    #[inline]
    fn try_write(&self) -> bool {
        // The lock is usually free, so this swaps without loading first.
        self.try_acquire(Mode::Write, State::FREE)
    }

    #[inline]
    fn write_interruptible(&self, interrupt: &Interrupt) -> Result<(), InterruptedError> {
        if self.try_write() { Ok(()) } else { self.acquire_slow(Mode::Write, Some(interrupt)) }
    }

    fn is_raised(interrupt: &Interrupt) -> bool {
        interrupt.is_raised()
    }

    #[cold]
    fn wait_until(&self, is_over: impl FnMut() -> bool, interrupt: Option<&Interrupt>) -> Result<(), InterruptedError> {
        self.notify.wait_until(is_over, interrupt)
    }

    #[cold]
    fn notify(&self) {
        self.notify.notify();
    }

    #[inline]
    unsafe fn unlock_read(&self) {
        self.release(self.load(), |state| state.released(Mode::Read));
    }

    #[inline]
    unsafe fn unlock_write(&self) {
        self.release(State::WRITER, |state| state.released(Mode::Write));
    }

    #[inline]
    unsafe fn downgrade(&self) {
        self.release(State::WRITER, State::downgraded);
    }

    #[inline]
    unsafe fn try_upgrade(&self) -> bool {
        let expected = if seeded("upgrade_ignores_readers") { self.load() } else { State::ONE_READER };
        // Acquire: what the other readers did under their holds is seen; pairs with `release`. `ONE_READER` includes that no thread waits.
        self.swap(expected, State::WRITER, Ordering::Acquire).is_ok()
    }
}
