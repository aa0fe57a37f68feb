//! Plans an operation: from a draft of the layout to a change that needs one store, or is dropped.
//!
//! Called by the operations' files, through [`Planner`].

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
use crate::tree::{Charge, Entry, EntryList, FirstPanic, Prepared};
use crate::vma::{NewVma, Owner, Payload, Vma, VmaRecord};
use core::fmt;
use core::mem;
use smallvec::SmallVec;

/// The operations of a write guard, planned instead of carried out. Created by [`MmWriteGuard::plan`].
///
/// It has the guard's operations that are system calls on one address space, from `mmap` to `pkey_free`, and `change_payloads`, with the same
/// arguments. Each returns a [`Plan`]. It does not have `insert`, `fork`, `exit`, `set_heap` and the growth of stacks.
#[derive(Debug)]
#[must_use = "it does nothing until an operation is planned"]
pub struct Planner<'w, 'm, P = (), L: RawMmLock = MmLock> {
    pub(super) guard: &'w mut MmWriteGuard<'m, P, L>,
    patience: Patience<'w, L::Interrupt>,
}

impl<'m, P, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Plans one operation without carrying it out. `patience` says how long it waits for the threads that have locked a VMA that it changes.
    ///
    /// # Examples
    /// At [`Plan`].
    pub fn plan<'w>(&'w mut self, patience: Patience<'w, L::Interrupt>) -> Planner<'w, 'm, P, L> {
        Planner { guard: self, patience }
    }
}

/// An operation that is checked and prepared: it can no longer fail, and nothing has changed yet.
///
/// To follow a real process, or to drive a real kernel: plan, make the system call on the host, then [`commit`](Self::commit). Dropping the
/// plan leaves the address space as it was. Until then the VMAs that it changes are write-locked (3.4).
///
/// `R` is the operation's result. A result that is an error may come with changes all the same, because Linux leaves some behind
/// ([`PartialEffects`]): they are part of the plan.
///
/// [`removed`](Self::removed) and [`inserted`](Self::inserted) show VMAs. What a plan changes beside them is not shown: a break that moves within
/// its page, what `mlockall` sets for future mappings, and the protection keys that are allocated.
///
/// Payloads that the plan made are dropped after the mm lock is released, whether the plan is committed or not.
///
/// # Examples
/// ```
/// use vmaple::lock::Patience;
/// use vmaple::mm::MapRequest;
/// use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm: Mm = Mm::new();
/// let mut writer = mm.write();
/// let request = MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ));
/// let plan = writer.plan(Patience::Forever).mmap(&request);
/// let address = plan.outcome()?;
/// assert_eq!(plan.inserted().map(|vma| vma.start()).collect::<Vec<_>>(), [address]);
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
pub struct Plan<'w, 'm, P: Payload, R, L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    /// The guard's rights of the calling thread to protection keys.
    rights: &'w mut KeyRights,
    edit: Edit<'w, 'm, P>,
    after: After<P>,
    outcome: R,
}

/// What a plan does to the index.
struct Edit<'w, 'm, P> {
    /// `None` if the index does not change.
    prepared: Option<Prepared<'w, 'm, Record<P>>>,
    payloads: &'w mut Payloads<P>,
}

impl<P> Drop for Edit<'_, '_, P> {
    fn drop(&mut self) {
        // No reader has seen its records. Their payloads are dropped after the unlock, as all are.
        if let Some(prepared) = self.prepared.take() {
            self.payloads.put_back_all(prepared.abandon());
        }
    }
}

/// What a plan does after the index has changed.
struct After<P> {
    /// The records that leave the index.
    gone: SmallVec<[Record<P>; 4]>,
    sums: Sums,
    effects: Effects,
    owned: SmallVec<[(Record<P>, Owner); 1]>,
    /// What changes beside the layout.
    state: StateUpdate,
}

impl<P> After<P> {
    /// Returns what a plan does that changes nothing.
    fn nothing(sums: Sums) -> Self {
        let (gone, effects, owned) = (SmallVec::new(), SmallVec::new(), SmallVec::new());
        Self { gone, sums, effects, owned, state: StateUpdate::default() }
    }

    /// Takes everything from a draft except what the index is to hold.
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

impl<'w, 'm, P: Payload, R, L: RawMmLock> Plan<'w, 'm, P, R, L> {
    /// Makes a plan that changes nothing.
    fn empty(mm: &'m Mm<P, L>, rights: &'w mut KeyRights, payloads: &'w mut Payloads<P>, outcome: R) -> Self {
        Self { mm, rights, edit: Edit { prepared: None, payloads }, after: After::nothing(mm.accounts.sums()), outcome }
    }

