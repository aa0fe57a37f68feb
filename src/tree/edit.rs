//! WRITER: the verbs. Each checks its arguments, finds its site, and asks for one splice (or one store in place).
//!
//! Either everything happened when a verb returns, or nothing.

use super::Root;
use super::Writer;
use super::limbo::{Charge, IN_VAIN, TRY_HARD};
use super::list::List;
use super::node::{InnerRef, Item, LeafRef, Node, NodePtr};
use super::publish::{Draft, Retire};
use super::splice::Old;
use super::stats::Counters;
use super::walk::{Entry, View};
use crate::addr::Span;
use crate::error::{EditError, ExtendError, InsertCause, InsertError, Rejected, ReplaceError, ResourceError, SpliceCause};
use crate::value::Value;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The writer at work: the one that may change the index.
#[derive(Debug)]
pub(crate) struct Editor<'t, V: Value> {
    pub(super) root: &'t Root<V>,
    pub(super) counters: &'t Counters,
    pub(super) writer: &'t mut Writer<V>,
}

/// What an edit removed: entries as they were, each with the part of it that went. The values are dropped after the grace period.
pub struct Removed<'w, V> {
    span: Span,
    olds: &'w [Old<V>],
}

/// An entry, or the part of one, that an edit removed.
#[derive(Clone, Copy, Debug)]
pub struct RemovedEntry<'w, V> {
    entry: Entry<'w, V>,
    removed: Span,
}

impl<'w, V> RemovedEntry<'w, V> {
    /// The entry as it was before the edit.
    #[must_use]
    pub fn entry(&self) -> Entry<'w, V> {
        self.entry
    }

    /// The addresses that it lost: all of its own, but where it was cut.
    #[must_use]
    pub fn removed(&self) -> Span {
        self.removed
    }

    /// Whether a part of it, or two, is still in the map.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.removed != self.entry.span()
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &'w V {
        self.entry.value()
    }
}

impl<'w, V> Removed<'w, V> {
    /// How many entries the edit met.
    #[must_use]
    pub fn len(&self) -> usize {
        self.olds.len()
    }

    /// Whether there was nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.olds.is_empty()
    }

    /// The entries, in order.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = RemovedEntry<'w, V>> + ExactSizeIterator {
        self.olds.iter().map(|old| self.entry(old))
    }

    fn entry(&self, old: &'w Old<V>) -> RemovedEntry<'w, V> {
        #[allow(unsafe_code, reason = "lends what the writer has just unlinked")]
        // SAFETY: the leaf was retired by the edit; nothing is reused before the writer's guard is used again or dropped, and that is
        // borrowed as long as this lives.
        let value = unsafe { old.value().as_ref() };
        let removed = self.span.intersection(old.span).unwrap_or(old.span);
        RemovedEntry { entry: Entry::new(old.span, value), removed }
    }
}

impl<V: fmt::Debug> fmt::Debug for Removed<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'t, V: Value> Editor<'t, V> {
    pub(super) fn new(root: &'t Root<V>, counters: &'t Counters, writer: &'t mut Writer<V>) -> Self {
        Self { root, counters, writer }
    }

    /// The readers' methods, for the writer: it keeps itself from editing by lending itself.
    pub(crate) fn view(&self) -> &View<V> {
        View::of(self.root)
    }

