//! The edit that does not stay inside one leaf. Called by `splice`.
//!
//! There are two paths: to the range's first address, and to its last. Level by level from the leaves up, all nodes from the one path to
//! the other form a *group*. The group's content, with the range's entries exchanged, is divided into new nodes. By T8 the nodes at both
//! ends of the group are replaced even if none of their entries change. The edit ends at the lowest slot that can take the result, which is
//! one new node in place of one old one, under the same key.
//!
//! ```text
//!                  ┌────────── parent ──────────┐         the slot of the lowest covering node is stored to,
//!   level above:   │  ..  [L ═══════ R]  ..     │         or the parent's content joins the next group
//!                  └──────┼─────────┼───────────┘
//!   group:          left path ... right path            replaced whole; what lies between goes with its subtrees
//! ```

use super::super::layout::{FANOUT, MIN_FILL};
use super::super::node::{Child, Node, NodePtr, RawEntry};
use super::editor::Editor;
use super::nodes::{Bias, Children};
use super::path::{Path, PathStep};
use super::publish::{Replacement, Target};
use crate::addr::Span;
use crate::error::ResourceError;
use crate::value::Value;
use smallvec::SmallVec;

/// Entries of two neighbouring leaves. Up to `FOR_TWO` two leaves have room for a while; from `FOR_THREE` on they need a third at once or
/// soon. In between it is cheaper to cut the leaf that overflows in halves, which then have room for long.
const FOR_TWO: usize = 2 * FANOUT - FANOUT / 4;
const FOR_THREE: usize = 2 * FANOUT - 1;

