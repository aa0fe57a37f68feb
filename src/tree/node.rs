//! The two node shapes, and the tagged pointer to either. Shape only: what the order of entries means is not known here.
//!
//! Who may touch what: readers `lasts`, `children`, `starts` and `values`, to read; the writer besides stores to one child slot or one
//! start of a published node, and keeps `lows` and `gaps`. After publication nobody ever forms a `&mut` to a node.

#![allow(unsafe_code, reason = "nodes are reached by tagged raw pointers; each function here is a safe step or says what it needs")]

use super::search::{ByGroups, Ranks};
use crate::sync::{AtomicPtr, AtomicU64, Liveness, Ordering, Plain, owner_load, owner_load_ptr, prefetch, seeded};
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::{Range, RangeInclusive};
use core::ptr::{self, NonNull};

mod fill;

pub(super) use fill::{Exchange, write_inner, write_leaf, write_leaf_of};

/// How many entries or children a node holds. Small where a checker explores, so that trees get tall with few entries.
pub(crate) const FANOUT: usize = if cfg!(any(test, miri, fuzzing, vmaple_loom)) { 4 } else { 16 };

/// What every node but the root and the right edge holds at least (T3).
pub(crate) const MIN_FILL: usize = if FANOUT / 4 > 2 { FANOUT / 4 } else { 2 };

/// Entries: three arrays side by side, so that a search touches keys only.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Leaf<V> {
    lasts: Plain<[u64; FANOUT]>,
    starts: [AtomicU64; FANOUT],
    values: Plain<[MaybeUninit<V>; FANOUT]>,
    liveness: Liveness,
}

/// Children, and what the writer notes of each.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Inner<V> {
    lasts: Plain<[u64; FANOUT]>,
    children: [Slot<V>; FANOUT],
    lows: [Cell<u64>; FANOUT],
    gaps: [Cell<u64>; FANOUT],
    liveness: Liveness,
}

/// An entry on its way into a leaf, or out of one: its value's bits, owned by whoever the context says.
#[derive(Debug)]
pub(super) struct Item<V> {
    pub(super) start: u64,
    pub(super) last: u64,
    pub(super) value: MaybeUninit<V>,
}

impl<V> Item<V> {
    /// The same entry once more; who owns the value's bits, the caller knows.
    pub(super) fn copy(&self) -> Self {
        Self { start: self.start, last: self.last, value: copy_bits(&self.value) }
    }
}

/// What the writer notes of a subtree (T6): its lowest start, and its largest gap between entries (in bytes; 0 where there is none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) low: u64,
    pub(super) gap: u64,
}

impl Summary {
    /// The largest gap after a change, where this was noted before it: among the gaps that changed `before` was the largest, and
    /// `after` is. None if that does not tell: the largest of all may be gone.
    pub(super) fn gap_after(self, before: u64, after: u64) -> Option<u64> {
        (before < self.gap || after >= self.gap).then_some(self.gap.max(after))
    }
}

/// A subtree on its way into an inner node: where it is, its key, its summary.
#[derive(Debug)]
pub(super) struct Child<V> {
    pub(super) node: NodePtr<V>,
    pub(super) last: u64,
    pub(super) summary: Summary,
}

impl<V> Clone for Child<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Child<V> {}

/// A pointer to a node, or null. The low bits, free by the alignment, tell the shape and how many entries it holds: a reader learns
/// both with the one load that it does anyway, and a leaf needs no header.
#[derive(Debug)]
pub(super) struct NodePtr<V>(*mut (), PhantomData<*mut V>);

const INNER: usize = 1;
const LEN_SHIFT: u32 = 1;
/// No wider than it must be: then the compiler knows that no length is above `FANOUT`.
const TAG: usize = (FANOUT - 1) << LEN_SHIFT | INNER;
const _: () =
    assert!(FANOUT.is_power_of_two() && TAG < align_of::<Leaf<()>>(), "the tag has room for len - 1, and the pointer for the tag");

impl<V> Clone for NodePtr<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for NodePtr<V> {}

