//! The two node shapes, and the tagged pointer to a node. Called by all of the tree. This file knows the shape of a node, not what the
//! order of its entries means.
//!
//! Readers may load `lasts`, `children`, `starts` and `values`. The writer also stores to a child slot or a start of a published node, and
//! is the only one to touch `lows` and `gaps`. `refs` has a type for each of the two. Nobody forms a `&mut` to a published node.

#![allow(unsafe_code, reason = "nodes are reached by tagged raw pointers; each function here is a safe step or says what it needs")]

use super::super::layout::FANOUT;
use super::search::look_for_vectors;
use crate::sync::{AtomicPtr, AtomicU64, Liveness, Ordering, Plain, const_fn, owner_load_ptr, prefetch, seeded};
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

/// A node of entries. They are in three arrays, so that a search touches only keys.
#[derive(Debug)]
#[repr(C, align(64))]
pub(in crate::tree) struct Leaf<V> {
    pub(super) lasts: Plain<[u64; FANOUT]>,
    pub(super) starts: [AtomicU64; FANOUT],
    pub(super) values: Plain<[MaybeUninit<V>; FANOUT]>,
    pub(super) liveness: Liveness,
}

/// A node of children, with the summary of each.
#[derive(Debug)]
#[repr(C, align(64))]
pub(in crate::tree) struct Inner<V> {
    pub(super) lasts: Plain<[u64; FANOUT]>,
    pub(super) children: [Slot<V>; FANOUT],
    pub(super) lows: [Cell<u64>; FANOUT],
    pub(super) gaps: [Cell<u64>; FANOUT],
    pub(super) liveness: Liveness,
}

/// What the writer notes of a subtree (T6): its lowest start, and the size of its largest gap between entries (0 if there is none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tree) struct Summary {
    pub(in crate::tree) low: u64,
    pub(in crate::tree) gap: u64,
}

impl Summary {
    /// Returns the largest gap after a change, if `self` was noted before it. `before` was the largest of the gaps that changed, and
    /// `after` is now. `None` if that does not determine it, because the largest gap of all may be gone.
    pub(in crate::tree) fn gap_after(self, before: u64, after: u64) -> Option<u64> {
        (before < self.gap || after >= self.gap).then_some(self.gap.max(after))
    }
}

/// A subtree on its way into an inner node, with its key and its summary.
#[derive(Debug)]
pub(in crate::tree) struct Child<V> {
    pub(in crate::tree) node: NodePtr<V>,
    pub(in crate::tree) last: u64,
    pub(in crate::tree) summary: Summary,
}

impl<V> Clone for Child<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Child<V> {}

/// A pointer to a node, or null. The low bits, which are free because nodes are aligned, hold the shape and the number of entries. So a
/// reader learns both from the load that it does anyway, and a leaf needs no header.
#[derive(Debug)]
pub(in crate::tree) struct NodePtr<V>(*mut (), PhantomData<*mut V>);

const INNER: usize = 1;
const LEN_SHIFT: u32 = 1;
/// As narrow as possible, so that the compiler knows that no length is above `FANOUT`.
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

impl<V> NodePtr<V> {
    /// No node: an empty tree, or an unused slot.
    pub(in crate::tree) const NULL: Self = Self(ptr::null_mut(), PhantomData);

    pub(super) fn leaf(node: NonNull<Leaf<V>>, len: usize) -> Self {
        Self(node.as_ptr().cast::<()>().map_addr(|a| a | ((len - 1) << LEN_SHIFT)), PhantomData)
    }

    pub(super) fn inner(node: NonNull<Inner<V>>, len: usize) -> Self {
        Self(node.as_ptr().cast::<()>().map_addr(|a| a | ((len - 1) << LEN_SHIFT) | INNER), PhantomData)
    }

    pub(in crate::tree) fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub(in crate::tree) fn is_inner(self) -> bool {
        self.0.addr() & INNER != 0
    }

    /// Returns the number of entries or children. The pointer is not null.
    pub(in crate::tree) fn len(self) -> usize {
        ((self.0.addr() & TAG) >> LEN_SHIFT) + 1
    }

    /// The pointer without its tag.
    pub(super) fn untagged(self) -> *mut () {
        self.0.map_addr(|a| a & !TAG)
    }

