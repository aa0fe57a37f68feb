//! The pool: node memory, taken before an edit's first visible change, given back after the grace period, and kept for the next edit.
//! Called by the writer's files, by `limbo`, by `build`, and by the tree when it ends.
//!
//! Under a steady write load, nodes go round between here and the [`limbo`](super::limbo), and nothing is allocated.

#![allow(unsafe_code, reason = "allocates, frees and writes nodes")]

use super::super::node::{
    Child, EntrySlice, Exchange, Inner, Leaf, LeafRef, Memory, Node, NodePtr, WriterRole, end_of_life, write_inner, write_leaf,
    write_leaf_of,
};
use super::super::stats::Counters;
use super::contained::drop_contained;
use crate::error::ResourceError;
use crate::sync::{Collector, Liveness, Reclaim};
use alloc::alloc::{alloc, dealloc};
use alloc::vec::Vec;
use core::alloc::Layout;
use core::mem;
use core::ptr::NonNull;

/// The pool keeps at most this part of the size of the reachable nodes, but at least what goes round, which is two steps of the limbo.
const KEEP_PART: usize = 8;

/// Under a memory checker, nodes are freed at once, so that it sees every use after free.
const PASS_THROUGH: bool = cfg!(any(miri, fuzzing, vmaple_no_pool));

/// Returns how many retired bytes the writer gathers before it looks after its limbo: half of a small index (with a quarter a replace would
/// cost a tenth more), and of a large one no more than fits the caches. Under a checker it looks after every edit.
#[inline]
pub(in crate::tree) fn step_bytes(counters: &Counters) -> usize {
    if cfg!(any(vmaple_loom, vmaple_shuttle, vmaple_model, miri)) {
        return 1;
    }
    (counters.index_bytes.read() / 2).clamp(*Collector::BATCH_BYTES.start(), *Collector::BATCH_BYTES.end())
}

/// Free nodes of either shape.
#[derive(Debug)]
pub(in crate::tree) struct Pool<V> {
    leaves: Vec<NonNull<Leaf<V>>>,
    inners: Vec<NonNull<Inner<V>>>,
    /// In models: nodes that may not be visited any more, kept so that a visit is noticed.
    buried: Vec<NodePtr<V>>,
}

impl<V> Pool<V> {
    pub(in crate::tree) const fn new() -> Self {
        Self { leaves: Vec::new(), inners: Vec::new(), buried: Vec::new() }
    }
}

/// Returns the size of a node in bytes.
pub(in crate::tree) fn node_bytes<V>(node: NodePtr<V>) -> usize {
    match node.memory() {
        Memory::Leaf(_) => mem::size_of::<Leaf<V>>(),
        Memory::Inner(_) => mem::size_of::<Inner<V>>(),
    }
}

fn allocate<T>() -> Result<NonNull<T>, ResourceError> {
    // SAFETY: no node is of size 0.
    let memory = unsafe { alloc(Layout::new::<T>()) };
    NonNull::new(memory.cast()).ok_or(ResourceError::OutOfMemory)
}

/// # Safety
/// The memory is from `allocate` with the same type, and is not used again.
unsafe fn free<T>(memory: NonNull<T>) {
    // SAFETY: by the caller's promise. A node has no destructor: its values were moved, dropped or never there.
    unsafe { dealloc(memory.as_ptr().cast(), Layout::new::<T>()) };
}

fn take<T>(list: &mut Vec<NonNull<T>>, counters: &Counters) -> Result<NonNull<T>, ResourceError> {
    let Some(memory) = list.pop() else { return allocate() };
    counters.pool_bytes.sub(mem::size_of::<T>());
    Ok(memory)
}

/// # Safety
/// As `free`.
unsafe fn give<T>(list: &mut Vec<NonNull<T>>, memory: NonNull<T>, counters: &Counters) {
    let size = mem::size_of::<T>();
    let keep = (counters.index_bytes.read() / KEEP_PART).max(2 * step_bytes(counters));
    if PASS_THROUGH || counters.pool_bytes.read() + size > keep || list.try_reserve(1).is_err() {
        // SAFETY: by the caller's promise.
        unsafe { free(memory) };
    } else {
        list.push(memory);
        counters.pool_bytes.add(size);
    }
}

