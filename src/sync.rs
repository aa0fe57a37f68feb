//! The shim (L0): everything that a model checker must see comes from here.
//!
//! This file and its children are the only importers of the atomics of `core`, of loom, of shuttle and of
//! crossbeam-epoch. The rest of the crate names `crate::sync` and is compiled unchanged for the machine and for the checkers:
//!
//! | build | atomics and cells | collector | sleep |
//! |---|---|---|---|
//! | plain | `core` | [`Epoch`](epoch::Epoch), over crossbeam-epoch | std's condition variables |
//! | `--cfg vmaple_model` | `core` | `Model`, which frees as early as any epoch scheme may | std's |
//! | `--cfg vmaple_loom` | loom | `Model` | loom's condition variable |
//! | `--cfg vmaple_shuttle` | shuttle | `Model` | shuttle's |
//!
//! Without the feature `parking` the plain build and `vmaple_model` spin where they would sleep.
//!
//! Two rules. A field that is published is an atomic or a [`Plain`]: a bare field is invisible to loom. And the writer reads
//! what only it changes by [`owner_load`]: stock loom hides interleavings of a thread that loads an atomic and then stores to
//! it (tokio-rs/loom#392), and the unsynchronized load checks besides that there is one writer.

#[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
mod epoch;
#[cfg(any(vmaple_loom, vmaple_shuttle, vmaple_model))]
mod model;
mod newest;
mod park;
mod pause;
mod shared;
#[cfg(all(not(feature = "parking"), not(any(vmaple_loom, vmaple_shuttle))))]
mod spinning;
mod ticket;

#[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
pub(crate) use epoch::Epoch as Collector;
#[cfg(any(vmaple_loom, vmaple_shuttle, vmaple_model))]
pub(crate) use model::{Liveness, Model as Collector};

pub(crate) use core::sync::atomic::Ordering;
pub(crate) use newest::Newest;
pub(crate) use park::{Flag, Key, Mutex, Park, Parking};
pub(crate) use pause::{Pause, Spin};
pub use shared::Shared;
pub(crate) use ticket::TicketLine;

pub(crate) use prim::{AtomicPtr, AtomicU64, Plain, fence, owner_load, owner_load_ptr};

use crate::error::ResourceError;
use std::sync::atomic::{AtomicBool as BookkeepingBool, AtomicU64 as BookkeepingU64, AtomicUsize as BookkeepingUsize};

/// How many calls of a collector there is memory for.
#[derive(Debug)]
pub(crate) struct Funds(usize);

impl Funds {
    /// One call is made.
    fn spend(&mut self) {
        debug_assert!(self.0 > 0, "memory was asked for");
        self.0 = self.0.saturating_sub(1);
    }
}

/// Keeps what was read alive: the part of an epoch collector that the crate relies on.
///
/// A collector is a cheap handle; clones are the same collector. Its one promise: the ticket that [`mark`](Self::mark) draws
/// expires only when every pin and session that was active then has ended or been refreshed.
pub(crate) trait Reclaim: Clone {
    /// Keeps memory alive until it is dropped.
    type Pin;
    /// The registration of one `Reader`: starts at rest, pinned after `refresh`.
    type Session;

    /// The collector that all maps share unless they ask for their own.
    fn shared() -> Self;
    /// Asks for the memory that [`private`](Self::private) takes, which follows at once.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    fn ask_for_private() -> Result<(), ResourceError>;
    /// A collector of the caller's own.
    fn private() -> Self;
    /// Pins the calling thread. Lock-free.
    fn pin(&self) -> Self::Pin;
    /// Registers a session of the calling thread.
    fn session(&self) -> Self::Session;
    /// Ends what the session kept alive so far, and keeps alive what is read from now on.
    fn refresh(session: &mut Self::Session);
    /// Keeps nothing alive until the next refresh.
    fn unpin(session: &mut Self::Session);
    /// Whether the calling thread holds a pin, or a session that is not at rest.
    fn is_pinned(&self) -> bool;
    /// Asks for the memory that `calls` calls of [`mark`](Self::mark) and [`advance`](Self::advance) may take. They must follow at once.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`].
    fn funds(&self, calls: usize) -> Result<Funds, ResourceError>;
    /// Draws a ticket of the line, whose last one has expired, and expires it after a grace period.
    ///
    /// # Errors
    /// [`ResourceError::OutOfMemory`]: no ticket was drawn.
    fn mark(&self, line: &mut TicketLine, funds: &mut Funds) -> Result<(), ResourceError>;
    /// Helps a grace period along; one call does a bounded amount of work and may achieve nothing.
    fn advance(&self, funds: &mut Funds);
}

