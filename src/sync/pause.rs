//! Waiting for what other threads bring about, where nobody wakes the one who waits.
//!
//! `map` comes in to wait for readers. In a model a pause gives the turn to another thread: a checker has no clock. The lock comes in to
//! spin a little before it sleeps; in a model it does not, since to a checker another look is only more of the same.

/// Growing pauses between two looks.
#[derive(Debug, Default)]
pub(crate) struct Pause(u32);

impl Pause {
    /// How often it only yields before it sleeps.
    #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
    const YIELDS: u32 = 16;

    /// Pauses: at most a millisecond.
    pub(crate) fn next(&mut self) {
        #[cfg(vmaple_loom)]
        loom::thread::yield_now();
        #[cfg(vmaple_shuttle)]
        shuttle::thread::yield_now();
        #[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
        if self.0 < Self::YIELDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(std::time::Duration::from_micros(1 << (self.0 - Self::YIELDS).min(10)));
        }
        self.0 = self.0.saturating_add(1);
    }
}

/// Turns of a short wait, each twice as long as the one before: a hold is often over before a thread could sleep.
#[derive(Debug, Default)]
pub(crate) struct Spin(u32);

impl Spin {
    /// How many turns there are; together they take a microsecond or two.
    const TURNS: u32 = if cfg!(any(vmaple_loom, vmaple_shuttle, miri)) { 0 } else { 6 };

    /// Spins one turn; false, at once, when there were enough.
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
