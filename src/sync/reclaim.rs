//! The trait of a collector: what the crate requires of one.
//!
//! Called by `map` (pins, readers, `synchronize`) and `tree::memory` (grace periods), with the [`Collector`](super) of the build.

use crate::error::ResourceError;
use core::ops::RangeInclusive;

/// How many calls of a collector the allocator had memory for when it was probed.
#[derive(Debug)]
pub(crate) struct ProbedCalls(pub(super) usize);

impl ProbedCalls {
    /// Counts one call.
    pub(super) fn use_one(&mut self) {
        debug_assert!(self.0 > 0, "a call for which the allocator was not probed");
        self.0 = self.0.saturating_sub(1);
    }
}

/// A collector: keeps memory readable while it is pinned, and answers whether a grace period is over. The writer asks, at moments of its
/// choice; a collector calls nobody.
///
/// A collector is a cheap handle, and its clones are the same collector. It makes one promise: a grace period that
/// [`start_grace_period`](Self::start_grace_period) started [is over](Self::is_over) only after every pin and every pinned session of that
/// moment has been dropped, unpinned or repinned.
pub(crate) trait Reclaim: Clone {
    /// Keeps memory readable until it is dropped.
    type Pin<'c>
    where
        Self: 'c;
    /// The registration of one `Reader`. Unpinned until the first `repin`.
    type Session<'c>
    where
        Self: 'c;
    /// The grace periods of one writer, at most one at a time.
    type Grace;
    /// No grace period was started. A constant, because a map can be made at compile time.
    const NO_GRACE: Self::Grace;

    /// How often in a row the writer tries some steps without success before it gives up, because only readers can be in the way then.
    const FUTILE_TRIES: usize;

    /// How many retired bytes are worth a grace period: at least, for a small index, and at most.
    const BATCH_BYTES: RangeInclusive<usize>;

    /// Returns the collector that is shared by all maps without one of their own.
    fn shared() -> Self;

    /// Makes a collector for one map.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    fn private() -> Result<Self, ResourceError>;

    /// Pins the calling thread. Lock-free.
    fn pin(&self) -> Self::Pin<'_>;

    /// Registers a session of the calling thread.
    fn session(&self) -> Self::Session<'_>;

    /// Ends the session's pin, if it has one, and pins it again.
    fn repin(session: &mut Self::Session<'_>);

    /// Ends the session's pin.
    fn unpin(session: &mut Self::Session<'_>);

    /// Returns whether the calling thread holds a pin or a pinned session.
    fn is_pinned(&self) -> bool;

    /// Checks that the allocator has the memory for `calls` calls of [`start_grace_period`](Self::start_grace_period) and
    /// [`advance`](Self::advance), which the caller makes next.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    fn probe(&self, calls: usize) -> Result<ProbedCalls, ResourceError>;

    /// Starts a grace period. The previous one of `grace` must be over.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`]: none was started.
    fn start_grace_period(&self, grace: &mut Self::Grace, probed: &mut ProbedCalls) -> Result<(), ResourceError>;

    /// Returns whether the last grace period is over. True if none was started.
    fn is_over(&self, grace: &mut Self::Grace) -> bool;

    /// Helps grace periods to end. One call does a bounded amount of work and may achieve nothing.
    fn advance(&self, probed: &mut ProbedCalls);
}
