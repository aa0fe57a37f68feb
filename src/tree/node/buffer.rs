//! Entries on their way from leaves into leaves, in three columns like those of a leaf, so that whole columns are copied.
//!
//! Filled by `groups` and `build`, and copied into new leaves by the pool. The values are bits; the code that fills the buffer knows who
//! owns them.

use super::raw::{RawEntry, copy_bits};
use super::refs::{LeafRef, WriterRole};
use super::shape::Summary;
use crate::error::ResourceError;
use crate::fallible::{reserve, trim};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Entries in order. The buffer is kept between edits, so that a steady load allocates nothing.
#[derive(Debug)]
pub(in crate::tree) struct EntryBuffer<V> {
    starts: Vec<u64>,
    lasts: Vec<u64>,
    values: Vec<MaybeUninit<V>>,
}

/// A part of a buffer, for one leaf.
#[derive(Debug)]
pub(in crate::tree) struct EntrySlice<'a, V> {
    pub(in crate::tree) starts: &'a [u64],
    pub(in crate::tree) lasts: &'a [u64],
    pub(in crate::tree) values: &'a [MaybeUninit<V>],
}

impl<V> EntryBuffer<V> {
    pub(in crate::tree) const fn new() -> Self {
        Self { starts: Vec::new(), lasts: Vec::new(), values: Vec::new() }
    }

    pub(in crate::tree) fn len(&self) -> usize {
        self.lasts.len()
    }

    pub(in crate::tree) fn is_empty(&self) -> bool {
        self.lasts.is_empty()
    }

    /// Removes all entries, without dropping their values.
    pub(in crate::tree) fn clear(&mut self) {
        self.starts.clear();
        self.lasts.clear();
        self.values.clear();
        trim(&mut self.starts);
        trim(&mut self.lasts);
        trim(&mut self.values);
    }

    /// Makes room for `more` entries.
    pub(in crate::tree) fn reserve(&mut self, more: usize) -> Result<(), ResourceError> {
        reserve(&mut self.starts, more)?;
        reserve(&mut self.lasts, more)?;
        reserve(&mut self.values, more)
    }

    /// Appends an entry. The caller has reserved room.
    pub(in crate::tree) fn push(&mut self, item: RawEntry<V>) {
        self.starts.push(item.start);
        self.lasts.push(item.last);
        self.values.push(item.value);
    }

    /// Appends entries. The caller has reserved room.
    pub(in crate::tree) fn extend_with(&mut self, items: impl Iterator<Item = RawEntry<V>>) {
        for item in items {
            self.push(item);
        }
    }

    /// Appends entries of a leaf. The caller has reserved room.
    pub(in crate::tree) fn extend(&mut self, leaf: LeafRef<'_, V, WriterRole>, range: Range<usize>) {
        let (starts, lasts, values) = leaf.columns(range);
        self.starts.extend(starts);
        self.lasts.extend_from_slice(lasts);
        self.values.extend(values.iter().map(copy_bits));
    }

    /// Moves the entries from `middle` on to the front.
    pub(in crate::tree) fn rotate(&mut self, middle: usize) {
        self.starts.rotate_left(middle);
        self.lasts.rotate_left(middle);
        self.values.rotate_left(middle);
    }

    pub(in crate::tree) fn slice(&self, range: Range<usize>) -> EntrySlice<'_, V> {
        EntrySlice { starts: &self.starts[range.clone()], lasts: &self.lasts[range.clone()], values: &self.values[range] }
    }

    /// Removes all entries, and returns the bits of their values.
    pub(in crate::tree) fn take_values(&mut self) -> impl Iterator<Item = MaybeUninit<V>> + '_ {
        self.starts.clear();
        self.lasts.clear();
        self.values.drain(..)
    }
}

impl<V> EntrySlice<'_, V> {
    pub(in crate::tree) fn len(&self) -> usize {
        self.lasts.len()
    }

    /// Returns the last address, or 0 if there are no entries.
    pub(in crate::tree) fn last(&self) -> u64 {
        self.lasts.last().copied().unwrap_or_default()
    }

    /// Returns the summary of a leaf with these entries (T6).
    pub(in crate::tree) fn summary(&self) -> Summary {
        let gap = self.starts.iter().skip(1).zip(self.lasts).map(|(start, before)| start - before - 1).max().unwrap_or(0);
        Summary { low: self.starts.first().copied().unwrap_or_default(), gap }
    }
}
