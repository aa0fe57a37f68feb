//! Tickets: how a collector says that a grace period is over.
//!
//! `limbo` and `map` come in with a [`TicketLine`] each; a collector gets a [`Ticket`] and returns nothing. Line and ticket share one word
//! on the heap, allocated so that it can fail (an `Arc` would abort). Whichever of the two goes last frees it.
//!
//! On plain std atomics, in models too: it adds no edge that a checker could mistake for synchronization of the tree.
//!
//! # Invariants
//! * **W1** The state says whose the word is: the line's (`EXPIRED`, no ticket is out), both's (`OUT`), the ticket's (`ABANDONED`, the line
//!   is gone).
//! * **W2** An owner that goes swaps the state, and touches the word afterwards only if the swap says that the other one is gone; then it
//!   frees the word.
//!
//! `Ticket::drop` and `TicketLine::drop` are the two swaps. If the ticket's comes first it finds `OUT`, and the line's finds `EXPIRED` and
//! frees; if the line's comes first it finds `OUT`, and the ticket's finds `ABANDONED` and frees. Both are `AcqRel`, so whatever the first owner
//! did with the word comes before the second one frees it.

#![allow(unsafe_code, reason = "two owners share a word, and the last one frees it")]

use crate::error::ResourceError;
use core::ptr::NonNull;
use std::sync::atomic::{AtomicU8, Ordering};

const EXPIRED: u8 = 0;
const OUT: u8 = 1;
const ABANDONED: u8 = 2;

/// Frees the word.
///
/// # Safety
/// From `TicketLine::word`, and the caller is its last owner (W2).
unsafe fn free(word: NonNull<AtomicU8>) {
    // SAFETY: `word` made it of a box of this layout, and nobody else reaches it (W2).
    drop(unsafe { Box::from_raw(word.as_ptr().cast::<[AtomicU8; 1]>()) });
}

/// The right to say, once, that a grace period is over; dropping the ticket says it. All that a deferred call ever owns, since it may run
/// on a reader's thread.
#[derive(Debug)]
pub(crate) struct Ticket(NonNull<AtomicU8>);

// SAFETY: the word is an atomic, and its last owner may free it on any thread (W2).
unsafe impl Send for Ticket {}

impl Ticket {
    /// Says that everything retired before this ticket was drawn is unreachable.
    pub(crate) fn expire(self) {
        drop(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // SAFETY: W1: the ticket is one of its owners.
        let word = unsafe { self.0.as_ref() };
        // Release: what readers did before their pins ended comes before the writer's reuse; pairs with `TicketLine::expired`, or with the
        // line's drop. Acquire: pairs with the line's drop, after which nobody but this ticket reaches the word.
        if word.swap(EXPIRED, Ordering::AcqRel) == ABANDONED {
            // SAFETY: W2: the line is gone.
            unsafe { free(self.0) };
        }
    }
}

/// Draws the tickets of one writer, one at a time.
#[derive(Debug)]
pub(crate) struct TicketLine {
    /// Made with the first ticket: a map that never retires anything allocates nothing for it.
    word: Option<NonNull<AtomicU8>>,
}

// SAFETY: as for `Ticket` (W2); a line is drawn from through `&mut`, and a shared one only loads the atomic.
unsafe impl Send for TicketLine {}
// SAFETY: as above.
unsafe impl Sync for TicketLine {}

impl TicketLine {
    /// A line from which no ticket was drawn yet.
    pub(crate) const fn new() -> Self {
        Self { word: None }
    }

    /// Draws the next ticket; the one before has expired.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`], the first time alone; no ticket is out then.
    pub(crate) fn draw(&mut self) -> Result<Ticket, ResourceError> {
        debug_assert!(self.expired(), "one ticket of a line is out at a time");
        let word = match self.word {
            Some(word) => word,
            None => *self.word.insert(Self::word()?),
        };
        // SAFETY: W1: the line is its owner.
        // Relaxed: `EXPIRED` was seen with Acquire, so only this line reaches the word; the ticket carries it on.
        unsafe { word.as_ref() }.store(OUT, Ordering::Relaxed);
        Ok(Ticket(word))
    }

    fn word() -> Result<NonNull<AtomicU8>, ResourceError> {
        let mut room = Vec::new();
        room.try_reserve_exact(1).map_err(|_| ResourceError::OutOfMemory)?;
        room.push(AtomicU8::new(EXPIRED));
        // There is one, and room for no other: it stays where it is.
        let boxed: Box<[AtomicU8; 1]> = room.try_into().map_err(|_| ResourceError::OutOfMemory)?;
        Ok(NonNull::from(Box::leak(boxed)).cast())
    }

    /// Whether the last ticket drawn has expired (true when none was drawn).
    #[inline]
    pub(crate) fn expired(&self) -> bool {
        self.word.is_none_or(|word| {
            // SAFETY: W1: the line is one of its owners.
            let word = unsafe { word.as_ref() };
            // Acquire: pairs with `Ticket::drop`.
            word.load(Ordering::Acquire) == EXPIRED
        })
    }
}

impl Drop for TicketLine {
    fn drop(&mut self) {
        let Some(word) = self.word else { return };
        // SAFETY: W1: the line is one of its owners.
        let state = unsafe { word.as_ref() };
        // AcqRel: pairs with `Ticket::drop`; see the head of this file.
        if state.swap(ABANDONED, Ordering::AcqRel) == EXPIRED {
            // SAFETY: W2: no ticket is out.
            unsafe { free(word) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_ticket_expires_once_it_goes_and_may_outlive_its_line() {
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
    fn line_and_ticket_may_go_at_once() {
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
