//! The configuration of a map, and the making of one.
//!
//! Called by `RangeMap::builder` and by the builder of an address space. Copies of a map are made in `dup.rs`.

use super::RangeMap;
#[cfg(doc)]
use super::WriteGuard;
use crate::addr::Span;
use crate::error::{BuildError, RejectedError, ResourceError};
use crate::lock::{Lock, MmLock, RawMmLock};
use crate::sync::{Collector, Reclaim};
use crate::tree::{Loader, Tree};
use crate::value::Value;
use alloc::alloc::handle_alloc_error;
use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ops::RangeBounds;

/// The default budget.
pub(super) const BUDGET_BYTES: usize = 64 << 20;

/// What happens when pinned readers hold back as many bytes as the [budget](Builder::budget_bytes) of a map allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BudgetPolicy {
    /// An insertion, a replacement or a growth that would exceed the budget fails with
    /// [`ResourceError::OverBudget`] and changes nothing. A removal never fails for the budget.
    #[default]
    Fail,
    /// [`RangeMap::write`] waits, before it takes the lock, until half of the budget is free again. [`RangeMap::try_write`]
    /// never waits. An edit that exceeds the budget within one hold of the guard fails as under [`Fail`](Self::Fail).
    ///
    /// If the calling thread itself is pinned, the wait would never end. With the feature `std`, `write` does not wait then. Without it, no
    /// thread is known, so `write` waits forever.
    Wait,
}

/// Configures a [`RangeMap`]: its lock, its budget and its epochs. Created by [`RangeMap::builder`].
///
/// # Examples
/// ```
/// use vmaple::map::BudgetPolicy;
/// use vmaple::RangeMap;
/// let map = RangeMap::<u64>::builder().budget_bytes(1 << 20).policy(BudgetPolicy::Wait).build();
/// assert_eq!(map.stats().held_bytes, 0);
/// ```
#[must_use = "nothing is built until `build` or `build_from` is called"]
pub struct Builder<V, L = MmLock> {
    lock: L,
    epochs: Epochs,
    budget_bytes: usize,
    policy: BudgetPolicy,
    values: PhantomData<fn() -> V>,
}

/// The epochs that a map is to use.
#[derive(Clone, Copy, Debug)]
enum Epochs {
    /// Epochs of its own, which are made with it.
    Private,
    /// The epochs that all maps share by default.
    Shared,
}

impl<V: Value> Builder<V> {
    /// The default configuration.
    pub(super) fn new() -> Self {
        let (budget_bytes, policy) = (BUDGET_BYTES, BudgetPolicy::Fail);
        Self { lock: MmLock::new(), epochs: Epochs::Shared, budget_bytes, policy, values: PhantomData }
    }
}

impl<V: Value, L: RawMmLock> Builder<V, L> {
    /// Uses a custom lock. The default is an [`MmLock`].
    ///
    /// # Examples
    /// ```
    /// use vmaple::lock::MmLock;
    /// use vmaple::RangeMap;
    /// let map: RangeMap<u64, MmLock> = RangeMap::builder().lock(MmLock::new()).build();
    /// assert!(map.is_empty());
    /// ```
    pub fn lock<K: RawMmLock>(self, lock: K) -> Builder<V, K> {
        let Self { epochs, budget_bytes, policy, values, .. } = self;
        Builder { lock, epochs, budget_bytes, policy, values }
    }

