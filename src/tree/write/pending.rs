//! A replacement under construction: the entries that go in, the nodes that were built, and what they replace. Called by the files that
//! build one (`leaf_edit`, `groups` and `nodes`), and by `publish`.
//!
//! Nobody else sees a pending edit until it is published, and it can be abandoned until then.

use super::super::node::{EntryBuffer, LeafRef, NodePtr, WriterRole, copy_bits};
use crate::addr::Span;
use crate::error::ResourceError;
use crate::fallible::{reserve, trim};
use crate::value::Value;
use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};
use core::ops::Range;
use core::ptr::NonNull;

/// A replacement under construction. Its buffers are kept between edits.
#[derive(Debug)]
pub(super) struct PendingEdit<V> {
    /// The entries of the new leaves, if they are not made from one old leaf.
    pub(super) entries: EntryBuffer<V>,
    /// The nodes that were built.
    pub(super) built: Vec<NodePtr<V>>,
    /// The nodes that it unlinks.
    pub(super) unlinked: Vec<NodePtr<V>>,
    /// The entries in its range, as they were.
    pub(super) replaced: Vec<ReplacedEntry<V>>,
    /// If the edit cuts an entry in two: its value, and the index that the clone will have among the entries of the new leaves.
    pub(super) hole: Option<(NonNull<V>, usize)>,
    /// How many entries take the place of `replaced`.
    pub(super) inserted: usize,
    pub(super) retire: Retire,
    /// What the values that are removed for good count for, in bytes. Set by `admit`.
    pub(super) removed_bytes: usize,
}

impl<V> PendingEdit<V> {
    pub(super) const fn new() -> Self {
        Self {
            entries: EntryBuffer::new(),
            built: Vec::new(),
            unlinked: Vec::new(),
            replaced: Vec::new(),
            hole: None,
            inserted: 0,
            retire: Retire::None,
            removed_bytes: 0,
        }
    }
}

impl<V: Value> PendingEdit<V> {
    /// Clears what the previous edit left.
    #[inline]
    pub(super) fn clear(&mut self) {
        // A list that is empty is not trimmed again. An edit inside one leaf leaves `entries` empty.
        if !self.entries.is_empty() {
            self.entries.clear();
        }
        if !self.built.is_empty() {
            self.built.clear();
            trim(&mut self.built);
        }
        if !self.unlinked.is_empty() {
            self.unlinked.clear();
            trim(&mut self.unlinked);
        }
        if !self.replaced.is_empty() {
            self.replaced.clear();
            trim(&mut self.replaced);
        }
        self.hole = None;
        self.inserted = 0;
    }

    /// Notes a node that the pending edit unlinks.
    pub(super) fn note_node(&mut self, node: NodePtr<V>) -> Result<(), ResourceError> {
        reserve(&mut self.unlinked, 1)?;
        self.unlinked.push(node);
        Ok(())
    }

    /// Returns the entries whose values are removed for good; empty if values need no drop.
    pub(super) fn removed(&self) -> impl Iterator<Item = &ReplacedEntry<V>> {
        self.replaced.iter().filter(|entry| match self.retire {
            Retire::Within(span) => mem::needs_drop::<V>() && entry.span.is_within(span),
            Retire::None => false,
        })
    }

    /// Notes entries in the pending edit's range.
    pub(super) fn note_entries(&mut self, leaf: LeafRef<'_, V, WriterRole>, range: Range<usize>) -> Result<(), ResourceError> {
        reserve(&mut self.replaced, range.len())?;
        self.replaced.extend(range.map(|i| ReplacedEntry::of(leaf, i)));
        Ok(())
    }
}

/// An entry as it was before a splice. It can be read until the writer unlocks or edits again.
#[derive(Debug)]
pub(super) struct ReplacedEntry<V> {
    pub(super) span: Span,
    value: NonNull<V>,
}

impl<V> ReplacedEntry<V> {
    /// Entry `i` of a leaf that is being replaced.
    pub(super) fn of(leaf: LeafRef<'_, V, WriterRole>, i: usize) -> Self {
        Self { span: leaf.span(i), value: NonNull::from(leaf.value(i)) }
    }

    /// Returns a pointer to the value, in the leaf that was replaced.
    pub(super) fn value(&self) -> NonNull<V> {
        self.value
    }

    /// Copies the bits of the value.
    pub(super) fn bits(&self) -> MaybeUninit<V> {
        let value = self.value.cast::<MaybeUninit<V>>();
        #[allow(unsafe_code, reason = "reads a leaf that the writer replaced in this very edit")]
        // SAFETY: the leaf is retired at the earliest by this edit, and reused at the earliest by a later one.
        copy_bits(unsafe { value.as_ref() })
    }

    /// Returns the bytes that the value counts for while it waits: its own, and what it owns.
    pub(super) fn bytes(&self) -> usize
    where
        V: Value,
    {
        #[allow(unsafe_code, reason = "looks at a value of a leaf that the writer is about to replace")]
        // SAFETY: the leaf is live until this edit is published.
        let value = unsafe { self.value.as_ref() };
        size_of::<V>().saturating_add(value.owned_bytes())
    }
}

/// Which values an edit removes for good.
#[derive(Clone, Copy, Debug)]
pub(super) enum Retire {
    /// Those of entries that lie within the span. Of an entry that is cut, a part lives on.
    Within(Span),
    /// None, because each lives on in an entry that is inserted.
    None,
}
