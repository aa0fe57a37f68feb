//! How a map is made: its budget, its policy, and whose epochs it lives by.
//!
//! `mod.rs` comes in. Each map is made here, but for copies, which are like the map that they are of (`dup.rs`).

use super::RangeMap;
#[cfg(doc)]
use super::WriteGuard;
use crate::addr::Span;
use crate::error::{BuildError, Rejected};
use crate::lock::MmLock;
use crate::sync::{Collector, Reclaim};
use crate::tree::Tree;
use crate::tree::build::Loader;
use crate::value::Value;
use core::ops::RangeBounds;

/// What a map does when pinned readers keep it from reusing what it removed, and its [budget](Builder::budget_bytes) is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BudgetPolicy {
    /// An insertion, a replacement or a growth that would exceed the budget fails with
    /// [`ResourceError::OverBudget`](crate::map::ResourceError::OverBudget) and changes nothing. A removal never fails for the budget.
    #[default]
    Fail,
    /// [`RangeMap::write`] waits, before it takes the lock, until half of the budget is free again. It does not wait if the calling
    /// thread itself is pinned, because that wait would never end; [`RangeMap::try_write`] never waits. An edit that exceeds the budget
    /// within one hold of the guard fails as under [`Fail`](Self::Fail).
    Wait,
}

/// How a map is to be: its budget, and whose epochs it lives by.
///
/// # Examples
/// ```
/// use vmaple::map::BudgetPolicy;
/// use vmaple::RangeMap;
/// let map: RangeMap<u64> = RangeMap::builder().budget_bytes(1 << 20).policy(BudgetPolicy::Wait).build();
/// assert_eq!(map.stats().held_bytes, 0);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    epochs: Epochs,
    pub(super) budget_bytes: usize,
    pub(super) policy: BudgetPolicy,
}

/// Whose epochs a map is to live by.
#[derive(Clone, Debug)]
enum Epochs {
    /// Its own, which are made with it.
    Private,
    /// Those of other maps, too.
    Of(Collector),
}

impl Builder {
    /// A budget of 64 MiB, failing beyond it, and the epochs that maps share.
    pub(super) fn new() -> Self {
        Self { epochs: Epochs::Of(Collector::shared()), budget_bytes: 64 << 20, policy: BudgetPolicy::Fail }
    }

    /// Bounds the bytes of removed nodes and values that wait for readers. The default is 64 MiB.
    ///
    /// * **Insertions, replacements and growth stay within it.** While a reader is pinned, an edit is refused with
    ///   [`ResourceError::OverBudget`](crate::map::ResourceError::OverBudget) if what it retires and what already waits would together exceed
    ///   the budget; nothing changes then. An edit that retires nothing is never refused.
    /// * **Removals are counted and never refused.** [`remove`](WriteGuard::remove), [`remove_entry`](WriteGuard::remove_entry) and a
    ///   [`splice`](WriteGuard::splice) without entries may exceed the budget, and so may the operations of an
    ///   [address space](crate::Mm) that only unmap: `munmap`, `exit`, and `brk` and `mremap` where they shrink. Until readers leave,
    ///   insertions are refused.
    /// * **While no reader is pinned, an edit may retire any amount**, because nobody keeps it from being reused. Whether one is pinned is
    ///   found out through the collector, which gives up after what four thousand ended threads left in it: an edit may be refused then
    ///   until [`reclaim`](RangeMap::reclaim) was called. A reader that pins after the edit was admitted holds that amount back until it
    ///   leaves.
    ///
    /// A reader is pinned if it was pinned when the edit began and has not left since; readers of other maps count too if the maps
    /// share their epochs (see [`private_epochs`](Self::private_epochs)).
    pub fn budget_bytes(mut self, bytes: usize) -> Self {
        self.budget_bytes = bytes;
        self
    }

    /// What happens when they would be more.
    pub fn policy(mut self, policy: BudgetPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Gives the map epochs of its own, so that readers pinned in other maps do not hold back what this one removed. A plain
    /// [`pin`](RangeMap::pin) of such a map costs some nanoseconds more. A clone of the builder builds a map with other epochs.
    pub fn private_epochs(mut self) -> Self {
        self.epochs = Epochs::Private;
        self
    }

    /// The collector of the one map that is to be built.
    fn collector(&self) -> Collector {
        match &self.epochs {
            Epochs::Private => Collector::private(),
            Epochs::Of(collector) => collector.clone(),
        }
    }

    /// Makes the map, empty.
    #[must_use]
    pub fn build<V: Value>(self) -> RangeMap<V> {
        let collector = self.collector();
        let tree = Tree::new(collector.clone(), self.budget_bytes);
        RangeMap::with(&self, collector, tree, MmLock::new())
    }

    /// Makes the map of entries that come in order.
    ///
    /// # Complexity
    /// O(n); the nodes are filled to the brim.
    ///
    /// # Errors
    /// [`BuildError`] at the first item whose range holds no address or does not start above the one before, or for want of memory.
    ///
    /// # Examples
    /// ```
    /// use vmaple::RangeMap;
    /// let map = RangeMap::builder().build_from([(0x1000..0x2000, 1u64), (0x2000..0x5000, 2)]).unwrap();
    /// assert_eq!(map.len(), 2);
    /// ```
    pub fn build_from<V: Value, R: RangeBounds<u64>>(
        self,
        entries: impl IntoIterator<Item = (R, V)>,
    ) -> Result<RangeMap<V>, BuildError<V>> {
        if let Epochs::Private = self.epochs {
            Collector::ask_for_private().map_err(|error| Rejected::new(None, error))?;
        }
        let collector = self.collector();
        let mut loader = Loader::new(collector.clone(), self.budget_bytes);
        for (range, value) in entries {
            match Span::from_bounds(range) {
                Ok(span) => loader.push(span, value)?,
                Err(error) => return Err(Rejected::new(Some(value), error)),
            }
        }
        let tree = loader.finish().map_err(|error| Rejected::new(None, error))?;
        Ok(RangeMap::with(&self, collector, tree, MmLock::new()))
    }
}
