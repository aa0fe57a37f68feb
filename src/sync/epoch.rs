//! The collector of production with std: crossbeam-epoch, with workarounds for its traps.
//!
//! Called by `map` and `tree`, as [`Collector`](super).
//!
//! * **`repin` has no fence.** It is a relaxed load of the epoch and a release store, so a later slot load could be satisfied before it. A
//!   fence follows each repin. On x86-64 an acquire fence is enough, and free: loads stay in order there, so a reader that still sees a
//!   node has announced an epoch that was current before the node was unlinked, and the node's batch is stamped no older than that.
//!   Elsewhere, and under Miri (which finds the race), the fence is sequentially consistent, which makes a repin as strong as a pin. An
//!   acquire fence would not do: the epoch may have been advanced by a thread that does not know of the unlinking, so there is nothing to
//!   acquire.
//! * **`repin` does nothing while the same handle holds two guards.** So each session has a handle of its own.
//! * **A deferred call stays in its thread's bag until the bag has 64.** So `start_grace_period` flushes.
//! * **A handle that is dropped leaves an empty bag in the collector's queue.** While a reader stays pinned the bag stays there, ahead of
//!   everything retired later. So a thread keeps the handles of ended sessions for its next ones.
//! * **A deferred call may run on any thread that pins.** So it owns a [`Ticket`](super::ticket::Ticket) and nothing else.
//! * **crossbeam aborts if an allocation fails.** So before a call that can be refused or postponed (`start_grace_period`, `advance`, a
//!   collector for a map that is built from entries), the allocator is probed: as much memory is allocated, and freed at once.

use super::reclaim::{ProbedCalls, Reclaim};
use super::seeded::seeded;
use super::ticket::TicketLine;
use crate::error::ResourceError;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::hint::black_box;
use core::ops::RangeInclusive;
use core::sync::atomic::{Ordering, fence};
use crossbeam_epoch as cb;
use std::sync::OnceLock;

/// The ordering of the fence after a repin; see the head of this file.
const AFTER_REPIN: Ordering = if cfg!(all(target_arch = "x86_64", not(miri))) { Ordering::Acquire } else { Ordering::SeqCst };

/// The number of private collectors with which a thread stays registered.
const MAX_PRIVATE: usize = 8;

/// A crossbeam collector: the one of the library, or a private one.
#[derive(Clone, Debug)]
pub(crate) enum Epoch {
    /// The library's, for every map without one of its own. (It is not crossbeam's global collector.)
    Shared,
    /// One map's own.
    Private(cb::Collector),
}

static SHARED: OnceLock<cb::Collector> = OnceLock::new();

/// The number of handles of ended sessions that a thread keeps.
const MAX_SPARE: usize = 4;

/// The size of crossbeam's allocation for a bag in its queue.
const BAG_BYTES: usize = 2_072;

/// The size of its allocation for the registration of a thread, which is aligned to 128 bytes.
const REGISTRATION_BYTES: usize = 2_304 + 128;

/// The most that one `start_grace_period` or `advance` allocates on a registered thread: the bag with the ticket, and one that overflows.
/// (A call defers the freeing of every ended registration and of every bag that it pops, so it takes one more bag for each 64 threads that
/// ended since the last call.)
const CALL_BYTES: usize = 2 * (BAG_BYTES + 64);

/// What a thread's first call allocates in addition: the registration and its entry in the thread's list; the collector itself with its
/// first bag, if this is the first thread of all; and a bag for each handle of an idle registration that is dropped to make room.
const FIRST_CALL_BYTES: usize = REGISTRATION_BYTES + 2048 + (2 + MAX_SPARE) * (BAG_BYTES + 64);

/// What a collector allocates: itself, and the first bag of its queue.
const COLLECTOR_BYTES: usize = 1024 + BAG_BYTES;

/// The sessions of one thread with one collector.
#[derive(Debug, Default)]
struct ThreadSessions {
    /// How many are pinned.
    pinned: Cell<usize>,
    /// Handles of sessions that ended, for the next ones.
    spare: RefCell<Vec<cb::LocalHandle>>,
}

/// The registration of a thread with a collector, for its plain pins.
#[derive(Debug)]
struct Local {
    handle: cb::LocalHandle,
    sessions: Rc<ThreadSessions>,
    /// Dropped after the handles, because the last handle of a collector frees itself inside a method of its own
    /// (crossbeam-rs/crossbeam#545), which Miri reports.
    _collector: cb::Collector,
}

impl Local {
    fn new(collector: &cb::Collector) -> Self {
        Self { handle: collector.register(), sessions: Rc::default(), _collector: collector.clone() }
    }

    fn is_pinned(&self) -> bool {
        self.handle.is_pinned() || self.sessions.pinned.get() > 0
    }
}