impl<V> PartialEq for NodePtr<V> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// A node, by shape.
pub(super) enum Node<'g, V> {
    Leaf(LeafRef<'g, V>),
    Inner(InnerRef<'g, V>),
}

impl<V> NodePtr<V> {
    /// No node: the empty tree, an unused slot.
    pub(super) const NULL: Self = Self(ptr::null_mut(), PhantomData);

    fn leaf(node: NonNull<Leaf<V>>, len: usize) -> Self {
        Self(node.as_ptr().cast::<()>().map_addr(|a| a | ((len - 1) << LEN_SHIFT)), PhantomData)
    }

    fn inner(node: NonNull<Inner<V>>, len: usize) -> Self {
        Self(node.as_ptr().cast::<()>().map_addr(|a| a | ((len - 1) << LEN_SHIFT) | INNER), PhantomData)
    }

    pub(super) fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(super) fn is_inner(self) -> bool {
        self.0.addr() & INNER != 0
    }

    /// How many entries or children; not for null.
    pub(super) fn len(self) -> usize {
        ((self.0.addr() & TAG) >> LEN_SHIFT) + 1
    }

    /// The memory behind it, by shape.
    pub(super) fn memory(self) -> Memory<V> {
        let node = self.0.map_addr(|a| a & !TAG);
        if self.is_inner() {
            Memory::Inner(NonNull::new(node.cast()).expect("null has no memory"))
        } else {
            Memory::Leaf(NonNull::new(node.cast()).expect("null has no memory"))
        }
    }

    /// Writes a value of a leaf.
    ///
    /// # Safety
    /// A leaf that nobody else has seen and to which there is no reference, and one of its entries. What stood there is forgotten.
    pub(super) unsafe fn write_value(self, i: usize, value: V) {
        let Memory::Leaf(leaf) = self.memory() else { unreachable!("a leaf was built") };
        // SAFETY: in bounds of the leaf, by the caller's promise.
        let values = unsafe { &raw mut (*leaf.as_ptr()).values };
        // SAFETY: nobody else has seen the leaf, by the caller's promise.
        unsafe { Plain::change(values, |values| values[i] = MaybeUninit::new(value)) };
    }

    /// Asks for the line of keys at the node.
    pub(super) fn prefetch(self) {
        prefetch(self.0);
    }

    /// Steps into the node.
    ///
    /// # Safety
    /// Not null, and for `'g` the node is not reused: see `Tree::view` and `Tree::edit`.
    #[inline]
    pub(super) unsafe fn get<'g>(self) -> Node<'g, V> {
        let node: *mut () = self.0.map_addr(|a| a & !TAG);
        if self.is_inner() {
            // SAFETY: the tag says inner, and the caller that it lives for 'g.
            let inner = unsafe { &*node.cast::<Inner<V>>() };
            inner.liveness.check();
            Node::Inner(InnerRef { inner, len: self.len() })
        } else {
            // SAFETY: the tag says leaf, and the caller that it lives for 'g.
            let leaf = unsafe { &*node.cast::<Leaf<V>>() };
            leaf.liveness.check();
            Node::Leaf(LeafRef { leaf, len: self.len() })
        }
    }
}

/// The memory of a node.
pub(super) enum Memory<V> {
    Leaf(NonNull<Leaf<V>>),
    Inner(NonNull<Inner<V>>),
}

/// An atomic pointer to a node: the root, or a child slot.
#[derive(Debug)]
#[repr(transparent)]
pub(super) struct Slot<V>(AtomicPtr<()>, PhantomData<*mut V>);

impl<V> Slot<V> {
    pub(super) fn new(node: NodePtr<V>) -> Self {
        Self(AtomicPtr::new(node.0), PhantomData)
    }

    /// A reader's load.
    #[inline]
    pub(super) fn load(&self) -> NodePtr<V> {
        let ordering = if seeded("relaxed_slot_load") { Ordering::Relaxed } else { Ordering::Acquire };
        // Acquire: the node's fields are seen as they were published; pairs with `Slot::publish` (O1).
        NodePtr(self.0.load(ordering), PhantomData)
    }

    /// The writer's load of what only it stores to (O4).
    pub(super) fn owner_load(&self) -> NodePtr<V> {
        NodePtr(owner_load_ptr(&self.0), PhantomData)
    }

    /// Makes a subtree visible. For `publish.rs` alone, and `build.rs` in a tree that nobody sees yet.
    pub(super) fn publish(&self, node: NodePtr<V>) {
        let ordering = if seeded("relaxed_publish") { Ordering::Relaxed } else { Ordering::Release };
        // Release: the new nodes' fields come before it; pairs with `Slot::load` (O1).
        self.0.store(node.0, ordering);
    }
}

/// A leaf and its length.
#[derive(Debug)]
pub(super) struct LeafRef<'g, V> {
    leaf: &'g Leaf<V>,
    len: usize,
}

