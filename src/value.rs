//! The trait of a value (L0): at most 8 bytes, whose bits may be copied while readers look at them.
//!
//! Called by `tree` and `map`, and implemented by embedders.

#![allow(unsafe_code, reason = "implements an unsafe trait for std's types")]

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::mem;
use core::ptr::NonNull;

/// A value of the index: at most 8 bytes, kept in the leaf itself.
///
/// Integers, pointers and references are values, and need no allocation per entry. For a larger type use a `Box<T>`, or an `Arc<T>` to
/// share it; the index moves only the pointer. For a `Copy` type of your own that has at most 8 bytes use [`Inline<T>`](Inline).
///
/// The caller makes the box, so the index allocates nothing per entry, and if the allocation fails nothing has changed.
///
/// # Safety
/// * The size is at most 8 bytes and the alignment at most 8.
/// * There is no interior mutability in the value's own bytes (behind a pointer in it there may be), because the index copies the bytes to
///   another leaf while readers hold references to the old ones, treats both as the same value, and drops one of them.
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
    message = "`{Self}` cannot be a value of the index: it is not plain data of at most 8 bytes",
    label = "not a value",
    note = "put it in a box (`Box<{Self}>`, or `Arc<{Self}>` to share it), or in `Inline` if it is `Copy` and at most 8 bytes"
)]
pub unsafe trait Value: Sized {
    /// Whether dropping a value does more than free memory, so that someone may wait for it.
    ///
    /// If false, removed values are dropped as rarely as nodes are recycled.
    // Hidden: it tunes the library's own shared records.
    #[doc(hidden)]
    const DROP_TELLS: bool = true;

    /// Returns the number of heap bytes that dropping the value is sure to free. They count against the map's budget from the removal of
    /// the value until no reader can reach it.
    ///
    /// Called for each value that an edit removes, while the map is locked for writing, so it must not use the map. If the edit is refused
    /// or waits for the budget, it is called again in the next attempt. By default 0.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Inline<T: Copy>(pub T);

impl<T: Copy> From<T> for Inline<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

// SAFETY: the size and the alignment are checked below, in `assert_word`; a `Copy` type has no interior mutability (no cell is
// `Copy`).
unsafe impl<T: Copy> Value for Inline<T> {}

/// Fails to compile if the type has more than 8 bytes or a larger alignment, whatever its `unsafe impl` claims.
pub(crate) const fn assert_word<V: Value>() {
    assert!(
        mem::size_of::<V>() <= 8 && mem::align_of::<V>() <= 8,
        "a value of the index has at most 8 bytes, aligned to at most 8: put it in a box"
    );
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
