//! Statistics that one writer keeps and any thread may read.
//!
//! Called by `tree::stats`, `mm::stats` and `mm::accounts`. On std atomics in models too: no reader reaches other memory through a counter,
//! so it need not be modelled.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $number:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name($atomic);

        impl $name {
            pub(crate) const fn new() -> Self {
                Self($atomic::new(0))
            }

            /// Returns the value.
            #[inline]
            pub(crate) fn read(&self) -> $number {
                // Relaxed: a statistic publishes nothing.
                self.0.load(Ordering::Relaxed)
            }

            /// Adds `n`. For the writer only: a load and a store, because a read-modify-write would be a locked instruction.
            #[inline]
            pub(crate) fn add(&self, n: $number) {
                self.0.store(self.read().wrapping_add(n), Ordering::Relaxed);
            }

            /// Sets the value. For the writer only.
            #[inline]
            pub(crate) fn set(&self, n: $number) {
                self.0.store(n, Ordering::Relaxed);
            }
        }
    };
}

counter! {
    /// A count of things in memory (nodes, bytes), so a `usize` is large enough.
    Counter, AtomicUsize, usize
}

counter! {
    /// A count that may exceed a `usize` of 32 bits: pages of an address space, events since the start.
    Tally, AtomicU64, u64
}

impl Counter {
    /// Subtracts `n`. For the writer only.
    #[inline]
    pub(crate) fn sub(&self, n: usize) {
        self.0.store(self.read().wrapping_sub(n), Ordering::Relaxed);
    }
}

impl Tally {
    /// Adds one. For any thread.
    pub(crate) fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
