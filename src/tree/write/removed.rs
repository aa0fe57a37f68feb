//! What an edit removed. Made by `edit` from the draft, for the caller of the edit.

use super::super::read::Entry;
use super::draft::{Draft, ReplacedEntry};
use crate::addr::Span;
use core::fmt;

/// What an edit removed: entries as they were, each with the part of it that went. The values are dropped after the grace period.
pub struct Removed<'w, V> {
    span: Span,
    replaced: &'w [ReplacedEntry<V>],
}

/// An entry, or the part of one, that an edit removed.
#[derive(Clone, Copy, Debug)]
pub struct RemovedEntry<'w, V> {
    entry: Entry<'w, V>,
    removed: Span,
}

impl<'w, V> RemovedEntry<'w, V> {
    /// The entry as it was before the edit.
    #[must_use]
    pub fn entry(&self) -> Entry<'w, V> {
        self.entry
    }

    /// The addresses that it lost: all of its own, but where it was cut.
    #[must_use]
    pub fn removed(&self) -> Span {
        self.removed
    }

    /// Whether a part of it, or two, is still in the map.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.removed != self.entry.span()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &'w V {
        self.entry.value()
    }
}

impl<'w, V> Removed<'w, V> {
    /// What the edit of a range that was just published removed.
    pub(super) fn of(span: Span, draft: &'w Draft<V>) -> Self {
        Self { span, replaced: &draft.replaced }
    }

    /// An edit of a range that removed nothing.
    pub(super) fn nothing(span: Span) -> Self {
        Self { span, replaced: &[] }
    }

    /// How many entries the edit met.
    #[must_use]
    pub fn len(&self) -> usize {
        self.replaced.len()
    }

    /// Whether there was nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replaced.is_empty()
    }

    /// The entries, in order.
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