    /// Bounds the bytes of removed nodes and values that wait for readers. The default is 64 MiB.
    ///
    /// * **Insertions, replacements and growth stay within it.** While a reader is pinned, an edit is refused with
    ///   [`ResourceError::OverBudget`] if what it retires and what already waits would together exceed
    ///   the budget; nothing changes then. An edit that retires nothing is never refused.
    /// * **Removals are counted and never refused.** [`remove`](WriteGuard::remove), [`remove_entry`](WriteGuard::remove_entry) and a
    ///   [`splice`](WriteGuard::splice) without entries may exceed the budget, and so may the operations of an
    ///   [address space](crate::Mm) that only unmap: `munmap`, `exit`, and `brk` and `mremap` if they shrink. Until readers leave,
    ///   insertions are refused.
    /// * **While no reader is pinned, an edit may retire any amount**, because nobody keeps it from being reused. A reader that
    ///   pins after the edit was admitted holds that amount back until it leaves.
    ///
    ///   The collector says whether a reader is pinned. With the feature `std`, the collector is crossbeam-epoch, and it must first process
    ///   what ended threads left in it. Each edit lets it process what some sixty threads left, or some four thousand if nothing is held.
    ///   If more threads have ended, an edit may be refused several times, until it or [`reclaim`](RangeMap::reclaim) has processed all.
    ///
    /// A reader is pinned if it was pinned when the edit began and has not left since; readers of other maps count too if the maps
    /// share their epochs (see [`private_epochs`](Self::private_epochs)).
    pub fn budget_bytes(mut self, bytes: usize) -> Self {
        self.budget_bytes = bytes;
        self
    }

    /// Sets what happens when an edit would exceed the budget. The default is [`BudgetPolicy::Fail`].
    pub fn policy(mut self, policy: BudgetPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Gives the map epochs of its own, so that readers pinned in other maps do not hold back what this one removed. With the feature
    /// `std`, a plain [`pin`](RangeMap::pin) of such a map costs some nanoseconds more.
    pub fn private_epochs(mut self) -> Self {
        self.epochs = Epochs::Private;
        self
    }

    /// The collector of the map.
    fn collector(&self) -> Result<Collector, ResourceError> {
        match self.epochs {
            Epochs::Private => Collector::private(),
            Epochs::Shared => Ok(Collector::shared()),
        }
    }

    /// The map over a tree that retires through the collector.
    fn over(self, collector: Collector, tree: Tree<V>) -> RangeMap<V, L> {
        let Self { lock, budget_bytes, policy, .. } = self;
        RangeMap { tree, lock: Lock::new(lock), collector, budget_bytes, policy }
    }

    /// Builds an empty map. Aborts the process if it is to have epochs of its own and memory is short.
    #[must_use]
    pub fn build(self) -> RangeMap<V, L> {
        let Ok(collector) = self.collector() else { handle_alloc_error(Layout::new::<Collector>()) };
        let tree = Tree::new(collector.clone(), self.budget_bytes);
        self.over(collector, tree)
    }

    /// Builds a map of entries that are in the order of their addresses.
    ///
    /// # Complexity
    /// O(n), without a search: the nodes are built level by level and are full.
    ///
    /// # Errors
    /// [`BuildError`] at the first entry whose range is empty or does not start above the entry before it, or if memory is short.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map = RangeMap::builder().build_from([(0x1000..0x2000, 1u64), (0x2000..0x5000, 2)]).unwrap();
    /// assert_eq!(map.len(), 2);
    /// ```
    pub fn build_from<R: RangeBounds<u64>>(self, entries: impl IntoIterator<Item = (R, V)>) -> Result<RangeMap<V, L>, BuildError<V>> {
        let collector = self.collector().map_err(|error| RejectedError::new(None, error))?;
        let mut loader = Loader::new(collector.clone(), self.budget_bytes);
        for (range, value) in entries {
            match Span::from_bounds(range) {
                Ok(span) => loader.push(span, value)?,
                Err(error) => return Err(RejectedError::new(Some(value), error)),
            }
        }
        let tree = loader.finish().map_err(|error| RejectedError::new(None, error))?;
        Ok(self.over(collector, tree))
    }
}

impl<V, L> fmt::Debug for Builder<V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { epochs, budget_bytes, policy, .. } = self;
        f.debug_struct("Builder")
            .field("epochs", epochs)
            .field("budget_bytes", budget_bytes)
            .field("policy", policy)
            .finish_non_exhaustive()
    }
}
