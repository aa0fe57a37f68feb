//! Waiting by polling: pauses and spins between two looks, when no other thread wakes the one that waits.
//!
//! Called by `map` and `newest` to wait for readers, and by `lock` to spin briefly before it sleeps. In a model a pause yields to another
//! thread, because a checker has no clock, and there is no spinning, because it would only add equal steps.

/// Pauses that grow from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Pause(u32);

impl Pause {
    /// The number of pauses that only yield, before the first one that sleeps.
    #[cfg(all(feature = "std", not(any(vmaple_loom, vmaple_shuttle))))]
    const YIELDS: u32 = 16;

    /// The binary logarithm of the most spins in one pause, where a thread cannot sleep.
    #[cfg(not(feature = "std"))]
    const MOST_SPINS_LOG2: u32 = 10;

    /// Pauses, for about a millisecond at most. Without the feature `std` it spins, for some microseconds at most.
    pub(crate) fn next(&mut self) {
        #[cfg(vmaple_loom)]
        loom::thread::yield_now();
        #[cfg(vmaple_shuttle)]
        shuttle::thread::yield_now();
        #[cfg(all(feature = "std", not(any(vmaple_loom, vmaple_shuttle))))]
        if self.0 < Self::YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(core::time::Duration::from_micros(1 << (self.0 - Self::YIELDS).min(10)));
        }
        #[cfg(not(feature = "std"))]
        for _ in 0..1 << self.0.min(Self::MOST_SPINS_LOG2) {
            core::hint::spin_loop();
        }
        self.0 = self.0.saturating_add(1);
    }
}

/// A short spin, in turns that each take twice as long as the previous one. A hold is often over before a thread could fall asleep.
#[derive(Debug, Default)]
pub(crate) struct Spin(u32);

impl Spin {
    /// The number of turns. Together they take a microsecond or two.
    const TURNS: u32 = if cfg!(any(vmaple_loom, vmaple_shuttle, miri)) { 0 } else { 6 };

    /// Spins for one turn and returns true, or returns false at once after the last turn.
    pub(crate) fn turn(&mut self) -> bool {
        if self.0 == Self::TURNS {
            return false;
        }
        for _ in 0..1 << self.0 {
            core::hint::spin_loop();
        }
        self.0 += 1;
        true
    }
}
