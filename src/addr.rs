//! Addresses and ranges (L0): a range is kept as its first and its last address, so that the last byte of the address space can
//! be in one. And pages, and what can be done to an address.

use crate::error::RangeError;
use core::fmt;
use core::ops::{Bound, RangeBounds, RangeInclusive};

/// The size of a page, in bytes. The index knows no pages; the address space on top of it does.
pub const PAGE_SIZE: u64 = 4096;

/// The first address of the page.
#[inline]
pub(crate) const fn page_floor(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// What is done to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Access {
    /// It is read.
    Read,
    /// It is written.
    Write,
    /// An instruction is fetched from it.
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

/// A non-empty range of addresses, both ends included.
///
/// # Invariants
/// `start <= last`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    start: u64,
    last: u64,
}

impl Span {
    /// All 2^64 addresses.
    pub const ALL: Self = Self { start: 0, last: u64::MAX };

    /// Makes a span of its first and last address.
    ///
    /// # Errors
    /// [`RangeError::Reversed`] if `last` is below `start`.
    #[inline]
    pub const fn new(start: u64, last: u64) -> Result<Self, RangeError> {
        if start <= last { Ok(Self { start, last }) } else { Err(RangeError::Reversed { start, last }) }
    }

    /// The span of an entry, whose bounds are in order (T1).
    #[inline]
    pub(crate) const fn from_entry(start: u64, last: u64) -> Self {
        debug_assert!(start <= last);
        Self { start, last }
    }

    /// Makes a span of any of Rust's ranges: `a..b`, `a..=b`, `a..`, `..b`, `..`.
    ///
    /// # Errors
    /// [`RangeError`] if the range is empty, is reversed, or starts after the last address there is.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{RangeError, Span};
    /// assert_eq!(Span::of(0x1000..0x2000)?, Span::new(0x1000, 0x1fff)?);
    /// assert_eq!(Span::of(..)?, Span::ALL);
    /// assert_eq!(Span::of(7..7), Err(RangeError::Empty { at: 7 }));
    /// # Ok::<(), RangeError>(())
    /// ```
    pub fn of(range: impl RangeBounds<u64>) -> Result<Self, RangeError> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.checked_add(1).ok_or(RangeError::Unrepresentable { after: before })?,
            Bound::Unbounded => 0,
        };
        let last = match range.end_bound() {
            Bound::Included(&last) => last,
            Bound::Excluded(&end) if end == start => return Err(RangeError::Empty { at: start }),
            // No range ends before address 0; `end` is not 0 here unless the start is above it.
            Bound::Excluded(&end) => end.checked_sub(1).ok_or(RangeError::Reversed { start, last: end })?,
            Bound::Unbounded => u64::MAX,
        };
        Self::new(start, last)
    }

    /// The first address.
    #[must_use]
    #[inline]
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// The last address, included.
    #[must_use]
    #[inline]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The number of addresses less one (all 2^64 of them cannot be counted in a `u64`).
    #[must_use]
    #[inline]
    pub const fn len_less_one(&self) -> u64 {
        self.last - self.start
    }

    /// How many pages it touches.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.last / PAGE_SIZE - self.start / PAGE_SIZE + 1
    }

    /// Whether the address is inside.
    #[must_use]
    #[inline]
    pub const fn contains(&self, address: u64) -> bool {
        self.start <= address && address <= self.last
    }

    /// Whether the two share an address.
    #[must_use]
    #[inline]
    pub const fn overlaps(&self, other: Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    /// The addresses that are in both.
    #[must_use]
    #[inline]
    pub fn intersection(&self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.last.min(other.last)).ok()
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
    fn of_takes_every_kind_of_range() {
        let span = |start, last| Ok(Span { start, last });
        assert_eq!(Span::of(1..3), span(1, 2));
        assert_eq!(Span::of(1..=3), span(1, 3));
        assert_eq!(Span::of(1..), span(1, u64::MAX));
        assert_eq!(Span::of(..3), span(0, 2));
        assert_eq!(Span::of(..), Ok(Span::ALL));
        assert_eq!(Span::of((Bound::Excluded(1), Bound::Included(3))), span(2, 3));
        assert_eq!(Span::of(u64::MAX..=u64::MAX), span(u64::MAX, u64::MAX));
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges, reason = "they are what is refused")]
    fn of_refuses_what_holds_no_address() {
        assert_eq!(Span::of(5..5), Err(RangeError::Empty { at: 5 }));
        assert_eq!(Span::of(0..0), Err(RangeError::Empty { at: 0 }));
        assert_eq!(Span::of(..0), Err(RangeError::Empty { at: 0 }));
        assert_eq!(Span::of(5..4), Err(RangeError::Reversed { start: 5, last: 3 }));
        assert_eq!(Span::of(5..=4), Err(RangeError::Reversed { start: 5, last: 4 }));
        assert_eq!(Span::of(5..0), Err(RangeError::Reversed { start: 5, last: 0 }));
        let after_all = (Bound::Excluded(u64::MAX), Bound::Unbounded);
        assert_eq!(Span::of(after_all), Err(RangeError::Unrepresentable { after: u64::MAX }));
    }
}
