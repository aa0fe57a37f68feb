//! Unwinding (L0): catches panics of the embedder's code, so that an edit ends whole or undone.
//!
//! Called by `tree`, and through its `FirstPanic` by `mm`, where code of the embedder runs (a `Clone`, a `Drop`, a hook) and what comes after it must happen all the same.
//! With the feature `std` a panic is caught, and resumed once everything is in order. Without it nothing can catch a panic, so a panic there
//! aborts. Elsewhere a panic unwinds, and a drop restores the order (`KeptOnUnwind` in the limbo, for example).

#[cfg(feature = "std")]
pub(crate) use with_std::{Panic, catch, is_panicking, resume};
#[cfg(not(feature = "std"))]
pub(crate) use without_std::{Panic, catch, is_panicking, resume};

#[cfg(feature = "std")]
mod with_std {
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
}

#[cfg(not(feature = "std"))]
mod without_std {
    use core::mem;

    /// No panic is ever caught.
    #[derive(Debug)]
    pub(crate) enum Panic {}

    // With std a payload has a drop, and the callers treat it so.
    impl Drop for Panic {
        fn drop(&mut self) {
            match *self {}
        }
    }

    /// Aborts if it is dropped by unwinding: a second panic during the first aborts the process.
    struct AbortOnUnwind;

    impl Drop for AbortOnUnwind {
        fn drop(&mut self) {
            panic!("a panic in code that the index calls, and nothing can catch it without the feature `std`");
        }
    }

    /// Calls `run` and returns its result. Aborts if it panics.
    #[allow(clippy::unnecessary_wraps, reason = "with the feature `std` it may return the panic")]
    pub(crate) fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Panic> {
        let abort = AbortOnUnwind;
        let result = run();
        mem::forget(abort);
        Ok(result)
    }

    /// Is never called.
    #[allow(clippy::needless_pass_by_value, reason = "with the feature `std` it takes the payload")]
    pub(crate) fn resume(panic: Panic) -> ! {
        match panic {}
    }

    /// Returns false. It matters only for a panic that was caught, and none ever is.
    pub(crate) fn is_panicking() -> bool {
        false
    }
}
