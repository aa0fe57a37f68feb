//! The index (L1): an RCU B+-tree from disjoint ranges of addresses to values. It knows ranges, and neither mmap nor locks. Called by
//! `map`.
//!
//! The section "Why a B+-tree?" of `docs/design.md` draws the nodes.
//!
//! Entries are keyed by their *last* address. The rank of `a` in a node is the number of lasts below `a`, so one descent arrives at the
//! first entry that ends at or after `a`: that is `find`. `lookup` is one more comparison. Growing downward changes a start, which is not a
//! key.
//!
//! There are three paths through this directory:
//! * a **reader** calls [`read`], for one answer or for an iteration, which uses [`node`]. It never writes.
//! * the **writer** calls [`mod@write`]. It goes to a range, builds a replacement in nodes from [`memory`], and makes it visible with one store.
//! * what an edit **unlinked** goes to the limbo in [`memory`], waits there for readers, and returns to the pool. Removed values are dropped
//!   after the unlock.
//!
//! # Invariants
//! * **T1** Entries are non-empty, sorted and disjoint.
//! * **T2** `lasts[i]` of an inner node is *exactly* the last address in child `i`; on the right edge of the tree the last key is
//!   `u64::MAX`, so that appending copies no spine and a miss ends at a leaf. So the address of a descent is never above a node's last key.
//! * **T3** All leaves are at one depth. Every node but the root and those on the right edge holds at least `MIN_FILL` entries.
//! * **T4** A published node changes only in a child slot or a start (and in the summaries, which only the writer sees).
//! * **T5** A start changes only downward, into the gap below it, and only by the writer.
//! * **T6** The gap summaries are exact whenever no edit is under way.
//! * **T7** What an edit replaced is retired after the store that unlinked it.
//! * **T8** Below the slot that it stores to, a splice replaces every node, leaves included, that routes *any* address of its range,
//!   also one none of whose entries change.
//!
//! [`validate`] checks T1, T2, T3 and T6. T4, T5, T7 and T8 speak of changes: the models check them, and each has a seeded bug that the
//! models must find.
//!
//! # Orderings
//! * **O1** A slot (or the root) is stored with Release, after all fields of the new nodes were written, and loaded with Acquire: a
//!   reader that sees a node sees it whole.
//! * **O2** A start is stored with Release and loaded with Acquire: an answer with a lowered start comes after what the writer did
//!   before it lowered it.
//! * **O3** A reader's pin comes before its first slot load (crossbeam's fence, the one after a repin in `sync/epoch.rs`, or the
//!   light fence of `sync/slots/fences.rs`), and its end after its last: so a node is reused only after every reader that could stand in it
//!   has left.
//! * **O4** The writer's own loads are Relaxed: the last store was its own, or came before it through the lock that makes it the writer.
//!
//! # Why one descent is an answer
//! Every node that a reader reaches was live at a moment inside its call, because the slots of a node that was replaced are frozen: they
//! lead to what was live just before. While a node is live, the interval of addresses that it routes only grows (T8), so the leaf that a
//! reader arrives at routed the address at that moment, and its first entry that ends at or after the address was the answer. `prev` and
//! `next` look into a second leaf; they then descend again, and retry unless the first leaf is still live. The long form, with the
//! counterexample that T8 excludes, is `docs/linearizability.md`.

mod build;
mod layout;
mod memory;
mod node;
mod read;
mod stats;
mod validate;
mod write;

pub(crate) use build::Loader;
pub(crate) use memory::{Charge, FirstPanic, drop_contained};
pub use read::{Entry, Gaps, Iter, Segment, Segments, View};
pub use stats::Stats;
pub use validate::ValidateError;
pub(crate) use write::{Editor, EntryList, EntryListIter, FoundGap, Position, Prepared};
pub use write::{GapQuery, Removed, RemovedEntry, RemovedIter};

use crate::sync::{Collector, const_fn};
use crate::value::{Value, assert_word};
use core::cell::UnsafeCell;
use memory::Pool;
use node::{NodePtr, Root, Slot};
use stats::Counters;
use write::Writer;

/// A whole index: what readers see, what the writer owns, and the figures that both may read.
#[derive(Debug)]
pub(crate) struct Tree<V: Value> {
    root: Root<V>,
    counters: Counters,
    writer: UnsafeCell<Writer<V>>,
    /// Called for each value that is in the index when the index ends.
    at_end: Option<fn(&V)>,
}

impl<V: Value> Tree<V> {
    const_fn! {
        /// Makes an empty index that retires through the collector and holds back at most `budget_bytes`.
        pub(crate) fn new(collector: Collector, budget_bytes: usize) -> Self {
            const { assert_word::<V>() };
            Self {
                root: Root(Slot::new(NodePtr::NULL)),
                counters: Counters::new(),
                writer: UnsafeCell::new(Writer::new(collector, budget_bytes)),
                at_end: None,
            }
        }
    }

    /// Has `look` called for each value that is in the index when the index ends, before the value is dropped.
    pub(crate) fn at_end(&mut self, look: fn(&V)) {
        self.at_end = Some(look);
    }

    /// Returns the readers' methods.
    ///
    /// # Safety
    /// While the result lives, nothing that is retired is reused: the caller is pinned by the tree's collector, or holds the lock that
    /// keeps writers out, or is the writer and edits nothing.
    #[allow(unsafe_code, reason = "the door to the reader's methods, which are safe behind it")]
    pub(crate) unsafe fn view(&self) -> &View<V> {
        View::of(&self.root)
    }

    /// Returns the writer's methods.
    ///
    /// # Safety
    /// The caller is the only writer while the result lives: it holds the write lock.
    #[allow(unsafe_code, reason = "the door to the writer's methods, which are safe behind it")]
    pub(crate) unsafe fn edit(&self) -> Editor<'_, V> {
        // SAFETY: the cell's content is reached here alone, and by one writer at a time, by the caller's promise.
        let writer = unsafe { &mut *self.writer.get() };
        Editor::new(&self.root, &self.counters, writer)
    }

    /// Returns the figures.
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl<V: Value> Drop for Tree<V> {
    fn drop(&mut self) {
        // No borrow is left, so there is no reader, and everything is freed at once.
        let writer = self.writer.get_mut();
        writer.limbo.drop_all();
        let root = self.root.0.owner_load();
        if let Some(look) = self.at_end {
            #[allow(unsafe_code, reason = "the tree's end is its last borrow")]
            // SAFETY: nobody edits any more.
            unsafe { self.view() }.iter().for_each(|entry| look(entry.value()));
        }
        Pool::drop_subtree(root);
    }
}
