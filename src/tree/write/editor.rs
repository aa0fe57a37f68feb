//! The writer: what it owns, its steps into nodes, and what it does besides edits. Called by the write guard, through `Tree::edit`.
//!
//! The edits are in `edit`, the searches in `gap` and `position`.

use super::super::memory::{Limbo, Pool};
use super::super::node::{InnerRef, LeafRef, Node, NodePtr, Root, WriterRole};
use super::super::read::View;
use super::super::stats::Counters;
use super::list::EntryList;
use super::path::Path;
use super::pending::PendingEdit;
use crate::sync::Collector;
use crate::value::Value;
use alloc::vec::Vec;
use core::mem::MaybeUninit;

/// What only the writer touches.
#[derive(Debug)]
pub(in crate::tree) struct Writer<V> {
    pub(in crate::tree) pool: Pool<V>,
    pub(in crate::tree) limbo: Limbo<V>,
    /// The edit under way, whose buffers are kept for the next one.
    pub(super) pending: PendingEdit<V>,
    /// The path of the last position: see `position`.
    pub(super) path: Path<V>,
}

impl<V: Value> Writer<V> {
    /// Makes the writer of an empty tree that retires through the collector and holds back at most `budget_bytes`.
    pub(in crate::tree) const fn new(collector: Collector, budget_bytes: usize) -> Self {
        let limbo = Limbo::new(collector, budget_bytes);
        Self { pool: Pool::new(), limbo, pending: PendingEdit::new(), path: Path::new() }
    }
}

/// The writer while it holds the lock. Only an editor can change the index.
#[derive(Debug)]
pub(crate) struct Editor<'t, V: Value> {
    pub(in crate::tree) root: &'t Root<V>,
    pub(in crate::tree) counters: &'t Counters,
    pub(in crate::tree) writer: &'t mut Writer<V>,
}

impl<'t, V: Value> Editor<'t, V> {
    pub(in crate::tree) fn new(root: &'t Root<V>, counters: &'t Counters, writer: &'t mut Writer<V>) -> Self {
        Self { root, counters, writer }
    }

    /// Returns the readers' methods. The view borrows the editor, so nothing is edited while it lives.
    pub(crate) fn view(&self) -> &View<V> {
        View::of(self.root)
    }

    #[allow(unsafe_code, reason = "the writer's one step into a node")]
    pub(in crate::tree) fn node(&self, node: NodePtr<V>) -> Node<'t, V, WriterRole> {
        // SAFETY: not null, by the callers. Reachable, or built or unlinked by the edit under way: the writer itself recycles, and only
        // what edits before this one unlinked. No caller looks at a node of an edit before: what is published ends the path.
        unsafe { node.get() }
    }

    pub(in crate::tree) fn inner(&self, node: NodePtr<V>) -> InnerRef<'t, V, WriterRole> {
        match self.node(node) {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => unreachable!("T3: an inner node was expected here"),
        }
    }

    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call costs each edit 20 instructions")]
    pub(in crate::tree) fn leaf(&self, node: NodePtr<V>) -> Option<LeafRef<'t, V, WriterRole>> {
        if node.is_null() {
            return None;
        }
        match self.node(node) {
            Node::Leaf(leaf) => Some(leaf),
            Node::Inner(_) => unreachable!("T3: a leaf was expected here"),
        }
    }

    /// Recycles what no reader can reach any more, as far as that is due. Called before an edit and not after it, because the caller may
    /// look at what an edit removed until the next one.
    pub(crate) fn poll_reclaim(&mut self) {
        self.writer.limbo.poll(&mut self.writer.pool, self.counters);
    }

    /// Recycles everything that waits, as far as readers permit.
    pub(crate) fn reclaim(&mut self) {
        self.writer.limbo.reclaim(&mut self.writer.pool, self.counters);
    }

    /// Frees the memory that is kept for the next edits.
    pub(crate) fn release(&mut self) {
        self.writer.pool.release(self.counters);
        self.writer.limbo.release();
        self.writer.pending = PendingEdit::new();
    }

    /// Whether there are values to drop after the unlock.
    pub(crate) fn has_droppable(&self) -> bool {
        self.writer.limbo.has_droppable()
    }

    /// Moves the values to drop after the unlock to `to`. If memory is short they stay, and the next writer drops them.
    pub(crate) fn hand_out_droppable(&mut self, to: &mut Vec<MaybeUninit<V>>) {
        self.writer.limbo.hand_out_droppable(to);
    }

    /// Runs the embedder's code while a value is owned here. If that code unwinds, the value is dropped after the unlock.
    #[inline]
    pub(super) fn hold_value_while<T>(&mut self, value: V, run: impl FnOnce() -> T) -> (V, T) {
        self.writer.limbo.hold_while(value, |limbo, value| limbo.drop_after_unlock(MaybeUninit::new(value)), |_| run())
    }

    /// Runs the embedder's code while the values of a list are owned here. If that code unwinds, they are dropped after the unlock.
    pub(crate) fn hold_list_while<T>(&mut self, list: EntryList<V>, run: impl FnOnce(&mut EntryList<V>) -> T) -> (EntryList<V>, T) {
        self.writer.limbo.hold_while(list, |limbo, list| list.give_up().for_each(|value| limbo.drop_after_unlock(value)), run)
    }
}
