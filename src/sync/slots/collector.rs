//! The domain as the crate's collector.
//!
//! Called by `map` and `tree`, as [`Collector`](super::super). What a domain does without is here: a thread's tag, and the decision what to
//! do when memory for slots is short.
//!
//! **A plain pin** claims a slot for as long as it lives, at the place where the thread claimed its last one. So a thread that ends leaves
//! nothing behind, and no thread keeps slots of maps that are gone. A first place is given to each thread in turn, so that threads do not
//! alternate in one slot. A slot that each thread kept would save the compare-and-swap, and would need a list per thread of the domains it
//! knows, as `epoch` has.
//!
//! **Whether a thread is pinned** is asked of the slots with the tag of the thread.

use super::super::reclaim::{ProbedCalls, Reclaim};
use super::super::shared::Shared;
use super::domain::{Block, Claim, Domain, Grace};
use crate::error::ResourceError;
use alloc::alloc::handle_alloc_error;
use core::alloc::Layout;
use core::marker::PhantomData;
use core::ops::RangeInclusive;

/// The domain of a collector: the one of the library, or one map's own.
#[derive(Clone, Debug)]
pub(crate) enum Slots {
    /// The library's, for every map without one of its own.
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    Shared,
    /// One map's own, and those of its copies.
    Private(Shared<Domain>),
}

#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
static COMMON: Domain = Domain::new();

/// A thread's plain pin.
#[derive(Debug)]
pub(crate) struct Pin<'c> {
    claim: Claim<'c>,
    of_thread: PhantomData<*mut ()>,
}

/// A reader's slot. It stays claimed while the reader lives.
#[derive(Debug)]
pub(crate) struct Session<'c> {
    claim: Claim<'c>,
    of_thread: PhantomData<*mut ()>,
}

impl Slots {
    #[inline]
    fn domain(&self) -> &Domain {
        match self {
            #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
            Self::Shared => &COMMON,
            Self::Private(domain) => domain,
        }
    }

    /// Claims a slot for the calling thread. Aborts the process if there is none and memory is short, because its callers cannot fail.
    #[inline]
    fn claim(&self) -> Claim<'_> {
        let (tag, place) = thread::here();
        self.domain().claim_at(tag, place).unwrap_or_else(|| self.claim_elsewhere(tag, place))
    }

    #[cold]
    fn claim_elsewhere(&self, tag: u64, place: usize) -> Claim<'_> {
        let Ok(claim) = self.domain().claim_or_grow(tag, place) else { handle_alloc_error(Layout::new::<Block>()) };
        thread::claim_next_at(claim.place);
        claim
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        self.claim.slot().unpin();
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        Slots::unpin(self);
    }
}

impl Reclaim for Slots {
    type Pin<'c> = Pin<'c>;
    type Session<'c> = Session<'c>;
    type Grace = Grace;
    const NO_GRACE: Grace = Grace::NONE;

    /// There is no queue.
    const FUTILE_TRIES: usize = 1;

    /// A grace period costs a system call, of 0.2 µs, or 1.2 µs and more where other threads of the process run. With crossbeam's batches that
    /// would be a tenth of a replace.
    const BATCH_BYTES: RangeInclusive<usize> = 64 << 10..=128 << 10;

    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    fn shared() -> Self {
        COMMON.prepare();
        Self::Shared
    }

    /// Makes one for each map, because nothing may outlive one execution of a model.
    #[cfg(any(vmaple_loom, vmaple_shuttle))]
    fn shared() -> Self {
        Self::private().unwrap_or_else(|_| handle_alloc_error(Layout::new::<Domain>()))
    }

    fn private() -> Result<Self, ResourceError> {
        let domain = Shared::try_new(Domain::new()).map_err(|_| ResourceError::OutOfMemory)?;
        domain.prepare();
        Ok(Self::Private(domain))
    }

