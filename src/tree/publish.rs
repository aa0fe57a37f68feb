//! From private to visible: the only Release store of a node that readers may see, the only store of a start, the only retiring.
//!
//! [`Draft`] is a replacement under construction. Until `publish` nothing of it is visible and it can be abandoned; after, nothing
//! can fail.

use super::Writer;
use super::edit::Editor;
use super::entries::Entries;
use super::limbo::{Charge, trim};
use super::list::push;
use super::node::{Child, Exchange, FANOUT, InnerRef, LeafRef, MIN_FILL, Node, NodePtr, Slot, Summary};
use super::pool::node_bytes;
use super::splice::Old;
use crate::addr::Span;
use crate::error::ResourceError;
use crate::sync::seeded;
use crate::value::Value;
use core::mem;
use core::ops::Range;
use core::ptr::NonNull;
use smallvec::SmallVec;

/// Siblings in order, on their way into the level above. Nearly always one or two.
pub(super) type Children<V> = SmallVec<[Child<V>; 4]>;

/// A replacement under construction. Its buffers are kept from edit to edit.
#[derive(Debug)]
pub(super) struct Draft<V> {
    /// What goes into the new leaves.
    pub(super) entries: Entries<V>,
    /// Built for it, and seen by nobody.
    built: Vec<NodePtr<V>>,
    /// What it unlinks.
    replaced: Vec<NodePtr<V>>,
    /// The entries in its range, as they were.
    pub(super) olds: Vec<Old<V>>,
    /// Where it cuts an entry in two: that value, and the place among the entries that its clone will take.
    pub(super) hole: Option<(NonNull<V>, usize)>,
    /// The entries that take the place of `olds`.
    pub(super) news: usize,
    /// What the values that it removes for good count for. Known when it was admitted.
    removed_bytes: usize,
}

impl<V> Default for Draft<V> {
    fn default() -> Self {
        Self {
            entries: Entries::default(),
            built: Vec::new(),
            replaced: Vec::new(),
            olds: Vec::new(),
            hole: None,
            news: 0,
            removed_bytes: 0,
        }
    }
}

/// How a level that overflows is cut: so that what grows at one end finds room there, and what was left behind stays full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    /// In equal parts.
    Even,
    /// The change is at the low end: few entries there, the rest full.
    Low,
    /// The change is at the high end.
    High,
}

/// What a draft comes to: its topmost node (none where nothing is left), and where that becomes visible.
pub(super) struct Change<'t, V> {
    pub(super) top: Option<Child<V>>,
    pub(super) place: Place<'t, V>,
}