    /// Sets what changes beside the layout, in a plan that has nothing of that yet.
    pub(super) fn with_state(mut self, state: StateUpdate) -> Self {
        self.after.state = state;
        self
    }

    /// Returns the result that [`commit`](Self::commit) will return.
    pub fn outcome(&self) -> R
    where
        R: Clone,
    {
        self.outcome.clone()
    }

    /// Returns the VMAs that the plan removes or replaces, as they are now, in order.
    ///
    /// # Examples
    /// ```
    /// use vmaple::lock::Patience;
    /// use vmaple::{Mm, Span, VmaFlags, VmaSpec};
    /// // before  AAAA
    /// // after   A..A
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.insert(0x1_0000, 0x4000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// let plan = writer.plan(Patience::Forever).munmap(0x1_1000, 0x2000);
    /// assert!(plan.removed().map(|vma| vma.span()).eq([Span::new(0x1_0000, 0x1_3fff)?]));
    /// assert!(plan.inserted().map(|vma| vma.span()).eq([Span::new(0x1_0000, 0x1_0fff)?, Span::new(0x1_3000, 0x1_3fff)?]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn removed(&self) -> impl Iterator<Item = Vma<'_, P>> {
        let prepared = self.edit.prepared.iter();
        prepared.flat_map(|prepared| unshared(prepared.before(), prepared.after())).map(vma_of)
    }

    /// Returns the VMAs that the plan inserts, in order. Each has a record of its own; VMAs that stay as they are are not among them.
    pub fn inserted(&self) -> impl Iterator<Item = Vma<'_, P>> {
        let prepared = self.edit.prepared.iter();
        prepared.flat_map(|prepared| unshared(prepared.after(), prepared.before())).map(vma_of)
    }

    /// Carries out the plan with one store: a lockless reader sees the layout of before or that of after. Returns the operation's result,
    /// which [`outcome`](Self::outcome) has shown.
    ///
    /// # Panics
    /// If a payload's hook does. The layout has changed then, and every hook was called: the first panic is resumed after the last of them.
    /// What later ones panic with is leaked, because dropping it may panic again.
    pub fn commit(self) -> R {
        let Self { mm, rights, mut edit, after, outcome } = self;
        if let Some(prepared) = edit.prepared.take() {
            prepared.publish();
            mm.accounts.set(after.sums);
        }
        // After the store that unlinked them, and still in its hold (3.10).
        after.gone.iter().for_each(|record| record.lock().detach());
        after.owned.iter().for_each(|(record, owner)| _ = record.own(*owner));
        mm.state.update(after.state);
        *rights = after.state.keyring.map_or(*rights, |keyring| keyring.rights);
        after.notify(edit.payloads);
        outcome
    }
}

/// Returns the entries whose records are not among the others. Both are in order.
fn unshared<'e, P: 'e>(
    entries: impl Iterator<Item = Entry<'e, Record<P>>>,
    others: impl Iterator<Item = Entry<'e, Record<P>>>,
) -> impl Iterator<Item = Entry<'e, Record<P>>> {
    let mut others = others.peekable();
    entries.filter(move |entry| {
        while others.next_if(|other| other.start() < entry.start()).is_some() {}
        others.peek().is_none_or(|other| !Shared::ptr_eq(other.value(), entry.value()))
    })
}

impl<'w, 'm, P: Payload, T, E, L: RawMmLock> Plan<'w, 'm, P, Result<T, E>, L> {
    /// Replaces the error of the outcome.
    pub(super) fn map_err<F>(self, replace: impl FnOnce(E) -> F) -> Plan<'w, 'm, P, Result<T, F>, L> {
        let Self { mm, rights, edit, after, outcome } = self;
        Plan { mm, rights, edit, after, outcome: outcome.map_err(replace) }
    }
}

