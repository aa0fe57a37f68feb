//! What an address space tells of itself; and the counters of paths, which every fault keeps.

use crate::sync::Tally;

/// What an address space holds, and what its faults did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MmStats {
    /// All that is mapped (`total_vm`).
    pub total_pages: u64,
    /// Of it, what is in VMAs that grow (`stack_vm`).
    pub stack_pages: u64,
    /// Private, writable, no stack (`data_vm`).
    pub data_pages: u64,
    /// Executable, not writable, no stack (`exec_vm`).
    pub exec_pages: u64,
    /// In VMAs that are locked in memory (`locked_vm`).
    pub locked_pages: u64,
    /// In VMAs with `ACCOUNT`.
    pub committed_pages: u64,
    /// How often faults took each path.
    pub fault_paths: FaultPaths,
}

/// How often faults took each path. Each question is counted once, by the path on which it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultPaths {
    /// Answered under the VMA's own lock, without the mm lock.
    pub per_vma: u64,
    /// Found under the mm lock for reading (1.3).
    pub mm_read: u64,
    /// Grown after an upgrade (1.5).
    pub upgraded: u64,
    /// Grown after the read hold was dropped and the lock taken for writing (1.6).
    pub retaken: u64,
    /// Found when looking again under the write lock (1.7).
    pub found_again: u64,
    /// Ended with nothing: a miss, a refusal, a wait that was not waited out.
    pub failed: u64,
}

/// A path that a fault took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultPath {
    PerVma,
    MmRead,
    Upgraded,
    Retaken,
    FoundAgain,
    Failed,
}

/// One stripe of counters, on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([Tally; 6]);

/// In stripes, so that threads that fault at once do not write to one line.
#[derive(Debug, Default)]
pub(super) struct FaultPathCounters([Stripe; 8]);

thread_local! {
    /// A byte whose address differs in each thread.
    static THREAD_LOCAL_BYTE: u8 = const { 0 };
}

impl FaultPathCounters {
    #[inline]
    fn stripe(&self) -> &Stripe {
        // The blocks of two threads lie pages apart. A thread that is ending has none.
        let at = THREAD_LOCAL_BYTE.try_with(|byte| core::ptr::from_ref(byte).addr()).unwrap_or(0);
        let mixed = (at >> 6).wrapping_mul(0x9e37_79b9);
        &self.0[(mixed >> 16) % self.0.len()]
    }

    #[inline]
    pub(super) fn note(&self, path: FaultPath) {
        self.stripe().0[path as usize].bump();
    }

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
