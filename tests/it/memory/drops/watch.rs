//! A value that checks, when it is dropped, whether the lock is free. Used by `map.rs` and `space.rs`.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::OnceLock;
use vmaple::mm::Payload;
use vmaple::{Span, VmaFlags};

/// Counts values that are created and dropped, and panics at one of the calls of the embedder's code.
pub(crate) struct Watch {
    /// Returns whether the lock is free, by an attempt to take it for writing.
    is_free: OnceLock<Box<dyn Fn() -> bool>>,
    pub(crate) made: Cell<usize>,
    pub(crate) dropped: Cell<usize>,
    /// The number of drops while the lock was held.
    pub(crate) under_the_lock: Cell<usize>,
    /// The number of calls until the one that panics. At 0 none panics.
    until: Cell<usize>,
    /// Whether drops are among the calls that panic.
    drops_panic: Cell<bool>,
    /// The values that operations returned to the caller.
    kept: RefCell<Vec<Box<dyn Any>>>,
}

impl Watch {
    pub(crate) fn new() -> Rc<Self> {
        let (is_free, made, dropped, under_the_lock, until, drops_panic, kept) = Default::default();
        Rc::new(Self { is_free, made, dropped, under_the_lock, until, drops_panic, kept })
    }

    /// Sets how to check whether the lock is free. Until then it counts as free.
    pub(crate) fn over(&self, is_free: impl Fn() -> bool + 'static) {
        assert!(self.is_free.set(Box::new(is_free)).is_ok(), "once");
    }

    /// Sets the call that panics. With `drops`, it may be a call of a drop.
    pub(crate) fn panic_at(&self, nth: usize, drops: bool) {
        self.until.set(nth);
        self.drops_panic.set(drops);
    }

    /// Returns whether the call that was to panic was reached. No call panics any more.
    pub(crate) fn has_panicked(&self) -> bool {
        self.until.replace(0) == 0
    }

    pub(crate) fn value(self: &Rc<Self>, kind: u8) -> Watched {
        self.made.set(self.made.get() + 1);
        Watched { kind, watch: Rc::clone(self) }
    }

    /// Keeps what an operation returned, with this many values in it. They belong to the caller, and count as dropped.
    pub(crate) fn keep(&self, values: usize, back: impl Any) {
        self.dropped.set(self.dropped.get() + values);
        self.kept.borrow_mut().push(Box::new(back));
    }

    /// Drops what was kept. Nothing is counted any more.
    pub(crate) fn end(&self) {
        drop(self.kept.take());
    }

    /// Counts a call of the embedder's code, which may panic. The panic hook is not called, because there are many panics.
    pub(crate) fn call(&self) {
        match self.until.get() {
            0 => {}
            1 => {
                self.until.set(0);
                resume_unwind(Box::new("the embedder panics"));
            }
            n => self.until.set(n - 1),
        }
    }
}

pub(crate) struct Watched {
    pub(crate) kind: u8,
    watch: Rc<Watch>,
}

impl Clone for Watched {
    fn clone(&self) -> Self {
        self.watch.call();
        self.watch.value(self.kind)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Watch { is_free, dropped, under_the_lock, drops_panic, .. } = &*self.watch;
        dropped.set(dropped.get() + 1);
        if is_free.get().is_some_and(|is_free| !is_free()) {
            under_the_lock.set(under_the_lock.get() + 1);
        }
        if drops_panic.get() {
            self.watch.call();
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watched({})", self.kind)
    }
}

impl Payload for Watched {
    fn merges_with(&self, next: &Self) -> bool {
        self.watch.call();
        self.kind == next.kind
    }

    fn merged(&self, _: &Self) -> Self {
        self.clone()
    }

    fn part(&self, _: Span, _: Span) -> Self {
        self.clone()
    }

    fn moved(&self, _: Span, _: Span) -> Self {
        self.clone()
    }

    fn may_split(&self, _: Span, _: u64) -> bool {
        self.watch.call();
        self.kind != UNSPLITTABLE
    }

    fn may_vanish(&self) -> bool {
        self.watch.call();
        true
    }

    fn unmapped(&self, _: Span) {
        self.watch.call();
    }

    fn protected(&self, _: Span, _: VmaFlags) {
        self.watch.call();
    }

    fn pages_moved(&self, _: Span, _: Span) {
        self.watch.call();
    }
}

/// The payload of a VMA that may not be cut.
pub(crate) const UNSPLITTABLE: u8 = 9;
