//! The fan-out of nodes. Used by every part of the tree.

/// The most entries or children that a node can hold. Small under a checker, so that few entries make a tall tree.
pub(crate) const FANOUT: usize = if cfg!(any(test, miri, fuzzing, vmaple_loom, vmaple_small_nodes)) { 4 } else { 16 };

/// The least that a node holds, except the root and the nodes on the right edge (T3).
pub(crate) const MIN_FILL: usize = if FANOUT / 4 > 2 { FANOUT / 4 } else { 2 };
