//! A reference-counted box whose allocation can fail: `Arc` without weak references.
//!
//! Called by `vma` and `mm`, which keep each VMA's record in one.

#![allow(unsafe_code, reason = "several owners share an allocation, and the last one frees it")]

use super::cpu::prefetch;
use super::prim::{AtomicU64, fence};
use crate::value::Value;
use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

/// Aborts the process: a panic in a drop during a panic does.
#[cold]
fn abort() -> ! {
    struct PanicAgain;
    impl Drop for PanicAgain {
        fn drop(&mut self) {
            panic!("2^63 owners");
        }
    }
    let _again = PanicAgain;
    panic!("2^63 owners");
}

struct Counted<T> {
    count: AtomicU64,
    value: T,
}

/// A value with several owners, dropped by the last one. Like [`Arc`](std::sync::Arc), without weak references.
///
/// A clone is another owner of the same value. Aborts the process if there are more than 2^63 owners.
pub(crate) struct Shared<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

// SAFETY: as for `Arc`: every thread that has a clone can use the value (so `Sync`), and any of them may drop it (so `Send`).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above, because a reference can be cloned.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: a thin pointer; the count is beside the value, not in the pointer.
unsafe impl<T> Value for Shared<T> {
    const DROP_TELLS: bool = core::mem::needs_drop::<T>();

    fn owned_bytes(&self) -> usize {
        size_of::<Counted<T>>()
    }
}

impl<T> Shared<T> {
    /// Allocates one, or returns the value if memory is short.
    #[inline]
    pub(crate) fn try_new(value: T) -> Result<Self, T> {
        // SAFETY: the layout is not of size 0, because it contains the count.
        let memory = unsafe { alloc(Layout::new::<Counted<T>>()) };
        let Some(counted) = NonNull::new(memory.cast::<Counted<T>>()) else { return Err(value) };
        // SAFETY: allocated just now with this layout.
        unsafe { counted.write(Counted { count: AtomicU64::new(1), value }) };
        Ok(Self { counted, owns: PhantomData })
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: it lives as long as its count is above 0, and `self` is counted.
        unsafe { self.counted.as_ref() }
    }

    /// Prefetches its first cache line.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.counted.as_ptr());
    }

    /// Returns whether both own the same value.
    #[must_use]
    pub(crate) fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.counted == other.counted
    }

    /// Returns the value, or `None` if there is another owner.
    pub(crate) fn into_inner(this: Self) -> Option<T> {
        // Acquire: what other owners did with it before they dropped theirs; pairs with the drop.
        let alone = this.counted().count.load(Ordering::Acquire) == 1;
        alone.then(|| {
            let counted = this.counted;
            core::mem::forget(this);
            // SAFETY: `try_new` allocated it with a box's layout, and there is no other owner, so there can be no new one.
            unsafe { Box::from_raw(counted.as_ptr()) }.value
        })
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed: `self` is counted, so the count is not 0; publishes nothing.
        let before = self.counted().count.fetch_add(1, Ordering::Relaxed);
        if before > u64::MAX / 2 {
            abort();
        }
        Self { counted: self.counted, owns: PhantomData }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Release: what this owner did with it happens before it is freed; pairs with the last owner's fence.
        if self.counted().count.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: `try_new` allocated it with a box's layout, and this was the last owner.
            drop(unsafe { Box::from_raw(self.counted.as_ptr()) });
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
