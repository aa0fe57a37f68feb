//! The figures of an index, which the writer keeps and anyone may read without a lock. Called by the writer's files, and by the map.

use super::node::NodePtr;
use crate::sync::{Counter, Tally};

/// The live counters.
///
/// They are on cache lines of their own, because every write stores to them and no lookup reads them.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    pub(super) entries: Counter,
    pub(super) height: Counter,
    pub(super) leaves: Counter,
    pub(super) inners: Counter,
    pub(super) index_bytes: Counter,
    pub(super) held_bytes: Counter,
    pub(super) held_values: Counter,
    pub(super) pool_bytes: Counter,
    pub(super) published: Tally,
    pub(super) extended_in_place: Tally,
    pub(super) retired_nodes: Tally,
    pub(super) recycled_nodes: Tally,
    pub(crate) drop_panics: Tally,
}

/// Counters of what a map holds and has done.
///
/// Each is exact for a caller that holds the read or the write lock. While a writer runs, each was true at some moment, but not all at the
/// same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries in the index.
    pub entries: usize,
    /// Levels from the root to a leaf; 0 if the map is empty.
    pub height: usize,
    /// Leaves that readers can reach.
    pub leaf_nodes: usize,
    /// Inner nodes that readers can reach.
    pub inner_nodes: usize,
    /// Bytes of the nodes that readers can reach.
    pub index_bytes: usize,
    /// Bytes of removed nodes and values that wait for readers, or for the next write to reuse or free them.
    pub held_bytes: usize,
    /// Removed values that wait.
    pub held_values: usize,
    /// Bytes of free nodes, kept for the next writes.
    pub pool_bytes: usize,
    /// Edits published since the map was made, except growth downward.
    pub published: u64,
    /// Entries extended downward in place since the map was made.
    pub extended_in_place: u64,
    /// Nodes unlinked since the map was made.
    pub retired_nodes: u64,
    /// Unlinked nodes that readers have left since, and that were reused or freed.
    pub recycled_nodes: u64,
    /// Panics in values' destructors that were caught.
    pub drop_panics: u64,
}

impl Counters {
    pub(super) const fn new() -> Self {
        Self {
            entries: Counter::new(),
            height: Counter::new(),
            leaves: Counter::new(),
            inners: Counter::new(),
            index_bytes: Counter::new(),
            held_bytes: Counter::new(),
            held_values: Counter::new(),
            pool_bytes: Counter::new(),
            published: Tally::new(),
            extended_in_place: Tally::new(),
            retired_nodes: Tally::new(),
            recycled_nodes: Tally::new(),
            drop_panics: Tally::new(),
        }
    }

    /// Returns the counter of the nodes of this shape.
    pub(super) fn nodes_of<V>(&self, node: NodePtr<V>) -> &Counter {
        if node.is_inner() { &self.inners } else { &self.leaves }
    }

    /// Reads all figures.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.entries.read(),
            height: self.height.read(),
            leaf_nodes: self.leaves.read(),
            inner_nodes: self.inners.read(),
            index_bytes: self.index_bytes.read(),
            held_bytes: self.held_bytes.read(),
            held_values: self.held_values.read(),
            pool_bytes: self.pool_bytes.read(),
            published: self.published.read(),
            extended_in_place: self.extended_in_place.read(),
            retired_nodes: self.retired_nodes.read(),
            recycled_nodes: self.recycled_nodes.read(),
            drop_panics: self.drop_panics.read(),
        }
    }

    /// Returns the number of entries in the index.
    pub(crate) fn entries(&self) -> usize {
        self.entries.read()
    }

    /// Returns the bytes that wait for readers.
    #[inline]
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.read()
    }
}
