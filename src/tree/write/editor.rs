//! The writer: what it owns, its steps into nodes, and what it does beside edits. Called by the write guard, through `Tree::edit`.
//!
//! The edits are in `edit`, the searches in `gap` and `position`.

use super::super::memory::{IN_VAIN, Limbo, Pool, TRY_HARD};
use super::super::node::{InnerRef, LeafRef, Node, NodePtr, Owner, Root};
use super::super::read::View;
use super::super::stats::Counters;
use super::draft::Draft;
use super::list::EntryList;
use super::path::Path;
use crate::sync::Collector;
use crate::value::Value;
use core::mem::MaybeUninit;

/// What only the writer touches.
#[derive(Debug)]
pub(in crate::tree) struct Writer<V> {
    pub(in crate::tree) pool: Pool<V>,
    pub(in crate::tree) limbo: Limbo<V>,
    /// The buffers of the edit under way, kept for the next one.
    pub(super) draft: Draft<V>,
    /// The last path that was taken: see `position`.
    pub(super) path: Path<V>,
}

impl<V: Value> Writer<V> {
    /// The writer of an empty tree that retires through the collector, and holds back at most `budget_bytes`.
    pub(in crate::tree) fn new(collector: Collector, budget_bytes: usize) -> Self {
        let limbo = Limbo::new(collector, budget_bytes);
        Self { pool: Pool::default(), limbo, draft: Draft::default(), path: Path::default() }
    }
}

/// The writer at work: the one that may change the index.
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

    /// The readers' methods, for the writer: it keeps itself from editing by lending itself.
    pub(crate) fn view(&self) -> &View<V> {
        View::of(self.root)
    }

    #[allow(unsafe_code, reason = "the writer's one step into a node")]
    pub(in crate::tree) fn node(&self, node: NodePtr<V>) -> Node<'t, V, Owner> {
        // SAFETY: not null, by the callers. Reachable, or built or unlinked by the edit under way: the writer itself recycles, and only
        // what edits before this one unlinked. No caller looks at a node of an edit before: what is published ends the path.
        unsafe { node.get() }
    }

    pub(in crate::tree) fn inner(&self, node: NodePtr<V>) -> InnerRef<'t, V, Owner> {
        match self.node(node) {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => unreachable!("T3: an inner node was expected here"),
        }
    }

    pub(in crate::tree) fn leaf(&self, node: NodePtr<V>) -> Option<LeafRef<'t, V, Owner>> {
        if node.is_null() {
            return None;
        }
        match self.node(node) {
            Node::Leaf(leaf) => Some(leaf),
            Node::Inner(_) => unreachable!("T3: a leaf was expected here"),
        }
    }

    /// Looks after what was retired, where due. Before an edit, since what the edit before removed may still be looked at until then.
    pub(crate) fn poll_reclaim(&mut self) {
        self.writer.limbo.poll(&mut self.writer.pool, self.counters);
    }

    /// Tries as long as anything moves to bring everything back that waits, and some time longer: what threads left in the collector's
    /// queue when they ended is out of the way before anything of ours moves, and does not show.
    pub(crate) fn reclaim(&mut self) {
        let mut in_vain = 0;
        while in_vain < IN_VAIN && !self.writer.limbo.is_empty() {
            let held = self.counters.held_bytes.read();
            // Where memory is short what waits goes on waiting.
            if self.writer.limbo.step(TRY_HARD, usize::MAX, &mut self.writer.pool, self.counters).is_err() {
                return;
            }
            in_vain = if self.counters.held_bytes.read() < held { 0 } else { in_vain + 1 };
        }
    }

    /// Gives the system what is kept for the next edits.
    pub(crate) fn release(&mut self) {
        self.writer.pool.release(self.counters);
        self.writer.limbo.release();
        self.writer.draft = Draft::default();
    }

    /// Whether there are values to drop once the writer's lock is released.
    pub(crate) fn has_dead(&self) -> bool {
        self.writer.limbo.has_dead()
    }

    /// Adds the values to drop once the writer's lock is released to those that are there already; the next writer does, where memory is
    /// short.
    pub(crate) fn hand_out_dead(&mut self, to: &mut Vec<MaybeUninit<V>>) {
        self.writer.limbo.hand_out_dead(to);
    }

    /// Runs code of the embedder's beside a value that is to be dropped after the unlock if that code unwinds.
    #[inline]
    pub(super) fn hold_value_while<T>(&mut self, value: V, run: impl FnOnce() -> T) -> (V, T) {
        self.writer.limbo.hold_while(value, |limbo, value| limbo.bury_unseen(MaybeUninit::new(value)), |_| run())
    }

    /// The same beside the values of a list.
    pub(crate) fn hold_list_while<T>(&mut self, list: EntryList<V>, run: impl FnOnce(&mut EntryList<V>) -> T) -> (EntryList<V>, T) {
        self.writer.limbo.hold_while(list, |limbo, list| list.give_up().for_each(|value| limbo.bury_unseen(value)), run)
    }
}
