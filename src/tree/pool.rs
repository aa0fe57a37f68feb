//! Node memory: taken before an edit's first visible change, given back after the grace period, kept for the next edit.
//!
//! A steady write load goes round between here and [`super::limbo`] and asks the system for nothing.

#![allow(unsafe_code, reason = "allocates, frees and writes nodes")]

use super::entries::Part;
use super::limbo::step_bytes;
use super::node::{Child, Exchange, Inner, Leaf, LeafRef, Memory, Node, NodePtr, end_of_life, write_inner, write_leaf, write_leaf_of};
use super::stats::Counters;
use crate::error::ResourceError;
use crate::sync::Liveness;
use core::alloc::Layout;
use core::any::Any;
use core::mem::{self, MaybeUninit};
use core::ptr::NonNull;
use std::alloc::{alloc, dealloc};

/// Free memory kept at most, as a part of the reachable nodes' (and never less than goes round: two steps of the limbo).
const KEEP_PART: usize = 8;

/// Where a memory checker watches, freed nodes go straight back to the system, so that it sees every use after free.
const PASS_THROUGH: bool = cfg!(any(miri, fuzzing, vmaple_no_pool));

/// Free nodes of either shape.
#[derive(Debug)]
pub(super) struct Pool<V> {
    leaves: Vec<NonNull<Leaf<V>>>,
    inners: Vec<NonNull<Inner<V>>>,
    /// In models: nodes that may never be visited again, kept so that a visit is noticed.
    buried: Vec<NodePtr<V>>,
}

impl<V> Default for Pool<V> {
    fn default() -> Self {
        Self { leaves: Vec::new(), inners: Vec::new(), buried: Vec::new() }
    }
}

/// The bytes of a node.
pub(super) fn node_bytes<V>(node: NodePtr<V>) -> usize {
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
/// From `allocate` of the same type, and not used again.
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
    /// Makes a private leaf of these entries (1 to `FANOUT`).
    pub(super) fn make_leaf(&mut self, part: &Part<'_, V>, counters: &Counters) -> Result<NodePtr<V>, ResourceError> {
        let memory = take(&mut self.leaves, counters)?;
        // SAFETY: free memory, just taken.
        Ok(unsafe { write_leaf(memory, part) })
    }

    /// Makes a private leaf that holds what `old` does, but for an exchange.
    pub(super) fn make_leaf_of(
        &mut self,
        old: LeafRef<'_, V>,
        exchange: &Exchange<V>,
        counters: &Counters,
    ) -> Result<NodePtr<V>, ResourceError> {
        let memory = take(&mut self.leaves, counters)?;
        // SAFETY: free memory, just taken.
        Ok(unsafe { write_leaf_of(memory, old, exchange) })
    }

    /// Makes a private inner node of these children (1 to `FANOUT`).
    pub(super) fn make_inner(&mut self, items: &[Child<V>], counters: &Counters) -> Result<NodePtr<V>, ResourceError> {
        let memory = take(&mut self.inners, counters)?;
        // SAFETY: free memory, just taken.
        Ok(unsafe { write_inner(memory, items) })
    }

    /// Takes a node back that no reader can reach.
    ///
    /// # Safety
    /// From `make_*`, never published or past its grace period, and not used again.
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
    pub(super) fn take_back_retired(&mut self, node: NodePtr<V>, counters: &Counters) {
        // SAFETY: `limbo.rs` passes each retired node once, after its ticket expired: no reader stands in it (T7, O3).
        unsafe { self.take_back(node, counters) };
    }

    /// Takes back a node that was built and never published.
    pub(super) fn take_back_private(&mut self, node: NodePtr<V>, counters: &Counters) {
        // SAFETY: `publish.rs` passes each node of an abandoned draft once; nobody else ever saw it.
        unsafe { self.take_back(node, counters) };
    }

    /// Gives all free memory back to the system.
    pub(super) fn release(&mut self, counters: &Counters) {
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

    /// Frees a node at once; for a tree that is going, with no reader left.
    pub(super) fn free(node: NodePtr<V>) {
        match node.memory() {
            // SAFETY: made by `make_leaf`; the tree is going, and this is its only pointer.
            Memory::Leaf(leaf) => unsafe { free(leaf) },
            // SAFETY: as above, by `make_inner`.
            Memory::Inner(inner) => unsafe { free(inner) },
        }
    }

    /// Drops the values of a subtree and frees its nodes; for a tree that is going, with no reader left.
    pub(super) fn drop_subtree(node: NodePtr<V>) {
        if node.is_null() {
            return;
        }
        // SAFETY: not null, and freed only below.
        match unsafe { node.get() } {
            Node::Leaf(leaf) => {
                for i in 0..leaf.len() {
                    drop_contained(leaf.bits(i));
                }
            }
            Node::Inner(inner) => {
                for i in 0..inner.len() {
                    Self::drop_subtree(inner.owner_child(i));
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

/// Runs code of the embedder's, each piece whatever the others do. The first panic goes on at the end.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Runs a piece.
    pub(crate) fn run(&mut self, piece: impl FnOnce()) {
        let Err(with) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(piece)) else { return };
        match self.0 {
            None => self.0 = Some(with),
            // Its drop is the embedder's code, too, and may panic.
            Some(_) => mem::forget(with),
        }
    }

    /// Goes on with the first panic, if there was one.
    pub(crate) fn go_on(self) {
        if let Some(with) = self.0 {
            std::panic::resume_unwind(with);
        }
    }
}

/// Drops a value that nobody can reach any more; says whether its destructor panicked.
///
/// The panic is contained: it was not the fault of whoever happens to drop the value, and the values after it must go too.
pub(crate) fn drop_contained<V>(mut value: MaybeUninit<V>) -> bool {
    if !mem::needs_drop::<V>() {
        return false;
    }
    let drop = std::panic::AssertUnwindSafe(|| {
        // SAFETY: the bits of a value whose one owner this was; they are not used again.
        unsafe { value.assume_init_drop() };
    });
    let mut outcome = std::panic::catch_unwind(drop);
    let panicked = outcome.is_err();
    for _ in 0..PAYLOADS {
        // The payload's own destructor may panic as well, and that one's payload's.
        let Err(payload) = outcome else { return panicked };
        let payload = std::panic::AssertUnwindSafe(|| mem::drop(payload));
        outcome = std::panic::catch_unwind(payload);
    }
    // Who goes on like this means it: the last one is let be.
    mem::forget(outcome);
    panicked
}

/// How many payloads of panics in destructors, each from the destructor of the one before, are dropped.
const PAYLOADS: usize = 4;
