//! What an address space remembers beside its layout: the heap's bounds, and whether what is mapped from now on is locked in memory.

use super::plan::Words;
use crate::sync::{AtomicU64, Ordering};
use crate::vma::VmaFlags;

/// Changed under the write guard alone.
#[derive(Debug, Default)]
pub(super) struct State {
    brk_start: AtomicU64,
    brk: AtomicU64,
    /// `mlockall(MCL_FUTURE)`: the flags of [`VmaFlags::LOCKED_MASK`] that what is mapped has from then on.
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

    pub(super) fn locks_future(&self) -> VmaFlags {
        VmaFlags::from_bits_retain(self.locks_future.load(Ordering::Relaxed))
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
            self.locks_future.store(locks_future.bits(), Ordering::Relaxed);
        }
    }
}
