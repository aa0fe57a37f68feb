//! A value that is read without a lock and replaced as a whole, neither of which allocates.
//!
//! Called by `mm`, for its limits. There are two slots, and one is current. A reader counts itself in at the current slot, checks that the
//! slot is still current, and reads the value there. A writer waits until no reader is counted at the other slot, writes there, and makes
//! that slot current.
//!
//! `read` lends the value to a closure and returns no guard, because a guard could be held for as long as an operation takes. An operation
//! waits for readers of VMAs and calls the embedder, so a second replacement would have to wait as long, and forever if the thread that
//! replaces holds the guard itself. An operation that needs many of the limits therefore takes a copy.
//!
//! * **N1** A slot is written only while it is not current and no reader is counted at it.
//! * **N2** A slot is read only by a reader that is counted at it and found it current afterwards.
//!
//! # Why a slot is never read and written at once
//!
//! A reader increments the slot's count and then loads which slot is current. A writer makes another slot current and, in its next
//! replacement, loads the count before it writes to the slot. All four accesses are sequentially consistent. If the reader finds the slot
//! current, its load comes before the store that made another slot current, so its increment comes before the writer's load, which sees it,
//! and the writer waits.
//!
//! The reader's decrement releases and the writer's load acquires; every change of the count in between is a read-modify-write, so the
//! release sequence is unbroken. The decrement is sequentially consistent, too: otherwise the writer's load could see a decrement from
//! before the increment (allowed by C++17, which Miri implements; forbidden by C++20).
//!
//! | a reader | meanwhile | then |
//! |---|---|---|
//! | has loaded the current slot and is not counted yet | one replacement | the reader finds another slot current and starts again; its first slot is not written |
//! | has loaded the current slot and is not counted yet | two replacements | if the reader is counted by then, the second waits for it; otherwise the reader finds the slot current again, with the newest value |
//! | reads a slot | one replacement | it writes to the other slot |
//! | reads a slot | two replacements | the second waits for the reader |

#![allow(unsafe_code, reason = "two slots are read and written under a protocol of counts")]

use super::park::Mutex;
use super::pause::Pause;
use super::prim::{AtomicU64, Plain, fence, owner_load};
use super::seeded::seeded;
use core::cell::UnsafeCell;
use core::sync::atomic::Ordering;

/// Gives loom the total order that sequentially consistent accesses have on the machine: loom orders only sequentially consistent *fences*,
/// and treats such accesses as acquire and release. So the model checks the protocol, but not that these accesses are sequentially
/// consistent.
fn model_fence() {
    if cfg!(vmaple_loom) {
        fence(Ordering::SeqCst);
    }
}

/// A value, and the previous one.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    slots: [UnsafeCell<Plain<T>>; 2],
    /// The number of readers at each slot.
    readers: [AtomicU64; 2],
    /// The index of the current slot.
    current: AtomicU64,
    /// Held during a replacement.
    replacing: Mutex<()>,
}

// SAFETY: readers on any thread use a shared reference (`Sync`), and any thread may drop or replace a value (`Send`); N1 and N2 keep
// writers and readers of a slot apart.
unsafe impl<T: Send + Sync> Sync for Newest<T> {}

/// A reader that is counted at a slot, until dropped.
struct CountedReader<'n>(&'n AtomicU64);

impl Drop for CountedReader<'_> {
    fn drop(&mut self) {
        let order = if seeded("newest_left_relaxed") { Ordering::Relaxed } else { Ordering::SeqCst };
        // SeqCst: see the head of this file. Includes Release: the read happens before the slot is written; pairs with `replace`.
        self.0.fetch_sub(1, order);
    }
}

impl<T: Clone> Newest<T> {
    pub(crate) fn new(value: T) -> Self {
        let slot = |value| UnsafeCell::new(Plain::new(value));
        let slots = [slot(value.clone()), slot(value)];
        Self { slots, readers: [AtomicU64::new(0), AtomicU64::new(0)], current: AtomicU64::new(0), replacing: Mutex::new(()) }
    }

    fn current(&self) -> usize {
        // SeqCst: see the head of this file. Includes Acquire: the value was written before its slot became current; pairs with `replace`.
        usize::from(self.current.load(Ordering::SeqCst) == 1)
    }

    /// Returns a copy of the value.
    pub(crate) fn load(&self) -> T {
        self.read(T::clone)
    }

    /// Calls `read` with the value. `read` must be short, because a replacement may wait for it, and must not replace the value.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        loop {
            let slot = self.current();
            // SeqCst: see the head of this file.
            self.readers[slot].fetch_add(1, Ordering::SeqCst);
            let reader = CountedReader(&self.readers[slot]);
            model_fence();
            if self.current() == slot || seeded("newest_current_not_checked_again") {
                // SAFETY: N2: the slot is not written while this reader is counted (N1).
                let result = read(unsafe { &*self.slots[slot].get() }.get());
                drop(reader);
                return result;
            }
        }
    }

    /// Replaces the value. Waits for the readers of the previous value.
    pub(crate) fn replace(&self, value: T) {
        let replacing = self.replacing.lock();
        let other = 1 - owner_load(&self.current);
        let slot = usize::from(other == 1);
        model_fence();
        let mut pause = Pause::default();
        // SeqCst: see the head of this file. Includes Acquire; pairs with the drop of `CountedReader`.
        while self.readers[slot].load(Ordering::SeqCst) != 0 {
            pause.next();
        }
        // SAFETY: N1: the slot was not current when the count was loaded, and later readers find that (N2); the mutex admits one writer.
        unsafe { Plain::change(self.slots[slot].get(), |old| *old = value) };
        // SeqCst: see the head of this file. Includes Release; pairs with `current`.
        self.current.store(other, Ordering::SeqCst);
        drop(replacing);
    }
}

// loom's and shuttle's atomics exist only inside a model.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_copy_is_always_one_whole_value() {
        const ROUNDS: u64 = if cfg!(miri) { 30 } else { 20_000 };
        let newest = Newest::new([0u64; 8]);
        thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(|| {
                    let mut before = 0;
                    while before < ROUNDS {
                        let value = newest.load();
                        assert!(value.iter().all(|word| *word == value[0]) && value[0] >= before, "{value:?} after {before}");
                        before = value[0];
                    }
                });
            }
            for round in 1..=ROUNDS {
                newest.replace([round; 8]);
            }
        });
        assert_eq!(newest.readers.map(|count| count.load(Ordering::Relaxed)), [0, 0]);
    }
}