    /// The memory of the node, by shape.
    pub(in crate::tree) fn memory(self) -> Memory<V> {
        let node = self.untagged();
        if self.is_inner() {
            Memory::Inner(NonNull::new(node.cast()).expect("null has no memory"))
        } else {
            Memory::Leaf(NonNull::new(node.cast()).expect("null has no memory"))
        }
    }

    /// Writes a value of a leaf.
    ///
    /// # Safety
    /// The node is a leaf that nobody else has seen and to which there is no reference, and `i` is one of its entries. The value that was
    /// there is not dropped.
    pub(in crate::tree) unsafe fn write_value(self, i: usize, value: V) {
        let Memory::Leaf(leaf) = self.memory() else { unreachable!("a leaf was built") };
        // SAFETY: in bounds of the leaf, by the caller's promise.
        let values = unsafe { &raw mut (*leaf.as_ptr()).values };
        // SAFETY: nobody else has seen the leaf, by the caller's promise.
        unsafe { Plain::change(values, |values| values[i] = MaybeUninit::new(value)) };
    }

    /// Prefetches the first cache line of keys.
    pub(in crate::tree) fn prefetch(self) {
        prefetch(self.0);
    }
}

/// The memory of a node.
pub(in crate::tree) enum Memory<V> {
    Leaf(NonNull<Leaf<V>>),
    Inner(NonNull<Inner<V>>),
}

/// An atomic pointer to a node: the root, or a child slot.
#[derive(Debug)]
#[repr(transparent)]
pub(in crate::tree) struct Slot<V>(AtomicPtr<()>, PhantomData<*mut V>);

impl<V> Slot<V> {
    const_fn! {
        pub(in crate::tree) fn new(node: NodePtr<V>) -> Self {
            Self(AtomicPtr::new(node.0), PhantomData)
        }
    }

    /// Loads the pointer, as a reader.
    #[inline]
    pub(in crate::tree) fn load(&self) -> NodePtr<V> {
        let ordering = if seeded("relaxed_slot_load") { Ordering::Relaxed } else { Ordering::Acquire };
        // Acquire: the node's fields are seen as they were published; pairs with `Slot::publish` (O1).
        NodePtr(self.0.load(ordering), PhantomData)
    }

    /// Loads the pointer, as its only writer (O4).
    pub(in crate::tree) fn owner_load(&self) -> NodePtr<V> {
        NodePtr(owner_load_ptr(&self.0), PhantomData)
    }

    /// Makes a subtree visible. Called by `publish` only, and by `build` in a tree that nobody else has seen.
    pub(in crate::tree) fn publish(&self, node: NodePtr<V>) {
        let ordering = if seeded("relaxed_publish") { Ordering::Relaxed } else { Ordering::Release };
        // Release: the new nodes' fields come before it; pairs with `Slot::load` (O1).
        self.0.store(node.0, ordering);
    }
}

/// Marks the memory of a node as one that may not be visited any more (in models only).
///
/// # Safety
/// The memory holds a node.
pub(in crate::tree) unsafe fn end_of_life<V>(memory: &Memory<V>) {
    match memory {
        // SAFETY: by the caller's promise.
        Memory::Leaf(leaf) => unsafe { leaf.as_ref() }.liveness.end(),
        // SAFETY: by the caller's promise.
        Memory::Inner(inner) => unsafe { inner.as_ref() }.liveness.end(),
    }
}

/// The topmost slot, where every descent begins.
///
/// It has two cache lines to itself, because neighbouring lines are fetched together, and a word that a writer stores to should not share
/// them.
#[derive(Debug)]
#[repr(align(128))]
pub(in crate::tree) struct Root<V>(pub(in crate::tree) Slot<V>);

impl<V> Root<V> {
    /// Publishes a root.
    pub(in crate::tree) fn publish(&self, node: NodePtr<V>) {
        // Here, because a tree can be made at compile time.
        look_for_vectors();
        self.0.publish(node);
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn the_largest_gap_follows_from_what_changed_if_that_determines_it() {
        let noted = Summary { low: 0, gap: 10 };
        assert_eq!(noted.gap_after(3, 5), Some(10), "another is the largest");
        assert_eq!(noted.gap_after(3, 12), Some(12), "it grew beyond that");
        assert_eq!(noted.gap_after(10, 12), Some(12), "the largest grew");
        assert_eq!(noted.gap_after(10, 10), Some(10), "it is as large as it was");
        assert_eq!(noted.gap_after(10, 9), None, "there may be another as large");
    }
}