/// The first of so many numbers, one after the other, that no other call tells.
pub(crate) fn unique_numbers(count: u64) -> u64 {
    static NEXT: BookkeepingU64 = BookkeepingU64::new(0);
    // Relaxed: a number, which carries nothing.
    NEXT.fetch_add(count, Ordering::Relaxed)
}

/// Something that the machine can do, once that has been noted. On lines of its own: what is read on every road shares them with nobody who
/// writes.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Ability(BookkeepingBool);

impl Ability {
    /// Not noted yet.
    pub(crate) const fn unknown() -> Self {
        Self(BookkeepingBool::new(false))
    }

    /// Notes that the machine has it.
    pub(crate) fn note(&self) {
        if !self.is_noted() {
            // Relaxed: nothing is reached through it; who does not see it yet does the same by other means.
            self.0.store(true, Ordering::Relaxed);
        }
    }

    /// Whether that was done.
    #[inline]
    pub(crate) fn is_noted(&self) -> bool {
        // Relaxed: as in `note`.
        self.0.load(Ordering::Relaxed)
    }
}

/// Asks for the cache line at the pointer, where the machine has a way to ask.
#[inline]
#[allow(unsafe_code, reason = "the prefetch intrinsic")]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch of any address is allowed; SSE is part of x86-64.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

macro_rules! figure {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $number:ty) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(crate) struct $name($atomic);

        impl $name {
            /// Reads it.
            #[inline]
            pub(crate) fn read(&self) -> $number {
                // Relaxed: a statistic; nothing is reached through it.
                self.0.load(Ordering::Relaxed)
            }

            /// Adds to it; the writer only (no read-modify-write, so that a write costs no locked instruction).
            #[inline]
            pub(crate) fn add(&self, n: $number) {
                self.0.store(self.read().wrapping_add(n), Ordering::Relaxed);
            }

            /// Sets it; the writer only.
            #[inline]
            pub(crate) fn set(&self, n: $number) {
                self.0.store(n, Ordering::Relaxed);
            }
        }
    };
}

figure! {
    /// A figure that the one writer keeps and anyone may read at any time: of what is in memory, which a word counts.
    Counter, BookkeepingUsize, usize
}

figure! {
    /// A figure of what a word may be too small for where it has 32 bits: pages of an address space, and what happened since the start.
    Tally, BookkeepingU64, u64
}

impl Counter {
    /// Subtracts from it; the writer only.
    #[inline]
    pub(crate) fn sub(&self, n: usize) {
        self.0.store(self.read().wrapping_sub(n), Ordering::Relaxed);
    }
}

impl Tally {
    /// Adds one; any thread.
    pub(crate) fn bump(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// In models a mark in each node, checked at each visit; outside them nothing at all.
#[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
#[derive(Debug)]
pub(crate) struct Liveness;

#[cfg(not(any(vmaple_loom, vmaple_shuttle, vmaple_model)))]
#[allow(clippy::unused_self, reason = "the face of the model's type of the same name")]
impl Liveness {
    pub(crate) const MODELLED: bool = false;

    pub(crate) fn new() -> Self {
        Self
    }
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "empty outside models, and on the lookup path")]
    pub(crate) fn check(&self) {}
    pub(crate) fn end(&self) {}
}

/// Whether the deliberate fault of this name is switched on (only ever in builds with `--cfg vmaple_bugs`).
///
/// The checkers are themselves checked by such faults: see `docs/verification.md`, "Seeded bugs".
#[inline(always)]
#[allow(clippy::inline_always, reason = "folds to false in every build that is not a check of the checkers")]
pub(crate) fn seeded(bug: &str) -> bool {
    #[cfg(vmaple_bugs)]
    {
        static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        CHOSEN.get_or_init(|| std::env::var("VMAPLE_BUG").unwrap_or_default()) == bug
    }
    #[cfg(not(vmaple_bugs))]
    {
        let _ = bug;
        false
    }
}

/// The primitives of the machine.
#[cfg(not(any(vmaple_loom, vmaple_shuttle)))]
#[allow(unsafe_code, reason = "changes what is not published yet, by raw pointers")]
mod prim {
    pub(crate) use core::sync::atomic::{AtomicPtr, AtomicU64, fence};

    use core::mem::MaybeUninit;

    /// Plain memory that is written before it is published and never after.
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

