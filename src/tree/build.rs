//! Builds a whole tree from entries in order: leaves are filled one after the other, and the levels above them as they fill up. Called by
//! the map's builder, and by `dup` with the entries of another tree.

use super::Tree;
use super::layout::FANOUT;
use super::memory::{Pool, drop_contained, node_bytes};
use super::node::{Child, EntryBuffer, Node, RawEntry, WriterRole};
use crate::addr::Span;
use crate::error::{BuildCause, BuildError, RejectedError, ResourceError};
use crate::fallible::reserve;
use crate::sync::Collector;
use crate::value::Value;
use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};

/// A tree under construction, which nobody else sees. If it is dropped unfinished, it drops the values that it was given.
pub(crate) struct Loader<V: Value> {
    tree: Tree<V>,
    entries: EntryBuffer<V>,
    /// The nodes of each level that have no parent yet, leaves first. At most `FANOUT` per level.
    levels: Vec<Vec<Child<V>>>,
    after: Option<Span>,
    /// The value of an entry for which there was no memory.
    refused: Option<MaybeUninit<V>>,
}

#[allow(unsafe_code, reason = "raw pointers to nodes")]
// SAFETY: the nodes are the loader's alone, and go with it; so do the values, which another thread may drop (V: Send).
unsafe impl<V: Value + Send> Send for Loader<V> {}

impl<V: Value> Loader<V> {
    pub(crate) fn new(collector: Collector, budget_bytes: usize) -> Self {
        Self { tree: Tree::new(collector, budget_bytes), entries: EntryBuffer::new(), levels: Vec::new(), after: None, refused: None }
    }

    /// Appends an entry, or returns its value if it does not start above the one before.
    pub(crate) fn push(&mut self, span: Span, value: V) -> Result<(), BuildError<V>> {
        if let Some(after) = self.after.filter(|after| span.start() <= after.last()) {
            return Err(RejectedError::new(Some(value), BuildCause::Unsorted { item: span, after }));
        }
        self.after = Some(span);
        self.append(span, value).map_err(|RejectedError { value, cause }| RejectedError::new(Some(value), cause))
    }

    /// Appends an entry that starts above the one before.
    #[inline]
    pub(crate) fn append(&mut self, span: Span, value: V) -> Result<(), RejectedError<V, ResourceError>> {
        if self.entries.len().is_multiple_of(FANOUT)
            && let Err(error) = self.next_leaf()
        {
            return Err(RejectedError::new(value, error));
        }
        self.entries.push(RawEntry::new(span, value));
        Ok(())
    }

    /// [`append`](Self::append), except that a value for which there is no memory is kept and dropped with the rest.
    #[inline]
    pub(crate) fn append_or_keep(&mut self, span: Span, value: V) -> Result<(), ResourceError> {
        self.append(span, value).map_err(|RejectedError { value, cause }| {
            self.refused = Some(MaybeUninit::new(value));
            cause
        })
    }

    /// Makes room for the entries of a leaf. If those of a whole leaf are there, makes the leaf first.
    #[inline(never)]
    fn next_leaf(&mut self) -> Result<(), ResourceError> {
        self.close_leaf(None)?;
        self.entries.reserve(FANOUT)
    }

    /// Makes a leaf of the entries gathered. `key` is the leaf's key if that is not its last address (T2).
    fn close_leaf(&mut self, key: Option<u64>) -> Result<(), ResourceError> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.room(0)?;
        let part = self.entries.slice(0..self.entries.len());
        let Tree { counters, writer, .. } = &mut self.tree;
        let node = writer.get_mut().pool.make_leaf(&part, counters)?;
        let child = Child { node, last: key.unwrap_or(part.last()), summary: part.summary() };
        counters.entries.add(part.len());
        // The leaf owns the values now.
        self.entries.clear();
        self.adopt(0, child);
        Ok(())
    }

    /// Makes room for one more node in a level.
    fn room(&mut self, level: usize) -> Result<(), ResourceError> {
        if self.levels.len() == level {
            reserve(&mut self.levels, 1)?;
            self.levels.push(Vec::new());
        }
        if self.levels[level].len() == FANOUT {
            self.close_inner(level)?;
        }
        let free = FANOUT - self.levels[level].len();
        reserve(&mut self.levels[level], free)
    }

    /// Makes the parent of a level's nodes.
    fn close_inner(&mut self, level: usize) -> Result<(), ResourceError> {
        let Some(&Child { last, .. }) = self.levels[level].last() else { return Ok(()) };
        self.room(level + 1)?;
        let Tree { counters, writer, .. } = &mut self.tree;
        let node = writer.get_mut().pool.make_inner(&self.levels[level], counters)?;
        self.levels[level].clear();
        #[allow(unsafe_code, reason = "steps into a node that was just made")]
        // SAFETY: private.
        let Node::Inner(inner) = (unsafe { node.get::<WriterRole>() }) else { unreachable!("an inner node was made") };
        self.adopt(level + 1, Child { node, last, summary: inner.summary() });
        Ok(())
    }

    /// Adds a finished node to a level that has room.
    fn adopt(&mut self, level: usize, child: Child<V>) {
        let counters = &self.tree.counters;
        counters.nodes_of(child.node).add(1);
        counters.index_bytes.add(node_bytes(child.node));
        self.levels[level].push(child);
    }

    /// Closes all levels and returns the tree.
    pub(crate) fn finish(&mut self) -> Result<Tree<V>, ResourceError> {
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
                    self.tree.root.publish(top.node);
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
        self.entries.take_values().chain(self.refused.take()).for_each(|value| _ = drop_contained(value));
    }
}