thread_local! {
    static LOCAL: Local = {
        IS_REGISTERED.set(true);
        Local::new(Epoch::Shared.collector())
    };
    /// Whether `LOCAL` was initialized. A thread that only asks whether it is pinned need not be registered.
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

    /// Runs `with` on the calling thread's registration, or on a new one if the thread is exiting and its own is gone.
    #[inline]
    fn local<T>(&self, with: impl Fn(&Local) -> T) -> T {
        let found = match self {
            Self::Shared => LOCAL.try_with(&with),
            Self::Private(collector) => PRIVATE.try_with(|locals| with_private(collector, locals, &with)),
        };
        found.unwrap_or_else(|_| self.with_new_local(with))
    }

    /// Returns whether the calling thread is registered.
    fn is_registered(&self) -> bool {
        match self {
            Self::Shared => IS_REGISTERED.get() && LOCAL.try_with(|_| ()).is_ok(),
            Self::Private(collector) => {
                PRIVATE.try_with(|locals| locals.borrow().iter().any(|local| local.handle.collector() == collector)).unwrap_or(false)
            }
        }
    }

    #[cold]
    fn with_new_local<T>(&self, with: impl Fn(&Local) -> T) -> T {
        with(&Local::new(self.collector()))
    }
}

/// Allocates `bytes` and frees them.
fn probe_allocator(bytes: usize) -> Result<(), ResourceError> {
    let mut probe = Vec::<u8>::new();
    let probed = probe.try_reserve_exact(bytes);
    // Otherwise the compiler may leave the allocation out.
    black_box(probe.as_mut_ptr());
    probed.map_err(|_| ResourceError::OutOfMemory)
}

/// Finds or makes the thread's registration with a private collector. Not inlined, to keep a pin of the shared collector short.
#[inline(never)]
fn with_private<T>(collector: &cb::Collector, locals: &RefCell<Vec<Local>>, with: impl Fn(&Local) -> T) -> T {
    let known = |locals: &[Local]| locals.iter().position(|local| local.handle.collector() == collector);
    // Shared borrows only: `with` may call this function again (it pins).
    if let Some(i) = known(&locals.borrow()) {
        return with(&locals.borrow()[i]);
    }
    let mut all = locals.borrow_mut();
    if all.len() >= MAX_PRIVATE
        && let Some(idle) = all.iter().position(|local| !local.handle.is_pinned() && Rc::strong_count(&local.sessions) == 1)
    {
        // Otherwise registrations with collectors that are gone would pile up.
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
    /// `None` only in the drop, which leaves it to the next session.
    handle: Option<cb::LocalHandle>,
    sessions: Rc<ThreadSessions>,
}

impl Drop for Session {
    fn drop(&mut self) {
        Epoch::unpin(self);
        let mut spare = self.sessions.spare.borrow_mut();
        // If only this session refers to them, the thread's registration is gone.
        if spare.len() < MAX_SPARE && Rc::strong_count(&self.sessions) > 1 && spare.try_reserve(1).is_ok() {
            spare.extend(self.handle.take());
        }
    }
}

impl Reclaim for Epoch {
    type Pin<'c> = cb::Guard;
    type Session<'c> = Session;
    type Grace = TicketLine;
    const NO_GRACE: TicketLine = TicketLine::new();

    /// Each time the queue passes 64 of its bags, and a thread that ended left one, so those of four thousand threads are no obstacle. (Miri is
    /// too slow for more.)
    const FUTILE_TRIES: usize = if cfg!(miri) { 1 } else { 64 };

    const BATCH_BYTES: RangeInclusive<usize> = 8 << 10..=32 << 10;

    fn shared() -> Self {
        Self::Shared
    }

    fn private() -> Result<Self, ResourceError> {
        probe_allocator(COLLECTOR_BYTES)?;
        Ok(Self::Private(cb::Collector::new()))
    }

    #[inline]
    fn pin(&self) -> cb::Guard {
        self.local(|local| local.handle.pin())
    }

    fn session(&self) -> Session {
        let sessions = self.local(|local| Rc::clone(&local.sessions));
        let spare = sessions.spare.borrow_mut().pop();
        Session { guard: None, handle: Some(spare.unwrap_or_else(|| self.collector().register())), sessions }
    }

    #[inline]
    fn repin(session: &mut Session) {
        if let Some(guard) = &mut session.guard {
            guard.repin();
            if !seeded("repin_without_fence") {
                // No later slot load is satisfied before the epoch was loaded (x86-64) or announced (O3).
                fence(AFTER_REPIN);
            }
        } else {
            let Some(handle) = &session.handle else { unreachable!("only the drop takes it") };
            session.guard = Some(handle.pin());
            session.sessions.pinned.set(session.sessions.pinned.get() + 1);
        }
    }

    fn unpin(session: &mut Session) {
        if session.guard.take().is_some() {
            session.sessions.pinned.set(session.sessions.pinned.get() - 1);
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
        // The thread is exiting and its registration is gone, so this is unknown. An error is better than a deadlock.
        .unwrap_or(true)
    }

    fn probe(&self, calls: usize) -> Result<ProbedCalls, ResourceError> {
        if calls > 0 {
            let first = if self.is_registered() { 0 } else { FIRST_CALL_BYTES };
            probe_allocator(calls * CALL_BYTES + first)?;
        }
        Ok(ProbedCalls(calls))
    }

    fn start_grace_period(&self, line: &mut TicketLine, probed: &mut ProbedCalls) -> Result<(), ResourceError> {
        let ticket = line.draw()?;
        probed.use_one();
        let guard = self.pin();
        guard.defer(move || ticket.expire());
        guard.flush();
        Ok(())
    }

    #[inline]
    fn is_over(&self, line: &mut TicketLine) -> bool {
        line.expired()
    }

    fn advance(&self, probed: &mut ProbedCalls) {
        probed.use_one();
        self.pin().flush();
    }
}
