//! From paper to the layout: what an operation is about to do, ready to be done with one store, or to be dropped.

use super::accounts::Sums;
use super::draft::{Effect, Effects, LayoutDraft};
use super::guard_gap::Gap;
use super::later::Payloads;
use super::limits::{GuardGapPolicy, Limits, MapCountLimit, PartialEffects};
use super::staged::{Carried, Origin};
use super::state::StateUpdate;
use super::view::vma_of;
use super::{Mm, MmWriteGuard, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::fallible::push;
use crate::key::KeyRights;
use crate::lock::{MmLock, Patience, RawMmLock};
use crate::sync::Shared;
use crate::tree::{Charge, EntryList, FirstPanic, Prepared};
use crate::vma::{Owner, Payload, VmaDraft, VmaRecord};
use core::fmt;
use core::mem;
use smallvec::SmallVec;

/// A change of the layout that is planned: nothing can fail any more, and nothing has happened yet.
///
/// For those who follow a real process, or drive a real kernel: plan, do the system call on the host, then [`commit`](Self::commit); or
/// drop the plan, and nothing has been. The VMAs that it changes are write-locked meanwhile (3.4).
///
/// Payloads that the plan made are dropped when the mm lock has been released, whether it is committed or not.
///
/// # Examples
/// ```
/// use vmaple::lock::Patience;
/// use vmaple::mm::MapRequest;
/// use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm: Mm = Mm::new();
/// let mut writer = mm.write();
/// let request = MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ));
/// let plan = writer.plan_mmap(&request, Patience::Forever);
/// let address = plan.outcome()?;
/// # fn the_hosts_mmap(_address: u64, _len: u64) -> bool { false }
/// if the_hosts_mmap(address, 0x4000) {
///     plan.commit()?;
/// } else {
///     drop(plan);
///     assert_eq!(mm.len(), 0);
/// }
/// # Ok::<(), vmaple::mm::MmapError>(())
/// ```
#[must_use = "nothing has changed until it is committed"]
pub struct Plan<'w, 'm, P: Payload, E, L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    /// The guard's: what the calling thread may do with the keys.
    rights: &'w mut KeyRights,
    edit: Edit<'w, 'm, P>,
    after: After<P>,
    outcome: Result<u64, E>,
}

/// What a plan does to the index.
struct Edit<'w, 'm, P> {
    /// None where the index does not change.
    prepared: Option<Prepared<'w, 'm, Record<P>>>,
    payloads: &'w mut Payloads<P>,
}

impl<P> Drop for Edit<'_, '_, P> {
    fn drop(&mut self) {
        // Its records were never seen, and their payloads wait for the unlock as all others do.
        if let Some(prepared) = self.prepared.take() {
            self.payloads.put_back_all(prepared.abandon());
        }
    }
}

/// What a plan does when the index has changed.
struct After<P> {
    /// The records that are in the index no more.
    gone: SmallVec<[Record<P>; 4]>,
    sums: Sums,
    effects: Effects,
    owned: SmallVec<[(Record<P>, Owner); 1]>,
    /// What changes beside the layout.
    state: StateUpdate,
}

impl<P> After<P> {
    /// Nothing.
    fn nothing(sums: Sums) -> Self {
        let (gone, effects, owned) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { gone, sums, effects, owned, state: StateUpdate::default() }
    }

    /// Takes what a draft comes to, but for what the index is to hold.
    fn take(&mut self, draft: &mut LayoutDraft<'_, P>) -> Result<(), ResourceError> {
        for (_, record) in &draft.gone {
            push(&mut self.gone, Record::clone(record))?;
        }
        for (record, owner) in &draft.owned {
            push(&mut self.owned, (Record::clone(record), *owner))?;
        }
        (self.sums, self.state) = (draft.sums, draft.state);
        self.state.keyring = Some(draft.keyring);
        mem::swap(&mut self.effects, &mut draft.effects);
        Ok(())
    }
}

