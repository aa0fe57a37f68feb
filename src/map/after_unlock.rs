//! What a guard drops after it has released the lock, because a value's `Drop` may use the map.
//!
//! Called by `guard.rs` and `dup.rs`. A guard has this as a field after its hold, so that it is dropped after the unlock.

use super::RangeMap;
use crate::error::ResourceError;
use crate::lock::RawMmLock;
use crate::sync::Mutex;
use crate::tree::{Loader, Tree, drop_contained};
use crate::value::Value;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem::{self, MaybeUninit};

/// Values that no reader can reach, and unfinished copies of the map.
pub(super) struct AfterUnlock<'m, V: Value, L: RawMmLock> {
    values: Vec<MaybeUninit<V>>,
    unfinished: Unfinished<V>,
    map: &'m RangeMap<V, L>,
}

/// Unfinished copies. Several threads may copy the map under one guard. The type is small because guards are moved often.
type Unfinished<V> = Mutex<Option<Box<[UnfinishedCopy<V>; 1]>>>;

/// An unfinished copy, and those before it.
struct UnfinishedCopy<V: Value> {
    loader: Loader<V>,
    before: Option<Box<[Self; 1]>>,
}

impl<'m, V: Value, L: RawMmLock> AfterUnlock<'m, V, L> {
    pub(super) fn none(map: &'m RangeMap<V, L>) -> Self {
        Self { values: Vec::new(), unfinished: Mutex::new(None), map }
    }

    pub(super) fn map(&self) -> &'m RangeMap<V, L> {
        self.map
    }

    pub(super) fn values_mut(&mut self) -> &mut Vec<MaybeUninit<V>> {
        &mut self.values
    }

    /// Begins a copy that is left here unless it is finished.
    pub(super) fn copying(&self, loader: Loader<V>) -> Result<Copying<'_, V>, ResourceError> {
        let mut reserved = Vec::new();
        reserved.try_reserve_exact(1).map_err(|_| ResourceError::OutOfMemory)?;
        Ok(Copying { loader: Some(loader), reserved, unfinished: &self.unfinished })
    }
}

impl<V: Value, L: RawMmLock> Drop for AfterUnlock<'_, V, L> {
    #[inline]
    fn drop(&mut self) {
        if !self.values.is_empty() || self.unfinished.get_mut().is_some() {
            self.drop_all();
        }
    }
}

impl<V: Value, L: RawMmLock> AfterUnlock<'_, V, L> {
    #[cold]
    fn drop_all(&mut self) {
        for value in self.values.drain(..) {
            if drop_contained(value) {
                self.map.note_drop_panic();
            }
        }
        // One after the other, because dropping nested fields would recurse as deep as there are copies. Panics of values are caught.
        let mut next = self.unfinished.get_mut().take();
        while let Some(copy) = next {
            let [UnfinishedCopy { loader, before }] = *copy;
            drop(loader);
            next = before;
        }
    }
}

/// A copy of the map under construction.
pub(super) struct Copying<'d, V: Value> {
    /// `None` when it is finished.
    loader: Option<Loader<V>>,
    /// Room for it if it is not finished, reserved because nothing may fail then.
    reserved: Vec<UnfinishedCopy<V>>,
    unfinished: &'d Unfinished<V>,
}

impl<V: Value> Copying<'_, V> {
    pub(super) fn loader(&mut self) -> &mut Loader<V> {
        let Some(loader) = &mut self.loader else { unreachable!("it is there until the copy is finished") };
        loader
    }

    /// Finishes the copy.
    pub(super) fn finish(mut self) -> Result<Tree<V>, ResourceError> {
        let tree = self.loader().finish()?;
        self.loader = None;
        Ok(tree)
    }
}

impl<V: Value> Drop for Copying<'_, V> {
    fn drop(&mut self) {
        let Some(loader) = self.loader.take() else { return };
        let mut unfinished = self.unfinished.lock();
        self.reserved.push(UnfinishedCopy { loader, before: unfinished.take() });
        // The vector has one element and no more capacity, so the conversion does not move it.
        *unfinished = <Box<[UnfinishedCopy<V>; 1]>>::try_from(mem::take(&mut self.reserved)).ok();
    }
}

impl<V: Value, L: RawMmLock> fmt::Debug for AfterUnlock<'_, V, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AfterUnlock").field("values", &self.values.len()).finish_non_exhaustive()
    }
}
