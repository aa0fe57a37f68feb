//! What an address space remembers beside its layout: the heap's bounds, and whether what is mapped from now on is locked in memory.

use super::plan::Words;
use crate::sync::{AtomicU64, Ordering};

/// Changed under the write guard alone.
#[derive(Debug, Default)]
pub(super) struct State {
    brk_start: AtomicU64,
    brk: AtomicU64,
    /// `mlockall(MCL_FUTURE)`: 1.
    locks_future: AtomicU64,
}

impl State {
    pub(super) fn brk_start(&self) -> u64 {
        // Relaxed, here and below: under the mm lock, which orders it; or a figure.
        self.brk_start.load(Ordering::Relaxed)
    }

    pub(super) fn brk(&self) -> u64 {
        self.brk.load(Ordering::Relaxed)
    }

    pub(super) fn locks_future(&self) -> bool {
        self.locks_future.load(Ordering::Relaxed) != 0
    }

    /// Where the heap starts, and its break.
    pub(super) fn set_heap(&self, start: u64, brk: u64) {
        self.brk_start.store(start, Ordering::Relaxed);
        self.brk.store(brk, Ordering::Relaxed);
    }

    pub(super) fn set(&self, words: Words) {
        let Words { brk, locks_future } = words;
        if let Some(brk) = brk {
            self.brk.store(brk, Ordering::Relaxed);
        }
        if let Some(locks_future) = locks_future {
            self.locks_future.store(u64::from(locks_future), Ordering::Relaxed);
        }
    }
}
