//! The collector of the models: frees as early as any epoch scheme may.
//!
//! Called by `map` and `tree`, as [`Collector`](super), in builds for a checker. A ticket expires as soon as every pin that was live when
//! its grace period started is gone, which is at once if there was none. To "free" a node is to end its `Liveness`, which each visit
//! checks.
//!
//! The book of pins is under a std mutex, which no checker sees, so it adds no ordering that could hide a missing one. The two fences are
//! those of every epoch scheme, crossbeam's included: one between a pin and what is read under it, one between an unlinking and the look at
//! the pins. So at least one side sees the other.

use super::prim::fence;
use super::reclaim::{ProbedCalls, Reclaim};
use super::seeded::seeded;
use super::ticket::{Ticket, TicketLine};
use crate::error::ResourceError;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::ops::RangeInclusive;
use core::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(vmaple_loom)]
use loom::thread::{ThreadId, current};
#[cfg(vmaple_shuttle)]
use shuttle::thread::{ThreadId, current};
#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
use std::thread::{ThreadId, current};

#[derive(Debug, Default)]
struct Book {
    last_pin: u64,
    /// The live pins, and the thread of each.
    live: Vec<(u64, ThreadId)>,
    /// The grace periods that are not over, and the pins that each waits for.
    waiting: Vec<(Ticket, BTreeSet<u64>)>,
}

/// A collector for the models.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(Arc<Mutex<Book>>);

impl Model {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Pin {
        let pin = self.announce();
        // SeqCst: pairs with `start_grace_period` (O3).
        fence(Ordering::SeqCst);
        pin
    }

    /// Enters a pin into the book, without the fence.
    fn announce(&self) -> Pin {
        let mut book = self.book();
        book.last_pin += 1;
        let id = book.last_pin;
        book.live.push((id, current().id()));
        drop(book);
        Pin { model: self.clone(), id }
    }
}

/// A live pin.
#[derive(Debug)]
pub(crate) struct Pin {
    model: Model,
    id: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut book = self.model.book();
        book.live.retain(|(id, _)| *id != self.id);
        for (_, pins) in &mut book.waiting {
            pins.remove(&self.id);
        }
        for (ticket, _) in book.waiting.extract_if(.., |(_, pins)| pins.is_empty()) {
            ticket.expire();
        }
    }
}

/// A reader's registration.
#[derive(Debug)]
pub(crate) struct Session {
    model: Model,
    pin: Option<Pin>,
}

impl Reclaim for Model {
    type Pin<'c> = Pin;
    type Session<'c> = Session;
    type Grace = TicketLine;
    const NO_GRACE: TicketLine = TicketLine::new();

    /// It has no queue.
    const FUTILE_TRIES: usize = 1;

    /// As crossbeam's. (Under loom and shuttle the writer does not wait for that many.)
    const BATCH_BYTES: RangeInclusive<usize> = 8 << 10..=32 << 10;

    /// Makes one for each map, because nothing may outlive one execution of a model.
    fn shared() -> Self {
        Self::default()
    }

    fn private() -> Result<Self, ResourceError> {
        Ok(Self::default())
    }

    fn pin(&self) -> Pin {
        self.enter()
    }

    fn session(&self) -> Session {
        Session { model: self.clone(), pin: None }
    }

    fn repin(session: &mut Session) {
        session.pin = None;
        let fenced = !seeded("repin_without_fence");
        session.pin = Some(if fenced { session.model.enter() } else { session.model.announce() });
    }

    fn unpin(session: &mut Session) {
        session.pin = None;
    }

    fn is_pinned(&self) -> bool {
        self.book().live.iter().any(|(_, thread)| *thread == current().id())
    }

    fn probe(&self, calls: usize) -> Result<ProbedCalls, ResourceError> {
        Ok(ProbedCalls(calls))
    }

    fn start_grace_period(&self, line: &mut TicketLine, probed: &mut ProbedCalls) -> Result<(), ResourceError> {
        probed.use_one();
        let ticket = line.draw()?;
        // SeqCst: pairs with `enter` (O3).
        fence(Ordering::SeqCst);
        let mut book = self.book();
        let pins: BTreeSet<u64> = book.live.iter().map(|(id, _)| *id).collect();
        if pins.is_empty() {
            ticket.expire();
        } else {
            book.waiting.push((ticket, pins));
        }
        Ok(())
    }

    fn is_over(&self, line: &mut TicketLine) -> bool {
        line.expired()
    }

    fn advance(&self, probed: &mut ProbedCalls) {
        probed.use_one();
    }
}
