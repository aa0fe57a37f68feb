//! The collector of the checkers: frees as early as any epoch scheme may.
//!
//! A ticket expires when every pin that was live when it was marked is gone, at once when there is none. To "free" a node is to
//! end its [`Liveness`]; each visit checks it. The bookkeeping is a *std* mutex that no checker sees, so it adds no ordering that
//! could hide a missing one. The two fences are those of every epoch scheme, crossbeam's too: one between a pin and what is read
//! under it, one between an unlinking and the look at who is pinned. So of the two sides one sees the other.

use super::prim::fence;
use super::ticket::Ticket;
use super::{Funds, Reclaim, TicketLine, seeded};
use crate::error::ResourceError;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(vmaple_loom)]
use loom::thread::{ThreadId, current};
#[cfg(vmaple_shuttle)]
use shuttle::thread::{ThreadId, current};
#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
use std::thread::{ThreadId, current};

/// Whether a node may still be visited.
#[derive(Debug)]
pub(crate) struct Liveness(AtomicBool);

impl Liveness {
    pub(crate) const MODELLED: bool = true;

    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        assert!(self.0.load(Ordering::Relaxed), "a reader stands in a node that was already reclaimed");
    }

    pub(crate) fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    live: Vec<(u64, ThreadId)>,
    waiting: Vec<(Ticket, BTreeSet<u64>)>,
}

/// A collector for the checkers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model(Arc<Mutex<Book>>);

impl Model {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) -> Pin {
        let pin = self.announce();
        // SeqCst: pairs with `mark` (O3).
        fence(Ordering::SeqCst);
        pin
    }

    /// A pin without its fence.
    fn announce(&self) -> Pin {
        let mut book = self.book();
        book.next += 1;
        let id = book.next;
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
    type Pin = Pin;
    type Session = Session;

    /// Each map has its own: nothing may outlive one execution of a model.
    fn shared() -> Self {
        Self::default()
    }

    fn ask_for_private() -> Result<(), ResourceError> {
        Ok(())
    }

    fn private() -> Self {
        Self::default()
    }

    fn pin(&self) -> Pin {
        self.enter()
    }

    fn session(&self) -> Session {
        Session { model: self.clone(), pin: None }
    }

    fn refresh(session: &mut Session) {
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

    fn funds(&self, calls: usize) -> Result<Funds, ResourceError> {
        Ok(Funds(calls))
    }

    fn mark(&self, line: &mut TicketLine, funds: &mut Funds) -> Result<(), ResourceError> {
        funds.spend();
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

    fn advance(&self, funds: &mut Funds) {
        funds.spend();
    }
}
