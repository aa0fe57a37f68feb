//! The default lock: one state word, and a queue for those who wait. The transitions are `state`'s, the lists `queue`'s.
//!
//! Who need not wait enters and leaves by one compare-and-swap of the word. Who must wait locks the queue's mutex, looks at the word
//! again, and is counted in it and listed in one go. Who leaves and finds by the count that someone must be let in locks the mutex,
//! changes the word, and tells those who are in now: the lock is handed over.
//!
//! | while | there comes | and then |
//! |---|---|---|
//! | a waiter is about to be counted | the last holder leaves | first: the waiter's look, under the mutex, finds it free. Second: the swap that counts fails, it looks again. Third: the leaver's swap fails, it sees the count and goes for the mutex |
//! | a waiter is counted, not yet listed | a holder leaves | it waits for the mutex, so it finds the waiter listed |
//! | a waiter is listed, not yet asleep | it is let in | `granted` is raised and the sleeper woken in one go, under the lot's lock; who finds it up does not sleep (`sync::park`) |
//! | a waiter is interrupted | it is let in | both need the mutex. It first: it is gone, and the next is let in. The other first: it finds itself granted, and takes it |
//! | the last waiting writer gives up | readers wait behind it | one transition takes it out and lets them in; none comes between, for the word is changed once |
//! | a reader upgrades | another enters | one word: the swap of the later one fails, for there is not exactly one reader any more, or a writer |
//! | a writer downgrades | another writer comes | the word is never free in between |
//!
//! Orderings: an entry acquires and a departure releases, on the one word; every change of the word is a read-modify-write, so a
//! departure's release reaches every later entry (a release sequence). Where a third thread hands over, its change does both.

#![allow(unsafe_code, reason = "an unsafe trait is implemented, and waiters are listed")]

use super::bell::Bell;
use super::interrupt::{Interrupt, LOOK};
use super::queue::{Queue, Waiter};
use super::raw::RawMmLock;
use super::state::{Mode, State, Wake};
use crate::error::Interrupted;
use crate::sync::{AtomicU64, Mutex, Ordering, Park, Parking, Spin, seeded};

/// The default lock of a map: fair, one word, sleeping where it must wait.
///
/// Readers do not overtake a waiting writer; a writer that leaves lets in all readers that wait, then the writer that waits longest. The
/// lock is handed over: who is let in holds it when it wakes. Waiting allocates nothing. Guards that are forgotten keep it locked; two
/// million forgotten read guards, or threads waiting, are more than it can count: it panics, with nothing changed.
#[derive(Debug)]
pub struct MmLock {
    word: AtomicU64,
    queue: Mutex<Queue>,
    bell: Bell,
}