        /// Changes it before it is published.
        ///
        /// # Safety
        /// Valid, and there is no reference to it.
        pub(crate) unsafe fn change(this: *mut Self, change: impl FnOnce(&mut T)) {
            // SAFETY: by the caller's promise.
            change(unsafe { &mut (*this).0 });
        }
    }

    impl<T, const N: usize> Plain<[T; N]> {
        /// Makes one in place.
        ///
        /// # Safety
        /// Free memory of one, and `init` writes all of it.
        pub(crate) unsafe fn write(place: *mut Self, init: impl FnOnce(&mut [MaybeUninit<T>; N])) {
            // SAFETY: by the caller's promise; transparent.
            init(unsafe { &mut *place.cast() });
        }
    }

    /// Loads a word that only the calling writer stores to.
    #[inline]
    pub(crate) fn owner_load(word: &AtomicU64) -> u64 {
        // Relaxed: the last store was this thread's, or came before it through the writer's lock (O4).
        word.load(core::sync::atomic::Ordering::Relaxed)
    }

    /// Loads a pointer that only the calling writer stores to.
    #[inline]
    pub(crate) fn owner_load_ptr<T>(word: &AtomicPtr<T>) -> *mut T {
        // Relaxed: as `owner_load`.
        word.load(core::sync::atomic::Ordering::Relaxed)
    }
}

/// The primitives of loom: cells are tracked, the writer's own loads are unsynchronized.
#[cfg(vmaple_loom)]
#[allow(unsafe_code, reason = "loom's cells and its unsynchronized loads are reached by raw pointers")]
mod prim {
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64, fence};

    use core::mem::MaybeUninit;

    #[derive(Debug)]
    pub(crate) struct Plain<T>(loom::cell::UnsafeCell<T>);

    impl<T> Plain<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::cell::UnsafeCell::new(value))
        }
        pub(crate) fn get(&self) -> &T {
            // SAFETY: nothing writes to the cell after `new`; loom checks that this read comes after it.
            self.0.with(|value| unsafe { &*value })
        }

        /// # Safety
        /// Valid, and there is no reference to it.
        pub(crate) unsafe fn change(this: *mut Self, change: impl FnOnce(&mut T)) {
            // SAFETY: by the caller's promise.
            let this = unsafe { &*this };
            // SAFETY: loom checks that nobody reads it meanwhile.
            this.0.with_mut(|value| change(unsafe { &mut *value }));
        }
    }

    impl<T, const N: usize> Plain<[T; N]> {
        /// # Safety
        /// Free memory of one, and `init` writes all of it.
        pub(crate) unsafe fn write(place: *mut Self, init: impl FnOnce(&mut [MaybeUninit<T>; N])) {
            let mut value = [const { MaybeUninit::uninit() }; N];
            init(&mut value);
            // SAFETY: by the caller's promise, written whole.
            let value = unsafe { value.as_ptr().cast::<[T; N]>().read() };
            // SAFETY: by the caller's promise.
            unsafe { place.write(Self::new(value)) };
        }
    }

    pub(crate) fn owner_load(word: &AtomicU64) -> u64 {
        // SAFETY: only the calling writer stores to it; loom checks the claim.
        unsafe { word.unsync_load() }
    }

    pub(crate) fn owner_load_ptr<T>(word: &AtomicPtr<T>) -> *mut T {
        // SAFETY: as `owner_load`.
        unsafe { word.unsync_load() }
    }
}

/// The primitives of shuttle: sequentially consistent, scheduled at random.
#[cfg(vmaple_shuttle)]
#[allow(unsafe_code, reason = "changes what is not published yet, by raw pointers")]
mod prim {
    pub(crate) use shuttle::sync::atomic::{AtomicPtr, AtomicU64, fence};

    use core::mem::MaybeUninit;

    #[derive(Debug)]
    pub(crate) struct Plain<T>(T);

    impl<T> Plain<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(value)
        }
        pub(crate) fn get(&self) -> &T {
            &self.0
        }

        /// # Safety
        /// Valid, and there is no reference to it.
        pub(crate) unsafe fn change(this: *mut Self, change: impl FnOnce(&mut T)) {
            // SAFETY: by the caller's promise.
            change(unsafe { &mut (*this).0 });
        }
    }

    impl<T, const N: usize> Plain<[T; N]> {
        /// # Safety
        /// Free memory of one, and `init` writes all of it.
        pub(crate) unsafe fn write(place: *mut Self, init: impl FnOnce(&mut [MaybeUninit<T>; N])) {
            // SAFETY: by the caller's promise; transparent.
            init(unsafe { &mut *place.cast() });
        }
    }

    pub(crate) fn owner_load(word: &AtomicU64) -> u64 {
        word.load(core::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn owner_load_ptr<T>(word: &AtomicPtr<T>) -> *mut T {
        word.load(core::sync::atomic::Ordering::Relaxed)
    }
}
