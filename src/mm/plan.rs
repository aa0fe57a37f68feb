//! From paper to the layout: what an operation is about to do, ready to be done with one store, or to be dropped.

use super::accounts::Sums;
use super::sheet::{Body, Effect, Part, Sheet};
use super::{Mm, MmWriteGuard, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::lock::{MmLock, RawMmLock};
use crate::sync::Shared;
use crate::tree::list::List;
use crate::tree::prepared::Prepared;
use crate::vma::{Owner, Patience, Payload, VmaRecord};
use core::fmt;
use smallvec::SmallVec;

/// A change of the layout that is planned: nothing can fail any more, and nothing has happened yet.
///
/// For those who follow a real process, or drive a real kernel: plan, do the system call on the host, then [`commit`](Self::commit); or
/// drop the plan, and nothing has been. The VMAs that it changes are write-locked meanwhile (3.4).
///
/// # Examples
/// ```
/// use vmaple::{MapRequest, Mm, Patience, VmaFlags, VmaSpec};
/// let mm: Mm = Mm::new();
/// let mut writer = mm.write();
/// let request = MapRequest::of_len(0x4000, VmaSpec::anonymous(VmaFlags::READ));
/// let plan = writer.plan_mmap(&request, Patience::Forever);
/// let address = plan.outcome()?;
/// # fn the_hosts_mmap(_address: u64, _len: u64) -> bool { false }
/// if the_hosts_mmap(address, 0x4000) {
///     plan.commit()?;
/// } else {
///     drop(plan);
///     assert_eq!(mm.map_count(), 0);
/// }
/// # Ok::<(), vmaple::MmapError>(())
/// ```
#[must_use = "nothing has changed until it is committed"]
pub struct Plan<'w, 'm, P: Payload, E, L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    /// None where the index does not change.
    prepared: Option<Prepared<'w, 'm, Record<P>>>,
    /// The records that are in the index no more.
    gone: SmallVec<[(u64, Record<P>); 4]>,
    sums: Sums,
    effects: SmallVec<[(P, Effect); 2]>,
    owned: SmallVec<[(Record<P>, Owner); 1]>,
    /// What the mm's own words are to be.
    words: Words,
    outcome: Result<u64, E>,
}

/// What an operation leaves in the mm beside the layout.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    pub(super) brk: Option<u64>,
    pub(super) locks_future: Option<bool>,
}

impl<'m, P: Payload, E, L: RawMmLock> Plan<'_, 'm, P, E, L> {
    /// One that changes nothing.
    fn empty(mm: &'m Mm<P, L>, sums: Sums, outcome: Result<u64, E>) -> Self {
        let (gone, effects, owned) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { mm, prepared: None, gone, sums, effects, owned, words: Words::default(), outcome }
    }
}

impl<P: Payload, E, L: RawMmLock> Plan<'_, '_, P, E, L> {
    /// The same plan, with its error told in other words.
    pub(super) fn map_err(mut self, words: impl FnOnce(E) -> E) -> Self {
        self.outcome = self.outcome.map_err(words);
        self
    }

    /// Has the mm remember something else, too.
    pub(super) fn remember(&mut self, words: Words) {
        self.words = words;
    }
}

impl<P: Payload, E: Copy, L: RawMmLock> Plan<'_, '_, P, E, L> {
    /// What the operation will tell. An error may leave something behind all the same, as Linux does: that is committed, too.
    ///
    /// # Errors
    /// The operation's.
    pub fn outcome(&self) -> Result<u64, E> {
        self.outcome
    }

    /// Does it, with one store that readers see: they see the layout of before, or that of after.
    ///
    /// # Errors
    /// The operation's, as [`outcome`](Self::outcome) told it.
    pub fn commit(self) -> Result<u64, E> {
        let Self { mm, prepared, gone, sums, effects, owned, words, outcome } = self;
        if let Some(prepared) = prepared {
            prepared.publish();
            mm.pages.set(sums);
        }
        // In the hold in which they were unlinked, and after it: see the VMA's lock.
        gone.iter().for_each(|(_, record)| record.lock().detach());
        owned.iter().for_each(|(record, owner)| _ = record.own(*owner));
        mm.state.set(words);
        for (payload, effect) in &effects {
            match *effect {
                Effect::Unmapped(pages) => payload.unmapped(pages),
                Effect::Protected(pages, flags) => payload.protected(pages, flags),
                Effect::Moved(from, to) => payload.pages_moved(from, to),
            }
        }
        outcome
    }
}

