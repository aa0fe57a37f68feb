//! Unwinding (L0): catches panics of the embedder's code, so that an edit ends whole or undone.
//!
//! Called by `tree` and `map` around each call of a value's `Clone` or `Drop`, a hook or an iterator. A panic is caught, and resumed once
//! everything is in order.

use alloc::boxed::Box;
use core::any::Any;
use core::panic::AssertUnwindSafe;

/// The payload of a panic. Its drop is the embedder's code and may panic.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Calls `run`, and returns its result or its panic. The caller restores what a panic may have left half done.
pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
    std::panic::catch_unwind(AssertUnwindSafe(run))
}

/// Continues a panic that was caught.
pub(crate) fn resume(panic: Panic) -> ! {
    std::panic::resume_unwind(panic)
}

/// Returns whether the calling thread is unwinding.
pub(crate) fn is_panicking() -> bool {
    std::thread::panicking()
}
