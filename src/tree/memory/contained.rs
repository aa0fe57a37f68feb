//! Code of the embedder's that may panic: each piece runs whatever the others do. Called wherever values are dropped or hooks are called.

#![allow(unsafe_code, reason = "drops values by their bits")]

use core::any::Any;
use core::mem::{self, MaybeUninit};

/// Runs code of the embedder's, each piece whatever the others do. The first panic goes on at the end.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Runs a piece.
    pub(crate) fn run(&mut self, piece: impl FnOnce()) {
        let Err(with) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(piece)) else { return };
        match self.0 {
            None => self.0 = Some(with),
            // Its drop is the embedder's code, too, and may panic.
            Some(_) => mem::forget(with),
        }
    }

    /// Goes on with the first panic, if there was one.
    pub(crate) fn go_on(self) {
        if let Some(with) = self.0 {
            std::panic::resume_unwind(with);
        }
    }
}

/// Drops a value that nobody can reach any more; says whether its destructor panicked.
///
/// The panic is contained: it was not the fault of whoever happens to drop the value, and the values after it must go too.
pub(crate) fn drop_contained<V>(mut value: MaybeUninit<V>) -> bool {
    if !mem::needs_drop::<V>() {
        return false;
    }
    let drop = std::panic::AssertUnwindSafe(|| {
        // SAFETY: the bits of a value whose one owner this was; they are not used again.
        unsafe { value.assume_init_drop() };
    });
    let mut outcome = std::panic::catch_unwind(drop);
    let panicked = outcome.is_err();
    for _ in 0..PAYLOADS {
        // The payload's own destructor may panic as well, and that one's payload's.
        let Err(payload) = outcome else { return panicked };
        let payload = std::panic::AssertUnwindSafe(|| mem::drop(payload));
        outcome = std::panic::catch_unwind(payload);
    }
    // Who goes on like this means it: the last one is let be.
    mem::forget(outcome);
    panicked
}

/// How many payloads of panics in destructors, each from the destructor of the one before, are dropped.
const PAYLOADS: usize = 4;
