//! Tests that run once per lock: over the library's, and over one as an embedder brings it.
//!
//! Such a test is a function generic over [`TestLock`], without `#[test]`, and its name is in the file's `over_each_lock!`. A name that is
//! missing there is an unused function, which is a warning.

use super::address_space::{map_all, mm_over};
use super::fifo_lock::{Fifo, Kill};
use vmaple::lock::{MmLock, RawMmLock};
use vmaple::mm::Limits;
use vmaple::{Interrupt, Mm, VmaFlags};

/// A lock that tests run over.
pub(crate) trait TestLock: RawMmLock<Interrupt: TestInterrupt> + Default + Send + Sync {
    /// As `address_space::mm_with`, over this lock.
    fn mm_with(change: impl FnOnce(&mut Limits)) -> Mm<(), Self> {
        mm_over(Self::default(), change)
    }

    /// As `address_space::mm_of`, over this lock.
    fn mm_of(vmas: &[(u64, u64, VmaFlags)]) -> Mm<(), Self> {
        let mm = Self::mm_with(|limits| limits.stack_guard_gap_pages = 2);
        map_all(&mm, vmas);
        mm
    }
}

impl TestLock for MmLock {}
impl TestLock for Fifo {}

/// What ends the waits for such a lock.
pub(crate) trait TestInterrupt: Default + Sync {
    fn raise(&self);
}

impl TestInterrupt for Interrupt {
    fn raise(&self) {
        Self::raise(self);
    }
}

impl TestInterrupt for Kill {
    fn raise(&self) {
        Self::raise(self);
    }
}

/// Raises the interrupt when it is dropped, so that a test that fails ends the waits of its threads.
pub(crate) struct RaiseOnDrop<'i, I: TestInterrupt>(pub(crate) &'i I);

impl<I: TestInterrupt> Drop for RaiseOnDrop<'_, I> {
    fn drop(&mut self) {
        self.0.raise();
    }
}

/// Makes a test per lock of each of these functions.
macro_rules! over_each_lock {
    ($($(#[$attribute:meta])* $test:ident,)*) => {
        mod default_lock {
            $(#[test] $(#[$attribute])* fn $test() { super::$test::<vmaple::lock::MmLock>(); })*
        }
        // Nothing in that lock is unsafe, and Miri sees the same over the default lock.
        #[cfg(not(miri))]
        mod custom_lock {
            $(#[test] $(#[$attribute])* fn $test() { super::$test::<crate::support::fifo_lock::Fifo>(); })*
        }
    };
}
pub(crate) use over_each_lock;
