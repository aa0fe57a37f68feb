//! What a refused splice hands back.
//!
//! Called by `edit`. A splice may be refused because memory is short, so its entries are handed back where they are: in the list that the
//! splice had gathered, and in the iterator that it was given.

use crate::addr::Span;
use crate::tree::{EntryList, EntryListIter};
use core::fmt;

/// An iterator over the entries of a refused [`splice`](super::WriteGuard::splice), in their order.
///
/// It yields the entries that the splice had taken from its argument, and then what that iterator still yields. Handing them back allocates
/// nothing. Entries that are not taken out are dropped with it.
///
/// # Examples
/// ```
/// use vmaple::{RangeMap, Span};
/// let map: RangeMap<char> = RangeMap::new();
/// let entries = [(Span::new(4, 7)?, 'A'), (Span::new(0, 3)?, 'B')];
/// let refused = map.write().splice(0..8, entries).unwrap_err(); // they are not in order
/// assert_eq!(refused.value.collect::<Vec<_>>(), entries);
/// # Ok::<(), vmaple::RangeError>(())
/// ```
pub struct Unspliced<V, I> {
    taken: EntryListIter<V>,
    /// The entry that did not go into the list, and the iterator that it came from; `None` if the iterator had ended.
    rest: Option<(Option<(Span, V)>, I)>,
}

impl<V, I> Unspliced<V, I> {
    /// The iterator had ended.
    pub(super) fn all_taken(list: EntryList<V>) -> Self {
        Self { taken: list.into_entries(), rest: None }
    }

    /// The list did not take the entry.
    pub(super) fn stopped_at(list: EntryList<V>, entry: (Span, V), rest: I) -> Self {
        Self { taken: list.into_entries(), rest: Some((Some(entry), rest)) }
    }
}

impl<V, I: Iterator<Item = (Span, V)>> Iterator for Unspliced<V, I> {
    type Item = (Span, V);

    fn next(&mut self) -> Option<(Span, V)> {
        self.taken.next().or_else(|| {
            let (entry, rest) = self.rest.as_mut()?;
            entry.take().or_else(|| rest.next())
        })
    }
}

impl<V, I> fmt::Debug for Unspliced<V, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unspliced").finish_non_exhaustive()
    }
}
