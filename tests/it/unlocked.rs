//! Where the embedder's code is dropped: never while the mm lock is held. Payloads and values whose `Drop` locks what they are in, in every
//! operation, however it ends.

mod map;
mod space;
mod watch;

/// Whether a way to do something is tried, by its number: all of them, but under Miri, which is slow.
fn is_tried(way: usize) -> bool {
    !cfg!(miri) || way.is_multiple_of(17)
}
