//! An edit in two steps: it is prepared, after which nothing can fail, and then published or dropped.
//!
//! Called by the plan of an operation, whose caller may do something in between that cannot be undone.

use super::super::memory::Charge;
use super::super::read::Entry;
use super::editor::Editor;
use super::list::EntryList;
use super::pending::Retire;
use super::position::Position;
use super::publish::Replacement;
use crate::error::ResourceError;
use crate::value::Value;
use core::fmt;
use core::mem;

/// An edit that can no longer fail. If it is dropped, nothing has happened.
#[must_use = "nothing has changed until it is published"]
pub(crate) struct Prepared<'e, 't, V: Value> {
    editor: &'e mut Editor<'t, V>,
    list: EntryList<V>,
    /// `None` once it is published, so that the drop undoes nothing.
    replacement: Option<Replacement<'t, V>>,
}

impl<'e, 't, V: Value> Position<'e, 't, V> {
    /// Prepares to replace everything in the range by the list. No entry sticks out of the range, the list lies within it, and one of the
    /// two is not empty.
    ///
    /// # Errors
    /// The list, and what was short: memory, or the budget.
    pub(crate) fn prepare(mut self, list: EntryList<V>, charge: Charge) -> Result<Prepared<'e, 't, V>, (EntryList<V>, ResourceError)> {
        self.editor.poll_reclaim();
        match self.replacement(list.items(), Retire::Within(self.span), charge) {
            Ok(replacement) => Ok(Prepared { editor: self.editor, list, replacement: Some(replacement) }),
            Err(error) => Err((list, error)),
        }
    }
}

impl<V: Value> Prepared<'_, '_, V> {
    /// Returns the entries that are in the range now, in order.
    pub(crate) fn before(&self) -> impl Iterator<Item = Entry<'_, V>> {
        let Retire::Within(range) = self.editor.writer.pending.retire else { unreachable!("set by `prepare`") };
        self.editor.view().within(range)
    }

    /// Returns the entries that will be in the range, in order.
    pub(crate) fn after(&self) -> impl Iterator<Item = Entry<'_, V>> {
        self.list.iter()
    }

    /// Makes the edit visible with one store.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "a call moves the edit, which costs 40 instructions")]
    pub(crate) fn publish(mut self) {
        if let Some(replacement) = self.replacement.take() {
            self.editor.publish(replacement);
            self.list.forget();
        }
    }
}

impl<V: Value> Prepared<'_, '_, V> {
    /// Undoes the preparation, and returns the list. (A drop would drop the list's values in place.)
    pub(crate) fn abandon(mut self) -> EntryList<V> {
        mem::replace(&mut self.list, EntryList::new())
    }
}

impl<V: Value> Drop for Prepared<'_, '_, V> {
    fn drop(&mut self) {
        if self.replacement.is_some() {
            self.editor.abandon();
        }
    }
}

impl<V: Value> fmt::Debug for Prepared<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("list", &self.list).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Span;
    use crate::sync::{Collector, Reclaim};
    use crate::tree::GapQuery;
    use crate::tree::Tree;

    /// A position shows what a reader sees, also after edits in the same leaf.
    #[test]
    #[allow(unsafe_code, reason = "the door to the writer")]
    fn a_position_shows_what_a_reader_sees() {
        let tree: Tree<u64> = Tree::new(Collector::private().expect("memory"), 1 << 20);
        // SAFETY: nobody else knows the tree.
        let mut editor = unsafe { tree.edit() };
        let bounds = |entry: Entry<'_, u64>| (entry.span(), *entry.value());
        for i in 0..40 {
            editor.insert(16 * i..16 * i + 8, i).expect("free");
        }
        for i in (0..40).step_by(if cfg!(miri) { 3 } else { 1 }) {
            for (start, len) in [(16 * i, 1), (16 * i + 5, 2), (16 * i + 8, 8), (16 * i + 9, 1), (16 * i, 40), (16 * i + 8, 300)] {
                let span = Span::from_entry(start, start + len - 1);
                let mut shown = Vec::new();
                let all = editor.locate(span).try_for_each::<()>(|entry| {
                    shown.push(bounds(entry));
                    Ok(())
                });
                let seen: Vec<_> = editor.view().within(span).map(bounds).collect();
                assert_eq!((all, &shown), (Ok(()), &seen), "{span:?}");
                for query in [GapQuery::new(1), GapQuery::new(1).highest()] {
                    let Ok(gap) = editor.find_gap(&query.within(start..start + len)) else { continue };
                    let (below, above) = gap.neighbours();
                    assert_eq!(below.map(bounds), editor.view().prev(gap.span().start()).map(bounds), "below {gap:?}");
                    assert_eq!(above.map(bounds), editor.view().find(gap.span().start()).map(bounds), "above {gap:?}");
                }
                if let Some((entry, value)) = seen.last() {
                    editor.replace(*entry, value + 40).expect("memory");
                }
            }
        }
    }

    #[test]
    #[allow(unsafe_code, reason = "the door to the writer")]
    fn dropped_it_has_never_been() {
        let tree: Tree<u64> = Tree::new(Collector::private().expect("memory"), 1 << 20);
        // SAFETY: nobody else knows the tree.
        let mut editor = unsafe { tree.edit() };
        editor.insert(0..4, 1).expect("free");
        let before = tree.counters().stats();
        let span = Span::from_entry(4, 7);
        let prepared = editor.locate(span).prepare(EntryList::of(span, 2), Charge::Checked).expect("memory");
        assert_eq!(format!("{prepared:?}"), "Prepared { list: [0x4..=0x7], .. }");
        drop(prepared);
        let after = tree.counters().stats();
        assert_eq!((after.entries, after.published), (before.entries, before.published));
        // Under Miri free nodes are not kept.
        assert!(cfg!(miri) || after.pool_bytes > before.pool_bytes, "what it had built is kept for the next edit: {after:?}");
        editor.locate(span).prepare(EntryList::of(span, 2), Charge::Checked).expect("memory").publish();
        editor.validate().expect("the invariants hold");
        assert_eq!(editor.view().lookup(6).map(|entry| *entry.value()), Some(2));
    }
}
