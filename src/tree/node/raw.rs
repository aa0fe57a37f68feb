//! Entries by their bits, on their way from one leaf to another. Called by the writer.

#![allow(unsafe_code, reason = "copies the bits of values")]

use crate::addr::Span;
use core::mem::MaybeUninit;
use core::ptr;

/// An entry on its way into or out of a leaf: its bounds, and the bits of its value. The context says who owns the value.
#[derive(Debug)]
pub(in crate::tree) struct RawEntry<V> {
    pub(in crate::tree) start: u64,
    pub(in crate::tree) last: u64,
    pub(in crate::tree) value: MaybeUninit<V>,
}

impl<V> RawEntry<V> {
    /// Makes an entry of a value, which the result owns.
    pub(in crate::tree) fn new(span: Span, value: V) -> Self {
        Self { start: span.start(), last: span.last(), value: MaybeUninit::new(value) }
    }

    /// Returns the bounds.
    pub(in crate::tree) fn span(&self) -> Span {
        Span::from_entry(self.start, self.last)
    }

    /// Copies the entry. The value keeps its one owner, whom the caller knows.
    pub(in crate::tree) fn copy(&self) -> Self {
        Self { start: self.start, last: self.last, value: copy_bits(&self.value) }
    }
}

/// Copies the bits of a value, which keeps its owner.
pub(in crate::tree) fn copy_bits<V>(value: &MaybeUninit<V>) -> MaybeUninit<V> {
    // SAFETY: read from a reference; `MaybeUninit` may be copied, and is not a claim to the value.
    unsafe { ptr::from_ref(value).read() }
}
