//! The writer's operations. Called by the write guard. Each checks its arguments, goes to its range, and makes one splice there, or lowers
//! one start in place.
//!
//! An operation either does everything or fails with nothing changed.

use super::super::memory::Charge;
use super::super::node::RawEntry;
use super::super::read::Entry;
use super::editor::Editor;
use super::list::EntryList;
use super::pending::Retire;
use super::position::Position;
use super::removed::Removed;
use crate::addr::Span;
use crate::error::{
    ExtendError, InsertCause, InsertError, RejectedError, RemoveError, ReplaceCause, ReplaceError, ResourceError, SetCause, SetError,
    SpliceCause,
};
use crate::unwind;
use crate::value::Value;
use core::ops::RangeBounds;

impl<V: Value> Editor<'_, V> {
    /// `WriteGuard::insert`.
    pub(crate) fn insert(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<(), InsertError<V>> {
        self.poll_reclaim();
        let (value, asked) = self.hold_value_while(value, || Span::from_bounds(range));
        let asked = match asked {
            Ok(span) => span,
            Err(error) => return Err(RejectedError::new(value, error)),
        };
        let position = self.locate(asked);
        if let Some(by) = position.first() {
            return Err(RejectedError::new(value, InsertCause::Occupied { asked, by }));
        }
        position.put(EntryList::of(asked, value), cut_none).map_err(|(list, error)| RejectedError::new(list.into_only(), error))
    }

    /// `WriteGuard::replace`.
    pub(crate) fn replace(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>>
    where
        V: Clone,
    {
        self.replace_with(range, value, |_| None, V::clone)
    }

    /// `WriteGuard::replace_entries`.
    pub(crate) fn replace_entries(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>> {
        self.replace_with(range, value, first_cut, cut_none)
    }

    /// Puts a value over a range. `refused` returns the entry that must not be cut, if there is one.
    #[inline]
    fn replace_with(
        &mut self,
        range: impl RangeBounds<u64>,
        value: V,
        refused: impl FnOnce(&Position<'_, '_, V>) -> Option<Span>,
        cut: impl FnOnce(&V) -> V,
    ) -> Result<Removed<'_, V>, ReplaceError<V>> {
        self.poll_reclaim();
        let (value, span) = self.hold_value_while(value, || Span::from_bounds(range));
        let span = match span {
            Ok(span) => span,
            Err(error) => return Err(RejectedError::new(value, error)),
        };
        let position = self.locate(span);
        if let Some(entry) = refused(&position) {
            return Err(RejectedError::new(value, ReplaceCause::Cut { asked: span, entry }));
        }
        match position.put(EntryList::of(span, value), cut) {
            Ok(()) => Ok(self.removed(span)),
            Err((list, error)) => Err(RejectedError::new(list.into_only(), error)),
        }
    }

    /// `WriteGuard::set`.
    pub(crate) fn set(&mut self, address: u64, value: V) -> Result<Entry<'_, V>, SetError<V>> {
        self.poll_reclaim();
        let position = self.locate(Span::from_entry(address, address));
        let Some(span) = position.first() else {
            return Err(RejectedError::new(value, SetCause::Absent { at: address }));
        };
        if let Err((list, error)) = position.moved_to(span).put(EntryList::of(span, value), cut_none) {
            return Err(RejectedError::new(list.into_only(), error));
        }
        let Some(old) = self.removed(span).iter().next() else { unreachable!("the entry was replaced") };
        Ok(old.entry())
    }

    /// `WriteGuard::remove`.
    pub(crate) fn remove(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, RemoveError>
    where
        V: Clone,
    {
        self.remove_with(range, |_| None, V::clone)
    }

    /// `WriteGuard::remove_entries`.
    pub(crate) fn remove_entries(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, RemoveError> {
        self.remove_with(range, first_cut, cut_none)
    }

    #[inline]
    fn remove_with(
        &mut self,
        range: impl RangeBounds<u64>,
        refused: impl FnOnce(&Position<'_, '_, V>) -> Option<Span>,
        cut: impl FnOnce(&V) -> V,
    ) -> Result<Removed<'_, V>, RemoveError> {
        self.poll_reclaim();
        let span = Span::from_bounds(range)?;
        let position = self.locate(span);
        if let Some(entry) = refused(&position) {
            return Err(RemoveError::Cut { asked: span, entry });
        }
        if position.first().is_none() {
            return Ok(Removed::nothing(span));
        }
        position.splice(&[], Retire::Within(span), Charge::Exempt, cut)?;
        Ok(self.removed(span))
    }

    /// `WriteGuard::remove_entry`.
    pub(crate) fn remove_entry(&mut self, address: u64) -> Result<Removed<'_, V>, ResourceError> {
        self.poll_reclaim();
        let at = Span::from_entry(address, address);
        let Some(span) = self.locate(at).first() else {
            return Ok(Removed::nothing(at));
        };
        self.locate(span).splice(&[], Retire::Within(span), Charge::Exempt, cut_none)?;
        Ok(self.removed(span))
    }

    /// `WriteGuard::splice`. Returns the list on failure.
    pub(crate) fn splice_list(
        &mut self,
        range: impl RangeBounds<u64>,
        list: EntryList<V>,
    ) -> Result<Removed<'_, V>, (EntryList<V>, SpliceCause)>
    where
        V: Clone,
    {
        self.splice_with(range, list, |_| None, V::clone)
    }

    /// `WriteGuard::splice_entries`. Returns the list on failure.
    pub(crate) fn splice_entries(
        &mut self,
        range: impl RangeBounds<u64>,
        list: EntryList<V>,
    ) -> Result<Removed<'_, V>, (EntryList<V>, SpliceCause)> {
        self.splice_with(range, list, first_cut, cut_none)
    }

    #[inline]
    fn splice_with(
        &mut self,
        range: impl RangeBounds<u64>,
        list: EntryList<V>,
        refused: impl FnOnce(&Position<'_, '_, V>) -> Option<Span>,
        cut: impl FnOnce(&V) -> V,
    ) -> Result<Removed<'_, V>, (EntryList<V>, SpliceCause)> {
        self.poll_reclaim();
        let (list, span) = self.hold_list_while(list, |_| Span::from_bounds(range));
        let span = match span {
            Ok(span) => span,
            Err(error) => return Err((list, error.into())),
        };
        if let Some(items) = list.hull().filter(|items| !items.is_within(span)) {
            return Err((list, SpliceCause::Outside { items, asked: span }));
        }
        let position = self.locate(span);
        if let Some(entry) = refused(&position) {
            return Err((list, SpliceCause::Cut { asked: span, entry }));
        }
        if list.hull().is_none() && position.first().is_none() {
            return Ok(Removed::nothing(span));
        }
        match position.put(list, cut) {
            Ok(()) => Ok(self.removed(span)),
            Err((list, error)) => Err((list, error.into())),
        }
    }

    /// `WriteGuard::extend_down`.
    pub(crate) fn extend_down(&mut self, address: u64, start: u64) -> Result<Span, ExtendError> {
        self.poll_reclaim();
        let position = self.locate(Span::from_entry(address, address));
        let (leaf, i) = position.first_index().ok_or(ExtendError::Absent { at: address })?;
        let span = leaf.span(i);
        if start >= span.start() {
            return Ok(span);
        }
        // The last address of the entry before: in this leaf, or just below what this leaf routes (T2).
        let below = if i > 0 { Some(leaf.last(i - 1)) } else { position.path().low.checked_sub(1) };
        let asked = Span::from_entry(start, span.last());
        if let Some(below) = below.filter(|&below| start <= below) {
            let by = position.editor.view().lookup(below).map_or(Span::from_entry(below, below), |entry| entry.span());
            return Err(ExtendError::Blocked { asked, by });
        }
        position.editor.publish_start(leaf, i, start);
        Ok(asked)
    }

    /// `WriteGuard::extend_up`.
    pub(crate) fn extend_up(&mut self, address: u64, last: u64) -> Result<Span, ExtendError> {
        self.poll_reclaim();
        let position = self.locate(Span::from_entry(address, address));
        let (leaf, i) = position.first_index().ok_or(ExtendError::Absent { at: address })?;
        let span = leaf.span(i);
        if last <= span.last() {
            return Ok(span);
        }
        let asked = Span::from_entry(span.start(), last);
        let position = position.moved_to(Span::from_entry(span.last() + 1, last));
        if let Some(by) = position.first() {
            return Err(ExtendError::Blocked { asked, by });
        }
        let grown = RawEntry { start: asked.start(), last, value: leaf.bits(i) };
        position.moved_to(asked).splice(&[grown], Retire::None, Charge::Checked, cut_none)?;
        Ok(asked)
    }

    /// Returns what the last splice removed.
    fn removed(&self, span: Span) -> Removed<'_, V> {
        Removed::of(span, &self.writer.pending)
    }
}

