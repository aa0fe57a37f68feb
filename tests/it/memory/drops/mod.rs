//! Values and payloads are dropped while no lock is held: their `Drop` tries to lock what they were in, in every operation, whether it
//! succeeds, fails, is abandoned or panics.

mod map;
mod space;
mod watch;

/// One in this many cases is run: all of them, except under Miri, which is slow.
const ONE_OF: usize = if cfg!(miri) { 509 } else { 1 };
