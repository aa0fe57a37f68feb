//! Addresses, ranges of them, pages, and the kinds of access (L0). Called by every layer.
//!
//! A range is stored as its first and its last address, because a half-open range cannot hold the last byte of the address space.

use crate::error::RangeError;
use core::fmt;
use core::ops::{Bound, Range, RangeBounds, RangeInclusive};

/// The size of a page in bytes. Only the address space ([`Mm`](crate::Mm)) has pages; a [`RangeMap`](crate::RangeMap) maps single addresses.
pub const PAGE_SIZE: u64 = 4096;

/// Returns the first address of the page that the address is in.
#[inline]
pub(crate) const fn page_floor(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// A kind of access to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// A read.
    Read,
    /// A write.
    Write,
    /// The fetch of an instruction.
    Exec,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Exec => "execute",
        })
    }
}

/// A non-empty range of addresses. Both ends are included, so that a span can hold the last address of all.
///
/// Spans are ordered by their first address, then by their last. A span is shown as Rust writes an inclusive range: `0x1000..=0x1fff`.
///
/// In all names of this crate `start` is a first address, `last` is a last address, which is included, and `end` is the address after it. An
/// argument that is a range may be a `Span` or any range of Rust. An argument that is a single upper bound is a `last`, because the last
/// address of all has no `end`.
///
/// # Examples
/// ```
/// use vmaple::{RangeError, Span};
/// let page = Span::try_from(0x1000..0x2000)?;
/// assert_eq!((page.start(), page.last(), page.end()), (0x1000, 0x1fff, Some(0x2000)));
/// assert_eq!(page.range(), Some(0x1000..0x2000));
/// assert_eq!(page, Span::new(0x1000, 0x1fff)?);
/// # Ok::<(), RangeError>(())
/// ```
// # Invariants
// `start <= last`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: u64,
    last: u64,
}

impl Span {
    /// The span of all 2^64 addresses.
    pub const ALL: Self = Self { start: 0, last: u64::MAX };

    /// Creates a span from its first and its last address.
    ///
    /// # Errors
    /// [`RangeError::Reversed`] if `last` is below `start`.
    #[inline]
    pub const fn new(start: u64, last: u64) -> Result<Self, RangeError> {
        if start <= last { Ok(Self { start, last }) } else { Err(RangeError::Reversed { start, end: last }) }
    }

    /// Creates a span from its first address and the number of its addresses.
    ///
    /// # Errors
    /// [`RangeError::Empty`] if `len` is 0, and [`RangeError::TooLong`] if the span would end after the last address of all.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{RangeError, Span};
    /// assert_eq!(Span::of_len(0x1000, 0x1000)?, Span::new(0x1000, 0x1fff)?);
    /// assert_eq!(Span::of_len(u64::MAX, 1)?, Span::new(u64::MAX, u64::MAX)?);
    /// assert_eq!(Span::of_len(7, 0), Err(RangeError::Empty { at: 7 }));
    /// assert_eq!(Span::of_len(u64::MAX, 2), Err(RangeError::TooLong { start: u64::MAX, len: 2 }));
    /// # Ok::<(), RangeError>(())
    /// ```
    #[inline]
    pub const fn of_len(start: u64, len: u64) -> Result<Self, RangeError> {
        let Some(reach) = len.checked_sub(1) else { return Err(RangeError::Empty { at: start }) };
        match start.checked_add(reach) {
            Some(last) => Ok(Self { start, last }),
            None => Err(RangeError::TooLong { start, len }),
        }
    }

    /// The span of an entry, whose bounds are in order (T1).
    #[inline]
    pub(crate) const fn from_entry(start: u64, last: u64) -> Self {
        debug_assert!(start <= last);
        Self { start, last }
    }