impl<'t, V: Value> Editor<'t, V> {
    /// Builds the replacement by groups, and finds the slot for it. The paths lead to the first and to the last address of the span.
    pub(super) fn build_groups(
        &mut self,
        span: Span,
        left: &mut Path<V>,
        right: &mut Path<V>,
        inserted: &[RawEntry<V>],
    ) -> Result<Replacement<'t, V>, ResourceError> {
        let bias = self.gather(span, left, right, inserted)?;
        let mut depth = left.depth();
        // The leaves.
        if bias == Bias::Even
            && let Some((side, turn)) = self.to_share_with(left, right)
        {
            self.widen_to(left, right, depth, side, turn).and_then(|node| self.gather_neighbour(node, side))?;
        }
        while (1..MIN_FILL).contains(&self.writer.pending.entries.len()) && !right.is_right_edge(depth) {
            let Some((side, turn)) = nearest(left, right, depth) else { break };
            self.widen_to(left, right, depth, side, turn).and_then(|node| self.gather_neighbour(node, side))?;
        }
        let mut level = self.build_leaves(bias, right.is_right_edge(depth))?;
        // The inner levels.
        while depth > 0 {
            depth -= 1;
            let (l, r) = (left.steps[depth], right.steps[depth]);
            let (l_node, r_node) = (self.inner(l.node), self.inner(r.node));
            if let [top] = level[..]
                && l.node == r.node
                && l.index == r.index
                && top.last == l_node.last(l.index)
            {
                let target = Target::Child { parent: l_node, index: l.index, depth };
                return Ok(Replacement { top: Some(top), target });
            }
            self.replace_both(l.node, r.node)?;
            let mut items: SmallVec<[Child<V>; 2 * FANOUT + 4]> = SmallVec::new();
            insert_all(&mut items, Side::Right, (0..l.index).map(|i| l_node.item(i)))?;
            insert_all(&mut items, Side::Right, level.drain(..))?;
            insert_all(&mut items, Side::Right, (r.index + 1..r_node.len()).map(|i| r_node.item(i)))?;
            let bias = bias_of(l.index == 0, r.index + 1 == r_node.len());
            while items.len() < MIN_FILL && !items.is_empty() && !right.is_right_edge(depth) {
                let Some((side, turn)) = nearest(left, right, depth) else { break };
                let node = self.widen_to(left, right, depth, side, turn)?;
                let neighbour = self.inner(node);
                insert_all(&mut items, side, (0..neighbour.len()).map(|i| neighbour.item(i)))?;
            }
            let at_right_edge = right.is_right_edge(depth);
            if at_right_edge && let Some(edge) = items.last_mut() {
                *edge = self.made_right_edge(*edge)?;
            }
            if items.len() == 1 && at_right_edge && left.is_left_edge(depth) {
                // The level below is one node, which becomes the root. Everything above it goes.
                level.push(items[0]);
                for (l, r) in left.steps[..depth].iter().zip(&right.steps[..depth]) {
                    self.replace_both(l.node, r.node)?;
                }
                break;
            }
            level = self.build_inners(&items, bias, at_right_edge)?;
        }
        self.build_root(level)
    }

    /// Makes a root of the topmost level.
    fn build_root(&mut self, mut level: Children<V>) -> Result<Replacement<'t, V>, ResourceError> {
        while level.len() > 1 {
            level = self.build_inners(&level, Bias::Even, true)?;
        }
        let mut top = level.pop();
        while let Some(Child { node, .. }) = top
            && let Node::Inner(inner) = self.node(node)
            && inner.len() == 1
        {
            // An inner node on the right edge may have one child, but a root with one child is not needed.
            self.writer.pending.note_node(node)?;
            top = Some(inner.item(0));
        }
        Ok(Replacement { top, target: Target::Root(self.root) })
    }

    /// Notes the one or two nodes of two paths at one depth as replaced.
    fn replace_both(&mut self, left: NodePtr<V>, right: NodePtr<V>) -> Result<(), ResourceError> {
        self.writer.pending.note_node(left)?;
        if left == right { Ok(()) } else { self.writer.pending.note_node(right) }
    }

    /// Gathers the entries of the new leaves: what the two leaves at the ends of the group keep, what sticks out of the range, and what is
    /// inserted. Notes what was in the range, and which leaves are replaced.
    fn gather(&mut self, span: Span, left: &Path<V>, right: &Path<V>, inserted: &[RawEntry<V>]) -> Result<Bias, ResourceError> {
        let (Some(left_leaf), Some(right_leaf)) = (self.leaf(left.leaf), self.leaf(right.leaf)) else {
            let pending = &mut self.writer.pending;
            pending.inserted = inserted.len();
            pending.entries.reserve(pending.inserted)?;
            pending.entries.extend_with(inserted.iter().map(RawEntry::copy));
            return Ok(Bias::Even);
        };
        self.replace_both(left.leaf, right.leaf)?;
        let first = left_leaf.rank(span.start());
        let mut end = right_leaf.rank(span.last());
        end += usize::from(end < right_leaf.len() && right_leaf.start(end) <= span.last());
        if left_leaf.is(right_leaf) {
            self.writer.pending.note_entries(left_leaf, first..end)?;
        } else {
            self.writer.pending.note_entries(left_leaf, first..left_leaf.len())?;
            self.harvest_between(left, right)?;
            self.writer.pending.note_entries(right_leaf, 0..end)?;
        }
        let pending = &mut self.writer.pending;
        let low_part = pending.replaced.first().filter(|old| old.span.start() < span.start());
        let high_part = pending.replaced.last().filter(|old| old.span.last() > span.last());
        let low_item = low_part.map(|old| RawEntry { start: old.span.start(), last: span.start() - 1, value: old.bits() });
        let high_item = high_part.map(|old| RawEntry { start: span.last() + 1, last: old.span.last(), value: old.bits() });
        if let (Some(_), Some(_), [old]) = (&low_item, &high_item, &pending.replaced[..]) {
            // One entry sticks out on both sides. It is cut in two, and the upper part will get a clone of the value.
            pending.hole = Some((old.value(), first + 1 + inserted.len()));
        }
        pending.inserted = usize::from(low_item.is_some()) + inserted.len() + usize::from(high_item.is_some());
        let bias = bias_of(first == 0 && low_item.is_none(), end == right_leaf.len() && high_item.is_none());
        let entries = &mut pending.entries;
        entries.reserve(first + pending.inserted + (right_leaf.len() - end))?;
        entries.extend(left_leaf, 0..first);
        entries.extend_with(low_item.into_iter().chain(inserted.iter().map(RawEntry::copy)).chain(high_item));
        entries.extend(right_leaf, end..right_leaf.len());
        Ok(bias)
    }

    /// Notes all entries and nodes strictly between the leaves of two paths, in order.
    fn harvest_between(&mut self, left: &Path<V>, right: &Path<V>) -> Result<(), ResourceError> {
        let (left, right) = (&left.steps, &right.steps);
        let fork = (0..left.len()).find(|&d| left[d].index != right[d].index).unwrap_or(left.len());
        for step in left[fork + 1..].iter().rev() {
            self.harvest_children(step.node, step.index + 1..step.node.len())?;
        }
        self.harvest_children(left[fork].node, left[fork].index + 1..right[fork].index)?;
        for step in &right[fork + 1..] {
            self.harvest_children(step.node, 0..step.index)?;
        }
        Ok(())
    }

    fn harvest_children(&mut self, parent: NodePtr<V>, range: core::ops::Range<usize>) -> Result<(), ResourceError> {
        let parent = self.inner(parent);
        range.into_iter().try_for_each(|i| self.harvest(parent.child(i)))
    }

    fn harvest(&mut self, node: NodePtr<V>) -> Result<(), ResourceError> {
        self.writer.pending.note_node(node)?;
        match self.node(node) {
            Node::Leaf(leaf) => self.writer.pending.note_entries(leaf, 0..leaf.len()),
            Node::Inner(inner) => self.harvest_children(node, 0..inner.len()),
        }
    }

    /// Adds the entries of a leaf next to the group.
    fn gather_neighbour(&mut self, node: NodePtr<V>, side: Side) -> Result<(), ResourceError> {
        let Some(neighbour) = self.leaf(node) else { return Ok(()) };
        let pending = &mut self.writer.pending;
        let middle = pending.entries.len();
        pending.entries.reserve(neighbour.len())?;
        pending.entries.extend(neighbour, 0..neighbour.len());
        if side == Side::Left {
            pending.entries.rotate(middle);
            pending.hole = pending.hole.map(|(value, place)| (value, place + neighbour.len()));
        }
        Ok(())
    }

    /// Chooses a neighbour to share with if one leaf overflows: the emptier of the two leaves next to it under the same parent, if dividing
    /// both leaves' entries (into two leaves or three) is better than cutting the one in halves. This keeps leaves fuller.
    fn to_share_with(&self, left: &Path<V>, right: &Path<V>) -> Option<(Side, usize)> {
        let entries = self.writer.pending.entries.len();
        let step = left.parent().filter(|_| left.leaf == right.leaf && entries > FANOUT)?;
        let parent = self.inner(step.node);
        let len = |side| match side {
            Side::Left if step.index > 0 => Some(parent.child(step.index - 1).len()),
            Side::Right if step.index + 1 < parent.len() => Some(parent.child(step.index + 1).len()),
            _ => None,
        };
        let (len, side) = [Side::Left, Side::Right].into_iter().filter_map(|side| Some((len(side)?, side))).min_by_key(|(len, _)| *len)?;
        let total = entries + len;
        (total <= FOR_TWO || total >= FOR_THREE).then_some((side, left.depth() - 1))
    }

    /// Takes the neighbour at `depth` into the group, moving the path to it, and returns it. `turn` is the depth at which the way to the
    /// neighbour leaves the path.
    fn widen_to(
        &mut self,
        left: &mut Path<V>,
        right: &mut Path<V>,
        depth: usize,
        side: Side,
        turn: usize,
    ) -> Result<NodePtr<V>, ResourceError> {
        let (moved, other) = if side == Side::Left { (left, right) } else { (right, left) };
        for d in turn + 1..depth {
            // The path leaves this node, which stays replaced.
            if moved.steps[d].node != other.steps[d].node {
                self.writer.pending.note_node(moved.steps[d].node)?;
            }
        }
        let step = &mut moved.steps[turn];
        step.index = if side == Side::Left { step.index - 1 } else { step.index + 1 };
        let mut node = self.inner(step.node).child(step.index);
        for d in turn + 1..depth {
            let inner = self.inner(node);
            let index = if side == Side::Left { inner.len() - 1 } else { 0 };
            moved.steps[d] = PathStep { node, index };
            node = inner.child(index);
        }
        self.writer.pending.note_node(node)?;
        Ok(node)
    }

    /// Prepares a subtree for the right edge: its last keys become the maximum (T2).
    fn made_right_edge(&mut self, mut child: Child<V>) -> Result<Child<V>, ResourceError> {
        if child.last != u64::MAX
            && let Node::Inner(inner) = self.node(child.node)
        {
            let mut items: SmallVec<[Child<V>; FANOUT]> = (0..inner.len()).map(|i| inner.item(i)).collect();
            if let Some(edge) = items.last_mut() {
                *edge = self.made_right_edge(*edge)?;
            }
            self.writer.pending.note_node(child.node)?;
            let built = self.build_inners(&items, Bias::Even, true)?;
            child.node = built[0].node;
        }
        child.last = u64::MAX;
        Ok(child)
    }
}