impl<V> Clone for LeafRef<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for LeafRef<'_, V> {}

impl<'g, V> LeafRef<'g, V> {
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// The index of the first entry that ends at or after the address; `len` if there is none here.
    #[inline]
    pub(super) fn rank(self, address: u64) -> usize {
        self.rank_by(ByGroups, address).min(self.len)
    }

    /// The same, counted in a way that the caller chooses; but `len` or more if there is none here, for a padding key is no entry and counts
    /// as none below. For `walk.rs`.
    #[inline]
    pub(super) fn rank_by(self, way: impl Ranks, address: u64) -> usize {
        way.rank(self.leaf.lasts.get(), address)
    }

    #[inline]
    pub(super) fn last(self, i: usize) -> u64 {
        self.leaf.lasts.get()[i]
    }

    /// A reader's load of a start.
    #[inline]
    pub(super) fn start(self, i: usize) -> u64 {
        // Acquire: pairs with `LeafRef::lower_start` (O2).
        self.leaf.starts[i].load(Ordering::Acquire)
    }

    /// The writer's load of a start (O4).
    pub(super) fn owner_start(self, i: usize) -> u64 {
        owner_load(&self.leaf.starts[i])
    }

    /// Grows entry `i` downward in place (T5: into the gap below it). For `publish.rs` alone.
    pub(super) fn lower_start(self, i: usize, start: u64) {
        if seeded("start_raised_first") {
            self.leaf.starts[i].store(u64::MAX, Ordering::Release);
        }
        let ordering = if seeded("relaxed_start") { Ordering::Relaxed } else { Ordering::Release };
        // Release: pairs with `LeafRef::start` (O2).
        self.leaf.starts[i].store(start, ordering);
    }

    #[inline]
    pub(super) fn value(self, i: usize) -> &'g V {
        assert!(i < self.len);
        // SAFETY: the first `len` values were written before the leaf was published, and stay until it is reused.
        unsafe { self.leaf.values.get()[i].assume_init_ref() }
    }

    /// A reader's loads of some entries: start, last and value of each.
    #[inline]
    pub(super) fn read(self, range: Range<usize>) -> impl Iterator<Item = (u64, u64, &'g V)> {
        assert!(range.end <= self.len);
        let Leaf { lasts, starts, values, .. } = self.leaf;
        let columns = starts[range.clone()].iter().zip(&lasts.get()[range.clone()]).zip(&values.get()[range]);
        // Acquire: as in `start`.
        columns.map(|((start, &last), value)| {
            // SAFETY: as in `value`: it is one of the first `len`.
            (start.load(Ordering::Acquire), last, unsafe { value.assume_init_ref() })
        })
    }

    /// The bits of value `i`, for another leaf; the writer only.
    pub(super) fn bits(self, i: usize) -> MaybeUninit<V> {
        copy_bits(&self.leaf.values.get()[i])
    }

    /// Whether the two are one leaf.
    pub(super) fn is(self, other: Self) -> bool {
        ptr::eq(self.leaf, other.leaf)
    }

    /// Starts, lasts and the values' bits of some entries, for another leaf; the writer only.
    ///
    /// The bits are to be copied as they are, never as a `V`: moving a box would claim it for the copy alone.
    #[allow(clippy::type_complexity, reason = "the leaf's three columns")]
    pub(super) fn columns(self, range: Range<usize>) -> (impl ExactSizeIterator<Item = u64> + use<'g, V>, &'g [u64], &'g [MaybeUninit<V>]) {
        let Leaf { lasts, starts, values, .. } = self.leaf;
        (starts[range.clone()].iter().map(owner_load), &lasts.get()[range.clone()], &values.get()[range])
    }

    /// The gap between entry `i` and the one before it; 0 where one of the two is not in this leaf.
    pub(super) fn gap_below(self, i: usize) -> u64 {
        if i > 0 && i < self.len { self.owner_start(i) - self.last(i - 1) - 1 } else { 0 }
    }

    /// The largest of the gaps below these entries.
    pub(super) fn gap_among(self, range: RangeInclusive<usize>) -> u64 {
        range.map(|i| self.gap_below(i)).max().unwrap_or(0)
    }

    /// What the parent notes of this leaf (T6).
    pub(super) fn summary(self) -> Summary {
        Summary { low: self.owner_start(0), gap: self.gap_among(1..=self.len - 1) }
    }
}

