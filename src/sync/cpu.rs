//! What is asked of the processor directly: features that were detected, and prefetching.
//!
//! Called by `tree::node::search`, `tree::node::shape` and `shared`.

use core::sync::atomic::{AtomicBool, Ordering};

/// Whether the processor has some feature, as far as it was detected.
///
/// Aligned to two cache lines, because every lookup reads it: no word that is written shares its lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CpuFeature(AtomicBool);

impl CpuFeature {
    /// Makes a feature that has not been detected yet.
    pub(crate) const fn undetected() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Records that the processor has the feature.
    pub(crate) fn set_detected(&self) {
        if !self.is_detected() {
            // Relaxed: publishes nothing; a thread that does not see it yet takes the path without the feature.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether the feature was detected.
    #[inline]
    pub(crate) fn is_detected(&self) -> bool {
        // Relaxed: as in `set_detected`.
        self.0.load(Ordering::Relaxed)
    }
}

/// Prefetches the cache line at `at`, if the processor has an instruction for that.
#[inline]
#[allow(unsafe_code, reason = "the prefetch intrinsic")]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: any address may be prefetched; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
