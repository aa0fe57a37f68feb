//! The collector of production: crossbeam-epoch, with its traps closed.
//!
//! * `repin` is a relaxed load of the epoch and a release store with no fence after it, so a slot load could be satisfied before it:
//!   a fence follows each. On x86-64 an acquire fence, which is free: loads stay in order there, so a reader that still saw a node
//!   announced an epoch that was current before the node was unlinked, and the batch is stamped no older. Elsewhere (and under Miri,
//!   which finds the race) a sequentially consistent one, which makes a repin what a pin is: the epoch may have been moved by a
//!   thread that knows nothing of the unlinking, and then there is nothing to acquire.
//! * `repin` does nothing while the same handle holds two guards: each session has a handle of its own.
//! * A deferred call sits in a thread's bag until 64 have gathered: `mark` flushes.
//! * A handle that goes leaves an empty bag in the collector's queue, which a reader that stays pinned keeps there, before whatever is
//!   marked later: a thread keeps the handles of sessions that ended for its next ones.
//! * A deferred call may run on whichever thread pins next: it owns a [`Ticket`](super::ticket::Ticket), nothing else.
//! * What crossbeam allocates it cannot do without, and it aborts: what can be refused, or done later, asks the allocator for as much
//!   before, and gives it back at once. That is `mark`, `advance`, and the making of a collector for a map that is built of entries.

use super::{Funds, Reclaim, TicketLine};
use crate::error::ResourceError;
use core::hint::black_box;
use crossbeam_epoch as cb;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};

/// The fence after a repin: see the head of this file.
const AFTER_REPIN: Ordering = if cfg!(all(target_arch = "x86_64", not(miri))) { Ordering::Acquire } else { Ordering::SeqCst };

/// How many private collectors a thread remembers its registration with.
const REMEMBERED: usize = 8;

/// A crossbeam collector: the one of the library, or a private one.
#[derive(Clone, Debug)]
pub(crate) enum Epoch {
    /// The library's own, for all maps that did not ask for another (not crossbeam's global one).
    Shared,
    /// Of one map.
    Private(cb::Collector),
}

static SHARED: OnceLock<cb::Collector> = OnceLock::new();

/// How many handles of ended sessions a thread keeps for the next ones.
const KEPT: usize = 4;

/// What crossbeam takes for a bag, in its queue.
const BAG_BYTES: usize = 2_072;

/// What it takes for the registration of a thread, aligned to 128 bytes.
const REGISTRATION_BYTES: usize = 2_304 + 128;

/// What one `mark` or `advance` may take of a registered thread: the bag with the ticket, and one that overflows. (A call defers the
/// freeing of each registration that ended and of each bag that it pops; so one more for each 64 threads that ended since the last.)
const CALL_BYTES: usize = 2 * (BAG_BYTES + 64);

/// And the first, of one that is not registered, in addition: the registration and its place in the thread's list; the collector itself, if the
/// thread is the first of all, with a first bag; and a bag for each handle of an idle registration that makes room.
const FIRST_CALL_BYTES: usize = REGISTRATION_BYTES + 2048 + (2 + KEPT) * (BAG_BYTES + 64);

/// What it takes for a collector: itself, and the first bag of its queue.
const COLLECTOR_BYTES: usize = 1024 + BAG_BYTES;

/// What the sessions of a thread with one collector have in common.
#[derive(Debug, Default)]
struct Desk {
    /// Sessions that are not at rest.
    awake: Cell<usize>,
    /// Handles of sessions that ended.
    kept: RefCell<Vec<cb::LocalHandle>>,
}

/// The registration of a thread with a collector, for its plain pins.
#[derive(Debug)]
struct Local {
    handle: cb::LocalHandle,
    desk: Rc<Desk>,
    /// Dropped after the handles: a handle that is the last to know its collector frees itself inside a method of its own
    /// (crossbeam-rs/crossbeam#545), which Miri reports.
    _collector: cb::Collector,
}

impl Local {
    fn new(collector: &cb::Collector) -> Self {
        Self { handle: collector.register(), desk: Rc::default(), _collector: collector.clone() }
    }

    fn is_pinned(&self) -> bool {
        self.handle.is_pinned() || self.desk.awake.get() > 0
    }
}

thread_local! {
    static LOCAL: Local = {
        IS_REGISTERED.set(true);
        Local::new(Epoch::Shared.collector())
    };
    /// Whether there is one: a thread that only asks whether it is pinned needs none.
    static IS_REGISTERED: Cell<bool> = const { Cell::new(false) };
    static PRIVATE: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
}

impl Epoch {
    fn collector(&self) -> &cb::Collector {
        match self {
            Self::Shared => SHARED.get_or_init(cb::Collector::new),
            Self::Private(collector) => collector,
        }
    }

    /// Runs `with` on the calling thread's registration; a fresh one where the thread's own is gone already (thread exit).
    #[inline]
    fn local<T>(&self, with: impl Fn(&Local) -> T) -> T {
        let found = match self {
            Self::Shared => LOCAL.try_with(&with),
            Self::Private(collector) => PRIVATE.try_with(|locals| with_private(collector, locals, &with)),
        };
        found.unwrap_or_else(|_| self.fresh(with))
    }

