//! References to a node, by shape and by role: what a reader may call is not what the writer may call.
//!
//! Called by `read` with the role [`ReaderRole`], and by the writer's files with the role [`WriterRole`]. What both may call has no role.

#![allow(unsafe_code, reason = "nodes are reached by tagged raw pointers; each function here is a safe step or says what it needs")]

use super::raw::copy_bits;
use super::search::{ByGroups, Ranks};
use super::shape::{Child, Inner, Leaf, NodePtr, Slot, Summary};
use crate::addr::Span;
use crate::sync::{Ordering, owner_load, seeded};
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Range, RangeInclusive};
use core::ptr;

/// The role of a reader: its loads may race with the writer's stores, and are Acquire.
#[derive(Debug)]
pub(in crate::tree) enum ReaderRole {}

/// The role of the writer, or of an owner of the whole tree: no other thread stores to a node, so its loads are Relaxed (O4).
#[derive(Debug)]
pub(in crate::tree) enum WriterRole {}

/// A node, by shape.
pub(in crate::tree) enum Node<'g, V, R> {
    Leaf(LeafRef<'g, V, R>),
    Inner(InnerRef<'g, V, R>),
}

impl<V> NodePtr<V> {
    /// Steps into the node.
    ///
    /// # Safety
    /// The pointer is not null, the node is not reused during `'g` (see `Tree::view` and `Tree::edit`), and the caller has the role `R`.
    #[inline]
    pub(in crate::tree) unsafe fn get<'g, R>(self) -> Node<'g, V, R> {
        let (node, len) = (self.untagged(), self.len());
        if self.is_inner() {
            // SAFETY: the tag says inner, and the caller that it lives for 'g.
            let inner = unsafe { &*node.cast::<Inner<V>>() };
            inner.liveness.check();
            Node::Inner(InnerRef { inner, len, role: PhantomData })
        } else {
            // SAFETY: the tag says leaf, and the caller that it lives for 'g.
            let leaf = unsafe { &*node.cast::<Leaf<V>>() };
            leaf.liveness.check();
            Node::Leaf(LeafRef { leaf, len, role: PhantomData })
        }
    }
}

/// A leaf and its length.
#[derive(Debug)]
pub(in crate::tree) struct LeafRef<'g, V, R> {
    pub(super) leaf: &'g Leaf<V>,
    pub(super) len: usize,
    role: PhantomData<R>,
}

impl<V, R> Clone for LeafRef<'_, V, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, R> Copy for LeafRef<'_, V, R> {}

impl<'g, V, R> LeafRef<'g, V, R> {
    pub(in crate::tree) fn len(self) -> usize {
        self.len
    }

    /// Returns the index of the first entry that ends at or after the address, or `len` if there is none in this leaf.
    #[inline]
    pub(in crate::tree) fn rank(self, address: u64) -> usize {
        self.rank_by(ByGroups, address).min(self.len)
    }

    /// [`rank`](Self::rank), counted in a way that the caller chooses. Returns `len` or more if no entry in this leaf ends at or after the
    /// address, because padding keys are counted like keys.
    #[inline]
    pub(in crate::tree) fn rank_by(self, way: impl Ranks, address: u64) -> usize {
        way.rank(self.leaf.lasts.get(), address)
    }

    #[inline]
    pub(in crate::tree) fn last(self, i: usize) -> u64 {
        self.leaf.lasts.get()[i]
    }

    #[inline]
    pub(in crate::tree) fn value(self, i: usize) -> &'g V {
        assert!(i < self.len);
        // SAFETY: the first `len` values were written before the leaf was published, and stay until it is reused.
        unsafe { self.leaf.values.get()[i].assume_init_ref() }
    }

    /// Whether both are the same leaf.
    pub(in crate::tree) fn is(self, other: Self) -> bool {
        ptr::eq(self.leaf, other.leaf)
    }
}

impl<'g, V> LeafRef<'g, V, ReaderRole> {
    /// Loads a start.
    #[inline]
    pub(in crate::tree) fn start(self, i: usize) -> u64 {
        // Acquire: pairs with `lower_start` (O2).
        self.leaf.starts[i].load(Ordering::Acquire)
    }

    /// Loads start, last and value of some entries.
    #[inline]
    pub(in crate::tree) fn read(self, range: Range<usize>) -> impl Iterator<Item = (u64, u64, &'g V)> {
        assert!(range.end <= self.len);
        let Leaf { lasts, starts, values, .. } = self.leaf;
        let columns = starts[range.clone()].iter().zip(&lasts.get()[range.clone()]).zip(&values.get()[range]);
        // Acquire: as in `start`.
        columns.map(|((start, &last), value)| {
            // SAFETY: as in `value`: it is one of the first `len`.
            (start.load(Ordering::Acquire), last, unsafe { value.assume_init_ref() })
        })
    }
}

impl<'g, V> LeafRef<'g, V, WriterRole> {
    /// Loads a start, as its only writer (O4).
    pub(in crate::tree) fn start(self, i: usize) -> u64 {
        owner_load(&self.leaf.starts[i])
    }

    /// The bounds of entry `i`.
    pub(in crate::tree) fn span(self, i: usize) -> Span {
        Span::from_entry(self.start(i), self.last(i))
    }