impl MmLock {
    /// Makes one that is free.
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU64::new(State::FREE.word()), queue: Mutex::new(Queue::new()), bell: Bell::new() }
    }

    /// Makes one that is free; the checkers' atomics are made at run time.
    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    #[must_use]
    pub fn new() -> Self {
        Self { word: AtomicU64::new(State::FREE.word()), queue: Mutex::new(Queue::new()), bell: Bell::new() }
    }

    #[inline]
    fn load(&self) -> State {
        // Relaxed: a first guess for the swap that follows.
        State::of_word(self.word.load(Ordering::Relaxed))
    }

    #[inline]
    fn swap(&self, seen: State, next: State, order: Ordering) -> Result<(), State> {
        // Relaxed on failure: what is seen is the next guess.
        match self.word.compare_exchange(seen.word(), next.word(), order, Ordering::Relaxed) {
            Ok(_) => Ok(()),
            Err(now) => Err(State::of_word(now)),
        }
    }

    #[inline]
    fn try_enter(&self, mode: Mode, mut seen: State) -> bool {
        while let Some(next) = seen.entered(mode) {
            // Acquire: all that was done under earlier holds is seen; pairs with the swaps of `leave` and `change`.
            match self.swap(seen, next, Ordering::Acquire) {
                Ok(()) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Enters, or waits.
    #[cold]
    fn enter_slow(&self, mode: Mode, interrupt: Option<&Interrupt>) -> Result<(), Interrupted> {
        let mut spin = Spin::default();
        while spin.turn() {
            if self.try_enter(mode, self.load()) {
                return Ok(());
            }
        }
        let waiter = Waiter::new(mode, interrupt.map(Interrupt::key));
        if self.enter_or_queue(mode, &waiter) {
            return Ok(());
        }
        loop {
            Parking::sleep(waiter.key(), [Some(&waiter.granted), interrupt.map(Interrupt::flag)], interrupt.map(|_| LOOK));
            if waiter.granted.is_up() {
                return Ok(());
            }
            if interrupt.is_some_and(Interrupt::is_raised) {
                return if self.give_up(mode, &waiter) { Err(Interrupted) } else { Ok(()) };
            }
        }
    }

    /// Under the mutex: enters, or counts and lists the waiter; whether it entered.
    fn enter_or_queue(&self, mode: Mode, waiter: &Waiter) -> bool {
        let mut queue = self.queue.lock();
        let mut seen = self.load();
        loop {
            let entered = seen.entered(mode).filter(|_| !seeded("lost_wake_up"));
            let Some(next) = entered.or_else(|| seen.queued(mode)) else {
                drop(queue);
                panic!("the mm lock cannot count more holds and waiters: {seen:?}");
            };
            // Acquire: where it enters, as in `try_enter`. To be counted takes nothing and gives nothing.
            match self.swap(seen, next, Ordering::Acquire) {
                Ok(()) if entered.is_some() => return true,
                Ok(()) => break,
                Err(now) => seen = now,
            }
        }
        // SAFETY: fresh, so in no list; the caller keeps it in place until it was granted or gave up.
        unsafe { queue.push(waiter) };
        false
    }

    /// Under the mutex: takes the waiter out, unless it was granted the lock meanwhile; whether it did.
    fn give_up(&self, mode: Mode, waiter: &Waiter) -> bool {
        let mut queue = self.queue.lock();
        if waiter.granted.is_up() {
            return false;
        }
        // SAFETY: it was pushed, and is not granted.
        unsafe { queue.remove(waiter) };
        if !seeded("cancelled_writer_leaves_mark") {
            self.change(&mut queue, |state| match state.gave_up(mode) {
                (next, _) if seeded("cancelled_writer_wakes_nobody") => (next, Wake::Nobody),
                left => left,
            });
        }
        true
    }

    /// Applies a transition and wakes whom it lets in, all under the mutex.
    fn change(&self, queue: &mut Queue, transition: impl Fn(State) -> (State, Wake)) {
        let mut seen = self.load();
        loop {
            let (next, wake) = transition(seen);
            // Acquire and Release: hands on what earlier holders released, its own hold included, to those it lets in (by `granted`)
            // and to later entries; pairs with `try_enter`, `leave` and itself.
            match self.swap(seen, next, Ordering::AcqRel) {
                Ok(()) => return queue.wake(wake),
                Err(now) => seen = now,
            }
        }
    }

    /// Ends or weakens a hold: by one swap where that lets nobody in.
    #[inline]
    fn leave(&self, mut seen: State, transition: impl Fn(State) -> (State, Wake)) {
        loop {
            let (next, Wake::Nobody) = transition(seen) else { return self.leave_slow(transition) };
            // Release: what was done under the hold is seen by who enters later; pairs with `try_enter` and `change`.
            let order = if seeded("relaxed_unlock") { Ordering::Relaxed } else { Ordering::Release };
            match self.swap(seen, next, order) {
                Ok(()) => return,
                Err(now) => seen = now,
            }
        }
    }

    #[cold]
    fn leave_slow(&self, transition: impl Fn(State) -> (State, Wake)) {
        self.change(&mut self.queue.lock(), transition);
    }
}

impl Default for MmLock {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: exclusion is S1, kept by every transition, each of which is one swap of one word (`state` checks all of them); `downgraded` and
// `try_upgrade` go from held to held in one swap; the orderings are argued above. Departures panic on no path.
unsafe impl RawMmLock for MmLock {
    type Interrupt = Interrupt;

    #[inline]
    fn read(&self) {
        if !self.try_read() {
            // Without an interrupt there is nothing that could end the wait but the lock.
            _ = self.enter_slow(Mode::Read, None);
        }
    }

    #[inline]
    fn try_read(&self) -> bool {
        self.try_enter(Mode::Read, self.load())
    }

    #[inline]
    fn read_interruptible(&self, interrupt: &Interrupt) -> Result<(), Interrupted> {
        if self.try_read() { Ok(()) } else { self.enter_slow(Mode::Read, Some(interrupt)) }
    }

    #[inline]
    fn write(&self) {
        if !self.try_write() {
            _ = self.enter_slow(Mode::Write, None);
        }
    }

    #[inline]
    fn try_write(&self) -> bool {
        // Mostly it is free: the swap is tried without a look before it.
        self.try_enter(Mode::Write, State::FREE)
    }

    #[inline]
    fn write_interruptible(&self, interrupt: &Interrupt) -> Result<(), Interrupted> {
        if self.try_write() { Ok(()) } else { self.enter_slow(Mode::Write, Some(interrupt)) }
    }

    fn is_raised(interrupt: &Interrupt) -> bool {
        interrupt.is_raised()
    }

    #[cold]
    fn wait_until(&self, is_over: impl FnMut() -> bool, interrupt: Option<&Interrupt>) -> Result<(), Interrupted> {
        self.bell.listen(is_over, interrupt)
    }

    #[cold]
    fn look_again(&self) {
        self.bell.ring();
    }

    #[inline]
    unsafe fn unlock_read(&self) {
        self.leave(self.load(), |state| state.left(Mode::Read));
    }

    #[inline]
    unsafe fn unlock_write(&self) {
        self.leave(State::WRITER, |state| state.left(Mode::Write));
    }

    #[inline]
    unsafe fn downgrade(&self) {
        self.leave(State::WRITER, State::downgraded);
    }

    #[inline]
    unsafe fn try_upgrade(&self) -> bool {
        let alone = if seeded("upgrade_ignores_readers") { self.load() } else { State::ONE_READER };
        // Acquire: what the other readers did before they left is seen; pairs with `leave`. One swap, from one state to one state: that
        // no writer waits is part of it, and so (S3) that no reader does.
        self.swap(alone, State::WRITER, Ordering::Acquire).is_ok()
    }
}
