//! Rank inside one node: safe slices in, an index out. Nothing else of the tree is known here.
//!
//! The keys are plain memory that never changes once published, so that they may be read as vectors.

use super::node::FANOUT;

/// Keys that are compared together at the second step.
const GROUP: usize = 4;
const _: () = assert!(FANOUT.is_multiple_of(GROUP), "whole groups");

/// How many keys lie below the address: the index of the first entry that ends at or after it.
///
/// Keys are sorted and padded with `u64::MAX`, so a padding key is never below an address and the length is not needed. Two steps
/// without a branch that a predictor could miss: how many groups lie below the address whole (but for the last group, of which that
/// need not be known), then how many keys of the group after those.
#[inline]
pub(super) fn rank(lasts: &[u64; FANOUT], address: u64) -> usize {
    let (groups, _) = lasts.as_chunks::<GROUP>();
    let whole: usize = groups[..groups.len() - 1].iter().map(|group| usize::from(group[GROUP - 1] < address)).sum();
    let within: usize = groups[whole].iter().map(|&last| usize::from(last < address)).sum();
    GROUP * whole + within
}

/// Asks for the cache line at the pointer, where the machine has a way to ask.
#[inline]
#[allow(unsafe_code, reason = "the prefetch intrinsic")]
pub(super) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch of any address is allowed; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::{TestResult, quickcheck};

    quickcheck! {
        fn rank_counts_the_keys_below(keys: Vec<u64>, address: u64, small: bool) -> TestResult {
            let mut lasts = [u64::MAX; FANOUT];
            let address = if small { address % 8 } else { address };
            for (slot, key) in lasts.iter_mut().zip(&keys) {
                *slot = if small { key % 8 } else { *key };
            }
            lasts.sort_unstable();
            TestResult::from_bool(rank(&lasts, address) == lasts.partition_point(|&last| last < address))
        }
    }
}
