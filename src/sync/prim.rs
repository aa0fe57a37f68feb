//! Atomics, fences and published memory: of the machine, of loom or of shuttle.
//!
//! Called by all of `sync`, and through it by every module that shares memory between threads.

#![allow(unsafe_code, reason = "changes memory that is not published yet through raw pointers, and uses loom's unsynchronized loads")]

#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU64, fence};
#[cfg(vmaple_loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, fence};
#[cfg(vmaple_shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU64, fence};

#[cfg(vmaple_loom)]
pub(crate) use tracked::{Plain, owner_load, owner_load_ptr};
#[cfg(not(vmaple_loom))]
pub(crate) use untracked::{Plain, owner_load, owner_load_ptr};

/// Bare memory and relaxed loads. (shuttle's threads are sequentially consistent, so it has nothing to track.)
#[cfg(not(vmaple_loom))]
mod untracked {
    use super::{AtomicPtr, AtomicU64};
    use core::mem::MaybeUninit;
    use core::sync::atomic::Ordering;

    /// Memory that is written only while no other thread accesses it: before it is published, or in a slot of `Newest` without readers
    /// (N1).
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct Plain<T>(T);

    impl<T> Plain<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(value)
        }

        #[inline(always)]
        #[allow(clippy::inline_always, reason = "a field access")]
        pub(crate) fn get(&self) -> &T {
            &self.0
        }

        /// Changes the value while no other thread accesses it.
        ///
        /// # Safety
        /// `this` is valid, and there is no reference to it.
        pub(crate) unsafe fn change(this: *mut Self, change: impl FnOnce(&mut T)) {
            // SAFETY: by the caller's promise.
            change(unsafe { &mut (*this).0 });
        }
    }

    impl<T, const N: usize> Plain<[T; N]> {
        /// Initializes an array in place.
        ///
        /// # Safety
        /// `place` is unused memory for one, and `init` writes every element.
        #[allow(clippy::inline_always, reason = "left to itself the compiler calls it for each column of a new leaf")]
        #[inline(always)]
        pub(crate) unsafe fn write(place: *mut Self, init: impl FnOnce(&mut [MaybeUninit<T>; N])) {
            // SAFETY: by the caller's promise; the type is transparent.
            init(unsafe { &mut *place.cast() });
        }
    }

    /// Loads a word that only the calling writer stores to.
    #[inline]
    pub(crate) fn owner_load(word: &AtomicU64) -> u64 {
        // Relaxed: the last store was this thread's, or came before it through the writer's lock (O4).
        word.load(Ordering::Relaxed)
    }

    /// Loads a pointer that only the calling writer stores to.
    #[inline]
    pub(crate) fn owner_load_ptr<T>(word: &AtomicPtr<T>) -> *mut T {
        // Relaxed: as `owner_load`.
        word.load(Ordering::Relaxed)
    }
}

/// loom's cells and unsynchronized loads: loom reports an access that races with another.
#[cfg(vmaple_loom)]
mod tracked {
    use super::{AtomicPtr, AtomicU64};
    use core::mem::MaybeUninit;

    #[derive(Debug)]
    pub(crate) struct Plain<T>(loom::cell::UnsafeCell<T>);

    impl<T> Plain<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }

        pub(crate) fn get(&self) -> &T {
            // SAFETY: the callers change the cell only while no other thread accesses it; loom reports a read that is not ordered with a
            // change.
            self.0.with(|value| unsafe { &*value })
        }

        /// # Safety
        /// `this` is valid, and there is no reference to it.
        pub(crate) unsafe fn change(this: *mut Self, change: impl FnOnce(&mut T)) {
            // SAFETY: by the caller's promise.
            let this = unsafe { &*this };
            // SAFETY: loom checks that no other thread accesses it meanwhile.
            this.0.with_mut(|value| change(unsafe { &mut *value }));
        }
    }

    impl<T, const N: usize> Plain<[T; N]> {
        /// # Safety
        /// `place` is unused memory for one, and `init` writes every element.
        pub(crate) unsafe fn write(place: *mut Self, init: impl FnOnce(&mut [MaybeUninit<T>; N])) {
            let mut value = [const { MaybeUninit::uninit() }; N];
            init(&mut value);
            // SAFETY: by the caller's promise every element is written.
            let value = unsafe { value.as_ptr().cast::<[T; N]>().read() };
            // SAFETY: by the caller's promise.
            unsafe { place.write(Self::new(value)) };
        }
    }

    pub(crate) fn owner_load(word: &AtomicU64) -> u64 {
        // SAFETY: only the calling writer stores to it; loom checks this claim.
        unsafe { word.unsync_load() }
    }

    pub(crate) fn owner_load_ptr<T>(word: &AtomicPtr<T>) -> *mut T {
        // SAFETY: as `owner_load`.
        unsafe { word.unsync_load() }
    }
}
