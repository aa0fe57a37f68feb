//! The figures that `Mm::stats` returns, and the counters of the paths that faults take.
//!
//! Called by `Mm` and by the fault path. Every fault counts here, so no two threads should write to one cache line.

use crate::sync::{Tally, stripe};

/// The accounts of an address space in pages, and how often faults took each path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MmStats {
    /// All mapped pages (Linux's `total_vm`).
    pub total_pages: u64,
    /// Pages of VMAs that grow (`stack_vm`).
    pub stack_pages: u64,
    /// Pages of private, writable VMAs that do not grow (`data_vm`).
    pub data_pages: u64,
    /// Pages of executable VMAs that are not writable and do not grow (`exec_vm`).
    pub exec_pages: u64,
    /// Pages of VMAs that are locked in memory (`locked_vm`).
    pub locked_pages: u64,
    /// Pages of VMAs with [`VmaFlags::ACCOUNT`](crate::VmaFlags::ACCOUNT).
    pub committed_pages: u64,
    /// How often faults took each path.
    pub fault_paths: FaultPaths,
}

/// How often faults took each path. Each fault is counted once, on the path on which it ended.
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultPaths {
    /// The VMA was found and locked by its own lock, without the mm lock.
    pub per_vma: u64,
    /// The VMA was found under the mm lock for reading (1.3).
    pub mm_read: u64,
    /// The VMA was grown after an upgrade of the mm lock (1.5).
    pub upgraded: u64,
    /// The VMA was grown after the mm lock was released and taken for writing (1.6).
    pub retaken: u64,
    /// The VMA was found in the second search, under the mm lock for writing (1.7).
    pub found_again: u64,
    /// No VMA was found, growth was refused, or the wait for a lock ended.
    pub failed: u64,
}

/// The path that a fault took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultPath {
    PerVma,
    MmRead,
    Upgraded,
    Retaken,
    FoundAgain,
    Failed,
}

/// One stripe of counters, on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([Tally; 6]);

/// Counters in stripes, so that threads that fault at once do not write to one cache line.
#[derive(Debug, Default)]
pub(super) struct FaultPathCounters([Stripe; 8]);

impl FaultPathCounters {
    /// Returns the stripe of the calling thread.
    #[inline]
    fn stripe(&self) -> &Stripe {
        &self.0[stripe(self.0.len())]
    }

    /// Counts a fault on its path.
    #[inline]
    pub(super) fn note(&self, path: FaultPath) {
        self.stripe().0[path as usize].bump();
    }

    /// Returns the sums over all stripes.
    pub(super) fn sum(&self) -> FaultPaths {
        let sum = |path: FaultPath| self.0.iter().map(|stripe| stripe.0[path as usize].read()).sum();
        FaultPaths {
            per_vma: sum(FaultPath::PerVma),
            mm_read: sum(FaultPath::MmRead),
            upgraded: sum(FaultPath::Upgraded),
            retaken: sum(FaultPath::Retaken),
            found_again: sum(FaultPath::FoundAgain),
            failed: sum(FaultPath::Failed),
        }
    }
}
