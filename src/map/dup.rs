//! Copies of a map. Called through its lock guards, and by the fork of an address space.

use super::after_unlock::AfterUnlock;
use super::{RangeMap, ReadGuard, WriteGuard};
use crate::error::{DupError, ResourceError};
use crate::lock::RawMmLock;
use crate::tree::{Entry, Loader, View};
use crate::value::Value;

/// The copies that either guard makes.
macro_rules! copies {
    () => {
        /// Returns a copy of the map: each value is cloned, and the lock is a new one.
        ///
        /// Budget, policy and epochs are the map's. That includes private epochs, so readers of either map hold back what both remove.
        ///
        /// # Complexity
        /// O(n), without a search: the copy is built level by level, and its nodes are full.
        ///
        /// # Errors
        /// [`DupError`]: memory is short. What was copied until then is dropped after this guard has released the lock. Each further attempt
        /// under the same guard keeps more.
        ///
        /// # Panics
        /// If `V::clone` panics; the map is unchanged. What was cloned until then is dropped as after an error.
        pub fn dup(&self) -> Result<RangeMap<V, L>, DupError>
        where
            V: Clone,
            L: Default,
        {
            self.dup_with_lock(L::default())
        }

        /// Returns a copy of the map over a custom lock. See [`dup`](Self::dup).
        ///
        /// # Errors
        /// As [`dup`](Self::dup).
        pub fn dup_with_lock<K: RawMmLock>(&self, lock: K) -> Result<RangeMap<V, K>, DupError>
        where
            V: Clone,
        {
            dup_with(&self.after_unlock, self, lock, |entry| Ok(Some(entry.value().clone())), || Ok(()))
        }
    };
}

impl<V: Value, L: RawMmLock> ReadGuard<'_, V, L> {
    copies!();
}

impl<V: Value, L: RawMmLock> WriteGuard<'_, V, L> {
    copies!();

    /// Returns a copy of the map with the value that `copy` returns for each entry. An entry for which it returns `None` is left out.
    /// `may_finish` is called last; if it fails, there is no copy.
    pub(crate) fn dup_with<K: RawMmLock, E: From<ResourceError>>(
        &self,
        lock: K,
        copy: impl FnMut(Entry<'_, V>) -> Result<Option<V>, E>,
        may_finish: impl FnOnce() -> Result<(), E>,
    ) -> Result<RangeMap<V, K>, E> {
        dup_with(&self.after_unlock, self, lock, copy, may_finish)
    }
}

fn dup_with<V: Value, L: RawMmLock, K: RawMmLock, E: From<ResourceError>>(
    after_unlock: &AfterUnlock<'_, V, L>,
    view: &View<V>,
    lock: K,
    mut copy: impl FnMut(Entry<'_, V>) -> Result<Option<V>, E>,
    may_finish: impl FnOnce() -> Result<(), E>,
) -> Result<RangeMap<V, K>, E> {
    let map = after_unlock.map();
    // Even if the caller's code unwinds, no part of the copy is dropped under the lock.
    let mut copying = after_unlock.copying(Loader::new(map.collector.clone(), map.budget_bytes))?;
    for entry in view {
        let span = entry.span();
        if let Some(value) = copy(entry)? {
            copying.loader().append_or_keep(span, value)?;
        }
    }
    may_finish()?;
    Ok(RangeMap::like(map, copying.finish()?, lock))
}
