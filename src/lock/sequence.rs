//! The write sequence: odd while the lock is write-held. Lockless code asks by it whether a writer came in between.
//!
//! | writer | speculation |
//! |---|---|
//! | W1 sequence := odd | R1 load the sequence: even, or give up (Acquire) |
//! | W2 fence (Release) | R2 load data, any ordering |
//! | W3 store data, any ordering | R3 fence (Acquire) |
//! | W4 sequence := even (Release) | R4 load the sequence: the same, or give up |
//!
//! W1 is a Release as well. That is for the locks of VMAs, which tell the holds apart by the number: who reads the number of a hold, begun
//! or ended, sees all that the holds before it stored.
//!
//! If a load of R2 sees a store of W3, the fences R3 and W2 order W1 before R4, which sees odd or later: refused. If R1 sees W4 of a
//! write, all its W3 come before R2: nothing of it is missing. Between the two there is no other way for a write to be seen in part.

use crate::sync::{AtomicU64, Ordering, fence, owner_load, seeded};

/// A count of the write holds begun and ended. It does not come round: 2^64 holds take centuries.
#[derive(Debug)]
pub(super) struct Sequence(AtomicU64);

impl Sequence {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A write hold has begun; by its owner.
    #[inline]
    pub(super) fn begin(&self) {
        let now = owner_load(&self.0);
        debug_assert!(now.is_multiple_of(2), "the write hold before this one did not end its sequence");
        // Release: who reads that this hold has begun sees what the holds before it stored, whose `end` he may have missed; pairs with
        // `number`. A plain store would not carry it on.
        let order = if seeded("sequence_begun_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.0.store(now.wrapping_add(1), order);
        // Release fence: it comes before every store of this hold; pairs with `still` (R3).
        if !seeded("sequence_without_fence") {
            fence(Ordering::Release);
        }
    }

    /// The write hold is about to end; by its owner, before it releases.
    #[inline]
    pub(super) fn end(&self) {
        // Release: every store of this hold comes before it; pairs with `even` (R1).
        self.0.store(owner_load(&self.0).wrapping_add(1), Ordering::Release);
    }

    /// The number now.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        // Acquire: pairs with `end` (W4) and `begin` (W1).
        self.0.load(Ordering::Acquire)
    }

    /// As if so many holds had begun and ended; nobody may be at it.
    #[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
    pub(super) fn start_at(&self, number: u64) {
        assert!(number.is_multiple_of(2), "no hold lasts");
        self.0.store(number, Ordering::SeqCst);
    }

    #[inline]
    fn even(&self) -> Option<u64> {
        Some(self.number()).filter(|number| number.is_multiple_of(2))
    }

    #[inline]
    fn still(&self, begun: u64) -> bool {
        // Acquire fence: what was read since `even` comes before the load; pairs with the fence of `begin` (W2).
        fence(Ordering::Acquire);
        // Relaxed: nothing is read after it on its word.
        self.0.load(Ordering::Relaxed) == begun
    }
}

/// Lockless work under way, begun when no writer was inside: see [`RangeMap::speculate`](crate::RangeMap::speculate).
#[derive(Clone, Copy, Debug)]
#[must_use = "what was read is worth something only if it validates"]
pub struct Speculation<'m> {
    sequence: &'m Sequence,
    begun: u64,
}

impl<'m> Speculation<'m> {
    #[inline]
    pub(super) fn begin(sequence: &'m Sequence) -> Option<Self> {
        Some(Self { sequence, begun: sequence.even()? })
    }

    /// Whether no writer was inside at any moment from the begin to now: then all that was read meanwhile is one state, and was true
    /// throughout. May be asked again and again.
    ///
    /// # Concurrency
    /// Wait-free; stores nothing.
    #[inline]
    #[must_use]
    pub fn validate(&self) -> bool {
        self.sequence.still(self.begun)
    }
}
