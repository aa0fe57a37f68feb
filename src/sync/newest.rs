//! A value that is read without a lock and replaced whole, and that needs no memory for either.
//!
//! `mm` comes in, with the limits. There are two places; one of them is shown. Who reads says at which place it looks, looks once more
//! which is shown, and then reads the value there. Who replaces waits until nobody looks at the hidden place, writes there, and shows it.
//!
//! The value is lent to a closure and not by a guard. A guard could be kept for as long as an operation takes, and an operation waits for
//! readers of VMAs and calls the embedder: a second replacement would wait as long, and forever if it came from the thread that has the
//! guard. So an operation that needs many of the limits takes a copy, and one that needs a few takes these.
//!
//! * **N1** A place is written only while it is hidden and nobody looks at it.
//! * **N2** A place is read only by who has said so and found it shown afterwards.
//!
//! Why no place is read and written at once. A reader adds itself to the place's count and then loads which one is shown. A writer hides
//! the place, and at its next turn, before it writes there, loads the count. All four are sequentially consistent: if the reader finds the
//! place shown, its load comes before the store that hid it, so its addition comes before the writer's load, which finds it. The writer
//! waits until the reader has left: its departure releases, the writer's load acquires, and every change of the count between them is a
//! read-modify-write. The departure is sequentially consistent, too: a load that is may otherwise find a departure from before the last
//! addition (C++17 [atomics.order]; C++20 forbids it, and Miri follows the older rule).
//!
//! | while | there comes | and then |
//! |---|---|---|
//! | a reader has seen which place is shown, and has not added itself yet | one replacement | the other place is shown: the reader finds that out and begins again. The place that it is at is hidden and unwritten |
//! | the same | two replacements | the second waits for the reader, should the reader be there by then; else the reader finds the place shown, with the newest value |
//! | a reader reads | a replacement | it writes to the other place |
//! | a reader reads | two replacements | the second waits for it |

#![allow(unsafe_code, reason = "two places are read and written by a protocol of counts")]

use super::park::Mutex;
use super::pause::Pause;
use super::prim::{AtomicU64, Plain, fence, owner_load};
use super::{Ordering, seeded};
use core::cell::UnsafeCell;

/// Gives a model the total order that the sequentially consistent accesses have on the machine: loom takes them for acquiring and releasing
/// ones, and orders sequentially consistent fences alone. So the model checks the protocol, and not that those accesses are
/// sequentially consistent: that rests on the argument at the head of the file.
fn model_fence() {
    if cfg!(vmaple_loom) {
        fence(Ordering::SeqCst);
    }
}

/// A value and the one before it.
#[derive(Debug)]
pub(crate) struct Newest<T> {
    places: [UnsafeCell<Plain<T>>; 2],
    /// How many look at each place.
    lookers: [AtomicU64; 2],
    /// The place that is shown.
    shown: AtomicU64,
    /// Locked by who replaces.
    replacing: Mutex<()>,
}

// SAFETY: readers of any thread copy the value through a shared reference (`Sync`), and a copy of it is dropped or replaced by any thread
// (`Send`); N1 and N2 keep writers and readers of a place apart.
unsafe impl<T: Send + Sync> Sync for Newest<T> {}

/// Who looks at a place, until dropped.
struct Looker<'n>(&'n AtomicU64);

impl Drop for Looker<'_> {
    fn drop(&mut self) {
        let departure = if seeded("newest_left_relaxed") { Ordering::Relaxed } else { Ordering::SeqCst };
        // SeqCst: see the head of this file. Release is part of it: what was read comes before the place is written; pairs with `replace`.
        self.0.fetch_sub(1, departure);
    }
}

impl<T: Clone> Newest<T> {
    pub(crate) fn new(value: T) -> Self {
        let place = |value| UnsafeCell::new(Plain::new(value));
        let places = [place(value.clone()), place(value)];
        Self { places, lookers: [AtomicU64::new(0), AtomicU64::new(0)], shown: AtomicU64::new(0), replacing: Mutex::new(()) }
    }

    fn shown(&self) -> usize {
        // SeqCst: see the head of this file. Acquire is part of it: the value was written before it was shown.
        usize::from(self.shown.load(Ordering::SeqCst) == 1)
    }

    /// A copy of the value as it is now.
    pub(crate) fn load(&self) -> T {
        self.read(T::clone)
    }

    /// Lends the value as it is now. `read` is short: a replacement may wait for it. It must not replace the value.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        loop {
            let place = self.shown();
            // SeqCst: see the head of this file.
            self.lookers[place].fetch_add(1, Ordering::SeqCst);
            let looker = Looker(&self.lookers[place]);
            model_fence();
            if self.shown() == place || seeded("newest_looked_at_once") {
                // SAFETY: N2: nobody writes here until the looker has gone (N1).
                let told = read(unsafe { &*self.places[place].get() }.get());
                drop(looker);
                return told;
            }
        }
    }

    /// Replaces the value. Waits for those who read the value before the present one.
    pub(crate) fn replace(&self, value: T) {
        let replacing = self.replacing.lock();
        let hidden = 1 - owner_load(&self.shown);
        let place = usize::from(hidden == 1);
        model_fence();
        let mut pause = Pause::default();
        // SeqCst: see the head of this file. Acquire is part of it; pairs with the looker's drop.
        while self.lookers[place].load(Ordering::SeqCst) != 0 {
            pause.next();
        }
        // SAFETY: N1: hidden since before the count was looked at, and who comes now finds it so (N2); one replaces at a time.
        unsafe { Plain::change(self.places[place].get(), |place| *place = value) };
        // SeqCst: see the head of this file. Release is part of it; pairs with `shown`.
        self.shown.store(hidden, Ordering::SeqCst);
        drop(replacing);
    }
}

// The atomics of the checkers live in models alone.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_copy_is_always_one_value_whole() {
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
        assert_eq!(newest.lookers.map(|count| count.load(Ordering::Relaxed)), [0, 0]);
    }
}
