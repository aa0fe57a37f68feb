//! Numbers that are unique in the process.
//!
//! Called by `vma` for the ids of objects and of anon owners. On a std atomic in models too: it orders nothing, and need not be modelled.

use core::sync::atomic::{AtomicU64, Ordering};

/// Returns the first of `count` consecutive numbers that no other call returns.
pub(crate) fn unique_numbers(count: u64) -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // Relaxed: only the number matters; it publishes nothing.
    NEXT.fetch_add(count, Ordering::Relaxed)
}
