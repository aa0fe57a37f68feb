//! Tickets: how a collector reports that a grace period is over.
//!
//! Called by the collectors that report by a call: `epoch` and `model`. A writer owns a [`TicketLine`], as their grace periods; the
//! collector owns the [`Ticket`] of a grace period and expires it by dropping it. A line and its ticket share one word on the heap. The word is allocated fallibly, where an `Arc` would
//! abort.
//!
//! # Invariants
//! * **W1** The word's state says who owns it:
//!
//!   | state | owners |
//!   |---|---|
//!   | `EXPIRED` | the line; no ticket is out |
//!   | `OUT` | the line and the ticket |
//!   | `ABANDONED` | the ticket; the line is gone |
//!
//! * **W2** An owner that goes swaps the state. It frees the word if the swap shows that it was the last owner, and otherwise never touches
//!   the word again.
//!
//! The two swaps are in `Ticket::drop` and `TicketLine::drop`. If the ticket goes first, it finds `OUT`, and the line then finds `EXPIRED`
//! and frees the word. If the line goes first, it finds `OUT`, and the ticket then finds `ABANDONED` and frees the word. Both swaps are
//! `AcqRel`, so whatever the first owner did with the word happens before the second one frees it.
//!
//! # Models
//!
//! `models`, at the end of this file, checks W1, W2 and the orderings: loom reports a word that is leaked, or freed while the other owner
//! may still use it. Seeded bugs: `ticket_dropped_relaxed`, `ticket_line_dropped_in_two_steps`. The models are unit tests, and only there
//! the state is loom's atomic. In the models of the index (`tests/models`) it is a std atomic, because there a ticket reaches its thread
//! through the book of `model`, which loom does not see, so loom would take it for an unordered access.

#![allow(unsafe_code, reason = "two owners share a word, and the last one frees it")]

use super::seeded::seeded;
use crate::error::ResourceError;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

#[cfg(not(all(test, vmaple_loom)))]
use core::sync::atomic::AtomicU8;
#[cfg(all(test, vmaple_loom))]
use loom::sync::atomic::AtomicU8;

const EXPIRED: u8 = 0;
const OUT: u8 = 1;
const ABANDONED: u8 = 2;

/// What a line and its ticket share.
#[derive(Debug)]
struct Word {
    state: AtomicU8,
    /// loom fails a model that leaks it.
    #[cfg(all(test, vmaple_loom))]
    _allocation: loom::alloc::Track<()>,
}

impl Word {
    /// Allocates a word in the state `EXPIRED`.
    fn allocate() -> Result<NonNull<Self>, ResourceError> {
        let mut one = Vec::new();
        one.try_reserve_exact(1).map_err(|_| ResourceError::OutOfMemory)?;
        one.push(Self {
            state: AtomicU8::new(EXPIRED),
            #[cfg(all(test, vmaple_loom))]
            _allocation: loom::alloc::Track::new(()),
        });
        // The capacity is the length, so this does not reallocate.
        let boxed: Box<[Self; 1]> = one.try_into().map_err(|_| ResourceError::OutOfMemory)?;
        Ok(NonNull::from(Box::leak(boxed)).cast())
    }

    /// Frees a word.
    ///
    /// # Safety
    /// From `allocate`, and the caller is its last owner (W2).
    unsafe fn free(word: NonNull<Self>) {
        // SAFETY: from `allocate`, so a box of this layout, and no other owner is left (W2).
        let boxed = unsafe { Box::from_raw(word.as_ptr().cast::<[Self; 1]>()) };
        #[cfg(all(test, vmaple_loom))]
        {
            // SAFETY: W2, which loom checks: it reports a swap of the other owner that does not happen before this load.
            _ = unsafe { boxed[0].state.unsync_load() };
        }
        drop(boxed);
    }
}

/// One grace period that is not over. Dropping the ticket expires it.
///
/// A deferred call of the collector owns a ticket and nothing else, because it may run on a reader's thread.
#[derive(Debug)]
pub(super) struct Ticket(NonNull<Word>);

// SAFETY: the state is an atomic, and the last owner may free the word on any thread (W2).
unsafe impl Send for Ticket {}

impl Ticket {
    /// Reports that no reader can reach what was retired before this ticket was drawn.
    pub(super) fn expire(self) {
        drop(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // SAFETY: W1: the ticket is an owner of the word.
        let word = unsafe { self.0.as_ref() };
        // Release: what readers did before their pins ended happens before the writer reuses memory; pairs with `TicketLine::expired`, or
        // with the line's drop. Acquire: pairs with the line's drop, after which only this ticket may touch the word.
        let order = if seeded("ticket_dropped_relaxed") { Ordering::Relaxed } else { Ordering::AcqRel };
        if word.state.swap(EXPIRED, order) == ABANDONED {
            // SAFETY: W2: the line is gone.
            unsafe { Word::free(self.0) };
        }
    }
}

/// Draws the tickets of one writer, at most one at a time.
#[derive(Debug)]
pub(crate) struct TicketLine {
    /// Allocated with the first ticket, so a map that never retires anything allocates none.
    word: Option<NonNull<Word>>,
}

// SAFETY: as for `Ticket` (W2); a ticket is drawn through `&mut`, and `&self` only loads the atomic.
unsafe impl Send for TicketLine {}
// SAFETY: as above.
unsafe impl Sync for TicketLine {}

impl TicketLine {
    /// Makes a line that has drawn no ticket.
    pub(super) const fn new() -> Self {
        Self { word: None }
    }

