//! The queue of the threads that wait for the mm lock, in order of arrival.
//!
//! Called by `mm_lock`, with the queue's mutex locked. A waiter is a node on its own thread's stack, so waiting allocates nothing. It stays
//! in its list until it is granted the lock or its wait is cancelled, both under the mutex. The links are plain cells that are accessed
//! only under the mutex. The `granted` flag is the only word that is read without it.

#![allow(unsafe_code, reason = "the lists link nodes on the stacks of the waiting threads")]

use super::state::{Mode, Wake};
use crate::sync::{Flag, Key, Park, Parking};
use core::cell::Cell;
use core::ptr::NonNull;

/// A waiting thread.
#[derive(Debug)]
pub(super) struct Waiter {
    mode: Mode,
    /// The key of its interrupt, if it has one.
    interrupt: Option<Key>,
    /// Raised when the waiter holds the lock. The thread that raises it does not touch the waiter afterwards.
    pub(super) granted: Flag,
    next: Cell<Option<NonNull<Waiter>>>,
}

impl Waiter {
    pub(super) fn new(mode: Mode, interrupt: Option<Key>) -> Self {
        Self { mode, interrupt, granted: Flag::new(), next: Cell::new(None) }
    }

    /// Returns what the waiter sleeps under: the key of its interrupt, or its own.
    pub(super) fn key(&self) -> Key {
        self.interrupt.unwrap_or_else(|| Key::of(&self.granted))
    }
}

/// The waiters for one mode, in order of arrival.
#[derive(Debug)]
struct List {
    first: Option<NonNull<Waiter>>,
    last: Option<NonNull<Waiter>>,
}

// SAFETY: a list is accessed under its mutex, and its nodes live as long as they are in it, whichever thread accesses them.
unsafe impl Send for List {}

/// Returns a waiter in a list.
///
/// # Safety
/// While the result is used, the waiter is in a list and the caller holds the mutex.
unsafe fn node<'q>(waiter: NonNull<Waiter>) -> &'q Waiter {
    // SAFETY: by `Queue::push` a waiter in a list is alive, and all references to it are shared.
    unsafe { waiter.as_ref() }
}

impl List {
    fn push(&mut self, waiter: NonNull<Waiter>) {
        match self.last {
            // SAFETY: in this list.
            Some(last) => unsafe { node(last) }.next.set(Some(waiter)),
            None => self.first = Some(waiter),
        }
        self.last = Some(waiter);
    }

    fn pop(&mut self) -> Option<NonNull<Waiter>> {
        let first = self.first?;
        // SAFETY: in this list.
        self.first = unsafe { node(first) }.next.get();
        if self.first.is_none() {
            self.last = None;
        }
        Some(first)
    }

    fn remove(&mut self, waiter: NonNull<Waiter>) {
        let mut before: Option<NonNull<Waiter>> = None;
        let mut at = self.first;
        while let Some(here) = at.filter(|here| *here != waiter) {
            before = Some(here);
            // SAFETY: in this list.
            at = unsafe { node(here) }.next.get();
        }
        debug_assert!(at.is_some(), "a waiter that was not granted is in its list");
        // SAFETY: in this list, because it was not granted.
        let after = unsafe { node(waiter) }.next.get();
        match before {
            // SAFETY: in this list.
            Some(before) => unsafe { node(before) }.next.set(after),
            None => self.first = after,
        }
        if after.is_none() {
            self.last = before;
        }
    }
}

/// The waiters for one lock.
#[derive(Debug)]
pub(super) struct Queue {
    readers: List,
    writers: List,
}

impl Queue {
    pub(super) const fn new() -> Self {
        const EMPTY: List = List { first: None, last: None };
        Self { readers: EMPTY, writers: EMPTY }
    }

    fn list(&mut self, mode: Mode) -> &mut List {
        match mode {
            Mode::Read => &mut self.readers,
            Mode::Write => &mut self.writers,
        }
    }

    /// Appends a waiter to the list of its mode.
    ///
    /// # Safety
    /// The waiter is in no list, and stays in place until it is granted or removed.
    pub(super) unsafe fn push(&mut self, waiter: &Waiter) {
        self.list(waiter.mode).push(NonNull::from(waiter));
    }

    /// Removes a waiter whose wait is cancelled.
    ///
    /// # Safety
    /// The waiter was pushed to this queue, and was not granted.
    pub(super) unsafe fn remove(&mut self, waiter: &Waiter) {
        self.list(waiter.mode).remove(NonNull::from(waiter));
    }

    /// Removes and wakes the waiters that a transition made holders.
    pub(super) fn wake(&mut self, wake: Wake) {
        match wake {
            Wake::None => {}
            Wake::Readers => {
                while let Some(reader) = self.readers.pop() {
                    grant(reader);
                }
            }
            Wake::Writer => {
                if let Some(writer) = self.writers.pop() {
                    grant(writer);
                }
            }
        }
    }
}

/// Grants the lock to a waiter that was just removed from its list.
fn grant(waiter: NonNull<Waiter>) {
    // SAFETY: it is not granted yet, so it still waits, if only for the mutex that the caller holds.
    let waiter = unsafe { node(waiter) };
    // Once the flag is up, the waiter may be gone.
    Parking::wake(waiter.key(), &waiter.granted);
}
