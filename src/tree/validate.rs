//! Checks the invariants that speak of a state (T1, T2, T3 and T6), that the writer's path is right, and that the counters agree. Called by
//! `WriteGuard::validate`.

use super::layout::MIN_FILL;
use super::node::{InnerRef, LeafRef, Node, NodePtr, Summary, WriterRole};
use super::write::Editor;
use crate::addr::Span;
use crate::value::Value;
use alloc::format;
use alloc::string::String;
use core::fmt;

/// A broken invariant: a bug of this crate, or of an `unsafe impl` that it relies on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ValidateError {
    /// The invariant's number (see `tree/mod.rs`), such as `"T2"`.
    pub rule: &'static str,
    /// What was found where.
    pub found: String,
}

impl fmt::Display for ValidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is broken: {}", self.rule, self.found)
    }
}

impl core::error::Error for ValidateError {}

fn check(holds: bool, rule: &'static str, found: impl FnOnce() -> String) -> Result<(), ValidateError> {
    if holds { Ok(()) } else { Err(ValidateError { rule, found: found() }) }
}

/// What a check has counted so far.
#[derive(Default)]
struct Census {
    /// The last address seen so far.
    last: Option<u64>,
    entries: usize,
    leaves: usize,
    inners: usize,
    /// The depth of the first leaf.
    leaf_depth: Option<usize>,
}

/// The place of a node in the tree.
#[derive(Clone, Copy)]
struct Place {
    depth: usize,
    is_right_edge: bool,
}

