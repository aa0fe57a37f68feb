//! Whether a node may still be visited: a field of every node in models, nothing in other builds.
//!
//! Called by `tree::node`, which checks it at each visit, and ends it when `tree::memory` recycles the node.

#[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
pub(crate) use unchecked::Liveness;

#[cfg(any(vmaple_loom, vmaple_shuttle, vmaple_model))]
pub(crate) use checked::Liveness;

#[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
mod unchecked {
    /// Nothing; every method is empty.
    #[derive(Debug)]
    pub(crate) struct Liveness;

    #[allow(clippy::unused_self, reason = "the interface of the type of the same name in models")]
    impl Liveness {
        pub(crate) const MODELLED: bool = false;

        pub(crate) fn new() -> Self {
            Self
        }

        #[inline(always)]
        #[allow(clippy::inline_always, reason = "empty, and on the lookup path")]
        pub(crate) fn check(&self) {}

        pub(crate) fn end(&self) {}
    }
}

#[cfg(any(vmaple_loom, vmaple_shuttle, vmaple_model))]
mod checked {
    use core::sync::atomic::{AtomicBool, Ordering};

    /// Whether the node may still be visited. On a std atomic, which adds no ordering that could hide a missing one.
    #[derive(Debug)]
    pub(crate) struct Liveness(AtomicBool);

    impl Liveness {
        pub(crate) const MODELLED: bool = true;

        pub(crate) fn new() -> Self {
            Self(AtomicBool::new(true))
        }

        /// Panics if the node was recycled.
        #[track_caller]
        pub(crate) fn check(&self) {
            assert!(self.0.load(Ordering::Relaxed), "a reader visits a node that was already recycled");
        }

        /// Records that the node is recycled.
        pub(crate) fn end(&self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }
}