/// An end of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Finds the nearest neighbour of the group between two paths: its side, and the depth at which the way to it leaves the path. `None` if
/// the group is the whole level.
fn nearest<V>(left: &Path<V>, right: &Path<V>, depth: usize) -> Option<(Side, usize)> {
    let before = left.steps[..depth].iter().rposition(|step| step.index > 0);
    let after = right.steps[..depth].iter().rposition(|step| step.index + 1 < step.node.len());
    match (before, after) {
        (None, None) => None,
        (Some(before), after) if after.is_none_or(|after| after <= before) => Some((Side::Left, before)),
        (_, after) => Some((Side::Right, after.unwrap_or_default())),
    }
}

fn bias_of(at_low_end: bool, at_high_end: bool) -> Bias {
    match (at_low_end, at_high_end) {
        (true, false) => Bias::Low,
        (false, true) => Bias::High,
        _ => Bias::Even,
    }
}

/// Inserts items at one end of a list, in order.
fn insert_all<T, const N: usize>(
    list: &mut SmallVec<[T; N]>,
    side: Side,
    items: impl ExactSizeIterator<Item = T>,
) -> Result<(), ResourceError> {
    let old_len = list.len();
    if items.len() > list.capacity() - old_len {
        list.try_reserve(items.len()).map_err(|_| ResourceError::OutOfMemory)?;
    }
    list.extend(items);
    if side == Side::Left {
        list.rotate_left(old_len);
    }
    Ok(())
}
