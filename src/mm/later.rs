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

/// The payloads, oldest first.
pub(super) struct Payloads<P> {
    /// `None` where one was taken out for a record.
    kept: Vec<Option<P>>,
}

/// The place of one of them. It is good until the next operation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot(usize);

impl<P> Payloads<P> {
    /// An operation begins. Payloads whose drop does nothing need not be kept any longer.
    pub(super) fn begin(&mut self) {
        if !mem::needs_drop::<P>() {
            self.kept.clear();
        }
    }

    /// Keeps what is made. It is only made where there is room for it.
    pub(super) fn keep_with(&mut self, make: impl FnOnce(&Self) -> P) -> Result<Slot, ResourceError> {
        self.make_room()?;
        let made = make(self);
        Ok(self.push(made))
    }

    /// The same where something is made.
    pub(super) fn keep_if(&mut self, make: impl FnOnce(&Self) -> Option<P>) -> Result<Option<Slot>, ResourceError> {
        self.make_room()?;
        let made = make(self);
        Ok(made.map(|made| self.push(made)))
    }

    fn push(&mut self, payload: P) -> Slot {
        self.kept.push(Some(payload));
        Slot(self.kept.len() - 1)
    }

    /// Makes room for one that is [put back](Self::put_back).
    pub(super) fn make_room(&mut self) -> Result<(), ResourceError> {
        self.kept.try_reserve(1).map_err(|_| ResourceError::OutOfMemory)
    }

    pub(super) fn get(&self, slot: Slot) -> &P {
        let Some(payload) = &self.kept[slot.0] else { unreachable!("it was taken out for a record") };
        payload
    }

    /// Takes one out for a record that is to be published. Nobody asks for it any more.
    pub(super) fn take(&mut self, slot: Slot) -> P {
        let Some(payload) = self.kept[slot.0].take() else { unreachable!("it was taken out for another record") };
        payload
    }

    /// Takes a payload that no record needs. There is room for it: it came from here since the operation began, or room was made.
    pub(super) fn put_back(&mut self, payload: P) {
        self.put_back_from(0, payload);
    }

    /// Likewise, where there is no place before the one given. Returns the first that may still be free.
    fn put_back_from(&mut self, first: usize, payload: P) -> usize {
        let taken = self.kept[first..].iter().position(Option::is_none);
        let place = taken.map_or(self.kept.len(), |i| first + i);
        match self.kept.get_mut(place) {
            Some(taken) => *taken = Some(payload),
            None => self.kept.push(Some(payload)),
        }
        place + 1
    }

    /// Takes that of a record that is not published after all; one that is in the index keeps its own.
    pub(super) fn put_back_record(&mut self, record: Record<P>) {
        if let Some(record) = Shared::into_inner(record) {
            self.put_back(record.into_payload());
        }
    }

    /// Takes those of all records of a list.
    pub(super) fn put_back_all(&mut self, mut list: EntryList<Record<P>>) {
        let mut first = 0;
        for record in list.take().filter_map(|(_, record)| Shared::into_inner(record)) {
            first = self.put_back_from(first, record.into_payload());
        }
    }
}

/// The payloads of a guard. A field after the guard of the lock, so that it is dropped when nothing is locked.
pub(super) struct Later<'m, P, L: RawMmLock> {
    pub(super) payloads: Payloads<P>,
    mm: &'m Mm<P, L>,
}

impl<'m, P, L: RawMmLock> Later<'m, P, L> {
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
    /// Drops each of them, whatever the others do.
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
