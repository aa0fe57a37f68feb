//! One slot: the word by which a reader says that it is pinned, and who owns the slot.
//!
//! Called by `domain`, which has many, and through it by the collector. The head of [`super`] has the states (S1 to S4) and the races.

use super::super::const_fn::const_fn;
use super::super::prim::AtomicU64;
use super::super::seeded::seeded;
use super::fences::light;
use core::sync::atomic::Ordering;

/// The bits of the word that count nested pins. The others are the epoch, which no process lives long enough to overflow: at a grace
/// period each 100 ns it takes 14 years.
const COUNT_BITS: u32 = 12;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// The owner of a slot that nobody has claimed.
const NOBODY: u64 = 0;

/// One slot. Only its owner's thread, and handlers that interrupt that thread, store to the word.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Slot {
    /// 0 at rest; otherwise the epoch that was current at the pin, and the number of nested pins.
    word: AtomicU64,
    /// `NOBODY`, or the tag of the owner.
    owner: AtomicU64,
}

impl Slot {
    const_fn! {
        /// Makes a slot that nobody has claimed.
        pub(super) fn new() -> Self {
            Self { word: AtomicU64::new(0), owner: AtomicU64::new(NOBODY) }
        }
    }

    /// Claims the slot for the owner of this tag, which is not 0. Returns whether it was free.
    #[inline]
    pub(super) fn claim(&self, tag: u64) -> bool {
        debug_assert_ne!(tag, NOBODY, "the tag of nobody");
        // Acquire: the last owner's stores to the word come before this one's; pairs with `give_up`.
        self.owner.load(Ordering::Relaxed) == NOBODY
            && self.owner.compare_exchange(NOBODY, tag, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Makes the slot free for the next owner. It stays claimed if it is pinned, which is so only if a guard was forgotten.
    #[inline]
    pub(super) fn give_up(&self) {
        // Relaxed: the owner's own word.
        if self.word.load(Ordering::Relaxed) == 0 {
            // Release: pairs with `claim`.
            self.owner.store(NOBODY, Ordering::Release);
        }
    }

    /// Returns whether the owner of the slot has this tag.
    #[inline]
    pub(super) fn is_owned_by(&self, tag: u64) -> bool {
        // Relaxed: a thread that asks for its own tag stored it itself, or does not own the slot.
        self.owner.load(Ordering::Relaxed) == tag
    }

    /// Returns whether the owner is pinned. Called by the owner.
    #[inline]
    pub(super) fn is_pinned(&self) -> bool {
        // Relaxed: the owner's own word.
        self.word.load(Ordering::Relaxed) != 0
    }

    /// Pins the owner, or nests.
    #[inline]
    pub(super) fn pin(&self, epoch: &AtomicU64) {
        self.pin_in_steps(epoch, || {});
    }

    /// [`pin`](Self::pin), with a call between each two steps, in which a test interrupts it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the calls fold to nothing")]
    pub(super) fn pin_in_steps(&self, epoch: &AtomicU64, between: impl Fn()) {
        between();
        // Relaxed: the owner's own word.
        let word = self.word.load(Ordering::Relaxed);
        between();
        if word == 0 {
            // Acquire: what was unlinked before this epoch began is not found; pairs with `Domain::start_grace_period`.
            let epoch = epoch.load(Ordering::Acquire);
            between();
            // Release: what an earlier pin read comes before; pairs with `waits_for`, which may take this as that pin's end.
            self.word.store(epoch << COUNT_BITS | 1, Ordering::Release);
        } else if word & COUNT != COUNT {
            // Release: as above, because the writer may load this store instead of the first pin's.
            self.word.store(if seeded("slots_nesting_not_counted") { word } else { word + 1 }, Ordering::Release);
        }
        between();
        if word == 0 || !seeded("slots_nested_without_fence") {
            // Also where it nests: the pin that this one interrupts may not have come to its own fence.
            light();
        }
        between();
    }

    /// Moves the owner's only pin to the present epoch, or pins. Where pins are nested the word stays, because what the outer ones have read
    /// must stay readable.
    #[inline]
    pub(super) fn repin(&self, epoch: &AtomicU64) {
        self.repin_in_steps(epoch, || {});
    }

    /// [`repin`](Self::repin), with a call between each two steps, in which a test interrupts it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the calls fold to nothing")]
    pub(super) fn repin_in_steps(&self, epoch: &AtomicU64, between: impl Fn()) {
        between();
        // Acquire: as in `pin`.
        let fresh = epoch.load(Ordering::Acquire) << COUNT_BITS | 1;
        between();
        // Relaxed: the owner's own word.
        let word = self.word.load(Ordering::Relaxed);
        between();
        if word == fresh || word & COUNT > 1 {
            return; // the pin goes on, and with it the fence after its store
        }
        // Release: as in `pin`.
        self.word.store(fresh, Ordering::Release);
        between();
        light();
        between();
    }

    /// Ends one pin.
    #[inline]
    pub(super) fn unpin(&self) {
        self.unpin_in_steps(|| {});
    }

    /// [`unpin`](Self::unpin), with a call between each two steps, in which a test interrupts it.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "the calls fold to nothing")]
    pub(super) fn unpin_in_steps(&self, between: impl Fn()) {
        between();
        // Relaxed: the owner's own word.
        let word = self.word.load(Ordering::Relaxed);
        debug_assert_ne!(word, 0, "it is pinned");
        between();
        let order = if seeded("slots_unpinned_relaxed") { Ordering::Relaxed } else { Ordering::Release };
        if word & COUNT == 1 {
            // Release: what the pin read comes before; pairs with `waits_for`.
            self.word.store(0, order);
        } else if word & COUNT != COUNT {
            // Release: as in `pin`.
            self.word.store(word - 1, Ordering::Release);
        }
        between();
    }

    /// Returns whether a grace period of this stamp waits for the owner: it was pinned when the epoch was the stamp's, or before.
    #[inline]
    pub(super) fn waits_for(&self, stamp: u64) -> bool {
        // Acquire: what the ended pins read comes before what the writer does next; pairs with every store to the word.
        let word = self.word.load(Ordering::Acquire);
        let epoch = word >> COUNT_BITS;
        word != 0 && (epoch < stamp || epoch == stamp && !seeded("slots_stamp_is_newer"))
    }

    /// Returns the slot of an owner that is gone without an end: at rest, and free.
    pub(super) fn clear(&self) {
        self.word.store(0, Ordering::Release);
        self.owner.store(NOBODY, Ordering::Release);
    }

    /// Returns the word, for tests.
    pub(super) fn word(&self) -> u64 {
        self.word.load(Ordering::Relaxed)
    }
}
