//! An entry of the index, as readers and the writer see it.

use crate::addr::Span;
use core::fmt;

/// An entry of a map: its bounds as they were at one moment, and its value.
///
/// The value can be read as long as the guard lives, whatever the writer does meanwhile. Entries are equal if their bounds and values are.
#[derive(PartialEq, Eq)]
pub struct Entry<'g, V> {
    span: Span,
    value: &'g V,
}

impl<'g, V> Entry<'g, V> {
    pub(in crate::tree) fn new(span: Span, value: &'g V) -> Self {
        Self { span, value }
    }

    /// Returns the first address.
    #[must_use]
    #[inline]
    pub fn start(&self) -> u64 {
        self.span.start()
    }

    /// Returns the last address, which is in the entry.
    #[must_use]
    #[inline]
    pub fn last(&self) -> u64 {
        self.span.last()
    }

    /// Returns the address after the last, or `None` if the entry ends with the last address of all.
    #[must_use]
    #[inline]
    pub fn end(&self) -> Option<u64> {
        self.span.end()
    }

    /// Returns the bounds.
    #[must_use]
    #[inline]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the value.
    #[must_use]
    #[inline]
    pub fn value(&self) -> &'g V {
        self.value
    }

    /// Returns the part of the entry from `floor` on. The entry ends at or after `floor`.
    pub(crate) fn clamped(self, floor: u64) -> Self {
        Self { span: Span::from_entry(self.start().max(floor), self.last()), value: self.value }
    }

    /// Returns the part of the entry in a span, or `None` if they share no address.
    pub(super) fn cut_to(self, span: Span) -> Option<Self> {
        Some(Self { span: self.span.intersection(span)?, ..self })
    }

    /// Returns whether the address is in the entry.
    #[must_use]
    #[inline]
    pub fn contains(&self, address: u64) -> bool {
        self.span.contains(address)
    }
}

impl<V> Clone for Entry<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Entry<'_, V> {}

impl<V: fmt::Debug> fmt::Debug for Entry<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("span", &self.span).field("value", self.value).finish()
    }
}
