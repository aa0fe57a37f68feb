//! Builds the nodes of a pending edit, and gives them back if it fails. Called by `leaf_edit` and `groups` to build, by `splice` to write the
//! clone of a cut entry's value, and by `splice` and `prepared` to give the nodes back.

use super::super::layout::{FANOUT, MIN_FILL};
use super::super::node::{Child, Exchange, LeafRef, Node, NodePtr, WriterRole};
use super::editor::{Editor, Writer};
use super::pending::PendingEdit;
use crate::error::ResourceError;
use crate::fallible::{push, reserve};
use crate::value::Value;
use smallvec::SmallVec;

/// New siblings in order, nearly always one or two.
pub(super) type Children<V> = SmallVec<[Child<V>; 4]>;

/// How a level that overflows is divided. A level that grows at one end gets room there, and its other nodes stay full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bias {
    /// Into equal parts.
    Even,
    /// Few entries at the low end, where the change is; the rest is full.
    Low,
    /// Few entries at the high end, where the change is.
    High,
}

/// Returns how many of the items that are left go into the next node. All nodes except those on the right edge hold at least `MIN_FILL`
/// (T3).
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
    /// Builds the leaves of the pending edit's entries.
    pub(super) fn build_leaves(&mut self, bias: Bias, at_right_edge: bool) -> Result<Children<V>, ResourceError> {
        let Writer { pending: PendingEdit { entries, built, .. }, pool, .. } = &mut *self.writer;
        let mut level = Children::new();
        let (mut begin, end) = (0, entries.len());
        while begin < end {
            let len = next_part(end - begin, bias, at_right_edge);
            let part = entries.slice(begin..begin + len);
            begin += len;
            reserve(built, 1)?;
            let node = pool.make_leaf(&part, self.counters)?;
            built.push(node);
            let last = if at_right_edge && begin == end { u64::MAX } else { part.last() };
            push(&mut level, Child { node, last, summary: part.summary() })?;
        }
        Ok(level)
    }

    /// Builds the one leaf that takes the place of another.
    #[inline]
    pub(super) fn build_leaf_of(&mut self, old: LeafRef<'t, V, WriterRole>, exchange: &Exchange<V>) -> Result<NodePtr<V>, ResourceError> {
        let Writer { pending: PendingEdit { built, .. }, pool, .. } = &mut *self.writer;
        reserve(built, 1)?;
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
            let Writer { pending: PendingEdit { built, .. }, pool, .. } = &mut *self.writer;
            reserve(built, 1)?;
            let node = pool.make_inner(part, self.counters)?;
            built.push(node);
            let Node::Inner(inner) = self.node(node) else { unreachable!("an inner node was made") };
            push(&mut level, Child { node, last: part[part.len() - 1].last, summary: inner.summary() })?;
        }
        Ok(level)
    }

    /// Gives the nodes that a pending edit built back to the pool. Called if the edit failed, or was prepared and dropped.
    pub(super) fn abandon(&mut self) {
        let Writer { pending: PendingEdit { built, .. }, pool, .. } = &mut *self.writer;
        for node in built.drain(..) {
            pool.take_back_private(node, self.counters);
        }
    }

    /// Writes the clone to its place in the pending edit's leaves, where an entry was cut in two.
    pub(super) fn fill(&mut self, mut place: usize, clone: V) {
        for &node in &self.writer.pending.built {
            // The leaves were built first, in order.
            if place < node.len() {
                #[allow(unsafe_code, reason = "writes to a leaf that is not published yet")]
                // SAFETY: this pending edit's own leaf, which nobody else has seen; the place is one of its entries.
                unsafe {
                    node.write_value(place, clone);
                }
                return;
            }
            place -= node.len();
        }
        unreachable!("the hole is in one of the pending edit's leaves");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the sizes of the nodes into which this many items are divided.
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
