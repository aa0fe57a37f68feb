//! Where the embedder's code is dropped: never while the mm lock is held. Payloads and values whose `Drop` locks what they are in, in every
//! operation, however it ends.

mod map;
mod space;
mod watch;

/// One in this many ways to do something is tried: all of them, except under Miri, which is slow.
const ONE_OF: usize = if cfg!(miri) { 509 } else { 1 };
