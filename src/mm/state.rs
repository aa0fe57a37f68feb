//! The state of an address space beside its layout: the heap's bounds, whether what is mapped from now on is locked in memory, and its
//! protection keys.

use super::keys::{Keyring, Keys};
use crate::sync::{AtomicU64, Ordering};
use crate::vma::VmaFlags;

/// What an operation leaves in the mm beside the layout. `None`: it stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StateUpdate {
    pub(super) brk: Option<u64>,
    pub(super) locks_future: Option<VmaFlags>,
    /// Its rights are those of the guard.
    pub(super) keyring: Option<Keyring>,
}

/// Where no heap starts: no address space reaches as far.
const NO_HEAP: u64 = u64::MAX;

/// Changed under the write guard alone.
#[derive(Debug)]
pub(super) struct State {
    /// [`NO_HEAP`] until there is one.
    brk_start: AtomicU64,
    brk: AtomicU64,
    /// `mlockall(MCL_FUTURE)`: the flags of [`VmaFlags::LOCKED_MASK`] that what is mapped has from then on.
    locks_future: AtomicU64,
    /// [`Keys`] as a word.
    keys: AtomicU64,
}

/// Where the heap starts, and its break: the first address beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heap {
    pub(super) start: u64,
    pub(super) brk: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { brk_start: AtomicU64::new(NO_HEAP), brk: AtomicU64::new(0), locks_future: AtomicU64::new(0), keys: AtomicU64::new(0) }
    }
}

impl State {
    /// The heap; `None` where none was set.
    pub(super) fn heap(&self) -> Option<Heap> {
        // Relaxed, here and below: under the mm lock, which orders it; or a figure.
        let (start, brk) = (self.brk_start.load(Ordering::Relaxed), self.brk.load(Ordering::Relaxed));
        (start != NO_HEAP).then_some(Heap { start, brk })
    }

    pub(super) fn brk(&self) -> u64 {
        self.brk.load(Ordering::Relaxed)
    }

    pub(super) fn locks_future(&self) -> VmaFlags {
        VmaFlags::from_bits_retain(self.locks_future.load(Ordering::Relaxed))
    }

    pub(super) fn keys(&self) -> Keys {
        Keys::from_bits(self.keys.load(Ordering::Relaxed))
    }

    pub(super) fn set_keys(&self, keys: Keys) {
        self.keys.store(keys.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn set_heap(&self, heap: Heap) {
        self.brk_start.store(heap.start, Ordering::Relaxed);
        self.brk.store(heap.brk, Ordering::Relaxed);
    }

    pub(super) fn update(&self, update: StateUpdate) {
        let StateUpdate { brk, locks_future, keyring } = update;
        if let Some(brk) = brk {
            self.brk.store(brk, Ordering::Relaxed);
        }
        if let Some(locks_future) = locks_future {
            self.locks_future.store(locks_future.bits(), Ordering::Relaxed);
        }
        if let Some(Keyring { keys, .. }) = keyring {
            self.set_keys(keys);
        }
    }
}
