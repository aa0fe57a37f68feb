//! A range that the writer went to, as a value: what is in it, and the edits of it.
//!
//! [`Editor::locate`] makes a [`Position`]. It borrows the editor, so nothing can be published while a caller looks at it, and an edit
//! consumes it. Called by `edit` and the write guard. `edit`, `splice`, `leaf_edit` and `prepared` add the methods that edit the range.

use super::super::node::{LeafRef, Node, WriterRole};
use super::super::read::{Entry, View};
use super::editor::Editor;
use super::path::{Path, PathStep};
use crate::addr::Span;
use crate::sync::seeded;
use crate::value::Value;
use core::{fmt, mem};

/// A range, and the path to the leaf that routes its first address.
///
/// # Invariants
/// The path is `editor.writer.path`. It is large, and stays where it is, because the next position nearly always has the same path.
pub(crate) struct Position<'e, 't, V: Value> {
    pub(super) editor: &'e mut Editor<'t, V>,
    pub(super) span: Span,
}

impl<'t, V: Value> Editor<'t, V> {
    /// Goes to a range. Descends from the root only if the path of the last position leads elsewhere, or an edit was published since.
    pub(crate) fn locate(&mut self, span: Span) -> Position<'_, 't, V> {
        if !self.writer.path.leads_to(span.start()) {
            self.descend(span.start());
        }
        Position { editor: self, span }
    }

    /// Makes the writer's path lead to an address.
    fn descend(&mut self, address: u64) {
        let (mut node, mut low, mut bound) = (self.root.0.owner_load(), 0, u64::MAX);
        self.writer.path.steps.clear();
        while !node.is_null() {
            let Node::Inner(inner) = self.node(node) else { break };
            let index = inner.rank(address);
            self.writer.path.steps.push(PathStep { node, index });
            low = if index > 0 { inner.last(index - 1) + 1 } else { low };
            (node, bound) = (inner.child(index), inner.last(index));
        }
        let path = &mut self.writer.path;
        (path.leaf, path.low, path.bound) = (node, low, bound);
    }

    /// Whether the invariant of the writer's path holds.
    pub(in crate::tree) fn is_path_good(&self) -> bool {
        let path = &self.writer.path;
        let mut node = self.root.0.owner_load();
        let mut leads = |step: &PathStep<V>| {
            let Some(inner) = (step.node == node).then(|| self.inner(node)) else { return false };
            node = inner.child(step.index);
            inner.rank(path.low) == step.index && inner.rank(path.bound) == step.index
        };
        path.is_forgotten() || path.steps.iter().all(&mut leads) && node == path.leaf
    }
}

impl<'t, V: Value> Position<'_, 't, V> {
    /// Goes to another range.
    pub(crate) fn moved_to(self, span: Span) -> Self {
        self.editor.locate(span)
    }

    /// Returns the path to the leaf that routes the first address of the range.
    pub(super) fn path(&self) -> &Path<V> {
        &self.editor.writer.path
    }

    /// Returns the readers' methods.
    pub(crate) fn view(&self) -> &View<V> {
        self.editor.view()
    }

    /// Shows the entries that have an address in the range, in order, until one fails.
    #[inline]
    pub(crate) fn try_for_each<'s, E>(&'s self, mut see: impl FnMut(Entry<'s, V>) -> Result<(), E>) -> Result<(), E> {
        let (span, Path { leaf, bound, .. }) = (self.span, self.path());
        let Some(leaf) = self.editor.leaf(*leaf) else { return Ok(()) };
        for i in leaf.rank(span.start())..leaf.len() {
            let entry = Entry::new(leaf.span(i), leaf.value(i));
            if entry.start() > span.last() {
                return Ok(());
            }
            see(entry)?;
        }
        // No entry reaches beyond what its leaf routes, so the next one starts after `bound`.
        if *bound < span.last() { self.editor.view().within(Span::from_entry(bound + 1, span.last())).try_for_each(see) } else { Ok(()) }
    }

    /// Returns the first entry that has an address in the range: its leaf, and its index there.
    pub(super) fn first_index(&self) -> Option<(LeafRef<'t, V, WriterRole>, usize)> {
        let leaf = self.editor.leaf(self.path().leaf)?;
        let i = leaf.rank(self.span.start());
        // If the range ends above the leaf's key, the entry that ends at that key (T2) is in the range. So if this leaf has no entry of the
        // range, there is none.
        (i < leaf.len() && leaf.start(i) <= self.span.last()).then_some((leaf, i))
    }

    /// Returns the bounds of the first entry that has an address in the range.
    pub(super) fn first(&self) -> Option<Span> {
        self.first_index().map(|(leaf, i)| leaf.span(i))
    }

    /// Whether the leaf of the path routes the whole range.
    pub(super) fn is_in_one_leaf(&self) -> bool {
        self.span.last() <= self.path().bound
    }

    /// Returns the path to the leaf that routes the last address of the range.
    pub(super) fn right_path(&mut self) -> Path<V> {
        let left = self.path().clone();
        if self.is_in_one_leaf() {
            return left;
        }
        self.editor.descend(self.span.last());
        let right = mem::replace(&mut self.editor.writer.path, left);
        if seeded("shared_right_side") && self.editor.leaf(right.leaf).is_some_and(|leaf| self.span.last() < leaf.start(0)) {
            // T8 broken on purpose: the leaf that routes the end of the range, but holds nothing of it, is not replaced.
            return self.path().clone();
        }
        right
    }
}

impl<V: Value> fmt::Debug for Position<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Position").field("span", &self.span).finish_non_exhaustive()
    }
}