impl<P: Payload, E: fmt::Debug, L: RawMmLock> fmt::Debug for Plan<'_, '_, P, E, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("outcome", &self.outcome).field("change", &self.prepared).finish_non_exhaustive()
    }
}

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// What an operation comes to that could not even begin.
    pub(super) fn nothing<E>(&mut self, outcome: Result<u64, E>) -> Plan<'_, 'm, P, E, L> {
        Plan::empty(self.mm(), self.sums(), outcome)
    }

    /// Makes a plan of a sheet: write-locks what changes, and takes all memory that it needs.
    pub(super) fn plan<E: From<LayoutError>>(
        &mut self,
        mut sheet: Sheet<P>,
        words: Words,
        outcome: Result<u64, E>,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, E, L> {
        if sheet.is_spoiled {
            return self.nothing(Err(outcome.err().unwrap_or_else(|| LayoutError::from(ResourceError::OutOfMemory).into())));
        }
        if outcome.is_err() && self.mm().limits_now().policy.partial == super::PartialEffects::Never {
            return self.nothing(outcome);
        }
        let changes = match self.changes(&mut sheet, patience) {
            Ok(changes) => changes,
            Err(error) => return self.nothing(Err(error.into())),
        };
        let (mm, Sheet { gone, sums, effects, owned, .. }) = (self.mm(), sheet);
        let mut prepared = None;
        if let Some(Changes { span, list }) = changes {
            match self.guard.prepare(span, list) {
                Ok(edit) => prepared = Some(edit),
                Err(error) => return Plan::empty(mm, sums, Err(LayoutError::from(error).into())),
            }
        }
        Plan { mm, prepared, gone, sums, effects, owned, words, outcome }
    }

    /// What of a sheet is not as it was. Waits for the readers of what changes before anything does.
    fn changes(&self, sheet: &mut Sheet<P>, patience: Patience<'_, L::Interrupt>) -> Result<Option<Changes<P>>, LayoutError> {
        let (olds, parts) = (&sheet.olds[..], &sheet.parts[..]);
        // One that has its record still has its bounds.
        let is_kept = |(old, part): &(&Span, &Part<P>)| part.record().is_some() && part.span == **old;
        let same_below = olds.iter().zip(parts).take_while(is_kept).count();
        let (olds, parts) = (&olds[same_below..], &parts[same_below..]);
        let same_above = olds.iter().rev().zip(parts.iter().rev()).take_while(is_kept).count();
        let (olds, parts) = (&olds[..olds.len() - same_above], &parts[..parts.len() - same_above]);

        let ends = |first: Option<Span>, last: Option<Span>| first.zip(last).map(|(first, last)| (first.start(), last.last()));
        let of_olds = ends(olds.first().copied(), olds.last().copied());
        let of_parts = ends(parts.first().map(|part| part.span), parts.last().map(|part| part.span));
        let span = match (of_olds, of_parts) {
            (None, None) => return Ok(None),
            (Some((start, last)), None) | (None, Some((start, last))) => Span::from_entry(start, last),
            (Some(one), Some(other)) => Span::from_entry(one.0.min(other.0), one.1.max(other.1)),
        };
        // In their order: where one is not waited out, those before it are marked, and no others.
        sheet.gone.sort_unstable_by_key(|(start, _)| *start);
        sheet.gone.iter().try_for_each(|(_, record)| self.mark(record, patience))?;
        let mut list = List::new();
        for part in parts {
            let record = match &part.body {
                // What stays between two changes keeps its record.
                Body::Old(record) | Body::Owned(record, _) => record.clone(),
                // Write-locked before it can be seen (3.10).
                Body::New(kind) => {
                    Shared::try_new(VmaRecord::new(kind.clone(), self.sequence())).map_err(|_| ResourceError::OutOfMemory)?
                }
            };
            list.push(part.span, record).map_err(|_| ResourceError::OutOfMemory)?;
        }
        Ok(Some(Changes { span, list }))
    }
}

/// What the index is to hold in a stretch.
struct Changes<P> {
    span: Span,
    list: List<Record<P>>,
}
