//! A counted box whose making can fail: what `Arc` is, but that it says when memory is short, and knows no weak references.

#![allow(unsafe_code, reason = "it owns what it points to together with others, and counts them")]

use super::prim::AtomicU64;
use super::{Ordering, fence, prefetch};
use crate::value::Value;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use std::alloc::{Layout, alloc};

struct Counted<T> {
    count: AtomicU64,
    value: T,
}

/// A value that several own; the last one drops it.
///
/// Clones are the same value. More than 2^63 of them at once are more than it can count: it aborts.
pub struct Shared<T> {
    counted: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

// SAFETY: as `Arc`: the value is reached from every thread that has a clone (so `Sync`), and dropped by any of them (so `Send`).
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above: a reference can be cloned.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: a thin pointer; the count is beside the value, not in the word.
unsafe impl<T> Value for Shared<T> {
    const DROP_TELLS: bool = core::mem::needs_drop::<T>();

    fn owned_bytes(&self) -> usize {
        size_of::<Counted<T>>()
    }
}

impl<T> Shared<T> {
    /// Makes one; hands the value back where memory is short.
    #[inline]
    pub(crate) fn try_new(value: T) -> Result<Self, T> {
        // SAFETY: not of size 0, for the count is in it.
        let memory = unsafe { alloc(Layout::new::<Counted<T>>()) };
        let Some(counted) = NonNull::new(memory.cast::<Counted<T>>()) else { return Err(value) };
        // SAFETY: allocated just now with this layout.
        unsafe { counted.write(Counted { count: AtomicU64::new(1), value }) };
        Ok(Self { counted, owns: PhantomData })
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: it lives as long as its count is above 0, and this one is counted.
        unsafe { self.counted.as_ref() }
    }

    /// Asks for the cache line where it begins.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(self.counted.as_ptr());
    }

    /// Whether both are the same one.
    #[must_use]
    pub fn ptr_eq(one: &Self, other: &Self) -> bool {
        one.counted == other.counted
    }

    /// The value, if nobody else has it.
    pub(crate) fn into_inner(this: Self) -> Option<T> {
        // Acquire: what the others did with it, before they left; pairs with the drop.
        let alone = this.counted().count.load(Ordering::Acquire) == 1;
        alone.then(|| {
            let counted = this.counted;
            core::mem::forget(this);
            // SAFETY: `try_new` made it with the box's layout, and nobody else has it, or can come by it.
            unsafe { Box::from_raw(counted.as_ptr()) }.value
        })
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed: who clones has one, so the count is not 0; nothing is carried.
        let before = self.counted().count.fetch_add(1, Ordering::Relaxed);
        if before > u64::MAX / 2 {
            std::process::abort();
        }
        Self { counted: self.counted, owns: PhantomData }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Release: what was done with it comes before its end; pairs with the fence of whoever is last.
        if self.counted().count.fetch_sub(1, Ordering::Release) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: `try_new` made it with the box's layout, and this was the last.
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