    /// Whether the calling thread is registered already.
    fn knows_thread(&self) -> bool {
        match self {
            Self::Shared => IS_REGISTERED.get() && LOCAL.try_with(|_| ()).is_ok(),
            Self::Private(collector) => {
                PRIVATE.try_with(|locals| locals.borrow().iter().any(|local| local.handle.collector() == collector)).unwrap_or(false)
            }
        }
    }

    #[cold]
    fn fresh<T>(&self, with: impl Fn(&Local) -> T) -> T {
        with(&Local::new(self.collector()))
    }
}

/// Asks the allocator for `bytes`, and gives them back.
fn ask_for(bytes: usize) -> Result<(), ResourceError> {
    let mut probe = Vec::<u8>::new();
    let probed = probe.try_reserve_exact(bytes);
    // What nobody looks at need not be allocated at all.
    black_box(probe.as_mut_ptr());
    probed.map_err(|_| ResourceError::OutOfMemory)
}

/// Finds or makes the thread's registration with a private collector. Not inlined, so that a pin of the shared one is short.
#[inline(never)]
fn with_private<T>(collector: &cb::Collector, locals: &RefCell<Vec<Local>>, with: impl Fn(&Local) -> T) -> T {
    let known = |locals: &[Local]| locals.iter().position(|local| local.handle.collector() == collector);
    // Found in the usual case, and then nothing below is touched: `with` may come back here (it drops no user value, but pins).
    if let Some(i) = known(&locals.borrow()) {
        return with(&locals.borrow()[i]);
    }
    let mut all = locals.borrow_mut();
    if all.len() >= REMEMBERED
        && let Some(idle) = all.iter().position(|local| !local.handle.is_pinned() && Rc::strong_count(&local.desk) == 1)
    {
        // Registrations with collectors that are no more would pile up otherwise.
        drop(all.remove(idle));
    }
    all.push(Local::new(collector));
    with(&all[all.len() - 1])
}

/// A reader's registration.
#[derive(Debug)]
pub(crate) struct Session {
    // Dropped before `handle`, whose registration it uses.
    guard: Option<cb::Guard>,
    /// There until the drop, which leaves it to the next session.
    handle: Option<cb::LocalHandle>,
    desk: Rc<Desk>,
}

impl Drop for Session {
    fn drop(&mut self) {
        Epoch::unpin(self);
        let mut kept = self.desk.kept.borrow_mut();
        // A desk that is this session's alone is no thread's any more.
        if kept.len() < KEPT && Rc::strong_count(&self.desk) > 1 && kept.try_reserve(1).is_ok() {
            kept.extend(self.handle.take());
        }
    }
}

impl Reclaim for Epoch {
    type Pin = cb::Guard;
    type Session = Session;

    fn shared() -> Self {
        Self::Shared
    }

    fn ask_for_private() -> Result<(), ResourceError> {
        ask_for(COLLECTOR_BYTES)
    }

    fn private() -> Self {
        Self::Private(cb::Collector::new())
    }

    #[inline]
    fn pin(&self) -> cb::Guard {
        self.local(|local| local.handle.pin())
    }

    fn session(&self) -> Session {
        let desk = self.local(|local| Rc::clone(&local.desk));
        let kept = desk.kept.borrow_mut().pop();
        Session { guard: None, handle: Some(kept.unwrap_or_else(|| self.collector().register())), desk }
    }

    #[inline]
    fn refresh(session: &mut Session) {
        if let Some(guard) = &mut session.guard {
            guard.repin();
            if !super::seeded("repin_without_fence") {
                // No later slot load is satisfied before the epoch was read (x86-64) or announced (O3).
                fence(AFTER_REPIN);
            }
        } else {
            let Some(handle) = &session.handle else { unreachable!("there until the drop") };
            session.guard = Some(handle.pin());
            session.desk.awake.set(session.desk.awake.get() + 1);
        }
    }

    fn unpin(session: &mut Session) {
        if session.guard.take().is_some() {
            session.desk.awake.set(session.desk.awake.get() - 1);
        }
    }

    fn is_pinned(&self) -> bool {
        let is_of = |local: &Local, collector: &cb::Collector| local.handle.collector() == collector;
        match self {
            Self::Shared if !IS_REGISTERED.get() => Ok(false),
            Self::Shared => LOCAL.try_with(Local::is_pinned),
            Self::Private(collector) => {
                PRIVATE.try_with(|locals| locals.borrow().iter().any(|local| is_of(local, collector) && local.is_pinned()))
            }
        }
        // While the thread exits its registration is gone, and with it the knowledge; better an error than a wait for oneself.
        .unwrap_or(true)
    }

    fn funds(&self, calls: usize) -> Result<Funds, ResourceError> {
        if calls > 0 {
            let first = if self.knows_thread() { 0 } else { FIRST_CALL_BYTES };
            ask_for(calls * CALL_BYTES + first)?;
        }
        Ok(Funds(calls))
    }

    fn mark(&self, line: &mut TicketLine, funds: &mut Funds) -> Result<(), ResourceError> {
        let ticket = line.draw()?;
        funds.spend();
        let guard = self.pin();
        guard.defer(move || ticket.expire());
        guard.flush();
        Ok(())
    }

    fn advance(&self, funds: &mut Funds) {
        funds.spend();
        self.pin().flush();
    }
}
