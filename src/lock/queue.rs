//! Who waits for the mm lock, in order of arrival. `mm_lock` comes in, with the queue's mutex locked.
//!
//! A waiter is a node on its own thread's stack, so that waiting needs no memory. It stays in its list until it is granted the lock or
//! removes itself; both need the mutex. The links are plain cells, reached under the mutex alone; the one word that is looked at without
//! it is the `granted` flag.

#![allow(unsafe_code, reason = "the lists are linked through the stacks of the threads that wait")]

use super::state::{Mode, Wake};
use crate::sync::{Flag, Key, Park, Parking};
use core::cell::Cell;
use core::ptr::NonNull;

/// One thread that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    mode: Mode,
    /// What it sleeps under, if not under its own flag.
    interrupt: Option<Key>,
    /// Up when the lock is the waiter's. The one who raises it does not touch the waiter after.
    pub(super) granted: Flag,
    next: Cell<Option<NonNull<Waiter>>>,
}

impl Waiter {
    pub(super) fn new(mode: Mode, interrupt: Option<Key>) -> Self {
        Self { mode, interrupt, granted: Flag::new(), next: Cell::new(None) }
    }

    /// What the waiter sleeps under: what interrupts it, or itself.
    pub(super) fn key(&self) -> Key {
        self.interrupt.unwrap_or_else(|| Key::of(&self.granted))
    }
}

/// Those who wait for one mode, first come first.
#[derive(Debug, Default)]
struct List {
    first: Option<NonNull<Waiter>>,
    last: Option<NonNull<Waiter>>,
}

// SAFETY: a list is reached under its mutex; the nodes that it points to live as long as they are in it, whichever thread looks.
unsafe impl Send for List {}

/// A waiter in a list.
///
/// # Safety
/// It is in a list whose mutex the caller holds, for as long as the result is used.
unsafe fn node<'q>(waiter: NonNull<Waiter>) -> &'q Waiter {
    // SAFETY: by `Queue::push` a waiter in a list is alive; and it is only ever shared.
    unsafe { waiter.as_ref() }
}

impl List {
    fn push(&mut self, waiter: NonNull<Waiter>) {
        match self.last {
            // SAFETY: the last is in this list.
            Some(last) => unsafe { node(last) }.next.set(Some(waiter)),
            None => self.first = Some(waiter),
        }
        self.last = Some(waiter);
    }

    fn pop(&mut self) -> Option<NonNull<Waiter>> {
        let first = self.first?;
        // SAFETY: the first is in this list.
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
            // SAFETY: reached through the links of this list.
            at = unsafe { node(here) }.next.get();
        }
        debug_assert!(at.is_some(), "a waiter that is not granted is in its list");
        // SAFETY: the waiter's own list, and it was not granted.
        let after = unsafe { node(waiter) }.next.get();
        match before {
            // SAFETY: reached through the links of this list.
            Some(before) => unsafe { node(before) }.next.set(after),
            None => self.first = after,
        }
        if after.is_none() {
            self.last = before;
        }
    }
}

/// All who wait for one lock.
#[derive(Debug, Default)]
pub(super) struct Queue {
    readers: List,
    writers: List,
}

impl Queue {
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    pub(super) const fn new() -> Self {
        const EMPTY: List = List { first: None, last: None };
        Self { readers: EMPTY, writers: EMPTY }
    }

    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    pub(super) fn new() -> Self {
        Self::default()
    }

    fn list(&mut self, mode: Mode) -> &mut List {
        match mode {
            Mode::Read => &mut self.readers,
            Mode::Write => &mut self.writers,
        }
    }

    /// Lists a waiter as the last of its mode.
    ///
    /// # Safety
    /// It is in no list, and stays where it is until it was granted or removed.
    pub(super) unsafe fn push(&mut self, waiter: &Waiter) {
        self.list(waiter.mode).push(NonNull::from(waiter));
    }

    /// Takes out a waiter that gives up.
    ///
    /// # Safety
    /// It was pushed here, and was not granted.
    pub(super) unsafe fn remove(&mut self, waiter: &Waiter) {
        self.list(waiter.mode).remove(NonNull::from(waiter));
    }

    /// Wakes those whom a transition let in.
    pub(super) fn wake(&mut self, whom: Wake) {
        match whom {
            Wake::Nobody => {}
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

/// Tells a waiter, just taken out of its list, that the lock is its own.
fn grant(waiter: NonNull<Waiter>) {
    // SAFETY: it is not granted yet, so it waits still, if only for the mutex that the caller holds.
    let waiter = unsafe { node(waiter) };
    // From when the flag is up the waiter may be gone.
    Parking::wake(waiter.key(), &waiter.granted);
}
