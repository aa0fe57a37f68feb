//! The path from the root to a leaf. Called by `position` to find a leaf, and by `leaf_edit`, `groups` and `publish` to go up from it.
//!
//! The writer keeps its last path until an edit is published, because the next position is nearly always in the same leaf.

use super::super::node::NodePtr;
use crate::sync::seeded;
use smallvec::SmallVec;

/// One step of a path: an inner node, and which of its children is next.
#[derive(Debug)]
pub(super) struct PathStep<V> {
    pub(super) node: NodePtr<V>,
    pub(super) index: usize,
}

impl<V> Clone for PathStep<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for PathStep<V> {}

/// The path from the root to the leaf that routes an address.
///
/// # Invariants
/// While `low <= bound`, the path leads from the root to `leaf` for every address from `low` to `bound`. The leaf is null in an empty tree.
#[derive(Debug)]
pub(super) struct Path<V> {
    pub(super) steps: SmallVec<[PathStep<V>; 12]>,
    pub(super) leaf: NodePtr<V>,
    /// The first address that the leaf routes.
    pub(super) low: u64,
    /// The last address that the leaf routes: its key in the parent, or the maximum.
    pub(super) bound: u64,
}

impl<V> Clone for Path<V> {
    fn clone(&self) -> Self {
        Self { steps: SmallVec::from_slice(&self.steps), ..*self }
    }
}

impl<V> Path<V> {
    /// Makes a path that leads nowhere.
    pub(super) const fn new() -> Self {
        Self { steps: SmallVec::new_const(), leaf: NodePtr::NULL, low: u64::MAX, bound: 0 }
    }

    /// Whether the path leads to the leaf that routes the address.
    pub(super) fn leads_to(&self, address: u64) -> bool {
        (self.low..=self.bound).contains(&address)
    }

    /// Whether the path leads nowhere.
    pub(super) fn is_forgotten(&self) -> bool {
        self.low > self.bound
    }

    /// Makes the path lead nowhere, because an edit was published.
    pub(super) fn forget(&mut self) {
        if !seeded("path_kept") {
            self.leaf = NodePtr::NULL;
            (self.low, self.bound) = (u64::MAX, 0);
        }
    }

    /// Returns the number of inner nodes on the path.
    pub(super) fn depth(&self) -> usize {
        self.steps.len()
    }

    /// Returns the step to the leaf, or `None` if the leaf is the root.
    pub(super) fn parent(&self) -> Option<PathStep<V>> {
        self.steps.last().copied()
    }

    /// Returns the steps above a depth, nearest first.
    pub(super) fn steps_above(&self, depth: usize) -> impl DoubleEndedIterator<Item = PathStep<V>> + '_ {
        self.steps[..depth].iter().rev().copied()
    }

    /// Whether the node at a depth of the path is the last of its level.
    pub(super) fn is_right_edge(&self, depth: usize) -> bool {
        self.steps[..depth].iter().all(|step| step.index + 1 == step.node.len())
    }

    /// Whether the node at a depth of the path is the first of its level.
    pub(super) fn is_left_edge(&self, depth: usize) -> bool {
        self.steps[..depth].iter().all(|step| step.index == 0)
    }
}