impl<V: Value> Editor<'_, V> {
    /// `WriteGuard::validate`.
    pub(crate) fn validate(&self) -> Result<(), ValidateError> {
        let mut census = Census::default();
        check(self.is_path_good(), "path", || "the path that the writer keeps does not lead from the root to its leaf".into())?;
        let root = self.root.0.owner_load();
        if !root.is_null() {
            self.visit(root, Place { depth: 1, is_right_edge: true }, &mut census)?;
        }
        let counted = [census.entries, census.leaves, census.inners, census.leaf_depth.unwrap_or(0)];
        let kept = self.counters.stats();
        let kept = [kept.entries, kept.leaf_nodes, kept.inner_nodes, kept.height];
        check(counted == kept, "stats", || format!("entries, leaves, inner nodes, height are {counted:?}, the counters say {kept:?}"))
    }

    fn visit(&self, node: NodePtr<V>, place: Place, census: &mut Census) -> Result<Summary, ValidateError> {
        let len = node.len();
        let exempt = place.depth == 1 || place.is_right_edge;
        check(exempt || len >= MIN_FILL, "T3", || format!("a node at depth {} holds {len} of at least {MIN_FILL}", place.depth))?;
        match self.node(node) {
            Node::Leaf(leaf) => self.visit_leaf(leaf, place, census),
            Node::Inner(inner) => self.visit_inner(inner, place, census),
        }
    }

    #[allow(clippy::unused_self, reason = "the twin of visit_inner")]
    fn visit_leaf(&self, leaf: LeafRef<'_, V, WriterRole>, place: Place, census: &mut Census) -> Result<Summary, ValidateError> {
        let expected = *census.leaf_depth.get_or_insert(place.depth);
        check(expected == place.depth, "T3", || format!("leaves at depths {expected} and {}", place.depth))?;
        census.leaves += 1;
        // Computed from the entries, because what the nodes compute of their gaps is what is checked.
        let mut gap = 0;
        for i in 0..leaf.len() {
            let (start, last) = (leaf.start(i), leaf.last(i));
            check(Span::new(start, last).is_ok(), "T1", || format!("the entry {start:#x}..={last:#x} is reversed"))?;
            let is_after = census.last.is_none_or(|before| before < start);
            check(is_after, "T1", || {
                format!("the entry at {start:#x} starts at or below {:#x}, the last address before", census.last.unwrap_or(0))
            })?;
            if let Some(before) = census.last.filter(|_| i > 0) {
                gap = gap.max(start - before - 1);
            }
            census.last = Some(last);
            census.entries += 1;
        }
        Ok(Summary { low: leaf.start(0), gap })
    }

    fn visit_inner(&self, inner: InnerRef<'_, V, WriterRole>, place: Place, census: &mut Census) -> Result<Summary, ValidateError> {
        census.inners += 1;
        let mut whole: Option<Summary> = None;
        for i in 0..inner.len() {
            let is_last = i + 1 == inner.len();
            let is_right_edge = place.is_right_edge && is_last;
            let below = Place { depth: place.depth + 1, is_right_edge };
            let before = census.last;
            let found = self.visit(inner.child(i), below, census)?;
            whole = Some(match (whole, before) {
                (Some(Summary { low, gap }), Some(before)) => Summary { low, gap: gap.max(found.gap).max(found.low - before - 1) },
                _ => found,
            });
            let noted = inner.child_summary(i);
            check(found == noted, "T6", || {
                format!("a child at depth {} has the summary {found:x?}, its parent notes {noted:x?}", below.depth)
            })?;
            let key = if is_right_edge { Some(u64::MAX) } else { census.last };
            check(key == Some(inner.last(i)), "T2", || format!("key {i} at depth {} is {:#x}, not {key:x?}", place.depth, inner.last(i)))?;
        }
        Ok(whole.unwrap_or(Summary { low: 0, gap: 0 }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::super::build::Loader;
    use super::super::node::{Child, EntryBuffer, RawEntry};
    use super::*;
    use crate::sync::{Collector, Reclaim};
    use core::mem::MaybeUninit;

    /// A tree made by hand: the nodes may break invariants, and the counters count them.
    struct Made {
        tree: Tree<u64>,
    }

    impl Made {
        fn new() -> Self {
            Self { tree: Tree::new(Collector::private().expect("memory"), 0) }
        }

        fn leaf(&mut self, entries: &[(u64, u64)]) -> Child<u64> {
            let mut list = EntryBuffer::new();
            list.reserve(entries.len()).expect("memory");
            list.extend_with(entries.iter().map(|&(start, last)| RawEntry { start, last, value: MaybeUninit::new(0) }));
            let node = self.tree.writer.get_mut().pool.make_leaf(&list.slice(0..entries.len()), &self.tree.counters).expect("memory");
            self.tree.counters.entries.add(entries.len());
            self.tree.counters.leaves.add(1);
            let gap = entries.windows(2).map(|pair| pair[1].0.saturating_sub(pair[0].1 + 1)).max().unwrap_or(0);
            Child { node, last: entries[entries.len() - 1].1, summary: Summary { low: entries[0].0, gap } }
        }

        fn inner(&mut self, children: &[Child<u64>], gap: u64) -> Child<u64> {
            let node = self.tree.writer.get_mut().pool.make_inner(children, &self.tree.counters).expect("memory");
            self.tree.counters.inners.add(1);
            Child { node, last: children[children.len() - 1].last, summary: Summary { low: children[0].summary.low, gap } }
        }

        /// Returns the rule that is broken in the tree with this root, if any.
        fn broken(self, root: Child<u64>, height: usize) -> Option<&'static str> {
            self.tree.root.0.publish(root.node);
            self.tree.counters.height.set(height);
            broken(&self.tree)
        }
    }

    #[allow(unsafe_code, reason = "the door to the writer")]
    fn broken(tree: &Tree<u64>) -> Option<&'static str> {
        // SAFETY: nobody else knows the tree.
        let editor = unsafe { tree.edit() };
        editor.validate().err().map(|violation| violation.rule)
    }

    /// Makes leaves of these entries, with these keys and with right summaries and counters.
    fn over(leaves: &[&[(u64, u64)]], keys: &[u64]) -> (Made, Vec<Child<u64>>) {
        let mut made = Made::new();
        let mut children: Vec<_> = leaves.iter().map(|entries| made.leaf(entries)).collect();
        for (child, &key) in children.iter_mut().zip(keys) {
            child.last = key;
        }
        (made, children)
    }

    const LOW: &[(u64, u64)] = &[(0, 4), (10, 14)];
    const MIDDLE: &[(u64, u64)] = &[(20, 24), (60, 64)];
    const EDGE: &[(u64, u64)] = &[(70, 74)];
    const KEYS: &[u64] = &[14, 64, u64::MAX];

    fn two_levels(leaves: &[&[(u64, u64)]], keys: &[u64]) -> Option<&'static str> {
        let (mut made, children) = over(leaves, keys);
        let root = made.inner(&children, 0);
        made.broken(root, 2)
    }

    #[test]
    fn what_is_right_is_let_be() {
        assert_eq!(broken(&Tree::new(Collector::private().expect("memory"), 0)), None, "an empty tree");
        let mut made = Made::new();
        let root = made.leaf(&[(5, 5)]);
        assert_eq!(made.broken(root, 1), None, "a root may hold one");
        assert_eq!(two_levels(&[LOW, MIDDLE, EDGE], KEYS), None, "and the right edge");
        let mut loader = Loader::new(Collector::private().expect("memory"), 0);
        for i in 0..100 {
            loader.push(Span::from_entry(10 * i, 10 * i + 4), i).expect("sorted");
        }
        assert_eq!(broken(&loader.finish().expect("memory")), None);
    }

    #[test]
    fn entries_out_of_order_break_t1() {
        assert_eq!(two_levels(&[&[(4, 0), (10, 14)], MIDDLE, EDGE], KEYS), Some("T1"), "reversed");
        assert_eq!(two_levels(&[&[(0, 10), (10, 14)], MIDDLE, EDGE], KEYS), Some("T1"), "an address in two");
        assert_eq!(two_levels(&[LOW, &[(14, 24), (60, 64)], EDGE], KEYS), Some("T1"), "of two leaves");
        assert_eq!(two_levels(&[MIDDLE, LOW, EDGE], &[64, 14, u64::MAX]), Some("T1"), "not sorted");
    }

    #[test]
    fn a_key_that_is_not_the_last_address_breaks_t2() {
        assert_eq!(two_levels(&[LOW, MIDDLE, EDGE], &[15, 64, u64::MAX]), Some("T2"));
        assert_eq!(two_levels(&[LOW, MIDDLE, EDGE], &[14, u64::MAX, u64::MAX]), Some("T2"), "no right edge");
        assert_eq!(two_levels(&[LOW, MIDDLE, EDGE], &[14, 64, 74]), Some("T2"), "the right edge");
    }

    #[test]
    fn sparse_nodes_and_leaves_at_two_depths_break_t3() {
        assert_eq!(two_levels(&[LOW, &[(20, 24)], EDGE], &[14, 24, u64::MAX]), Some("T3"), "sparse");
        let (mut made, children) = over(&[LOW, MIDDLE, EDGE], KEYS);
        let below = made.inner(&children[1..], 35);
        let root = made.inner(&[children[0], below], 0);
        assert_eq!(made.broken(root, 2), Some("T3"), "two depths");
    }

    #[test]
    fn a_summary_that_is_not_exact_breaks_t6() {
        for (low, gap) in [(20, 34), (20, 36), (21, 35), (19, 35)] {
            let (mut made, mut children) = over(&[LOW, MIDDLE, EDGE], KEYS);
            children[1].summary = Summary { low, gap };
            let root = made.inner(&children, 0);
            assert_eq!(made.broken(root, 2), Some("T6"), "{low} {gap}");
        }
        // A level higher. The gaps between the leaves are 5 long, those inside them 5 and 35.
        for (leaves, gap) in [([LOW, MIDDLE], 35), ([&[(0, 4), (10, 14)], &[(70, 74), (80, 84)]], 55)] {
            for (noted, rule) in [(gap, None), (gap - 1, Some("T6")), (gap + 1, Some("T6"))] {
                let (mut made, mut children) = over(&[leaves[0], leaves[1], &[(100, 104)]], &[leaves[0][1].1, leaves[1][1].1, u64::MAX]);
                let edge = children.split_off(2);
                let (below, edge) = (made.inner(&children, noted), made.inner(&edge, 0));
                let root = made.inner(&[below, edge], 0);
                assert_eq!(made.broken(root, 3), rule, "{noted} for {gap}");
            }
        }
    }

    #[test]
    fn counters_that_disagree_are_reported() {
        let counted: [fn(&Tree<u64>); 4] = [
            |tree| tree.counters.entries.add(1),
            |tree| tree.counters.leaves.add(1),
            |tree| tree.counters.inners.add(1),
            |tree| tree.counters.height.set(3),
        ];
        for (i, wrong) in counted.iter().enumerate() {
            let (mut made, children) = over(&[LOW, MIDDLE, EDGE], KEYS);
            let root = made.inner(&children, 0);
            made.tree.root.0.publish(root.node);
            made.tree.counters.height.set(2);
            assert_eq!(broken(&made.tree), None);
            wrong(&made.tree);
            assert_eq!(broken(&made.tree), Some("stats"), "counter {i}");
        }
    }

    #[test]
    fn a_violation_says_its_number_and_what_was_found() {
        let violation = ValidateError { rule: "T1", found: "two entries".into() };
        assert_eq!(violation.to_string(), "T1 is broken: two entries");
    }
}
