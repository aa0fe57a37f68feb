//! Runs the embedder's code, which may panic, so that a panic in one piece does not keep the others from running. Called wherever values
//! are dropped or hooks are called.

#![allow(unsafe_code, reason = "drops values by their bits")]

use crate::unwind::{self, Panic};
use core::mem::{self, MaybeUninit};

/// How many payloads are dropped, each from the panic of the destructor of the one before.
const PAYLOADS: usize = 4;

/// Runs pieces of the embedder's code, even after one of them has panicked, and keeps the first panic.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Panic>);

impl FirstPanic {
    /// Runs a piece.
    pub(crate) fn run(&mut self, piece: impl FnOnce()) {
        let Err(with) = unwind::catch(piece) else { return };
        match self.0 {
            None => self.0 = Some(with),
            // Leaked, because its drop is also the embedder's code and may panic.
            Some(_) => mem::forget(with),
        }
    }

    /// Resumes the first panic, if there was one.
    pub(crate) fn go_on(self) {
        if let Some(with) = self.0 {
            unwind::resume(with);
        }
    }
}

/// Drops a value that nobody can reach any more, and returns whether its destructor panicked.
///
/// The panic is contained, because the caller did not cause it and has more values to drop.
pub(crate) fn drop_contained<V>(mut value: MaybeUninit<V>) -> bool {
    if !mem::needs_drop::<V>() {
        return false;
    }
    let mut outcome = unwind::catch(|| {
        // SAFETY: the bits of a value whose one owner this was; they are not used again.
        unsafe { value.assume_init_drop() };
    });
    let panicked = outcome.is_err();
    for _ in 0..PAYLOADS {
        // The destructor of the payload may panic as well, and so may that of the next payload.
        let Err(payload) = outcome else { return panicked };
        outcome = unwind::catch(|| drop(payload));
    }
    // The last payload is leaked.
    mem::forget(outcome);
    panicked
}
