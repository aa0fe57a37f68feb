//! The writer's operations. Called by the write guard. Each checks its arguments, goes to its range, and makes one splice there, or lowers
//! one start in place.
//!
//! An operation either does everything or fails with nothing changed.

use super::super::memory::Charge;
use super::super::node::RawEntry;
use super::draft::Retire;
use super::editor::Editor;
use super::list::EntryList;
use super::position::Position;
use super::removed::Removed;
use crate::addr::Span;
use crate::error::{EditError, ExtendError, InsertCause, InsertError, Rejected, ReplaceError, ResourceError, SpliceCause};
use crate::value::Value;
use core::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl<V: Value> Editor<'_, V> {
    /// `RangeMap::insert`.
    pub(crate) fn insert(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<(), InsertError<V>> {
        self.poll_reclaim();
        let (value, asked) = self.hold_value_while(value, || Span::from_bounds(range));
        let asked = match asked {
            Ok(span) => span,
            Err(error) => return Err(Rejected::new(value, EditError::Range(error))),
        };
        let position = self.locate(asked);
        if let Some(by) = position.first() {
            return Err(Rejected { value, cause: InsertCause::Occupied { asked, by } });
        }
        let cut = |_: &V| unreachable!("nothing is in the way, so nothing is cut");
        position.put(EntryList::of(asked, value), cut).map_err(|(list, error)| Rejected::new(list.into_only(), EditError::Resource(error)))
    }

    /// `RangeMap::replace`.
    pub(crate) fn replace(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>>
    where
        V: Clone,
    {
        self.poll_reclaim();
        let (value, span) = self.hold_value_while(value, || Span::from_bounds(range));
        let span = match span {
            Ok(span) => span,
            Err(error) => return Err(Rejected::new(value, error)),
        };
        match self.locate(span).put(EntryList::of(span, value), V::clone) {
            Ok(()) => Ok(self.removed(span)),
            Err((list, error)) => Err(Rejected::new(list.into_only(), error)),
        }
    }

    /// `RangeMap::remove`.
    pub(crate) fn remove(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, EditError>
    where
        V: Clone,
    {
        self.poll_reclaim();
        let span = Span::from_bounds(range)?;
        let position = self.locate(span);
        if position.first().is_none() {
            return Ok(Removed::nothing(span));
        }
        position.splice(&[], Retire::Within(span), Charge::Exempt, V::clone)?;
        Ok(self.removed(span))
    }

    /// `RangeMap::remove_entry`.
    pub(crate) fn remove_entry(&mut self, address: u64) -> Result<Removed<'_, V>, ResourceError> {
        self.poll_reclaim();
        let at = Span::from_entry(address, address);
        let Some(span) = self.locate(at).first() else {
            return Ok(Removed::nothing(at));
        };
        let cut = |_: &V| unreachable!("a whole entry is removed");
        self.locate(span).splice(&[], Retire::Within(span), Charge::Exempt, cut)?;
        Ok(self.removed(span))
    }

    /// `RangeMap::splice`. Returns the list on failure.
    pub(crate) fn splice_list(
        &mut self,
        range: impl RangeBounds<u64>,
        list: EntryList<V>,
    ) -> Result<Removed<'_, V>, (EntryList<V>, SpliceCause)>
    where
        V: Clone,
    {
        self.poll_reclaim();
        let (list, span) = self.hold_list_while(list, |_| Span::from_bounds(range));
        let span = match span {
            Ok(span) => span,
            Err(error) => return Err((list, error.into())),
        };
        if let Some(items) = list.hull().filter(|items| items.start() < span.start() || span.last() < items.last()) {
            return Err((list, SpliceCause::Outside { items, asked: span }));
        }
        let position = self.locate(span);
        if list.hull().is_none() && position.first().is_none() {
            return Ok(Removed::nothing(span));
        }
        match position.put(list, V::clone) {
            Ok(()) => Ok(self.removed(span)),
            Err((list, error)) => Err((list, error.into())),
        }
    }

    /// `RangeMap::extend_down`.
    pub(crate) fn extend_down(&mut self, address: u64, start: u64) -> Result<Span, ExtendError> {
        self.poll_reclaim();
        let position = self.locate(Span::from_entry(address, address));
        let (leaf, i) = position.first_index().ok_or(ExtendError::Absent { at: address })?;
        let span = leaf.span(i);
        if start >= span.start() {
            return Ok(span);
        }
        // The entry before ends at the last key below this one: in the leaf, or in the nearest node of the path that has one.
        let below = if i > 0 {
            Some(leaf.last(i - 1))
        } else {
            let path = position.path();
            let step = path.steps_above(path.depth()).find(|step| step.index > 0);
            step.map(|step| position.editor.inner(step.node).last(step.index - 1))
        };
        let asked = Span::from_entry(start, span.last());
        if let Some(below) = below.filter(|&below| start <= below) {
            let by = position.editor.view().lookup(below).map_or(Span::from_entry(below, below), |entry| entry.span());
            return Err(ExtendError::Blocked { asked, by });
        }
        position.editor.publish_start(leaf, i, start);
        Ok(asked)
    }

    /// `RangeMap::extend_up`.
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
        let cut = |_: &V| unreachable!("the one entry in the range is replaced whole");
        position.moved_to(asked).splice(&[grown], Retire::None, Charge::Checked, cut)?;
        Ok(asked)
    }

    /// Returns what the last splice removed.
    fn removed(&self, span: Span) -> Removed<'_, V> {
        Removed::of(span, &self.writer.draft)
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
        let spliced = AssertUnwindSafe(|| Position { editor: &mut *editor, span }.splice(list.items(), retire, charge, cut));
        match catch_unwind(spliced) {
            Ok(Ok(())) => {
                drop(list.give_up());
                Ok(())
            }
            Ok(Err(error)) => Err((list, error)),
            Err(panic) => {
                // Only the embedder's clone panics. Nothing has happened then, and room was reserved before it was called.
                list.give_up().for_each(|value| editor.writer.limbo.bury_unseen(value));
                resume_unwind(panic)
            }
        }
    }
}