impl<P: Payload> After<P> {
    /// Calls every hook, even if some of them panic.
    fn notify(&self, payloads: &Payloads<P>) {
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

impl<P: Payload, R: fmt::Debug, L: RawMmLock> fmt::Debug for Plan<'_, '_, P, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("outcome", &self.outcome).field("change", &self.edit.prepared).finish_non_exhaustive()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans an operation that does not change the layout.
    pub(super) fn nothing<R>(self, outcome: R) -> Plan<'w, 'm, P, R, L> {
        let guard = self.guard;
        Plan::empty(guard.mm(), &mut guard.key_rights, &mut guard.later.payloads, outcome)
    }

    /// Plans a change of the layout: loads a draft of the range that the operation may change, runs the operation on it, write-locks the VMAs
    /// that change, and allocates everything that the change needs.
    pub(super) fn draft<T: Default, E: From<LayoutError>>(
        self,
        range: Span,
        limits: &Limits,
        operation: impl FnOnce(&mut LayoutDraft<'_, P>) -> Result<T, E>,
    ) -> Plan<'w, 'm, P, Result<T, E>, L> {
        let Self { guard, patience } = self;
        let (mm, sequence, keyring) = (guard.mm(), guard.sequence(), guard.keyring());
        guard.later.payloads.begin();
        // Filled in place, because it is large to move.
        let mut plan = Plan::empty(mm, &mut guard.key_rights, &mut guard.later.payloads, Ok(T::default()));
        // The draft and the edit share this descent.
        let position = guard.guard.locate(range);
        let change = {
            let mut draft = LayoutDraft::of(mm, keyring, plan.edit.payloads);
            plan.outcome = match position.try_for_each(|entry| draft.load(vma_of(entry))) {
                Ok(()) => operation(&mut draft),
                Err(error) => Err(LayoutError::from(error).into()),
            };
            // 7.8: after all merges, and also for what a failed operation leaves behind.
            let (count, most) = (draft.count, mm.len().max(limits.max_map_count));
            if draft.is_spoiled {
                plan.outcome = plan.outcome.and(Err(LayoutError::from(ResourceError::OutOfMemory).into()));
                Ok(None)
            } else if plan.outcome.is_err() && limits.policy.partial == PartialEffects::Never {
                Ok(None)
            } else if count > most && limits.policy.map_count == MapCountLimit::Exact {
                let error = LayoutError::TooMany { count, limit: limits.max_map_count };
                plan.outcome = plan.outcome.and(Err(error.into()));
                Ok(None)
            } else if limits.policy.guard_gap == GuardGapPolicy::Enforced
                && let Some(range) = draft.changed()
                && let Some((asked, by)) = Gap::of(limits).breach(position.view(), range, &draft)
            {
                // 7.9
                plan.outcome = plan.outcome.and(Err(LayoutError::GuardGap { asked, by }.into()));
                Ok(None)
            } else {
                plan.after.take(&mut draft).map_err(LayoutError::from).and_then(|()| draft.make_change(mm, sequence, patience))
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
                (plan.after, plan.outcome) = (After::nothing(mm.accounts.sums()), Err(error.into()));
            }
        }
        plan
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Write-locks the VMAs that change, which waits for their readers, and makes the records that the index is to hold.
    fn make_change<L: RawMmLock>(
        &mut self,
        mm: &Mm<P, L>,
        sequence: u64,
        patience: Patience<'_, L::Interrupt>,
    ) -> Result<Option<Change<P>>, LayoutError> {
        let Some(span) = self.changed() else { return Ok(None) };
        // In order: if the wait for one ends early, only those below it are write-locked.
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

    /// Clones the payloads that new records have in common with existing ones.
    fn make_payloads(&mut self, span: Span) -> Result<(), ResourceError> {
        for i in self.within(span) {
            if let Origin::New(NewVma { payload: Carried::OfRecord(record), .. }) = self.vmas[i].origin {
                let made = Carried::Kept(self.payloads.keep_with(|_| record.payload().clone())?);
                if let Origin::New(new_vma) = &mut self.vmas[i].origin {
                    new_vma.payload = made;
                }
            }
        }
        Ok(())
    }

    /// Makes the records that the index is to hold. Calls no code of the embedder.
    fn make_records(&mut self, span: Span, sequence: u64, list: &mut EntryList<Record<P>>) -> Result<(), ResourceError> {
        for part in self.vmas.iter().filter(|part| part.span.overlaps(span)) {
            let record = match part.origin {
                // A VMA between two changes keeps its record.
                Origin::Existing(record) | Origin::Adopting(record, _) => Record::clone(record),
                // Write-locked before it can be seen (3.10).
                Origin::New(new_vma) => {
                    let Carried::Kept(slot) = new_vma.payload else { unreachable!("it was made just now") };
                    let made = Shared::try_new(VmaRecord::new(new_vma.with_payload(self.payloads.take(slot)), sequence));
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

/// A change of the index: what a range is to hold.
struct Change<P> {
    span: Span,
    list: EntryList<Record<P>>,
    charge: Charge,
}
