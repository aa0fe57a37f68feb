//! The program's allocator: the system's, which counts the allocations of a piece of code on request. At other times it does not count,
//! because a counter that every thread writes would slow the workloads down.

#![allow(unsafe_code, reason = "an allocator is one; each method hands its arguments on as they are")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

static COUNTING: AtomicBool = AtomicBool::new(false);
static BYTES: AtomicI64 = AtomicI64::new(0);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator with counters.
#[derive(Debug)]
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The allocations of a piece of code.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// The number of bytes allocated and not freed.
    pub bytes: i64,
    /// The number of allocations.
    pub calls: u64,
}

/// Calls `run` and counts the allocations of all threads meanwhile.
pub fn count<T>(run: impl FnOnce() -> T) -> (T, Taken) {
    // Relaxed throughout: the figures are read by the thread that ran it; others' are in them once they were joined.
    BYTES.store(0, Ordering::Relaxed);
    CALLS.store(0, Ordering::Relaxed);
    COUNTING.store(true, Ordering::Relaxed);
    let made = run();
    COUNTING.store(false, Ordering::Relaxed);
    (made, Taken { bytes: BYTES.load(Ordering::Relaxed), calls: CALLS.load(Ordering::Relaxed) })
}

fn note(bytes: i64, calls: u64) {
    if COUNTING.load(Ordering::Relaxed) {
        BYTES.fetch_add(bytes, Ordering::Relaxed);
        CALLS.fetch_add(calls, Ordering::Relaxed);
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// SAFETY: every method is the system allocator's, which keeps the trait's promises.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()), 1);
        // SAFETY: the caller's promise is the system allocator's requirement.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(signed(layout.size()), 1);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-signed(layout.size()), 0);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(signed(size) - signed(layout.size()), 1);
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_kept_and_what_is_asked() {
        let (kept, taken) = count(|| {
            drop(std::hint::black_box(vec![0u8; 1000]));
            std::hint::black_box(vec![0u8; 3000])
        });
        drop(kept);
        // A lower bound, because the threads of other tests may be counted too.
        assert!(taken.bytes >= 3000 - 1000 && taken.calls >= 2, "{taken:?}");
    }
}
