//! The trait of an epoch collector: what the crate requires of one.
//!
//! Called by `map` (pins, readers, `synchronize`) and `tree::memory` (grace periods), with the [`Collector`](super) of the build: `epoch` or
//! `model`.

use super::ticket::TicketLine;
use crate::error::ResourceError;

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

/// An epoch collector: keeps memory readable while it is pinned, and reports when a grace period is over.
///
/// A collector is a cheap handle, and its clones are the same collector. It makes one promise: the ticket that
/// [`start_grace_period`](Self::start_grace_period) draws expires only after every pin and every pinned session of that moment has been
/// dropped, unpinned or repinned.
pub(crate) trait Reclaim: Clone {
    /// Keeps memory readable until it is dropped.
    type Pin;
    /// The registration of one `Reader`. Unpinned until the first `repin`.
    type Session;

    /// Returns the collector that is shared by all maps without one of their own.
    fn shared() -> Self;

    /// Checks that the allocator has the memory for [`private`](Self::private), which the caller calls next.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    fn probe_private() -> Result<(), ResourceError>;

    /// Makes a collector for one map.
    fn private() -> Self;

    /// Pins the calling thread. Lock-free.
    fn pin(&self) -> Self::Pin;

    /// Registers a session of the calling thread.
    fn session(&self) -> Self::Session;

    /// Ends the session's pin, if it has one, and pins it again.
    fn repin(session: &mut Self::Session);

    /// Ends the session's pin.
    fn unpin(session: &mut Self::Session);

    /// Returns whether the calling thread holds a pin or a pinned session.
    fn is_pinned(&self) -> bool;

    /// Checks that the allocator has the memory for `calls` calls of [`start_grace_period`](Self::start_grace_period) and
    /// [`advance`](Self::advance), which the caller makes next.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    fn probe(&self, calls: usize) -> Result<ProbedCalls, ResourceError>;

    /// Draws a ticket from `line`, and expires it after a grace period. The line's previous ticket must have expired.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`]: no ticket was drawn.
    fn start_grace_period(&self, line: &mut TicketLine, probed: &mut ProbedCalls) -> Result<(), ResourceError>;

    /// Helps grace periods to end. One call does a bounded amount of work and may achieve nothing.
    fn advance(&self, probed: &mut ProbedCalls);
}
