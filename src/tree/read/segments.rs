//! The segments of a range: its entries and the gaps between them, in turn, which together are the whole range. Called through a [`View`].
//!
//! A gap is what the iteration over entries (`iter`) leaves out between two of them, so its promise follows from theirs.

use super::entry::Entry;
use super::iter::Iter;
use super::walk::View;
use crate::addr::Span;
use crate::error::RangeError;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::RangeBounds;

/// A part of a range: an entry, or the addresses between two entries. Yielded by [`Segments`].
#[derive(PartialEq, Eq)]
pub enum Segment<'g, V> {
    /// An entry, cut to the range.
    Entry(Entry<'g, V>),
    /// Addresses that no entry contains.
    Gap(Span),
}

impl<'g, V> Segment<'g, V> {
    /// Returns the addresses of the segment.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Entry(entry) => entry.span(),
            Self::Gap(span) => *span,
        }
    }

    /// Returns the entry, or `None` for a gap.
    #[must_use]
    pub fn entry(&self) -> Option<Entry<'g, V>> {
        match self {
            Self::Entry(entry) => Some(*entry),
            Self::Gap(_) => None,
        }
    }
}

impl<V> Clone for Segment<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Segment<'_, V> {}

impl<V: fmt::Debug> fmt::Debug for Segment<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(entry) => f.debug_tuple("Entry").field(entry).finish(),
            Self::Gap(span) => f.debug_tuple("Gap").field(span).finish(),
        }
    }
}

/// An iterator over the segments of a range. Created by [`View::segments`].
#[must_use = "iterators do nothing unless they are advanced"]
pub struct Segments<'g, V> {
    entries: Iter<'g, V>,
    /// The part of the range above the last entry that `entries` has yielded.
    rest: Option<Span>,
    /// That entry, if the gap below it was yielded last.
    above_gap: Option<Entry<'g, V>>,
}

impl<'g, V> Iterator for Segments<'g, V> {
    type Item = Segment<'g, V>;

    fn next(&mut self) -> Option<Segment<'g, V>> {
        if let Some(entry) = self.above_gap.take() {
            return Some(Segment::Entry(entry));
        }
        let rest = self.rest?;
        // Every entry of the iteration has an address in what it has not passed yet, which is `rest`.
        let Some(entry) = self.entries.next().and_then(|entry| entry.cut_to(rest)) else {
            self.rest = None;
            return Some(Segment::Gap(rest));
        };
        self.rest = entry.end().and_then(|end| Span::new(end, rest.last()).ok());
        if entry.start() == rest.start() {
            return Some(Segment::Entry(entry));
        }
        self.above_gap = Some(entry);
        Some(Segment::Gap(Span::from_entry(rest.start(), entry.start() - 1)))
    }
}

impl<V> FusedIterator for Segments<'_, V> {}

impl<V> Clone for Segments<'_, V> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), ..*self }
    }
}

impl<V> fmt::Debug for Segments<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments").field("rest", &self.rest).finish_non_exhaustive()
    }
}

/// An iterator over the gaps in a range. Created by [`View::gaps`].
#[must_use = "iterators do nothing unless they are advanced"]
pub struct Gaps<'g, V> {
    segments: Segments<'g, V>,
}

impl<V> Iterator for Gaps<'_, V> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        self.segments.find_map(|segment| if let Segment::Gap(span) = segment { Some(span) } else { None })
    }
}

impl<V> FusedIterator for Gaps<'_, V> {}

impl<V> Clone for Gaps<'_, V> {
    fn clone(&self) -> Self {
        Self { segments: self.segments.clone() }
    }
}

impl<V> fmt::Debug for Gaps<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gaps").field("rest", &self.segments.rest).finish_non_exhaustive()
    }
}

impl<V> View<V> {
    /// Returns an iterator over the segments of a range: its entries and the gaps between them, in order.
    ///
    /// Together the segments are the range. An entry that extends beyond it is cut to it, and two gaps are never next to each other.
    ///
    /// # Complexity
    /// O(log n) for the first segment, and O(1) amortized for each further one.
    ///
    /// # Concurrency
    /// A snapshot only under a lock guard. Otherwise a segment shows what was true since the iteration began: an entry was there at one
    /// moment, and each address of a gap was unmapped at one moment. The addresses of a gap may never have been unmapped all at once. An
    /// address that stays mapped throughout is never in a gap, and one that stays unmapped throughout is never in an entry.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// use vmaple::map::Segment;
    /// let map = RangeMap::builder().build_from([(0x1000..0x3000, 'a'), (0x5000..0x6000, 'b')]).unwrap();
    /// let mut shown = String::new();
    /// for segment in map.pin().segments(0x2000..0x6000)? {
    ///     match segment {
    ///         Segment::Entry(entry) => shown += &format!("{}: {} ", entry.value(), entry.span()),
    ///         Segment::Gap(span) => shown += &format!("gap: {span} "),
    ///     }
    /// }
    /// assert_eq!(shown, "a: 0x2000..=0x2fff gap: 0x3000..=0x4fff b: 0x5000..=0x5fff ");
    /// # Ok::<(), vmaple::RangeError>(())
    /// ```
    pub fn segments(&self, range: impl RangeBounds<u64>) -> Result<Segments<'_, V>, RangeError> {
        let span = Span::from_bounds(range)?;
        Ok(Segments { entries: self.within(span), rest: Some(span), above_gap: None })
    }

    /// Returns an iterator over the gaps in a range: the addresses that no entry contains, as spans, in order.
    ///
    /// # Complexity
    /// As [`segments`](Self::segments), which also yields the entries.
    ///
    /// # Concurrency
    /// As [`segments`](Self::segments): each address of a gap was unmapped at one moment since the iteration began.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{RangeMap, Span};
    /// let map = RangeMap::builder().build_from([(0x1000..0x3000, 'a'), (0x5000..0x6000, 'b')]).unwrap();
    /// let gaps: Vec<Span> = map.pin().gaps(0x2000..)?.collect();
    /// assert_eq!(gaps, [Span::new(0x3000, 0x4fff)?, Span::new(0x6000, u64::MAX)?]);
    /// # Ok::<(), vmaple::RangeError>(())
    /// ```
    pub fn gaps(&self, range: impl RangeBounds<u64>) -> Result<Gaps<'_, V>, RangeError> {
        Ok(Gaps { segments: self.segments(range)? })
    }

    /// Returns whether entries contain every address of a range.
    ///
    /// # Complexity
    /// O(log n + k), with k the entries in the range up to the first gap.
    ///
    /// # Concurrency
    /// Under a lock guard the answer is of one state. Otherwise `true` means that each address was mapped at one moment during the call, and
    /// `false` that an address was unmapped at one such moment.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map = RangeMap::builder().build_from([(0x1000..0x3000, 'a'), (0x3000..0x6000, 'b')]).unwrap();
    /// assert!(map.pin().is_covered(0x2000..0x4000)? && !map.pin().is_covered(0x2000..=0x6000)?);
    /// # Ok::<(), vmaple::RangeError>(())
    /// ```
    pub fn is_covered(&self, range: impl RangeBounds<u64>) -> Result<bool, RangeError> {
        Ok(self.gaps(range)?.next().is_none())
    }
}
