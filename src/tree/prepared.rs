//! WRITER: an edit in two steps: prepared, with all that can fail behind it, and then published, or dropped.
//!
//! For who must do something between the two that cannot be undone, and so must know before that the edit will not fail.

use super::edit::Editor;
use super::limbo::Charge;
use super::list::List;
use super::publish::{Change, Retire};
use crate::addr::Span;
use crate::error::ResourceError;
use crate::value::Value;
use core::fmt;
use core::mem;

/// An edit that needs no memory any more. Dropped, it has never been.
#[must_use = "nothing has changed until it is published"]
pub(crate) struct Prepared<'e, 't, V: Value> {
    editor: &'e mut Editor<'t, V>,
    list: List<V>,
    /// Taken when it is published.
    change: Option<Change<'t, V>>,
}

impl<'t, V: Value> Editor<'t, V> {
    /// Prepares to put the list in place of all that is in the range. No entry sticks out of the range, the list lies within it, and one
    /// of the two is not empty.
    ///
    /// # Errors
    /// Memory, or the budget; and the list.
    pub(crate) fn prepare_list(
        &mut self,
        span: Span,
        list: List<V>,
        charge: Charge,
    ) -> Result<Prepared<'_, 't, V>, (List<V>, ResourceError)> {
        self.tend();
        self.locate(span);
        match self.prepared(list.items(), Retire::Within(span), charge) {
            Ok(change) => Ok(Prepared { editor: self, list, change: Some(change) }),
            Err(error) => Err((list, error)),
        }
    }
}

impl<V: Value> Prepared<'_, '_, V> {
    /// Makes it visible, with one store; once.
    pub(crate) fn publish(&mut self) {
        if let Some(change) = self.change.take() {
            self.editor.publish(change, Retire::Within(self.editor.writer.site.span));
            self.list.forget();
        }
    }
}

impl<V: Value> Prepared<'_, '_, V> {
    /// Has never been; hands the list back. (Dropped, it drops the list's values in place.)
    pub(crate) fn abandon(mut self) -> List<V> {
        mem::replace(&mut self.list, List::new())
    }
}

impl<V: Value> Drop for Prepared<'_, '_, V> {
    fn drop(&mut self) {
        if self.change.is_some() {
            self.editor.abandon();
        }
    }
}

impl<V: Value> fmt::Debug for Prepared<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("span", &self.editor.writer.site.span).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::*;
    use crate::sync::{Collector, Reclaim};
    use crate::tree::walk::Entry;

    /// What the site shows, after edits in the very leaf as well, and what a reader sees.
    #[test]
    #[allow(unsafe_code, reason = "the door to the writer")]
    fn a_site_shows_what_a_reader_sees() {
        let tree: Tree<u64> = Tree::new(Collector::private(), 1 << 20);
        // SAFETY: nobody else knows the tree.
        let mut editor = unsafe { tree.edit() };
        let bounds = |entry: Entry<'_, u64>| (entry.span(), *entry.value());
        for i in 0..40 {
            editor.insert(16 * i..16 * i + 8, i).expect("free");
        }
        for i in (0..40).step_by(if cfg!(miri) { 3 } else { 1 }) {
            for (start, len) in [(16 * i, 1), (16 * i + 5, 2), (16 * i + 8, 8), (16 * i + 9, 1), (16 * i, 40), (16 * i + 8, 300)] {
                let span = Span::from_entry(start, start + len - 1);
                editor.locate(span);
                let mut shown = Vec::new();
                let all = editor.each_located::<()>(|entry| {
                    shown.push(bounds(entry));
                    Ok(())
                });
                let seen: Vec<_> = editor.view().within(span).map(bounds).collect();
                assert_eq!((all, &shown), (Ok(()), &seen), "{span:?}");
                if seen.is_empty() {
                    let (below, above) = editor.beside();
                    assert_eq!(below.map(bounds), editor.view().prev(start).map(bounds), "below {span:?}");
                    assert_eq!(above.map(bounds), editor.view().find(start).map(bounds), "above {span:?}");
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
        let tree: Tree<u64> = Tree::new(Collector::private(), 1 << 20);
        // SAFETY: nobody else knows the tree.
        let mut editor = unsafe { tree.edit() };
        editor.insert(0..4, 1).expect("free");
        let before = tree.counters().stats();
        let span = Span::from_entry(4, 7);
        let prepared = editor.prepare_list(span, List::of(span, 2), Charge::Checked).expect("memory");
        assert_eq!(format!("{prepared:?}"), "Prepared { span: 0x4..=0x7, .. }");
        drop(prepared);
        let after = tree.counters().stats();
        assert_eq!((after.entries, after.published), (before.entries, before.published));
        // Under Miri free nodes are not kept.
        assert!(cfg!(miri) || after.pool_bytes > before.pool_bytes, "what it had built is kept for the next edit: {after:?}");
        editor.prepare_list(span, List::of(span, 2), Charge::Checked).expect("memory").publish();
        editor.validate().expect("the invariants hold");
        assert_eq!(editor.view().lookup(6).map(|entry| *entry.value()), Some(2));
    }
}