    #[inline]
    fn pin(&self) -> Pin<'_> {
        let claim = self.claim();
        claim.slot().pin(claim.epoch());
        Pin { claim, of_thread: PhantomData }
    }

    fn session(&self) -> Session<'_> {
        Session { claim: self.claim(), of_thread: PhantomData }
    }

    #[inline]
    fn repin(session: &mut Session<'_>) {
        session.claim.slot().repin(session.claim.epoch());
    }

    #[inline]
    fn unpin(session: &mut Session<'_>) {
        let slot = session.claim.slot();
        if slot.is_pinned() {
            slot.unpin();
        }
    }

    /// Always false without std, because no thread is known.
    fn is_pinned(&self) -> bool {
        cfg!(feature = "std") && self.domain().is_pinned(thread::here().0)
    }

    /// A grace period takes no memory.
    fn probe(&self, calls: usize) -> Result<ProbedCalls, ResourceError> {
        Ok(ProbedCalls(calls))
    }

    fn start_grace_period(&self, grace: &mut Grace, probed: &mut ProbedCalls) -> Result<(), ResourceError> {
        probed.use_one();
        self.domain().start_grace_period(grace)
    }

    #[inline]
    fn is_over(&self, grace: &mut Grace) -> bool {
        self.domain().is_over(grace)
    }

    /// Nothing to do: a grace period is over as soon as the readers have left.
    fn advance(&self, probed: &mut ProbedCalls) {
        probed.use_one();
    }
}

/// What a thread is known by.
#[cfg(all(feature = "std", not(any(vmaple_loom, vmaple_shuttle))))]
mod thread {
    use super::super::super::prim::AtomicU64;
    use super::super::domain::SLOTS;
    use core::cell::Cell;
    use core::ptr;
    use core::sync::atomic::Ordering;

    /// The place of a thread that has claimed no slot yet.
    const NOWHERE: usize = usize::MAX;

    thread_local! {
        /// The place at which the thread claimed its last slot. It has no destructor, so it is there as long as the thread.
        static PLACE: Cell<usize> = const { Cell::new(NOWHERE) };
    }

    /// Returns the tag of the calling thread, which no other living thread has, and the place for its next claim.
    #[inline]
    pub(super) fn here() -> (u64, usize) {
        PLACE.with(
            #[inline]
            |place| {
                let tag = ptr::from_ref(place).addr() as u64;
                (tag, if place.get() == NOWHERE { first_place(place) } else { place.get() })
            },
        )
    }

    #[cold]
    fn first_place(place: &Cell<usize>) -> usize {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        // Relaxed: any spread will do.
        let first = THREADS.fetch_add(1, Ordering::Relaxed) % SLOTS as u64;
        place.set(usize::try_from(first).unwrap_or(0));
        place.get()
    }

    /// Sets the place for the next claim of the calling thread.
    pub(super) fn claim_next_at(place: usize) {
        PLACE.set(place);
    }
}

/// Without std no thread is known.
#[cfg(not(feature = "std"))]
mod thread {
    use super::super::domain::SLOTS;
    use crate::sync::stripe;

    /// The tag of every owner.
    const ANY: u64 = 1;

    /// Returns the tag of every thread, and a place for the next claim, which depends on the stack.
    #[inline]
    pub(super) fn here() -> (u64, usize) {
        (ANY, stripe(SLOTS))
    }

    pub(super) fn claim_next_at(_place: usize) {}
}

/// What a checker's thread is known by.
#[cfg(any(vmaple_loom, vmaple_shuttle))]
mod thread {
    #[cfg(vmaple_loom)]
    use loom::thread::current;
    #[cfg(vmaple_shuttle)]
    use shuttle::thread::current;
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    pub(super) fn here() -> (u64, usize) {
        // Not 0, which is nobody's.
        (BuildHasherDefault::<DefaultHasher>::default().hash_one(current().id()) | 1, 0)
    }

    pub(super) fn claim_next_at(_place: usize) {}
}