impl<'w, 'm, P: Payload, E, L: RawMmLock> Plan<'w, 'm, P, E, L> {
    /// One that changes nothing.
    fn empty(mm: &'m Mm<P, L>, rights: &'w mut KeyRights, payloads: &'w mut Payloads<P>, outcome: Result<u64, E>) -> Self {
        Self { mm, rights, edit: Edit { prepared: None, payloads }, after: After::nothing(mm.pages.sums()), outcome }
    }

    /// The same plan, with its error told in other words.
    pub(super) fn map_err(mut self, words: impl FnOnce(E) -> E) -> Self {
        self.outcome = self.outcome.map_err(words);
        self
    }

    /// Has the mm remember something else, too.
    pub(super) fn remember(&mut self, state: StateUpdate) {
        self.after.state = state;
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
    ///
    /// # Panics
    /// If a payload's hook does. The layout has changed then, and every hook was called: the first panic goes on after the last of them. What
    /// later ones panic with is leaked, because dropping it may panic again.
    pub fn commit(self) -> Result<u64, E> {
        let Self { mm, rights, mut edit, after, outcome } = self;
        if let Some(mut prepared) = edit.prepared.take() {
            prepared.publish();
            mm.pages.set(after.sums);
        }
        // In the hold in which they were unlinked, and after it: see the VMA's lock.
        after.gone.iter().for_each(|record| record.lock().detach());
        after.owned.iter().for_each(|(record, owner)| _ = record.own(*owner));
        mm.state.update(after.state);
        *rights = after.state.keyring.map_or(*rights, |keyring| keyring.rights);
        after.tell(edit.payloads);
        outcome
    }
}

impl<P: Payload> After<P> {
    /// Calls every hook, whatever the others do.
    fn tell(&self, payloads: &Payloads<P>) {
        let mut panicked = FirstPanic::default();
        for &(slot, effect) in &self.effects {
            let payload = payloads.get(slot);
            panicked.run(|| match effect {
                Effect::Unmapped(pages) => payload.unmapped(pages),
                Effect::Protected(pages, flags) => payload.protected(pages, flags),
                Effect::Moved(from, to) => payload.pages_moved(from, to),
            });
        }
        panicked.go_on();
    }
}

impl<P: Payload, E: fmt::Debug, L: RawMmLock> fmt::Debug for Plan<'_, '_, P, E, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("outcome", &self.outcome).field("change", &self.edit.prepared).finish_non_exhaustive()
    }
}

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// What an operation comes to that could not even begin.
    pub(super) fn nothing<E>(&mut self, outcome: Result<u64, E>) -> Plan<'_, 'm, P, E, L> {
        Plan::empty(self.mm(), &mut self.key_rights, &mut self.later.payloads, outcome)
    }

    /// Plans an operation: takes the stretch down that it may touch, has it done on the draft, write-locks what changes, and takes all
    /// memory that the change needs.
    pub(super) fn plan<E: From<LayoutError>>(
        &mut self,
        stretch: Span,
        limits: &Limits,
        patience: Patience<'_, L::Interrupt>,
        operation: impl FnOnce(&mut LayoutDraft<'_, P>) -> Result<u64, E>,
    ) -> Plan<'_, 'm, P, E, L> {
        let (mm, sequence, keyring) = (self.mm(), self.sequence(), self.keyring());
        self.later.payloads.begin();
        // Filled where it is made: it is large to move.
        let mut plan = Plan::empty(mm, &mut self.key_rights, &mut self.later.payloads, Ok(0));
        let position = self.guard.locate(stretch);
        let change = {
            let mut draft = LayoutDraft::of(mm, keyring, plan.edit.payloads);
            plan.outcome = match position.try_for_each(|entry| draft.load(vma_of(entry))) {
                Ok(()) => operation(&mut draft),
                Err(error) => Err(LayoutError::from(error).into()),
            };
            // 7.8: whatever the operation or what a failure leaves of it, and after all merges.
            let (count, most) = (draft.count, mm.len().max(limits.max_map_count));
            if draft.is_spoiled {
                plan.outcome = Err(plan.outcome.err().unwrap_or_else(|| LayoutError::from(ResourceError::OutOfMemory).into()));
                Ok(None)
            } else if plan.outcome.is_err() && limits.policy.partial == PartialEffects::Never {
                Ok(None)
            } else if count > most && limits.policy.map_count == MapCountLimit::Exact {
                let error = LayoutError::TooMany { count, limit: limits.max_map_count };
                plan.outcome = Err(plan.outcome.err().unwrap_or_else(|| error.into()));
                Ok(None)
            } else if limits.policy.guard_gap == GuardGapPolicy::Enforced
                && let Some(range) = draft.changed()
                && let Some((asked, by)) = Gap::of(limits).breach(position.view(), range, &draft)
            {
                // 7.9, likewise.
                plan.outcome = Err(plan.outcome.err().unwrap_or_else(|| LayoutError::GuardGap { asked, by }.into()));
                Ok(None)
            } else {
                plan.after.take(&mut draft).map_err(LayoutError::from).and_then(|()| draft.write_down(mm, sequence, patience))
            }
        };
        let prepared = change.and_then(|change| {
            let Some(Change { span, list, charge }) = change else { return Ok(None) };
            let prepared = position.moved_to(span).prepare(list, charge).map_err(|(list, error)| {
                plan.edit.payloads.put_back_all(list);
                error
            })?;
            Ok(Some(prepared))
        });
        match prepared {
            Ok(prepared) => plan.edit.prepared = prepared,
            Err(error) => {
                (plan.after, plan.outcome) = (After::nothing(mm.pages.sums()), Err(error.into()));
            }
        }
        plan
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// What is not as it was. Waits for the readers of what changes before anything does.
    fn write_down<L: RawMmLock>(
        &mut self,
        mm: &Mm<P, L>,
        sequence: u64,
        patience: Patience<'_, L::Interrupt>,
    ) -> Result<Option<Change<P>>, LayoutError> {
        let Some(span) = self.changed() else { return Ok(None) };
        // In their order: if the wait for one fails, exactly those before it are write-locked.
        self.gone.sort_unstable_by_key(|(span, _)| span.start());
        self.gone.iter().try_for_each(|(_, record)| mm.start_write(record, sequence, patience))?;
        self.make_payloads(span)?;
        let mut list = EntryList::new();
        match self.make_records(span, sequence, &mut list) {
            Ok(()) => Ok(Some(Change { span, list, charge: self.charge })),
            Err(error) => {
                self.payloads.put_back_all(list);
                Err(error.into())
            }
        }
    }

    /// Makes the payloads of the records to come that the operation has not made: they are as those of records that there are.
    fn make_payloads(&mut self, span: Span) -> Result<(), ResourceError> {
        for i in self.within(span) {
            if let Origin::New(VmaDraft { payload: Carried::OfRecord(record), .. }) = self.vmas[i].origin {
                let made = Carried::Kept(self.payloads.keep_with(|_| record.payload().clone())?);
                if let Origin::New(kind) = &mut self.vmas[i].origin {
                    kind.payload = made;
                }
            }
        }
        Ok(())
    }

    /// Makes the records that are to be in the index. The embedder is not called any more.
    fn make_records(&mut self, span: Span, sequence: u64, list: &mut EntryList<Record<P>>) -> Result<(), ResourceError> {
        for part in self.vmas.iter().filter(|part| part.span.overlaps(span)) {
            let record = match part.origin {
                // What stays between two changes keeps its record.
                Origin::Existing(record) | Origin::Adopting(record, _) => Record::clone(record),
                // Write-locked before it can be seen (3.10).
                Origin::New(kind) => {
                    let Carried::Kept(slot) = kind.payload else { unreachable!("it was made just now") };
                    let made = Shared::try_new(VmaRecord::new(kind.with_payload(self.payloads.take(slot)), sequence));
                    made.map_err(|record| {
                        self.payloads.put_back(record.into_payload());
                        ResourceError::OutOfMemory
                    })?
                }
            };
            list.push(part.span, record).map_err(|(record, _)| {
                self.payloads.put_back_record(record);
                ResourceError::OutOfMemory
            })?;
        }
        Ok(())
    }
}

/// What the index is to hold in a stretch.
struct Change<P> {
    span: Span,
    list: EntryList<Record<P>>,
    charge: Charge,
}
