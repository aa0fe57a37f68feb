//! What may be a value (L0): one machine word whose bits may be moved while readers look at them.

#![allow(unsafe_code, reason = "the trait is unsafe to implement; these are its implementations for std's words")]

use core::mem;
use core::ptr::NonNull;
use std::sync::{Arc, Weak};

/// A value of the index: at most one machine word, kept in the leaf itself.
///
/// Integers, pointers and references are values as they are: no allocation per entry, no hop beyond the leaf. Anything larger goes
/// into a box of the caller's making, once: `Box<T>`, or `Arc<T>` where it is shared, is a value too, and moving it between leaves
/// moves the pointer. A word-sized `Copy` type of one's own goes in as [`Inline<T>`](Inline).
///
/// The box is made by the caller, so the index itself allocates nothing per entry and an allocation that fails does so before
/// anything changed.
///
/// # Safety
/// * The size is at most 8 bytes and the alignment at most 8.
/// * There is no interior mutability in the value's own bytes (behind a pointer in it there may be): the index copies the bytes to
///   another leaf while readers hold references to the old ones, takes both for the same value, and drops one.
/// * [`owned_bytes`](Self::owned_bytes) does not panic.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use vmaple::RangeMap;
/// let words: RangeMap<u64> = RangeMap::new();
/// let shared: RangeMap<Arc<String>> = RangeMap::new();
/// # let _ = (words, shared);
/// ```
/// ```compile_fail
/// # use vmaple::RangeMap;
/// let interior: RangeMap<std::sync::atomic::AtomicU64> = RangeMap::new(); // the trait bound is not satisfied
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a value of the index: it is not one plain machine word",
    label = "not a word",
    note = "put it in a box (`Box<{Self}>`, or `Arc<{Self}>` to share it), or in `Inline` if it is `Copy` and at most 8 bytes"
)]
pub unsafe trait Value: Sized {
    /// Whether a drop of this type does more than to give memory back, so that somebody may wait for it. Where it does not, removed
    /// values are looked after as seldom as nodes are.
    const DROP_TELLS: bool = true;

    /// Returns how many bytes of heap the value surely owns: its drop gives back that many. They count against the map's budget while the
    /// value is removed and waits for readers.
    ///
    /// Asked of each value that an edit is to remove, while the map is locked for writing: it must not use the map. Where the edit is refused
    /// or waits for the budget, it is asked again at the next attempt.
    ///
    /// # Examples
    /// ```
    /// use vmaple::Value;
    /// assert_eq!(Value::owned_bytes(&Some(Box::new([0u8; 40]))), 40);
    /// assert_eq!(Value::owned_bytes(&None::<Box<[u8; 40]>>), 0);
    /// ```
    fn owned_bytes(&self) -> usize {
        0
    }
}

/// A `Copy` type of at most 8 bytes, kept in the leaf.
///
/// # Examples
/// ```
/// use vmaple::{Inline, RangeMap};
/// #[derive(Clone, Copy)]
/// struct Segment { class: u16, arena: u32 }
/// let segments = RangeMap::new();
/// segments.write().insert(0x1000..0x2000, Inline(Segment { class: 3, arena: 7 })).unwrap();
/// assert_eq!(segments.pin().lookup(0x1234).unwrap().value().0.arena, 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Inline<T: Copy>(pub T);

// SAFETY: the size and the alignment are checked below, in `assert_word`; a `Copy` type has no interior mutability (no cell is
// `Copy`).
unsafe impl<T: Copy> Value for Inline<T> {}

/// Refuses at compile time what does not fit a word, whatever an `unsafe impl` claimed.
pub(crate) const fn assert_word<V: Value>() {
    assert!(mem::size_of::<V>() <= 8 && mem::align_of::<V>() <= 8, "a value of the index is at most one word: put it in a box");
}

macro_rules! words {
    ($($t:ty),*) => { $(
        // SAFETY: at most 8 bytes, and plain.
        unsafe impl Value for $t {}
    )* };
}

words!((), bool, char, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, f32, f64);

// SAFETY: a thin pointer is a word and plain.
unsafe impl<T> Value for *const T {}
// SAFETY: as above.
unsafe impl<T> Value for *mut T {}
// SAFETY: as above.
unsafe impl<T> Value for NonNull<T> {}
// SAFETY: as above.
unsafe impl<T> Value for Option<NonNull<T>> {}
// SAFETY: a thin reference is a word; what it refers to is not in the leaf.
unsafe impl<T> Value for &T {}
// SAFETY: as above.
unsafe impl<T> Value for Option<&T> {}
// SAFETY: a thin pointer; what it owns is not in the leaf, and does not move with it.
unsafe impl<T> Value for Box<T> {
    fn owned_bytes(&self) -> usize {
        mem::size_of::<T>()
    }
}
// SAFETY: as above, null where there is none.
unsafe impl<T> Value for Option<Box<T>> {
    fn owned_bytes(&self) -> usize {
        self.as_ref().map_or(0, Value::owned_bytes)
    }
}
// SAFETY: as above; the counts are beside what is shared, not in the word.
unsafe impl<T> Value for Arc<T> {}
// SAFETY: as above.
unsafe impl<T> Value for Option<Arc<T>> {}
// SAFETY: as above.
unsafe impl<T> Value for Weak<T> {}
