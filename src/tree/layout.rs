//! How many entries or children a node holds. Named by every part of the tree.

/// How many entries or children a node holds. Small where a checker explores, so that trees get tall with few entries.
pub(crate) const FANOUT: usize = if cfg!(any(test, miri, fuzzing, vmaple_loom)) { 4 } else { 16 };

/// What every node but the root and the right edge holds at least (T3).
pub(crate) const MIN_FILL: usize = if FANOUT / 4 > 2 { FANOUT / 4 } else { 2 };
