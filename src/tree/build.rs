//! A whole tree from entries that come in order: leaves are filled one after the other, and the levels above them as they fill up.
//! `dup` is this over a tree's own entries.

use super::Tree;
use super::entries::Entries;
use super::node::{Child, FANOUT, Item, Node, NodePtr};
use super::pool::{Pool, drop_contained};
use crate::addr::Span;
use crate::error::{BuildCause, BuildError, Rejected, ResourceError};
use crate::sync::Collector;
use crate::value::Value;
use core::mem::{self, MaybeUninit};

/// A tree under construction. Nobody else sees it; dropped unfinished, it drops what it was given.
pub(crate) struct Loader<V: Value> {
    tree: Tree<V>,
    entries: Entries<V>,
    /// The nodes of each level that have no parent yet, leaves first; at most `FANOUT` each.
    levels: Vec<Vec<Child<V>>>,
    after: Option<Span>,
}

impl<V: Value> Loader<V> {
    pub(crate) fn new(collector: Collector, budget_bytes: usize) -> Self {
        Self { tree: Tree::new(collector, budget_bytes), entries: Entries::default(), levels: Vec::new(), after: None }
    }

    /// Takes the next entry.
    pub(crate) fn push(&mut self, span: Span, value: V) -> Result<(), BuildError<V>> {
        let rejected = |value, cause| Err(Rejected { value: Some(value), cause });
        if let Some(after) = self.after.filter(|after| span.start() <= after.last()) {
            return rejected(value, BuildCause::Unsorted { item: span, after });
        }
        if self.entries.len() == FANOUT
            && let Err(error) = self.close_leaf(None)
        {
            return rejected(value, error.into());
        }
        if let Err(error) = self.entries.reserve(1) {
            return rejected(value, error.into());
        }
        self.entries.push(Item { start: span.start(), last: span.last(), value: MaybeUninit::new(value) });
        self.after = Some(span);
        self.tree.counters.entries.add(1);
        Ok(())
    }

    /// Makes a leaf of the entries gathered; `key` is its key where that is not its last address (T2).
    fn close_leaf(&mut self, key: Option<u64>) -> Result<(), ResourceError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        let part = self.entries.part(0..self.entries.len());
        let last = key.unwrap_or(part.last());
        self.room(0)?;
        let Tree { counters, writer, .. } = &mut self.tree;
        let node = writer.get_mut().pool.make_leaf(&self.entries.part(0..self.entries.len()), counters)?;
        // The leaf has the values now.
        self.entries.clear();
        self.adopt(0, node, last);
        Ok(())
    }

    /// Makes room for one more node in a level.
    fn room(&mut self, level: usize) -> Result<(), ResourceError> {
        let oom = |_| ResourceError::OutOfMemory;
        if self.levels.len() == level {
            self.levels.try_reserve(1).map_err(oom)?;
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == FANOUT {
            self.close_inner(level)?;
        }
        let free = FANOUT - self.levels[level].len();
        self.levels[level].try_reserve_exact(free).map_err(oom)
    }

    /// Makes a parent of a level's nodes.
    fn close_inner(&mut self, level: usize) -> Result<(), ResourceError> {
        let Some(end) = self.levels[level].last() else { return Ok(()) };
        let last = end.last;
        self.room(level + 1)?;
        let Tree { counters, writer, .. } = &mut self.tree;
        let node = writer.get_mut().pool.make_inner(&self.levels[level], counters)?;
        self.levels[level].clear();
        self.adopt(level + 1, node, last);
        Ok(())
    }

    /// Takes a finished node into a level that has room.
    fn adopt(&mut self, level: usize, node: NodePtr<V>, last: u64) {
        #[allow(unsafe_code, reason = "steps into a node that was just made")]
        // SAFETY: made above, private.
        let summary = match unsafe { node.get() } {
            Node::Leaf(leaf) => leaf.summary(),
            Node::Inner(inner) => inner.summary(),
        };
        let counters = &self.tree.counters;
        counters.nodes_of(node).add(1);
        counters.index_bytes.add(super::pool::node_bytes(node));
        self.levels[level].push(Child { node, last, summary });
    }

    /// Closes all levels and hands the tree out.
    pub(crate) fn finish(mut self) -> Result<Tree<V>, ResourceError> {
        self.close_all()?;
        let empty = Tree::new(self.tree.writer.get_mut().limbo.collector(), 0);
        Ok(mem::replace(&mut self.tree, empty))
    }

    fn close_all(&mut self) -> Result<(), ResourceError> {
        self.close_leaf(Some(u64::MAX))?;
        for level in 0.. {
            let is_top = level + 1 >= self.levels.len();
            match self.levels.get(level).map(Vec::as_slice) {
                None => break,
                Some([top]) if is_top => {
                    self.tree.root.slot.publish(top.node);
                    self.tree.counters.height.set(level + 1);
                    self.levels[level].clear();
                    break;
                }
                Some(_) => self.close_inner(level)?,
            }
        }
        Ok(())
    }
}

impl<V: Value> Drop for Loader<V> {
    fn drop(&mut self) {
        for child in self.levels.drain(..).flatten() {
            Pool::drop_subtree(child.node);
        }
        self.entries.take_values().for_each(|value| _ = drop_contained(value));
    }
}
