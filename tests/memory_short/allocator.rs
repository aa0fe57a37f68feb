//! The binary's allocator: the system's, but that allocations of a thread fail when it has said so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// How long memory is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// One allocation fails.
    Once,
    /// It fails, and so do all after it.
    Lasting,
}

/// Tries with each allocation failing, alone and with all after it, until it returns that none failed.
pub(crate) fn each_failure(mut is_reached: impl FnMut(Shortage, usize) -> bool) {
    for shortage in [Shortage::Once, Shortage::Lasting] {
        let mut nth = 0;
        while is_reached(shortage, nth) {
            nth += 1;
        }
    }
}

thread_local! {
    /// How many allocations of this thread succeed before one fails; nothing fails while there is none.
    static UNTIL_FAILURE: Cell<Option<usize>> = const { Cell::new(None) };
    /// How many bytes this thread may still allocate; `None` for any number.
    static BYTES_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    static LASTS: Cell<bool> = const { Cell::new(false) };
    /// Allocations of this thread that failed.
    static FAILED: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread allocated, less those that it gave back.
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

/// Runs with the allocation of this number failing. Returns whether that allocation was made.
pub(crate) fn short<T>(shortage: Shortage, nth: usize, run: impl FnOnce() -> T) -> (T, bool) {
    LASTS.set(shortage == Shortage::Lasting);
    FAILED.set(0);
    UNTIL_FAILURE.set(Some(nth));
    let result = run();
    UNTIL_FAILURE.set(None);
    (result, FAILED.get() > 0)
}

/// Runs with `bytes` left to allocate; freed bytes can be allocated again. Returns whether an allocation failed, too.
pub(crate) fn with_bytes_left<T>(bytes: usize, run: impl FnOnce() -> T) -> (T, bool) {
    FAILED.set(0);
    BYTES_LEFT.set(Some(bytes));
    let result = run();
    BYTES_LEFT.set(None);
    (result, FAILED.get() > 0)
}

/// Runs with no allocation failing, in the midst of others that may.
pub(crate) fn plenty<T>(run: impl FnOnce() -> T) -> T {
    let until = UNTIL_FAILURE.take();
    let result = run();
    UNTIL_FAILURE.set(until);
    result
}

/// Bytes that this thread allocated, less those that it gave back.
pub(crate) fn live_bytes() -> isize {
    LIVE_BYTES.get()
}

struct Failing;

impl Failing {
    /// Whether an allocation that takes these bytes, and gives the others back afterwards, fails.
    fn fails(taken: usize, given_back: usize) -> bool {
        let no_bytes = BYTES_LEFT.get().is_some_and(|left| {
            let after = left.checked_sub(taken);
            BYTES_LEFT.set(Some(after.map_or(left, |after| after + given_back)));
            after.is_none()
        });
        let fails = no_bytes || Self::is_the_one();
        FAILED.set(FAILED.get() + usize::from(fails));
        fails
    }

    fn is_the_one() -> bool {
        match UNTIL_FAILURE.get() {
            None => false,
            Some(0) => {
                if !LASTS.get() {
                    UNTIL_FAILURE.set(None);
                }
                true
            }
            Some(n) => {
                UNTIL_FAILURE.set(Some(n - 1));
                false
            }
        }
    }

    fn count(taken: usize, given_back: usize) {
        LIVE_BYTES.set(LIVE_BYTES.get().wrapping_add_unsigned(taken).wrapping_sub_unsigned(given_back));
    }
}

#[allow(unsafe_code, reason = "an allocator")]
// SAFETY: the system's allocator, or null, which every caller must expect.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if Self::fails(layout.size(), 0) {
            return std::ptr::null_mut();
        }
        Self::count(layout.size(), 0);
        // SAFETY: as this function's caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        Self::count(0, layout.size());
        BYTES_LEFT.set(BYTES_LEFT.get().map(|left| left + layout.size()));
        // SAFETY: as this function's caller promised.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Self::fails(size, layout.size()) {
            return std::ptr::null_mut();
        }
        Self::count(size, layout.size());
        // SAFETY: as this function's caller promised.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;
