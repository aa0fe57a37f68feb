//! Documentation that is about more than one item.
//!
//! * [`semantics`]: the rules of the address space, by number. The documentation of the operations cites the numbers.
//! * [`design`]: why the index, the lock and the address space are as they are.

// Called by nobody: rustdoc alone compiles it. The text is in `docs/`, where it is also read and linked to.

#[doc = include_str!("../docs/design.md")]
pub mod design {}

#[doc = include_str!("../docs/semantics.md")]
pub mod semantics {}
