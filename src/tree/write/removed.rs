//! What an edit removed. Made by `edit` from the pending edit, for the caller of the edit.

use super::super::read::Entry;
use super::pending::{PendingEdit, ReplacedEntry};
use crate::addr::Span;
use core::fmt;

/// The entries that an edit removed or cut, in order. Their values are dropped when no reader can reach them any more.
pub struct Removed<'w, V> {
    span: Span,
    replaced: &'w [ReplacedEntry<V>],
}

/// An entry that an edit removed or cut.
#[derive(Clone, Copy, Debug)]
pub struct RemovedEntry<'w, V> {
    entry: Entry<'w, V>,
    removed: Span,
}

impl<'w, V> RemovedEntry<'w, V> {
    /// Returns the entry as it was before the edit.
    #[must_use]
    pub fn entry(&self) -> Entry<'w, V> {
        self.entry
    }

    /// Returns the addresses that the edit took from the entry: all of them, unless it was cut.
    #[must_use]
    pub fn removed(&self) -> Span {
        self.removed
    }

    /// Returns whether the entry was cut, so that one part of it or two are still in the map.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.removed != self.entry.span()
    }

    /// Returns the value of the entry.
    #[must_use]
    pub fn value(&self) -> &'w V {
        self.entry.value()
    }
}

impl<'w, V> Removed<'w, V> {
    /// Returns what the edit of a range that was just published removed.
    pub(super) fn of(span: Span, pending: &'w PendingEdit<V>) -> Self {
        Self { span, replaced: &pending.replaced }
    }

    /// Returns what an edit of a range removed that removed nothing.
    pub(super) fn nothing(span: Span) -> Self {
        Self { span, replaced: &[] }
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.replaced.len()
    }

    /// Returns whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// Returns an iterator over the entries, in order.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RemovedEntry<'w, V>> + ExactSizeIterator {
        self.replaced.iter().map(|old| self.entry(old))
    }

    fn entry(&self, old: &'w ReplacedEntry<V>) -> RemovedEntry<'w, V> {
        #[allow(unsafe_code, reason = "lends what the writer has just unlinked")]
        // SAFETY: the leaf was retired by the edit; nothing is reused before the writer's guard is used again or dropped, and that is
        // borrowed as long as this lives.
        let value = unsafe { old.value().as_ref() };
        let removed = self.span.intersection(old.span).unwrap_or(old.span);
        RemovedEntry { entry: Entry::new(old.span, value), removed }
    }
}

impl<V: fmt::Debug> fmt::Debug for Removed<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