impl<V: Value> Position<'_, '_, V> {
    /// Replaces what is in the range by a list. Returns the list on failure.
    #[inline]
    fn put(self, list: EntryList<V>, cut: impl FnOnce(&V) -> V) -> Result<(), (EntryList<V>, ResourceError)> {
        let retire = Retire::Within(self.span);
        let charge = if list.items().is_empty() { Charge::Exempt } else { Charge::Checked };
        let Position { editor, span } = self;
        // The splice copies the bits of the values. They have one owner again when the list is given up, or returned.
        match unwind::catch(|| Position { editor: &mut *editor, span }.splice(list.items(), retire, charge, cut)) {
            Ok(Ok(())) => {
                drop(list.give_up());
                Ok(())
            }
            Ok(Err(error)) => Err((list, error)),
            Err(panic) => {
                // Only the embedder's clone panics. Nothing has happened then, and room was reserved before it was called.
                list.give_up().for_each(|value| editor.writer.limbo.drop_after_unlock(value));
                unwind::resume(panic)
            }
        }
    }
}

/// Returns the bounds of the first entry that an edit of the range would cut.
fn first_cut<V: Value>(position: &Position<'_, '_, V>) -> Option<Span> {
    let span = position.span;
    let is_cut = |entry: &Span| !entry.is_within(span);
    position.first().filter(is_cut).or_else(|| position.view().lookup(span.last()).map(|entry| entry.span()).filter(is_cut))
}

/// Makes the second value of a cut entry, in an edit that cuts none.
fn cut_none<V>(_: &V) -> V {
    unreachable!("only whole entries are in the range")
}
