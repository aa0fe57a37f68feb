//! What an edit removed. Made by `edit` from the pending edit, for the caller of the edit.

use super::super::read::Entry;
use super::pending::{PendingEdit, ReplacedEntry};
use crate::addr::Span;
use core::fmt;
use core::iter::FusedIterator;
use core::slice;

/// The entries that an edit removed or cut, in order. Their values are dropped when no reader can reach them any more.
///
/// # Examples
/// ```
/// use vmaple::RangeMap;
/// let map: RangeMap<char> = RangeMap::new();
/// let mut writer = map.write();
/// writer.insert(0..4, 'A')?;
/// writer.insert(8..12, 'B')?;
/// for entry in writer.remove(2..12)? {
///     println!("{} lost {}", entry.value(), entry.removed());
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Removed<'w, V> {
    span: Span,
    replaced: &'w [ReplacedEntry<V>],
}

/// An entry that an edit removed or cut.
#[derive(Debug, PartialEq, Eq)]
pub struct RemovedEntry<'w, V> {
    entry: Entry<'w, V>,
    removed: Span,
}

impl<V> Clone for RemovedEntry<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for RemovedEntry<'_, V> {}

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
    pub fn iter(&self) -> RemovedIter<'w, V> {
        RemovedIter { span: self.span, replaced: self.replaced.iter() }
    }
}

impl<V: fmt::Debug> fmt::Debug for Removed<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'w, V> IntoIterator for Removed<'w, V> {
    type Item = RemovedEntry<'w, V>;
    type IntoIter = RemovedIter<'w, V>;

    fn into_iter(self) -> RemovedIter<'w, V> {
        self.iter()
    }
}

impl<'w, V> IntoIterator for &Removed<'w, V> {
    type Item = RemovedEntry<'w, V>;
    type IntoIter = RemovedIter<'w, V>;

    fn into_iter(self) -> RemovedIter<'w, V> {
        self.iter()
    }
}

/// An iterator over the entries that an edit removed or cut, in order. Created by [`Removed::iter`].
#[must_use = "iterators do nothing unless they are advanced"]
pub struct RemovedIter<'w, V> {
    /// The range of the edit.
    span: Span,
    replaced: slice::Iter<'w, ReplacedEntry<V>>,
}

impl<'w, V> RemovedIter<'w, V> {
    fn entry(&self, old: &'w ReplacedEntry<V>) -> RemovedEntry<'w, V> {
        #[allow(unsafe_code, reason = "lends what the writer has just unlinked")]
        // SAFETY: the leaf was retired by the edit; nothing is reused before the writer's guard is used again or dropped, and that is
        // borrowed as long as this lives.
        let value = unsafe { old.value().as_ref() };
        let removed = self.span.intersection(old.span).unwrap_or(old.span);
        RemovedEntry { entry: Entry::new(old.span, value), removed }
    }
}

impl<'w, V> Iterator for RemovedIter<'w, V> {
    type Item = RemovedEntry<'w, V>;

    fn next(&mut self) -> Option<RemovedEntry<'w, V>> {
        self.replaced.next().map(|old| self.entry(old))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.replaced.size_hint()
    }
}

impl<V> DoubleEndedIterator for RemovedIter<'_, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.replaced.next_back().map(|old| self.entry(old))
    }
}

impl<V> ExactSizeIterator for RemovedIter<'_, V> {}

impl<V> FusedIterator for RemovedIter<'_, V> {}

impl<V> Clone for RemovedIter<'_, V> {
    fn clone(&self) -> Self {
        Self { span: self.span, replaced: self.replaced.clone() }
    }
}

impl<V: fmt::Debug> fmt::Debug for RemovedIter<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}
