//! Writes nodes into free memory: from entries, from children, or from another leaf with some entries exchanged.
//!
//! Called by the pool, which has the memory. No reader sees a node before it is published.

#![allow(unsafe_code, reason = "writes into free memory, and copies the bits of values")]

use super::super::layout::FANOUT;
use super::buffer::EntrySlice;
use super::raw::{RawEntry, copy_bits};
use super::refs::{LeafRef, WriterRole};
use super::shape::{Child, Inner, Leaf, NodePtr, Slot, Summary};
use crate::sync::{AtomicU64, Liveness, Plain, owner_load};
use core::cell::Cell;
use core::mem::{MaybeUninit, offset_of};
use core::ops::Range;
use core::ptr::{self, NonNull};
use smallvec::SmallVec;

/// Writes a leaf of these entries (1 to `FANOUT`) into free memory.
///
/// # Safety
/// The memory has the layout of a leaf, and nobody uses it.
pub(in crate::tree) unsafe fn write_leaf<V>(memory: NonNull<Leaf<V>>, part: &EntrySlice<'_, V>) -> NodePtr<V> {
    let len = part.len();
    let mut lasts = [u64::MAX; FANOUT];
    let mut starts = [u64::MAX; FANOUT];
    let mut values = [const { MaybeUninit::uninit() }; FANOUT];
    lasts[..len].copy_from_slice(part.lasts);
    starts[..len].copy_from_slice(part.starts);
    for (slot, value) in values[..len].iter_mut().zip(part.values) {
        *slot = copy_bits(value);
    }
    let (lasts, starts, values) = (Plain::new(lasts), starts.map(AtomicU64::new), Plain::new(values));
    // SAFETY: by the caller's promise.
    unsafe { memory.write(Leaf { lasts, starts, values, liveness: Liveness::new() }) };
    NodePtr::leaf(memory, len)
}

/// A change of a leaf: `entries` take the place of those in `range`.
#[derive(Debug)]
pub(in crate::tree) struct Exchange<V> {
    pub(in crate::tree) range: Range<usize>,
    pub(in crate::tree) entries: SmallVec<[RawEntry<V>; 3]>,
}

impl<V> Exchange<V> {
    /// Returns the index in the new leaf of what follows the range.
    pub(in crate::tree) fn behind(&self) -> usize {
        self.range.start + self.entries.len()
    }

    /// Turns a copy of a column of the old leaf into the column of the new one: moves what follows the range if its index changes, and
    /// writes the new entries in between.
    fn write<T, U>(
        &self,
        column: &mut Column<U>,
        old: &[T; FANOUT],
        old_len: usize,
        copy: impl Fn(&T) -> U,
        new: impl Fn(&RawEntry<V>) -> U,
    ) {
        let behind = self.behind();
        if behind != self.range.end {
            for (to, from) in column[behind..].iter_mut().zip(&old[self.range.end..old_len]) {
                to.write(copy(from));
            }
        }
        for (to, item) in column[self.range.start..].iter_mut().zip(&self.entries) {
            to.write(new(item));
        }
    }
}

/// A column of a leaf in free memory.
type Column<T> = [MaybeUninit<T>; FANOUT];

/// Writes a leaf into free memory that holds what `old` holds, with some entries exchanged. The result has at most `FANOUT` entries.
///
/// # Safety
/// The memory has the layout of a leaf, and nobody uses it.
pub(in crate::tree) unsafe fn write_leaf_of<V>(
    memory: NonNull<Leaf<V>>,
    old: LeafRef<'_, V, WriterRole>,
    exchange: &Exchange<V>,
) -> NodePtr<V> {
    let len = exchange.behind() + old.len - exchange.range.end;
    // Column by column in place, because moving a finished leaf there would cost as much again. Each column is first copied whole, since a
    // copy of fixed size is fast.
    let place = |offset| memory.as_ptr().wrapping_byte_add(offset);
    let lasts = |column: &mut Column<u64>| {
        *column = old.leaf.lasts.get().map(MaybeUninit::new);
        exchange.write(column, old.leaf.lasts.get(), old.len, |&last| last, |item| item.last);
        // If the old leaf was longer, the rest becomes padding.
        column[len.min(old.len)..old.len].iter_mut().for_each(|last| _ = last.write(u64::MAX));
    };
    // SAFETY: that column's memory, free by the caller's promise.
    unsafe { Plain::write(place(offset_of!(Leaf<V>, lasts)).cast(), lasts) };
    // SAFETY: as above.
    let starts: &mut Column<AtomicU64> = unsafe { &mut *place(offset_of!(Leaf<V>, starts)).cast() };
    let start = |start: &AtomicU64| AtomicU64::new(owner_load(start));
    for (to, from) in starts.iter_mut().zip(&old.leaf.starts) {
        to.write(start(from));
    }
    exchange.write(starts, &old.leaf.starts, old.len, start, |item| AtomicU64::new(item.start));
    let values = |column: &mut Column<MaybeUninit<V>>| {
        *column = copy_all_bits(old.leaf.values.get());
        exchange.write(column, old.leaf.values.get(), old.len, copy_bits, |item| copy_bits(&item.value));
    };
    // SAFETY: as above.
    unsafe { Plain::write(place(offset_of!(Leaf<V>, values)).cast(), values) };
    // SAFETY: as above.
    unsafe { place(offset_of!(Leaf<V>, liveness)).cast::<Liveness>().write(Liveness::new()) };
    NodePtr::leaf(memory, len)
}

/// Writes an inner node of these children (1 to `FANOUT`) into free memory.
///
/// # Safety
/// The memory has the layout of an inner node, and nobody uses it.
pub(in crate::tree) unsafe fn write_inner<V>(memory: NonNull<Inner<V>>, items: &[Child<V>]) -> NodePtr<V> {
    let mut lasts = [u64::MAX; FANOUT];
    let mut children = [NodePtr::NULL; FANOUT];
    let mut summaries = [Summary { low: 0, gap: 0 }; FANOUT];
    for (i, item) in items.iter().enumerate() {
        lasts[i] = item.last;
        children[i] = item.node;
        summaries[i] = item.summary;
    }
    let (lows, gaps) = (summaries.map(|summary| Cell::new(summary.low)), summaries.map(|summary| Cell::new(summary.gap)));
    let (lasts, children) = (Plain::new(lasts), children.map(Slot::new));
    // SAFETY: by the caller's promise.
    unsafe { memory.write(Inner { lasts, children, lows, gaps, liveness: Liveness::new() }) };
    NodePtr::inner(memory, items.len())
}

/// Copies the bits of a column of values, which keep their owner, in one copy of fixed size.
fn copy_all_bits<V>(values: &[MaybeUninit<V>; FANOUT]) -> Column<MaybeUninit<V>> {
    // SAFETY: as in `copy_bits`; an array of `MaybeUninit` is initialized whatever its bits are, and laid out like the one inside.
    unsafe { ptr::from_ref(values).cast::<Column<MaybeUninit<V>>>().read() }
}
