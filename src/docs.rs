//! Documentation that is about more than one item.
//!
//! * [`semantics`]: the rules of the address space, by number. The documentation of the operations cites the numbers.
//! * [`locking`]: what may be assumed under which lock, and what waits for what.
//! * [`memory`]: when memory comes back, and what happens where it is short.
//! * [`design`]: why the index, the lock and the address space are as they are.
//!
//! The repository has more in its folder `docs`: `performance.md` and `trials.md` with the figures, `linearizability.md` with the proof that
//! an answer without a lock is right, and `verification.md` with what is checked.

// Called by nobody: rustdoc alone compiles it. The texts are in `docs/`, where they are also read and linked to. A link there is a reference,
// and of two definitions of a reference the first counts: the one here leads to a page of rustdoc's, the one in the text to a file.

#[doc = "[`Payload`]: crate::mm::Payload"]
#[doc = "[from-unlinked-to-reused]: memory#from-unlinked-to-reused"]
#[doc = "[if-memory-is-short]: memory#if-memory-is-short"]
#[doc = "[locks-of-the-address-space]: locking#the-address-space"]
#[doc = "[memory.md]: memory"]
#[doc = "[performance.md]: self"]
#[doc = "[semantics.md]: semantics"]
#[doc = "[the-mm-lock]: locking#the-mm-lock"]
#[doc = "[trials.md]: self"]
#[doc = ""]
#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = "[performance.md]: self"]
#[doc = "[semantics.md]: semantics"]
#[doc = ""]
#[doc = include_str!("../docs/locking.md")]
pub mod locking {}

#[doc = include_str!("../docs/memory.md")]
pub mod memory {}

#[doc = include_str!("../docs/semantics.md")]
pub mod semantics {}