impl<V> Pool<V> {
    /// Makes a leaf of these entries (1 to `FANOUT`), which nobody else sees.
    pub(in crate::tree) fn make_leaf(&mut self, part: &EntrySlice<'_, V>, counters: &Counters) -> Result<NodePtr<V>, ResourceError> {
        let memory = take(&mut self.leaves, counters)?;
        // SAFETY: free memory, just taken.
        Ok(unsafe { write_leaf(memory, part) })
    }

    /// Makes a leaf that holds what `old` holds, with some entries exchanged.
    #[inline]
    pub(in crate::tree) fn make_leaf_of(
        &mut self,
        old: LeafRef<'_, V, WriterRole>,
        exchange: &Exchange<V>,
        counters: &Counters,
    ) -> Result<NodePtr<V>, ResourceError> {
        let memory = take(&mut self.leaves, counters)?;
        // SAFETY: free memory, just taken.
        Ok(unsafe { write_leaf_of(memory, old, exchange) })
    }

    /// Makes an inner node of these children (1 to `FANOUT`), which nobody else sees.
    pub(in crate::tree) fn make_inner(&mut self, items: &[Child<V>], counters: &Counters) -> Result<NodePtr<V>, ResourceError> {
        let memory = take(&mut self.inners, counters)?;
        // SAFETY: free memory, just taken.
        Ok(unsafe { write_inner(memory, items) })
    }

    /// Takes back a node that no reader can reach.
    ///
    /// # Safety
    /// The node is from `make_*`, was never published or is past its grace period, and is not used again.
    unsafe fn take_back(&mut self, node: NodePtr<V>, counters: &Counters) {
        let memory = node.memory();
        if Liveness::MODELLED {
            // SAFETY: it holds a node.
            unsafe { end_of_life(&memory) };
            self.buried.push(node);
            return;
        }
        match memory {
            // SAFETY: by the caller's promise.
            Memory::Leaf(leaf) => unsafe { give(&mut self.leaves, leaf, counters) },
            // SAFETY: by the caller's promise.
            Memory::Inner(inner) => unsafe { give(&mut self.inners, inner, counters) },
        }
    }

    /// Takes back a node of an expired batch.
    pub(in crate::tree) fn take_back_retired(&mut self, node: NodePtr<V>, counters: &Counters) {
        // SAFETY: `limbo.rs` passes each retired node once, after its grace period: no reader stands in it (T7, O3).
        unsafe { self.take_back(node, counters) };
    }

    /// Takes back a node that was built and never published.
    pub(in crate::tree) fn take_back_private(&mut self, node: NodePtr<V>, counters: &Counters) {
        // SAFETY: `Editor::abandon` (`write/nodes.rs`) passes each node of an edit that was not published once; nobody else ever saw it.
        unsafe { self.take_back(node, counters) };
    }

    /// Gives all free memory back to the system.
    pub(in crate::tree) fn release(&mut self, counters: &Counters) {
        self.free_all();
        counters.pool_bytes.set(0);
    }

    fn free_all(&mut self) {
        for leaf in mem::take(&mut self.leaves) {
            // SAFETY: a free node from `allocate`.
            unsafe { free(leaf) };
        }
        for inner in mem::take(&mut self.inners) {
            // SAFETY: as above.
            unsafe { free(inner) };
        }
    }

    /// Frees a node at once. Called when the tree ends and no reader is left.
    pub(in crate::tree) fn free(node: NodePtr<V>) {
        match node.memory() {
            // SAFETY: made by `make_leaf`; the tree is going, and this is its only pointer.
            Memory::Leaf(leaf) => unsafe { free(leaf) },
            // SAFETY: as above, by `make_inner`.
            Memory::Inner(inner) => unsafe { free(inner) },
        }
    }

    /// Drops the values of a subtree and frees its nodes. Called when the tree ends and no reader is left.
    pub(in crate::tree) fn drop_subtree(node: NodePtr<V>) {
        if node.is_null() {
            return;
        }
        // SAFETY: not null, and freed only below.
        match unsafe { node.get::<WriterRole>() } {
            Node::Leaf(leaf) => {
                for i in 0..leaf.len() {
                    drop_contained(leaf.bits(i));
                }
            }
            Node::Inner(inner) => {
                for i in 0..inner.len() {
                    Self::drop_subtree(inner.child(i));
                }
            }
        }
        Self::free(node);
    }
}

impl<V> Drop for Pool<V> {
    fn drop(&mut self) {
        self.free_all();
        for node in self.buried.drain(..) {
            Self::free(node);
        }
    }
}
