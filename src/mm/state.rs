//! The state of an address space beside its layout: the heap's bounds, whether what is mapped from now on is locked in memory, and its
//! protection keys.
//!
//! Called by `plan`, which updates it, by the operations on it, and by faults, which ask for the execute-only key.
//!
//! # Orderings
//! All loads and stores are Relaxed. Stores are made in a write hold of the mm lock only. Loads are made:
//!
//! * **Under the mm lock.** Taking it orders the load after the stores of earlier holds, and no other hold stores meanwhile.
//! * **Under a VMA's lock**, by a fault, which asks for the execute-only key. The hold that gave the VMA its flags began before they could be
//!   seen, and stored the keys before its end (Release, `Sequence::end`, W4). The reader locked the VMA (`VmaLock::try_read`) because it had
//!   loaded a later number of the mm's sequence (Acquire, `Sequence::number`), so it sees the keys of that hold or later ones. `exit` resets
//!   them only after it has waited for the VMA's readers: a load of such a reader happens before that store, so it does not see it. Beside a
//!   hold that leaves this VMA as it is, the load sees the keys of before or of after, because they are one word: the fault comes before the
//!   hold or after it.
//! * **Under no lock**, by `Mm::program_break`, `Mm::allocated_keys` and `Mm::execute_only_key`. Each returns one word, which was true at one
//!   moment.

use super::keys::{Keyring, Keys};
use crate::sync::{AtomicU64, Ordering};
use crate::vma::VmaFlags;

/// What an operation changes beside the layout. `None` is no change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StateUpdate {
    pub(super) brk: Option<u64>,
    pub(super) locks_future: Option<VmaFlags>,
    /// The keys, and the rights that the guard has afterwards.
    pub(super) keyring: Option<Keyring>,
}

/// The start of the heap where there is none. No address space reaches as far.
const NO_HEAP: u64 = u64::MAX;

/// The state of an address space beside its layout. Changed under the write guard alone.
#[derive(Debug)]
pub(super) struct State {
    /// Where the heap starts; [`NO_HEAP`] until there is one.
    brk_start: AtomicU64,
    brk: AtomicU64,
    /// The flags of [`VmaFlags::LOCKED_MASK`] that new mappings get, because of `mlockall(MCL_FUTURE)`.
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
    /// Returns the heap, or `None` if none was set. The caller holds the mm lock, because the two words belong together.
    pub(super) fn heap(&self) -> Option<Heap> {
        let (start, brk) = (self.brk_start.load(Ordering::Relaxed), self.brk.load(Ordering::Relaxed));
        (start != NO_HEAP).then_some(Heap { start, brk })
    }

    /// Returns the break, or 0 if no heap was set.
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

    /// Makes the changes of an operation.
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
