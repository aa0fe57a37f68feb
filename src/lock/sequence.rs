//! The write sequence: a number that is odd while the lock is write-held. Lockless code uses it to detect writers (a seqlock).
//!
//! Called by `Lock` at both ends of a write hold, by [`Speculation`], and through `Lock` by the locks of VMAs.
//!
//! | writer | speculation |
//! |---|---|
//! | W1 store an odd number (Release) | R1 load the number (Acquire); fail if it is odd |
//! | W2 fence (Release) | R2 load data, with any ordering |
//! | W3 store data, with any ordering | R3 fence (Acquire) |
//! | W4 store an even number (Release) | R4 load the number; fail if it is not the same |
//!
//! A speculation that validates has seen no write in part:
//!
//! * If R2 sees a store of W3, the fences W2 and R3 order W1 before R4. So R4 sees W1 or a later number, and the speculation fails.
//! * If R1 sees W4, all of that hold's W3 happen before R2, so R2 misses none of them.
//!
//! W1 is a Release for the sake of the VMA locks (`vma/lock.rs`), which identify a hold by its number: a thread that loads the number of a
//! hold, begun or ended, sees everything that the holds before it stored.

use crate::sync::{AtomicU64, Ordering, const_fn, fence, owner_load, seeded};

/// The number of write holds begun, plus the number ended. It wraps after 2^63 holds, which would take centuries.
#[derive(Debug)]
pub(super) struct Sequence(AtomicU64);

impl Sequence {
    const_fn! {
        pub(super) fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Records that a write hold has begun. Called by its owner.
    #[inline]
    pub(super) fn begin(&self) {
        let now = owner_load(&self.0);
        debug_assert!(now.is_multiple_of(2), "the previous write hold did not end its sequence");
        // Release: a thread that loads this number sees what the holds before it stored, even if it missed their `end`; pairs with
        // `number`. A relaxed store would break the release sequence of `end`.
        let order = if seeded("sequence_begun_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.0.store(now.wrapping_add(1), order);
        // Release fence: the number is stored before everything that this hold stores; pairs with `is_still` (R3).
        if !seeded("sequence_without_fence") {
            fence(Ordering::Release);
        }
    }

    /// Records that the write hold is about to end. Called by its owner, before it releases the lock.
    #[inline]
    pub(super) fn end(&self) {
        // Release: everything that this hold stored comes before it; pairs with `number` (R1).
        self.0.store(owner_load(&self.0).wrapping_add(1), Ordering::Release);
    }

    /// Returns the number.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        // Acquire: pairs with `begin` (W1) and `end` (W4).
        self.0.load(Ordering::Acquire)
    }

    /// Sets the number. No other thread may be using the lock.
    #[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
    pub(super) fn start_at(&self, number: u64) {
        assert!(number.is_multiple_of(2), "not write-held");
        self.0.store(number, Ordering::SeqCst);
    }

    #[inline]
    fn even(&self) -> Option<u64> {
        Some(self.number()).filter(|number| number.is_multiple_of(2))
    }

    #[inline]
    fn is_still(&self, begun: u64) -> bool {
        // Acquire fence: what was read since `number` was loaded comes before this load; pairs with the fence of `begin` (W2).
        fence(Ordering::Acquire);
        // Relaxed: nothing that is read later relies on this load.
        self.0.load(Ordering::Relaxed) == begun
    }
}

/// Lockless work that began while no writer held the lock; see [`RangeMap::speculate`](crate::RangeMap::speculate).
#[derive(Clone, Copy, Debug)]
#[must_use = "what was read is only consistent if the speculation validates"]
pub struct Speculation<'m> {
    sequence: &'m Sequence,
    begun: u64,
}

impl<'m> Speculation<'m> {
    #[inline]
    pub(super) fn begin(sequence: &'m Sequence) -> Option<Self> {
        Some(Self { sequence, begun: sequence.even()? })
    }

    /// Returns whether no writer has held the lock since the speculation began. If so, everything that was read in between belongs to one
    /// state, which has been in effect all the time. May be called any number of times.
    ///
    /// # Concurrency
    /// Wait-free. Stores nothing.
    #[inline]
    #[must_use]
    pub fn validate(&self) -> bool {
        self.sequence.is_still(self.begun)
    }
}