    #[allow(unsafe_code, reason = "the writer's one step into a node")]
    pub(super) fn node(&self, node: NodePtr<V>) -> Node<'t, V> {
        // SAFETY: not null, by the callers. Reachable, or built or unlinked by the edit under way: the writer itself recycles, and only
        // what edits before this one unlinked. No caller looks at a node of an edit before: what is published ends the site.
        unsafe { node.get() }
    }

    pub(super) fn inner(&self, node: NodePtr<V>) -> InnerRef<'t, V> {
        match self.node(node) {
            Node::Inner(inner) => inner,
            Node::Leaf(_) => unreachable!("T3: an inner node was expected here"),
        }
    }

    pub(super) fn leaf(&self, node: NodePtr<V>) -> Option<LeafRef<'t, V>> {
        if node.is_null() {
            return None;
        }
        match self.node(node) {
            Node::Leaf(leaf) => Some(leaf),
            Node::Inner(_) => unreachable!("T3: a leaf was expected here"),
        }
    }

    /// Looks after what was retired, where due. Before an edit, since what the edit before removed may still be looked at until then.
    pub(crate) fn tend(&mut self) {
        self.writer.limbo.tend(&mut self.writer.pool, self.counters);
    }

    /// Tries as long as anything moves to bring everything back that waits, and some time longer: what threads left in the collector's
    /// queue when they ended is out of the way before anything of ours moves, and does not show.
    pub(crate) fn reclaim(&mut self) {
        let mut in_vain = 0;
        while in_vain < IN_VAIN && !self.writer.limbo.is_empty() {
            let held = self.counters.held_bytes.read();
            // Where memory is short what waits goes on waiting.
            if self.writer.limbo.step(TRY_HARD, usize::MAX, &mut self.writer.pool, self.counters).is_err() {
                return;
            }
            in_vain = if self.counters.held_bytes.read() < held { 0 } else { in_vain + 1 };
        }
    }

    /// Gives the system what is kept for the next edits.
    pub(crate) fn release(&mut self) {
        self.writer.pool.release(self.counters);
        self.writer.limbo.release();
        self.writer.draft = Draft::default();
    }

    /// Whether there are values to drop once the writer's lock is released.
    pub(crate) fn has_dead(&self) -> bool {
        self.writer.limbo.has_dead()
    }

    /// Adds the values to drop once the writer's lock is released to those that are there already; the next writer does, where memory is
    /// short.
    pub(crate) fn hand_out_dead(&mut self, to: &mut Vec<MaybeUninit<V>>) {
        self.writer.limbo.hand_out_dead(to);
    }

    /// Runs code of the embedder's beside a value that is to be dropped after the unlock if that code unwinds.
    #[inline]
    fn hold_value_while<T>(&mut self, value: V, run: impl FnOnce() -> T) -> (V, T) {
        self.writer.limbo.hold_while(value, |limbo, value| limbo.bury_unseen(MaybeUninit::new(value)), |_| run())
    }

    /// The same beside the values of a list.
    pub(crate) fn hold_list_while<T>(&mut self, list: List<V>, run: impl FnOnce(&mut List<V>) -> T) -> (List<V>, T) {
        self.writer.limbo.hold_while(list, |limbo, list| list.give_up().for_each(|value| limbo.bury_unseen(value)), run)
    }

    /// `RangeMap::insert`.
    pub(crate) fn insert(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<(), InsertError<V>> {
        self.tend();
        let (value, asked) = self.hold_value_while(value, || Span::from_bounds(range));
        let asked = match asked {
            Ok(span) => span,
            Err(error) => return Err(Rejected::new(value, EditError::Range(error))),
        };
        self.locate(asked);
        if let Some(by) = self.first_in() {
            return Err(Rejected { value, cause: InsertCause::Occupied { asked, by } });
        }
        let cut = |_: &V| unreachable!("nothing is in the way, so nothing is cut");
        self.put(List::of(asked, value), cut).map_err(|(list, error)| Rejected::new(list.into_only(), EditError::Resource(error)))
    }

    /// `RangeMap::replace`.
    pub(crate) fn replace(&mut self, range: impl RangeBounds<u64>, value: V) -> Result<Removed<'_, V>, ReplaceError<V>>
    where
        V: Clone,
    {
        self.tend();
        let (value, span) = self.hold_value_while(value, || Span::from_bounds(range));
        let span = match span {
            Ok(span) => span,
            Err(error) => return Err(Rejected::new(value, error)),
        };
        self.locate(span);
        match self.put(List::of(span, value), V::clone) {
            Ok(()) => Ok(self.removed(span)),
            Err((list, error)) => Err(Rejected::new(list.into_only(), error)),
        }
    }

    /// `RangeMap::remove`.
    pub(crate) fn remove(&mut self, range: impl RangeBounds<u64>) -> Result<Removed<'_, V>, EditError>
    where
        V: Clone,
    {
        self.tend();
        let span = Span::from_bounds(range)?;
        self.locate(span);
        if self.first_in().is_none() {
            return Ok(Removed { span, olds: &[] });
        }
        self.splice(&[], Retire::Within(span), Charge::Exempt, V::clone)?;
        Ok(self.removed(span))
    }

    /// `RangeMap::remove_entry`.
    pub(crate) fn remove_entry(&mut self, address: u64) -> Result<Removed<'_, V>, ResourceError> {
        self.tend();
        let at = Span::from_entry(address, address);
        self.locate(at);
        let Some(span) = self.first_in() else {
            return Ok(Removed { span: at, olds: &[] });
        };
        let cut = |_: &V| unreachable!("a whole entry is removed");
        self.locate(span);
        self.splice(&[], Retire::Within(span), Charge::Exempt, cut)?;
        Ok(self.removed(span))
    }

    /// What the last splice removed.
    fn removed(&self, span: Span) -> Removed<'_, V> {
        Removed { span, olds: &self.writer.draft.olds }
    }

    /// `RangeMap::splice`: hands the list back where it cannot.
    pub(crate) fn splice_list(&mut self, range: impl RangeBounds<u64>, list: List<V>) -> Result<Removed<'_, V>, (List<V>, SpliceCause)>
    where
        V: Clone,
    {
        self.tend();
        let (list, span) = self.hold_list_while(list, |_| Span::from_bounds(range));
        let span = match span {
            Ok(span) => span,
            Err(error) => return Err((list, error.into())),
        };
        if let Some(items) = list.hull().filter(|items| items.start() < span.start() || span.last() < items.last()) {
            return Err((list, SpliceCause::Outside { items, asked: span }));
        }
        self.locate(span);
        if list.hull().is_none() && self.first_in().is_none() {
            return Ok(Removed { span, olds: &[] });
        }
        match self.put(list, V::clone) {
            Ok(()) => Ok(self.removed(span)),
            Err((list, error)) => Err((list, error.into())),
        }
    }

    /// Puts entries over the site's range; hands them back where it cannot.
    fn put(&mut self, list: List<V>, cut: impl FnOnce(&V) -> V) -> Result<(), (List<V>, ResourceError)> {
        let retire = Retire::Within(self.writer.site.span);
        let charge = if list.items().is_empty() { Charge::Exempt } else { Charge::Checked };
        // Their bits: until they are in the index or back with their caller the values are in two places.
        match catch_unwind(AssertUnwindSafe(|| self.splice(list.items(), retire, charge, cut))) {
            Ok(Ok(())) => {
                drop(list.give_up());
                Ok(())
            }
            Ok(Err(error)) => Err((list, error)),
            Err(panic) => {
                // Only the embedder's clone panics, before anything happened, and room was reserved before it was called.
                list.give_up().for_each(|value| self.writer.limbo.bury_unseen(value));
                resume_unwind(panic)
            }
        }
    }

    /// `RangeMap::extend_down`.
    pub(crate) fn extend_down(&mut self, address: u64, start: u64) -> Result<Span, ExtendError> {
        self.tend();
        self.locate(Span::from_entry(address, address));
        let (leaf, i, span) = self.entry_at(address)?;
        if start >= span.start() {
            return Ok(span);
        }
        // The entry before ends at the last key below this one: in the leaf, or in the nearest node on the way with something left.
        let below = if i > 0 {
            Some(leaf.last(i - 1))
        } else {
            let route = &self.writer.site.route;
            route.steps_above(route.depth()).find(|step| step.index > 0).map(|step| self.inner(step.node).last(step.index - 1))
        };
        let asked = Span::from_entry(start, span.last());
        if let Some(below) = below.filter(|&below| start <= below) {
            let by = self.view().lookup(below).map_or(Span::from_entry(below, below), |entry| entry.span());
            return Err(ExtendError::Blocked { asked, by });
        }
        self.publish_start(leaf, i, start);
        Ok(asked)
    }

    /// `RangeMap::extend_up`.
    pub(crate) fn extend_up(&mut self, address: u64, last: u64) -> Result<Span, ExtendError> {
        self.tend();
        self.locate(Span::from_entry(address, address));
        let (leaf, i, span) = self.entry_at(address)?;
        if last <= span.last() {
            return Ok(span);
        }
        let asked = Span::from_entry(span.start(), last);
        let room = Span::from_entry(span.last() + 1, last);
        self.locate(room);
        if let Some(by) = self.first_in() {
            return Err(ExtendError::Blocked { asked, by });
        }
        let grown = Item { start: asked.start(), last, value: leaf.bits(i) };
        let cut = |_: &V| unreachable!("the one entry in the range is replaced whole");
        self.locate(asked);
        self.splice(&[grown], Retire::None, Charge::Checked, cut)?;
        Ok(asked)
    }

    /// The entry that contains the address, in the site's leaf, which routes it.
    fn entry_at(&self, address: u64) -> Result<(LeafRef<'t, V>, usize, Span), ExtendError> {
        let absent = ExtendError::Absent { at: address };
        let leaf = self.leaf(self.writer.site.route.leaf()).ok_or(absent)?;
        let i = leaf.rank(address);
        if i == leaf.len() || leaf.owner_start(i) > address {
            return Err(absent);
        }
        Ok((leaf, i, Span::from_entry(leaf.owner_start(i), leaf.last(i))))
    }
}