/// An inner node and its length.
#[derive(Debug)]
pub(super) struct InnerRef<'g, V> {
    inner: &'g Inner<V>,
    len: usize,
}

impl<V> Clone for InnerRef<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for InnerRef<'_, V> {}

impl<'g, V> InnerRef<'g, V> {
    pub(super) fn len(self) -> usize {
        self.len
    }

    /// The index of the child that routes the address: always one of the `len` (T2).
    #[inline]
    pub(super) fn rank(self, address: u64) -> usize {
        self.rank_by(ByGroups, address)
    }

    /// The same, counted in a way that the caller chooses. For `walk.rs`.
    #[inline]
    pub(super) fn rank_by(self, way: impl Ranks, address: u64) -> usize {
        way.rank(self.inner.lasts.get(), address)
    }

    #[inline]
    pub(super) fn last(self, i: usize) -> u64 {
        self.inner.lasts.get()[i]
    }

    /// A reader's step down.
    #[inline]
    pub(super) fn child(self, i: usize) -> NodePtr<V> {
        self.inner.children[i].load()
    }

    /// The writer's step down (O4).
    pub(super) fn owner_child(self, i: usize) -> NodePtr<V> {
        self.inner.children[i].owner_load()
    }

    pub(super) fn slot(self, i: usize) -> &'g Slot<V> {
        &self.inner.children[i]
    }

    /// What is noted of child `i`; the writer only.
    pub(super) fn child_summary(self, i: usize) -> Summary {
        Summary { low: self.inner.lows[i].get(), gap: self.inner.gaps[i].get() }
    }

    /// Notes it; the writer only.
    pub(super) fn note(self, i: usize, summary: Summary) {
        self.inner.lows[i].set(summary.low);
        self.inner.gaps[i].set(summary.gap);
    }

    /// Child `i`, for another inner node; the writer only.
    pub(super) fn item(self, i: usize) -> Child<V> {
        Child { node: self.owner_child(i), last: self.last(i), summary: self.child_summary(i) }
    }

    /// The gap between child `i` and the one before it; 0 for the first.
    pub(super) fn gap_below(self, i: usize) -> u64 {
        if i > 0 { self.inner.lows[i].get() - self.last(i - 1) - 1 } else { 0 }
    }

    /// What the parent notes of this node (T6).
    pub(super) fn summary(self) -> Summary {
        let within = (0..self.len).map(|i| self.inner.gaps[i].get()).max().unwrap_or(0);
        let between = (1..self.len).map(|i| self.gap_below(i)).max().unwrap_or(0);
        Summary { low: self.inner.lows[0].get(), gap: within.max(between) }
    }
}

/// The bits of a value, without claiming it.
pub(super) fn copy_bits<V>(value: &MaybeUninit<V>) -> MaybeUninit<V> {
    // SAFETY: read from a reference; `MaybeUninit` may be copied, and is not a claim to the value.
    unsafe { ptr::from_ref(value).read() }
}

/// Marks a node's memory as no longer to be visited (models only).
///
/// # Safety
/// The memory holds a node.
pub(super) unsafe fn end_of_life<V>(memory: &Memory<V>) {
    match memory {
        // SAFETY: by the caller's promise.
        Memory::Leaf(leaf) => unsafe { leaf.as_ref() }.liveness.end(),
        // SAFETY: by the caller's promise.
        Memory::Inner(inner) => unsafe { inner.as_ref() }.liveness.end(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_gap_follows_from_what_changed_where_that_tells() {
        let noted = Summary { low: 0, gap: 10 };
        assert_eq!(noted.gap_after(3, 5), Some(10), "another is the largest");
        assert_eq!(noted.gap_after(3, 12), Some(12), "it grew beyond that");
        assert_eq!(noted.gap_after(10, 12), Some(12), "the largest grew");
        assert_eq!(noted.gap_after(10, 10), Some(10), "it is as large as it was");
        assert_eq!(noted.gap_after(10, 9), None, "there may be another as large");
    }
}