    /// Lowers the start of entry `i` into the gap below it (T5). Called by `publish` only.
    pub(in crate::tree) fn lower_start(self, i: usize, start: u64) {
        if seeded("start_raised_first") {
            self.leaf.starts[i].store(u64::MAX, Ordering::Release);
        }
        let ordering = if seeded("relaxed_start") { Ordering::Relaxed } else { Ordering::Release };
        // Release: pairs with the reader's `start` (O2).
        self.leaf.starts[i].store(start, ordering);
    }

    /// Copies the bits of value `i`, for another leaf.
    pub(in crate::tree) fn bits(self, i: usize) -> MaybeUninit<V> {
        copy_bits(&self.leaf.values.get()[i])
    }

    /// Returns starts, lasts and the bits of the values of some entries, for another leaf.
    ///
    /// The caller copies the bits as they are and never as a `V`, because moving a box would make the copy its only owner.
    #[allow(clippy::type_complexity, reason = "the leaf's three columns")]
    pub(in crate::tree) fn columns(
        self,
        range: Range<usize>,
    ) -> (impl ExactSizeIterator<Item = u64> + use<'g, V>, &'g [u64], &'g [MaybeUninit<V>]) {
        let Leaf { lasts, starts, values, .. } = self.leaf;
        (starts[range.clone()].iter().map(owner_load), &lasts.get()[range.clone()], &values.get()[range])
    }

    /// Returns the size of the gap between entry `i` and the one before it, or 0 if one of the two is not in this leaf.
    pub(in crate::tree) fn gap_below(self, i: usize) -> u64 {
        if i > 0 && i < self.len { self.start(i) - self.last(i - 1) - 1 } else { 0 }
    }

    /// Returns the largest of the gaps below these entries.
    pub(in crate::tree) fn gap_among(self, range: RangeInclusive<usize>) -> u64 {
        range.map(|i| self.gap_below(i)).max().unwrap_or(0)
    }

    /// Returns the summary of this leaf (T6).
    pub(in crate::tree) fn summary(self) -> Summary {
        Summary { low: self.start(0), gap: self.gap_among(1..=self.len - 1) }
    }
}

/// An inner node and its length.
#[derive(Debug)]
pub(in crate::tree) struct InnerRef<'g, V, R> {
    inner: &'g Inner<V>,
    len: usize,
    role: PhantomData<R>,
}

impl<V, R> Clone for InnerRef<'_, V, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V, R> Copy for InnerRef<'_, V, R> {}

impl<V, R> InnerRef<'_, V, R> {
    pub(in crate::tree) fn len(self) -> usize {
        self.len
    }

    /// Returns the index of the child that routes the address, which is always below `len` (T2).
    #[inline]
    pub(in crate::tree) fn rank(self, address: u64) -> usize {
        self.rank_by(ByGroups, address)
    }

    /// [`rank`](Self::rank), counted in a way that the caller chooses.
    #[inline]
    pub(in crate::tree) fn rank_by(self, way: impl Ranks, address: u64) -> usize {
        way.rank(self.inner.lasts.get(), address)
    }

    #[inline]
    pub(in crate::tree) fn last(self, i: usize) -> u64 {
        self.inner.lasts.get()[i]
    }
}

impl<V> InnerRef<'_, V, ReaderRole> {
    /// Loads the pointer to child `i`.
    #[inline]
    pub(in crate::tree) fn child(self, i: usize) -> NodePtr<V> {
        self.inner.children[i].load()
    }
}

impl<'g, V> InnerRef<'g, V, WriterRole> {
    /// Loads the pointer to child `i`, as its only writer (O4).
    pub(in crate::tree) fn child(self, i: usize) -> NodePtr<V> {
        self.inner.children[i].owner_load()
    }

    pub(in crate::tree) fn slot(self, i: usize) -> &'g Slot<V> {
        &self.inner.children[i]
    }

    /// Returns the noted summary of child `i`.
    pub(in crate::tree) fn child_summary(self, i: usize) -> Summary {
        Summary { low: self.inner.lows[i].get(), gap: self.inner.gaps[i].get() }
    }

    /// Notes the summary of child `i`.
    pub(in crate::tree) fn note(self, i: usize, summary: Summary) {
        self.inner.lows[i].set(summary.low);
        self.inner.gaps[i].set(summary.gap);
    }

    /// Returns child `i` with its key and its summary, for another inner node.
    pub(in crate::tree) fn item(self, i: usize) -> Child<V> {
        Child { node: self.child(i), last: self.last(i), summary: self.child_summary(i) }
    }

    /// Returns the size of the gap between child `i` and the one before it, or 0 for the first child.
    pub(in crate::tree) fn gap_below(self, i: usize) -> u64 {
        if i > 0 { self.inner.lows[i].get() - self.last(i - 1) - 1 } else { 0 }
    }

    /// Returns the summary of this node (T6).
    pub(in crate::tree) fn summary(self) -> Summary {
        let within = (0..self.len).map(|i| self.inner.gaps[i].get()).max().unwrap_or(0);
        let between = (1..self.len).map(|i| self.gap_below(i)).max().unwrap_or(0);
        Summary { low: self.inner.lows[0].get(), gap: within.max(between) }
    }
}