/// Where a draft becomes visible.
pub(super) enum Place<'t, V> {
    /// The root.
    Root(&'t Slot<V>),
    /// The slot of child `index`, at `depth` of the route.
    Child { parent: InnerRef<'t, V>, index: usize, depth: usize },
}

impl<V: Value> Draft<V> {
    /// Forgets the edit before.
    pub(super) fn clear(&mut self) {
        // What an edit left empty was trimmed after the edit before: an edit inside one leaf has no entries here.
        if !self.entries.is_empty() {
            self.entries.clear();
        }
        if !self.built.is_empty() {
            self.built.clear();
            trim(&mut self.built);
        }
        if !self.replaced.is_empty() {
            self.replaced.clear();
            trim(&mut self.replaced);
        }
        if !self.olds.is_empty() {
            self.olds.clear();
            trim(&mut self.olds);
        }
        self.hole = None;
        self.news = 0;
    }

    /// Notes a node that the draft unlinks.
    pub(super) fn replace(&mut self, node: NodePtr<V>) -> Result<(), ResourceError> {
        self.replaced.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
        self.replaced.push(node);
        Ok(())
    }

    /// The entries whose values the draft removes for good (none where values need no drop).
    fn removed(&self, retire: Retire) -> impl Iterator<Item = &Old<V>> {
        self.olds.iter().filter(move |old| match retire {
            Retire::Within(span) => mem::needs_drop::<V>() && old.is_within(span),
            Retire::None => false,
        })
    }

    /// Notes entries in the draft's range.
    pub(super) fn note_olds(&mut self, leaf: LeafRef<'_, V>, range: Range<usize>) -> Result<(), ResourceError> {
        self.olds.try_reserve(range.len()).map_err(|_| ResourceError::OutOfMemory)?;
        self.olds.extend(range.map(|i| Old::of(leaf, i)));
        Ok(())
    }
}

/// How many of the items that are left go into the next node: all nodes but those on the right edge hold at least `MIN_FILL` (T3).
fn next_part(left: usize, bias: Bias, at_right_edge: bool) -> usize {
    let for_two = left <= 2 * FANOUT;
    match bias {
        _ if left <= FANOUT => left,
        Bias::Low if for_two => MIN_FILL.max(left - FANOUT),
        Bias::High if for_two => FANOUT.min(left - if at_right_edge { 1 } else { MIN_FILL }),
        _ => left.div_ceil(left.div_ceil(FANOUT)),
    }
}

impl<'t, V: Value> Editor<'t, V> {
    /// Builds the leaves of the draft's entries.
    pub(super) fn build_leaves(&mut self, bias: Bias, at_right_edge: bool) -> Result<Children<V>, ResourceError> {
        let Writer { draft: Draft { entries, built, .. }, pool, .. } = &mut *self.writer;
        let mut level = Children::new();
        let (mut begin, end) = (0, entries.len());
        while begin < end {
            let len = next_part(end - begin, bias, at_right_edge);
            let part = entries.part(begin..begin + len);
            begin += len;
            built.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
            let node = pool.make_leaf(&part, self.counters)?;
            built.push(node);
            let last = if at_right_edge && begin == end { u64::MAX } else { part.last() };
            push(&mut level, Child { node, last, summary: part.summary() })?;
        }
        Ok(level)
    }

    /// Builds the one leaf that takes the place of another.
    pub(super) fn build_leaf_of(&mut self, old: LeafRef<'t, V>, exchange: &Exchange<V>) -> Result<NodePtr<V>, ResourceError> {
        let Writer { draft: Draft { built, .. }, pool, .. } = &mut *self.writer;
        built.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
        let node = pool.make_leaf_of(old, exchange, self.counters)?;
        built.push(node);
        Ok(node)
    }

    /// Builds the inner nodes over these children.
    pub(super) fn build_inners(&mut self, mut items: &[Child<V>], bias: Bias, at_right_edge: bool) -> Result<Children<V>, ResourceError> {
        let mut level = Children::new();
        while !items.is_empty() {
            let (part, rest) = items.split_at(next_part(items.len(), bias, at_right_edge));
            items = rest;
            let Writer { draft: Draft { built, .. }, pool, .. } = &mut *self.writer;
            built.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)?;
            let node = pool.make_inner(part, self.counters)?;
            built.push(node);
            let Node::Inner(inner) = self.node(node) else { unreachable!("an inner node was made") };
            push(&mut level, Child { node, last: part[part.len() - 1].last, summary: inner.summary() })?;
        }
        Ok(level)
    }

    /// Gives back what a failed draft built.
    pub(super) fn abandon(&mut self) {
        let Writer { draft: Draft { built, .. }, pool, .. } = &mut *self.writer;
        for node in built.drain(..) {
            pool.take_back_private(node, self.counters);
        }
    }

    /// Fills the hole that a cut left in the draft's leaves with the clone.
    pub(super) fn fill(&mut self, mut place: usize, clone: V) {
        for &node in &self.writer.draft.built {
            // The leaves were built first, in order.
            if place < node.len() {
                #[allow(unsafe_code, reason = "writes to a leaf that is not published yet")]
                // SAFETY: this draft's own leaf, which nobody else has seen; the place is one of its entries.
                unsafe {
                    node.write_value(place, clone);
                }
                return;
            }
            place -= node.len();
        }
        unreachable!("the hole is in one of the draft's leaves");
    }

    /// Prepares the retiring of a draft: the last that can fail but for the embedder's clone.
    pub(super) fn admit(&mut self, retire: Retire, charge: Charge) -> Result<(), ResourceError> {
        let Writer { draft, limbo, pool, .. } = &mut *self.writer;
        let (values, bytes) = draft.removed(retire).fold((0, 0usize), |(n, bytes), old| (n + 1, bytes.saturating_add(old.bytes())));
        draft.removed_bytes = bytes;
        if charge == Charge::Checked {
            let nodes: usize = draft.replaced.iter().map(|&node| node_bytes(node)).sum();
            limbo.admit(nodes.saturating_add(bytes), pool, self.counters)?;
        }
        limbo.reserve(draft.replaced.len(), values)
    }

    /// Makes an admitted draft visible with one store, and then retires what it unlinked (T7). The site's route leads to the place.
    pub(super) fn publish(&mut self, change: Change<'t, V>, retire: Retire) {
        let Change { top, place } = change;
        let early = seeded("retire_before_unlink");
        if early {
            self.retire_nodes();
            let Writer { limbo, pool, .. } = &mut *self.writer;
            _ = limbo.step(1, usize::MAX, pool, self.counters);
        }
        let node = top.map_or(NodePtr::NULL, |top| top.node);
        match place {
            Place::Root(slot) => {
                slot.publish(node);
                self.counters.height.set(self.height_of(node));
            }
            Place::Child { parent, index, .. } => {
                if seeded("two_stores") {
                    // The first child's sibling, for a moment: what a change in two steps looks like.
                    parent.slot(index).publish(parent.owner_child(0));
                }
                parent.slot(index).publish(node);
            }
        }
        if let (Place::Child { depth, .. }, Some(top)) = (place, top)
            && !seeded("stale_gap_summary")
        {
            self.note_upward(depth + 1, top.summary);
        }
        if !early {
            self.retire_nodes();
        }
        self.count();
        let Writer { draft, limbo, site, .. } = &mut *self.writer;
        site.forget();
        limbo.retire_values(draft.removed(retire).map(Old::bits), draft.removed_bytes, self.counters);
    }

    fn retire_nodes(&mut self) {
        let Writer { draft, limbo, .. } = &mut *self.writer;
        for &node in &draft.replaced {
            limbo.retire_node(node, self.counters);
        }
    }

    fn count(&self) {
        let (draft, counters) = (&self.writer.draft, self.counters);
        counters.published.add(1);
        counters.entries.add(draft.news.wrapping_sub(draft.olds.len()));
        for &node in &draft.built {
            counters.nodes_of(node).add(1);
            counters.index_bytes.add(node_bytes(node));
        }
        for &node in &draft.replaced {
            counters.nodes_of(node).sub(1);
            counters.index_bytes.sub(node_bytes(node));
        }
    }

    fn height_of(&self, mut node: NodePtr<V>) -> usize {
        let mut height = usize::from(!node.is_null());
        while height > 0
            && let Node::Inner(inner) = self.node(node)
        {
            node = inner.owner_child(0);
            height += 1;
        }
        height
    }

    /// Lowers the start of entry `i` of the site's leaf, in place, and notes what that changes for gap searches (T5, T6).
    pub(super) fn publish_start(&mut self, leaf: LeafRef<'t, V>, i: usize, start: u64) {
        let depth = self.writer.site.route.depth();
        let before = leaf.gap_below(i);
        leaf.lower_start(i, start);
        self.counters.extended_in_place.add(1);
        if !seeded("stale_gap_summary")
            && let Some(noted) = self.noted(depth)
        {
            let gap = noted.gap_after(before, leaf.gap_below(i)).unwrap_or_else(|| leaf.summary().gap);
            self.note_upward(depth, Summary { low: leaf.owner_start(0), gap });
        }
    }

    /// What is noted of the node at `depth` of the site's route; nothing of the root.
    pub(super) fn noted(&self, depth: usize) -> Option<Summary> {
        self.writer.site.route.steps_above(depth).next().map(|step| self.inner(step.node).child_summary(step.index))
    }

    /// Notes the summary of the node at `depth` of the site's route in its parent, and so on upward as long as anything changes (T6).
    fn note_upward(&self, depth: usize, mut summary: Summary) {
        for (above, step) in self.writer.site.route.steps_above(depth).enumerate() {
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

/// Which values an edit removes for good.
#[derive(Clone, Copy, Debug)]
pub(super) enum Retire {
    /// Those of entries that lie within the span; of an entry that was cut, a part lives on.
    Within(Span),
    /// None: each lives on in an entry that the edit put in.
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes into which so many items are cut.
    fn cut(mut left: usize, bias: Bias, at_right_edge: bool) -> Vec<usize> {
        core::iter::from_fn(|| {
            let part = next_part(left, bias, at_right_edge);
            left -= part;
            (part > 0).then_some(part)
        })
        .collect()
    }

    #[test]
    fn parts_are_legal_nodes_and_nothing_is_lost() {
        for len in 0..6 * FANOUT {
            for bias in [Bias::Even, Bias::Low, Bias::High] {
                for at_right_edge in [false, true] {
                    let sizes = cut(len, bias, at_right_edge);
                    assert_eq!(sizes.iter().sum::<usize>(), len, "{sizes:?}");
                    let (edge, inside) = sizes.split_last().map_or((0, &[][..]), |(last, rest)| (*last, rest));
                    assert!(sizes.iter().all(|&size| size <= FANOUT && size > 0), "{sizes:?}");
                    assert!(inside.iter().all(|&size| size >= MIN_FILL), "{len} {bias:?} {at_right_edge} {sizes:?}");
                    assert!(at_right_edge || sizes.len() <= 1 || edge >= MIN_FILL, "{len} {bias:?} {sizes:?}");
                }
            }
        }
    }

    #[test]
    fn the_end_that_grows_gets_the_room() {
        for len in FANOUT + 1..=2 * FANOUT {
            let few = MIN_FILL.max(len - FANOUT);
            assert_eq!(cut(len, Bias::Low, false), [few, len - few]);
            assert_eq!(cut(len, Bias::High, false), [len - few, few]);
            assert_eq!(cut(len, Bias::High, true), [FANOUT, len - FANOUT], "the right edge may hold one");
        }
    }

    #[test]
    fn what_does_not_fit_two_begins_evenly() {
        for len in FANOUT + 1..6 * FANOUT {
            for at_right_edge in [false, true] {
                let even = cut(len, Bias::Even, at_right_edge);
                assert_eq!(even.len(), len.div_ceil(FANOUT), "no more nodes than it takes");
                assert!(even.iter().max().zip(even.iter().min()).is_some_and(|(most, least)| most - least <= 1), "{even:?}");
                for bias in [Bias::Low, Bias::High] {
                    assert!(len <= 2 * FANOUT || cut(len, bias, at_right_edge)[0] == even[0], "{len} {bias:?}");
                }
            }
        }
    }
}
