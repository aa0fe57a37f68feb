//! The mm lock: the library's own, and the embedder's in its place.

// Nothing in it is unsafe, and it is what Miri has seen over the default lock.
#[cfg(not(miri))]
mod custom_lock;
mod guards;
mod stateful_lock;
