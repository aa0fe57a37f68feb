//! What an address space remembers beside its layout: the heap's bounds, whether what is mapped from now on is locked in memory, and its
//! protection keys.

use super::keys::Keys;
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
    /// [`Keys`] as a word.
    keys: AtomicU64,
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

    pub(super) fn keys(&self) -> Keys {
        Keys::of_word(self.keys.load(Ordering::Relaxed))
    }

    pub(super) fn set_keys(&self, keys: Keys) {
        self.keys.store(keys.word(), Ordering::Relaxed);
    }

    /// Where the heap starts, and its break.
    pub(super) fn set_heap(&self, start: u64, brk: u64) {
        self.brk_start.store(start, Ordering::Relaxed);
        self.brk.store(brk, Ordering::Relaxed);
    }

    pub(super) fn set(&self, words: Words) {
        let Words { brk, locks_future, keys } = words;
        if let Some(brk) = brk {
            self.brk.store(brk, Ordering::Relaxed);
        }
        if let Some(locks_future) = locks_future {
            self.locks_future.store(locks_future.bits(), Ordering::Relaxed);
        }
        if let Some(keys) = keys {
            self.set_keys(keys);
        }
    }
}
