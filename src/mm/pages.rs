//! Lengths and ranges in whole pages, as the system calls round them.
//!
//! Called by the operations' files. Pure functions: the address space is not consulted.

use crate::addr::{PAGE_SIZE, Span, page_floor};

/// Rounds a length up to whole pages of `page_bytes`, a power of two, in Linux's arithmetic: a length that wraps around becomes 0.
pub(super) const fn round_up(len: u64, page_bytes: u64) -> u64 {
    len.wrapping_add(page_bytes - 1) & !(page_bytes - 1)
}

/// Returns the `len` bytes from `start` on; `None` if there are none or they wrap around.
pub(super) fn span_of(start: u64, len: u64) -> Option<Span> {
    Span::of_len(start, len).ok()
}

/// Rounds a range that must start at a page's start up to whole pages: `Err` if it does not or if it ends beyond the last page,
/// `Ok(None)` if it is empty.
pub(super) fn whole_pages(start: u64, len: u64) -> Result<Option<Span>, ()> {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(());
    }
    let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|whole| start.checked_add(whole)).ok_or(())?;
    Ok(if end == start { None } else { Some(Span::from_entry(start, end - 1)) })
}

/// Rounds a range outward to the pages that it touches, in Linux's arithmetic: the start, and the length in bytes, which may be 0 because
/// the range is empty or wraps around.
pub(super) const fn pages_around(start: u64, len: u64) -> (u64, u64) {
    (page_floor(start), round_up(len.wrapping_add(start % PAGE_SIZE), PAGE_SIZE))
}

/// Extends a range by the address below and the address above, so that it overlaps the VMAs that are adjacent to it: those that an
/// operation may merge with.
pub(super) fn with_adjacent(range: Span) -> Span {
    Span::from_entry(range.start().saturating_sub(1), range.last().saturating_add(1))
}
