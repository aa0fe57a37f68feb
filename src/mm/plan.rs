//! From paper to the layout: what an operation is about to do, ready to be done with one store, or to be dropped.

use super::accounts::Sums;
use super::guard::vma_of;
use super::keys::Keys;
use super::limits::{GuardGapPolicy, Limits, MapCountLimit, PartialEffects};
use super::sheet::{Body, Effect, Effects, Sheet};
use super::{Mm, MmWriteGuard, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::lock::{MmLock, RawMmLock};
use crate::sync::Shared;
use crate::tree::limbo::Charge;
use crate::tree::list::{List, push};
use crate::tree::prepared::Prepared;
use crate::vma::{Owner, Patience, Payload, VmaFlags, VmaRecord};
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
    gone: SmallVec<[Record<P>; 4]>,
    sums: Sums,
    effects: Effects<P>,
    owned: SmallVec<[(Record<P>, Owner); 1]>,
    /// What the mm's own words are to be.
    words: Words,
    outcome: Result<u64, E>,
}

/// What an operation leaves in the mm beside the layout.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Words {
    pub(super) brk: Option<u64>,
    pub(super) locks_future: Option<VmaFlags>,
    pub(super) keys: Option<Keys>,
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

    /// Takes what a sheet comes to, but for what the index is to hold.
    fn take(&mut self, sheet: &mut Sheet<'_, P>) -> Result<(), ResourceError> {
        for (_, record) in &sheet.gone {
            push(&mut self.gone, Record::clone(record))?;
        }
        for (record, owner) in &sheet.owned {
            push(&mut self.owned, (Record::clone(record), *owner))?;
        }
        (self.sums, self.words) = (sheet.sums, sheet.words);
        self.words.keys = Some(sheet.keys);
        core::mem::swap(&mut self.effects, &mut sheet.effects);
        Ok(())
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
    pub fn commit(mut self) -> Result<u64, E> {
        if let Some(prepared) = &mut self.prepared {
            prepared.publish();
            self.mm.pages.set(self.sums);
        }
        // In the hold in which they were unlinked, and after it: see the VMA's lock.
        self.gone.iter().for_each(|record| record.lock().detach());
        self.owned.iter().for_each(|(record, owner)| _ = record.own(*owner));
        self.mm.state.set(self.words);
        for (payload, effect) in &self.effects {
            match *effect {
                Effect::Unmapped(pages) => payload.unmapped(pages),
                Effect::Protected(pages, flags) => payload.protected(pages, flags),
                Effect::Moved(from, to) => payload.pages_moved(from, to),
            }
        }
        self.outcome
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

    /// Plans an operation: takes the stretch down that it may touch, has it done on the sheet, write-locks what changes, and takes all
    /// memory that the change needs.
    pub(super) fn plan<E: From<LayoutError>>(
        &mut self,
        stretch: Span,
        limits: &Limits,
        patience: Patience<'_, L::Interrupt>,
        operation: impl FnOnce(&mut Sheet<'_, P>) -> Result<u64, E>,
    ) -> Plan<'_, 'm, P, E, L> {
        // The edit has its way there then.
        self.guard.locate(stretch);
        // Filled where it is made: it is large to move.
        let mut plan = Plan::empty(self.mm(), self.sums(), Ok(0));
        let change = {
            let mut sheet = Sheet::of(self);
            plan.outcome = match self.guard.each_located(|entry| sheet.take_down(vma_of(entry))) {
                Ok(()) => operation(&mut sheet),
                Err(error) => Err(LayoutError::from(error).into()),
            };
            if sheet.is_spoiled {
                plan.outcome = Err(plan.outcome.err().unwrap_or_else(|| LayoutError::from(ResourceError::OutOfMemory).into()));
                return plan;
            }
            if plan.outcome.is_err() && limits.policy.partial == PartialEffects::Never {
                return plan;
            }
            // 7.8: whatever the operation or what a failure leaves of it, and after all merges.
            let (count, most) = (sheet.count, self.mm().map_count().max(limits.max_map_count));
            if count > most && limits.policy.map_count == MapCountLimit::Exact {
                let error = LayoutError::TooMany { count, limit: limits.max_map_count };
                plan.outcome = Err(plan.outcome.err().unwrap_or_else(|| error.into()));
                return plan;
            }
            // 7.9, likewise.
            if limits.policy.guard_gap == GuardGapPolicy::Enforced
                && let Some(range) = sheet.changed()
                && let Some((asked, by)) = self.guard_breach(range, &sheet, limits)
            {
                plan.outcome = Err(plan.outcome.err().unwrap_or_else(|| LayoutError::GuardGap { asked, by }.into()));
                return plan;
            }
            self.change(&mut sheet, patience).and_then(|change| {
                plan.take(&mut sheet)?;
                Ok(change)
            })
        };
        let prepared = change.and_then(|change| {
            let Some(Change { span, list, charge }) = change else { return Ok(None) };
            Ok(Some(self.guard.prepare(span, list, charge)?))
        });
        match prepared {
            Ok(prepared) => plan.prepared = prepared,
            Err(error) => plan = Plan::empty(plan.mm, plan.sums, Err(error.into())),
        }
        plan
    }

    /// What of a sheet is not as it was. Waits for the readers of what changes before anything does.
    fn change(&self, sheet: &mut Sheet<'_, P>, patience: Patience<'_, L::Interrupt>) -> Result<Option<Change<P>>, LayoutError> {
        let Some(span) = sheet.changed() else { return Ok(None) };
        // In their order: where one is not waited out, those before it are marked, and no others.
        sheet.gone.sort_unstable_by_key(|(span, _)| span.start());
        sheet.gone.iter().try_for_each(|(_, record)| self.mark(record, patience))?;
        let mut list = List::new();
        for part in sheet.parts.iter().filter(|part| part.span.overlaps(span)) {
            let record = match &part.body {
                // What stays between two changes keeps its record.
                Body::Old(record) | Body::Owned(record, _) => Record::clone(record),
                // Write-locked before it can be seen (3.10).
                Body::New(kind) => {
                    Shared::try_new(VmaRecord::new(kind.clone(), self.sequence())).map_err(|_| ResourceError::OutOfMemory)?
                }
            };
            list.push(part.span, record).map_err(|_| ResourceError::OutOfMemory)?;
        }
        Ok(Some(Change { span, list, charge: sheet.charge }))
    }
}

/// A stretch and what touches it: where an operation merges.
pub(super) fn touched(stretch: Span) -> Span {
    Span::from_entry(stretch.start().saturating_sub(1), stretch.last().saturating_add(1))
}

/// What the index is to hold in a stretch.
struct Change<P> {
    span: Span,
    list: List<Record<P>>,
    charge: Charge,
}
