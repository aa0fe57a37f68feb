//! Makes an edit visible: the only Release store of a node that readers may see, the only store of a start, and the only retiring. Called
//! by `splice`, `prepared` and `edit`.
//!
//! Nothing can fail after `admit`, except in an edit that cuts an entry in two: `splice` then reserves memory for the inserted values and
//! calls the embedder's clone. An edit that fails there is abandoned, so nothing has changed.

use super::super::memory::{Charge, node_bytes};
use super::super::node::{Child, InnerRef, LeafRef, Node, NodePtr, Root, Summary, WriterRole};
use super::editor::{Editor, Writer};
use super::pending::ReplacedEntry;
use crate::error::ResourceError;
use crate::sync::seeded;
use crate::value::Value;

/// A finished pending edit: its topmost node (`None` if nothing is left), and the slot in which it becomes visible.
pub(super) struct Replacement<'t, V> {
    pub(super) top: Option<Child<V>>,
    pub(super) target: Target<'t, V>,
}

/// The slot in which a pending edit becomes visible.
pub(super) enum Target<'t, V> {
    /// The root.
    Root(&'t Root<V>),
    /// The slot of child `index`, at `depth` of the path.
    Child { parent: InnerRef<'t, V, WriterRole>, index: usize, depth: usize },
}

impl<'t, V: Value> Editor<'t, V> {
    /// Checks the budget, and makes room for what the pending edit will retire.
    #[inline]
    pub(super) fn admit(&mut self, charge: Charge) -> Result<(), ResourceError> {
        let Writer { pending, limbo, pool, .. } = &mut *self.writer;
        let (values, bytes) = pending.removed().fold((0, 0usize), |(n, bytes), old| (n + 1, bytes.saturating_add(old.bytes())));
        pending.removed_bytes = bytes;
        if charge == Charge::Checked {
            let nodes: usize = pending.unlinked.iter().map(|&node| node_bytes(node)).sum();
            limbo.admit(nodes.saturating_add(bytes), pool, self.counters)?;
        }
        limbo.reserve(pending.unlinked.len(), values)
    }

    #[inline]
    fn retire_nodes(&mut self) {
        let Writer { pending, limbo, .. } = &mut *self.writer;
        for &node in &pending.unlinked {
            limbo.retire_node(node, self.counters);
        }
    }

    #[inline]
    fn count(&self) {
        let (pending, counters) = (&self.writer.pending, self.counters);
        counters.published.add(1);
        counters.entries.add(pending.inserted.wrapping_sub(pending.replaced.len()));
        for &node in &pending.built {
            counters.nodes_of(node).add(1);
            counters.index_bytes.add(node_bytes(node));
        }
        for &node in &pending.unlinked {
            counters.nodes_of(node).sub(1);
            counters.index_bytes.sub(node_bytes(node));
        }
    }

    fn height_of(&self, mut node: NodePtr<V>) -> usize {
        let mut height = usize::from(!node.is_null());
        while height > 0
            && let Node::Inner(inner) = self.node(node)
        {
            node = inner.child(0);
            height += 1;
        }
        height
    }

    /// Makes an admitted pending edit visible with one store, and then retires what it unlinked (T7). The target lies on the writer's
    /// path, which has not changed since the pending edit was built.
    pub(super) fn publish(&mut self, replacement: Replacement<'t, V>) {
        let Replacement { top, target } = replacement;
        let early = seeded("retire_before_unlink");
        if early {
            self.retire_nodes();
            let Writer { limbo, pool, .. } = &mut *self.writer;
            _ = limbo.step(1, usize::MAX, pool, self.counters);
        }
        let node = top.map_or(NodePtr::NULL, |top| top.node);
        match target {
            Target::Root(root) => {
                root.publish(node);
                self.counters.height.set(self.height_of(node));
            }
            Target::Child { parent, index, .. } => {
                if seeded("two_stores") {
                    // The first child's sibling, for a moment: what a change in two steps looks like.
                    parent.slot(index).publish(parent.child(0));
                }
                parent.slot(index).publish(node);
            }
        }
        if let (Target::Child { depth, .. }, Some(top)) = (target, top)
            && !seeded("stale_gap_summary")
        {
            self.note_upward(depth + 1, top.summary);
        }
        if !early {
            self.retire_nodes();
        }
        self.count();
        let Writer { pending, limbo, path, .. } = &mut *self.writer;
        path.forget();
        limbo.retire_values(pending.removed().map(ReplacedEntry::bits), pending.removed_bytes, self.counters);
    }

    /// Lowers the start of entry `i` of the path's leaf, in place, and notes what that changes for gap searches (T5, T6).
    pub(super) fn publish_start(&mut self, leaf: LeafRef<'t, V, WriterRole>, i: usize, start: u64) {
        let depth = self.writer.path.depth();
        let before = leaf.gap_below(i);
        leaf.lower_start(i, start);
        self.counters.extended_in_place.add(1);
        if !seeded("stale_gap_summary")
            && let Some(noted) = self.noted(depth)
        {
            let gap = noted.gap_after(before, leaf.gap_below(i)).unwrap_or_else(|| leaf.summary().gap);
            self.note_upward(depth, Summary { low: leaf.start(0), gap });
        }
    }

    /// Returns what is noted of the node at `depth` of the path, or `None` for the root.
    pub(super) fn noted(&self, depth: usize) -> Option<Summary> {
        self.writer.path.steps_above(depth).next().map(|step| self.inner(step.node).child_summary(step.index))
    }

    /// Notes the summary of the node at `depth` of the path in its parent, and so on upward while anything changes (T6).
    fn note_upward(&self, depth: usize, mut summary: Summary) {
        for (above, step) in self.writer.path.steps_above(depth).enumerate() {
            let parent = self.inner(step.node);
            let old = parent.child_summary(step.index);
            if old == summary {
                return;
            }
            let before = old.gap.max(parent.gap_below(step.index));
            parent.note(step.index, summary);
            let Some(noted) = self.noted(depth - above - 1) else { return };
            let after = summary.gap.max(parent.gap_below(step.index));
            let gap = noted.gap_after(before, after).unwrap_or_else(|| parent.summary().gap);
            summary = Summary { low: parent.child_summary(0).low, gap };
        }
    }
}