    /// Draws the next ticket. The previous one must have expired.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`], for the first ticket only: no ticket is drawn.
    pub(super) fn draw(&mut self) -> Result<Ticket, ResourceError> {
        debug_assert!(self.expired(), "one ticket of a line is out at a time");
        let word = match self.word {
            Some(word) => word,
            None => *self.word.insert(Word::allocate()?),
        };
        // SAFETY: W1: the line owns the word.
        // Relaxed: `EXPIRED` was loaded with Acquire, so only this line may touch the word; sending the ticket publishes the store.
        unsafe { word.as_ref() }.state.store(OUT, Ordering::Relaxed);
        Ok(Ticket(word))
    }

    /// Returns whether the last ticket that was drawn has expired. True if no ticket was drawn.
    #[inline]
    pub(super) fn expired(&self) -> bool {
        self.word.is_none_or(|word| {
            // SAFETY: W1: the line is an owner of the word.
            let word = unsafe { word.as_ref() };
            // Acquire: pairs with `Ticket::drop`.
            word.state.load(Ordering::Acquire) == EXPIRED
        })
    }
}

impl Drop for TicketLine {
    fn drop(&mut self) {
        let Some(word) = self.word else { return };
        // SAFETY: W1: the line is an owner of the word.
        let state = unsafe { &word.as_ref().state };
        let found = if seeded("ticket_line_dropped_in_two_steps") {
            let found = state.load(Ordering::Acquire);
            state.store(ABANDONED, Ordering::Release);
            found
        } else {
            // AcqRel: pairs with `Ticket::drop`; see the head of this file.
            state.swap(ABANDONED, Ordering::AcqRel)
        };
        if found == EXPIRED {
            // SAFETY: W2: no ticket is out.
            unsafe { Word::free(word) };
        }
    }
}

#[cfg(all(test, not(vmaple_loom)))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_ticket_expires_when_dropped_and_may_outlive_its_line() {
        let mut line = TicketLine::new();
        assert!(line.expired(), "none was drawn");
        for _ in 0..3 {
            let ticket = line.draw().expect("memory");
            assert!(!line.expired());
            ticket.expire();
            assert!(line.expired());
        }
        let ticket = line.draw().expect("memory");
        drop(line);
        ticket.expire();
    }

    #[test]
    fn a_line_and_its_ticket_may_be_dropped_at_once() {
        for _ in 0..if cfg!(miri) { 20 } else { 200 } {
            let mut line = TicketLine::new();
            let ticket = line.draw().expect("memory");
            thread::scope(|threads| {
                threads.spawn(|| ticket.expire());
                threads.spawn(|| drop(line));
            });
        }
    }
}

/// Every interleaving of a line with its ticket on another thread. `bash .ci/steps/40-loom.sh` runs these after `tests/models`.
#[cfg(all(test, vmaple_loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// W1, W2: the last owner frees the word, once, after everything that the other one did with it.
    #[test]
    fn a_line_and_its_ticket_dropped_at_once() {
        let interleavings = std::sync::Arc::new(AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&interleavings);
        loom::model(move || {
            count.fetch_add(1, Relaxed);
            let mut line = TicketLine::new();
            let ticket = line.draw().expect("memory");
            let other = thread::spawn(move || ticket.expire());
            drop(line);
            other.join().expect("no panic in a model");
        });
        assert!(interleavings.load(Relaxed) >= 2, "both orders of the swaps");
    }

    /// What a reader did before its ticket expired happens before what the writer does once it finds the ticket expired.
    #[test]
    fn what_came_before_the_expiry_is_seen_after_it() {
        loom::model(|| {
            let memory = Arc::new(UnsafeCell::new(0));
            let mut line = TicketLine::new();
            let ticket = line.draw().expect("memory");
            let read = Arc::clone(&memory);
            let reader = thread::spawn(move || {
                // SAFETY: the writer changes it only once the ticket has expired; loom checks that.
                assert_eq!(read.with(|memory| unsafe { *memory }), 0);
                ticket.expire();
            });
            while !line.expired() {
                thread::yield_now();
            }
            // SAFETY: the ticket has expired, so the reader is done; loom checks that.
            memory.with_mut(|memory| unsafe { *memory = 1 });
            line.draw().expect("the word exists").expire();
            reader.join().expect("no panic in a model");
        });
    }
}
