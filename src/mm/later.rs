//! Payloads that belong to nothing in the index: copies that an operation made while it planned, and those of records that were never
//! published.
//!
//! Called by `draft`, `plan` and the write guard. A payload's `Drop` is the embedder's code and may lock the mm, so none runs while the mm lock is held:
//! whatever an operation makes stays here until its guard has released the lock, however the operation ends.

use super::{Mm, Record};
use crate::error::ResourceError;
use crate::lock::RawMmLock;
use crate::sync::Shared;
use crate::tree::{EntryList, drop_contained};
use alloc::vec::Vec;
use core::fmt;
use core::mem::{self, MaybeUninit};

/// Payloads that are kept until nothing is locked, oldest first.
pub(super) struct Payloads<P> {
    /// `None` where one was taken out for a record.
    kept: Vec<Option<P>>,
}

/// The place of a payload in [`Payloads`]. Valid until the next operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl<P> Payloads<P> {
    /// Begins an operation. Payloads of earlier ones are dropped here if their drop does nothing.
    pub(super) fn begin(&mut self) {
        if !mem::needs_drop::<P>() {
            self.kept.clear();
        }
    }

    /// Keeps what `make` returns. Makes room first, so that nothing is made for which there is no memory.
    pub(super) fn keep_with(&mut self, make: impl FnOnce(&Self) -> P) -> Result<Slot, ResourceError> {
        self.make_room()?;
        let made = make(self);
        Ok(self.push(made))
    }

    /// Keeps what is made, if anything is. Makes room first, as [`keep_with`](Self::keep_with) does.
    pub(super) fn keep_if(&mut self, make: impl FnOnce(&Self) -> Option<P>) -> Result<Option<Slot>, ResourceError> {
        self.make_room()?;
        let made = make(self);
        Ok(made.map(|made| self.push(made)))
    }

    /// Keeps a payload for which there is room.
    fn push(&mut self, payload: P) -> Slot {
        self.kept.push(Some(payload));
        Slot(self.kept.len() - 1)
    }

    /// Makes room for one payload, so that it can be [put back](Self::put_back).
    pub(super) fn make_room(&mut self) -> Result<(), ResourceError> {
        self.kept.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)
    }

    /// Returns a payload that was not taken out.
    pub(super) fn get(&self, slot: Slot) -> &P {
        let Some(payload) = &self.kept[slot.0] else { unreachable!("it was taken out for a record") };
        payload
    }

    /// Takes a payload out for a record that is to be published. Its slot must not be used again.
    pub(super) fn take(&mut self, slot: Slot) -> P {
        let Some(payload) = self.kept[slot.0].take() else { unreachable!("it was taken out for another record") };
        payload
    }

    /// Keeps a payload that no record needs. There is room for it: it came from here since the operation began, or room was made.
    pub(super) fn put_back(&mut self, payload: P) {
        self.put_back_from(0, payload);
    }

    /// Keeps a payload as [`put_back`](Self::put_back) does; no place below `first` is free. Returns the lowest place that may still be free.
    fn put_back_from(&mut self, first: usize, payload: P) -> usize {
        let taken = self.kept[first..].iter().position(Option::is_none);
        let place = taken.map_or(self.kept.len(), |i| first + i);
        match self.kept.get_mut(place) {
            Some(taken) => *taken = Some(payload),
            None => self.kept.push(Some(payload)),
        }
        place + 1
    }

    /// Keeps the payload of a record that is not published after all. A record that is in the index keeps its own.
    pub(super) fn put_back_record(&mut self, record: Record<P>) {
        if let Some(record) = Shared::into_inner(record) {
            self.put_back(record.into_payload());
        }
    }

    /// Keeps the payloads of all records of a list that are not in the index.
    pub(super) fn put_back_all(&mut self, mut list: EntryList<Record<P>>) {
        let mut first = 0;
        for record in list.take().filter_map(|(_, record)| Shared::into_inner(record)) {
            first = self.put_back_from(first, record.into_payload());
        }
    }
}

/// The payloads of a guard of the mm lock. Its field comes after the map's guard, so that it is dropped when nothing is locked.
pub(super) struct Later<'m, P, L: RawMmLock> {
    pub(super) payloads: Payloads<P>,
    mm: &'m Mm<P, L>,
}

impl<'m, P, L: RawMmLock> Later<'m, P, L> {
    /// Returns a list that is empty, for a new guard.
    pub(super) fn none(mm: &'m Mm<P, L>) -> Self {
        Self { payloads: Payloads { kept: Vec::new() }, mm }
    }
}

impl<P, L: RawMmLock> Drop for Later<'_, P, L> {
    #[inline]
    fn drop(&mut self) {
        if mem::needs_drop::<P>() && !self.payloads.kept.is_empty() {
            self.drop_all();
        }
    }
}

impl<P, L: RawMmLock> Later<'_, P, L> {
    /// Drops each payload, even if the drops of others panic.
    #[cold]
    fn drop_all(&mut self) {
        for payload in self.payloads.kept.drain(..).flatten() {
            if drop_contained(MaybeUninit::new(payload)) {
                self.mm.map.note_drop_panic();
            }
        }
    }
}

impl<P> fmt::Debug for Payloads<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payloads").field("kept", &self.kept.len()).finish()
    }
}