    /// Creates a span from any kind of range: `a..b`, `a..=b`, `a..`, `..b`, `..`, or a pair of bounds.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty, is reversed, or starts after the last address.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{RangeError, Span};
    /// assert_eq!(Span::from_bounds(0x1000..0x2000)?, Span::new(0x1000, 0x1fff)?);
    /// assert_eq!(Span::from_bounds(..)?, Span::ALL);
    /// assert_eq!(Span::from_bounds(7..7), Err(RangeError::Empty { at: 7 }));
    /// # Ok::<(), RangeError>(())
    /// ```
    pub fn from_bounds(range: impl RangeBounds<u64>) -> Result<Self, RangeError> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.checked_add(1).ok_or(RangeError::Unrepresentable { after: before })?,
            Bound::Unbounded => 0,
        };
        let last = match range.end_bound() {
            Bound::Included(&last) => last,
            Bound::Excluded(&end) if end == start => return Err(RangeError::Empty { at: start }),
            Bound::Excluded(&end) if end < start => return Err(RangeError::Reversed { start, end }),
            Bound::Excluded(&end) => end - 1,
            Bound::Unbounded => u64::MAX,
        };
        Self::new(start, last)
    }

    /// Returns the first address.
    #[must_use]
    #[inline]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Returns the last address, which is in the span.
    #[must_use]
    #[inline]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Returns the address after the last, or `None` if the span ends with the last address of all.
    #[must_use]
    #[inline]
    pub const fn end(&self) -> Option<u64> {
        self.last.checked_add(1)
    }

    /// Returns the span as a half-open range, or `None` if it ends with the last address of all.
    #[must_use]
    #[inline]
    pub const fn range(&self) -> Option<Range<u64>> {
        match self.end() {
            Some(end) => Some(self.start..end),
            None => None,
        }
    }

    /// Returns the number of addresses less one. (The number of all 2^64 addresses does not fit a `u64`.)
    #[must_use]
    #[inline]
    pub const fn len_less_one(&self) -> u64 {
        self.last - self.start
    }

    /// Returns the number of pages that hold addresses of the span.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.last / PAGE_SIZE - self.start / PAGE_SIZE + 1
    }

    /// Returns whether the address is in the span.
    #[must_use]
    #[inline]
    pub const fn contains(&self, address: u64) -> bool {
        self.start <= address && address <= self.last
    }

    /// Returns whether the two spans share an address.
    #[must_use]
    #[inline]
    pub const fn overlaps(&self, other: Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    /// Returns whether all addresses of the span are in `other`.
    #[must_use]
    #[inline]
    pub const fn is_within(&self, other: Self) -> bool {
        other.start <= self.start && self.last <= other.last
    }

    /// Returns the addresses that are in both spans, or `None` if they share none.
    #[must_use]
    #[inline]
    pub fn intersection(&self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.last.min(other.last)).ok()
    }

    /// Returns the smallest span that contains both.
    #[inline]
    pub(crate) fn hull(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), last: self.last.max(other.last) }
    }
}

impl TryFrom<Range<u64>> for Span {
    type Error = RangeError;

    /// Converts a half-open range that is not empty.
    fn try_from(range: Range<u64>) -> Result<Self, RangeError> {
        Self::from_bounds(range)
    }
}

impl TryFrom<RangeInclusive<u64>> for Span {
    type Error = RangeError;

    /// Converts an inclusive range that is not empty.
    fn try_from(range: RangeInclusive<u64>) -> Result<Self, RangeError> {
        Self::from_bounds(range)
    }
}

impl From<Span> for RangeInclusive<u64> {
    fn from(span: Span) -> Self {
        span.start..=span.last
    }
}

impl RangeBounds<u64> for Span {
    fn start_bound(&self) -> Bound<&u64> {
        Bound::Included(&self.start)
    }

    fn end_bound(&self) -> Bound<&u64> {
        Bound::Included(&self.last)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..={:#x}", self.start, self.last)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_bounds_takes_every_kind_of_range() {
        let span = |start, last| Ok(Span { start, last });
        assert_eq!(Span::from_bounds(1..3), span(1, 2));
        assert_eq!(Span::from_bounds(1..=3), span(1, 3));
        assert_eq!(Span::from_bounds(1..), span(1, u64::MAX));
        assert_eq!(Span::from_bounds(..3), span(0, 2));
        assert_eq!(Span::from_bounds(..), Ok(Span::ALL));
        assert_eq!(Span::from_bounds((Bound::Excluded(1), Bound::Included(3))), span(2, 3));
        assert_eq!(Span::from_bounds(u64::MAX..=u64::MAX), span(u64::MAX, u64::MAX));
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges, reason = "they are what is refused")]
    fn from_bounds_refuses_what_holds_no_address() {
        assert_eq!(Span::from_bounds(5..5), Err(RangeError::Empty { at: 5 }));
        assert_eq!(Span::from_bounds(0..0), Err(RangeError::Empty { at: 0 }));
        assert_eq!(Span::from_bounds(..0), Err(RangeError::Empty { at: 0 }));
        assert_eq!(Span::from_bounds(5..4), Err(RangeError::Reversed { start: 5, end: 4 }));
        assert_eq!(Span::from_bounds(5..=4), Err(RangeError::Reversed { start: 5, end: 4 }));
        assert_eq!(Span::from_bounds(5..0), Err(RangeError::Reversed { start: 5, end: 0 }));
        let after_all = (Bound::Excluded(u64::MAX), Bound::Unbounded);
        assert_eq!(Span::from_bounds(after_all), Err(RangeError::Unrepresentable { after: u64::MAX }));
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges, reason = "they are what is refused")]
    fn a_span_converts_to_and_from_ranges() {
        let span = Span { start: 1, last: 2 };
        assert_eq!((Span::try_from(1..3), Span::try_from(1..=2)), (Ok(span), Ok(span)));
        assert_eq!(Span::try_from(3..3), Err(RangeError::Empty { at: 3 }));
        assert_eq!(Span::try_from(3..=2), Err(RangeError::Reversed { start: 3, end: 2 }));
        assert_eq!((span.end(), span.range(), RangeInclusive::from(span)), (Some(3), Some(1..3), 1..=2));
        assert_eq!((Span::ALL.end(), Span::ALL.range()), (None, None));
    }

    #[test]
    fn spans_are_ordered_by_start_then_last() {
        let span = |start, last| Span { start, last };
        assert!(span(1, 9) < span(2, 3) && span(2, 3) < span(2, 4));
    }
}
