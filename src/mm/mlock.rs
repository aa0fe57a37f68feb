//! Locking pages in memory: Linux's `mlock`, `munlock`, `mlockall`, `munlockall` (5.26).
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::flag_rules::NEVER_LOCKED;
use super::limits::Limits;
use super::pages::{pages_around, span_of, with_adjacent};
use super::plan::{Plan, Planner};
use super::state::StateUpdate;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, Limit, MlockError, ResourceError};
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Payload, VmaFlags};

/// What `mlockall` locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockAll {
    /// What is mapped (`MCL_CURRENT`).
    Current,
    /// What will be mapped (`MCL_FUTURE`).
    Future,
    /// What is mapped and what will be mapped (`MCL_CURRENT | MCL_FUTURE`).
    CurrentAndFuture,
    /// What is mapped, each page when it is first touched (`MCL_CURRENT` with `MCL_ONFAULT`).
    CurrentOnFault,
    /// What will be mapped, each page when it is first touched (`MCL_FUTURE` with `MCL_ONFAULT`).
    FutureOnFault,
    /// What is mapped and what will be mapped, each page when it is first touched (all three flags).
    CurrentAndFutureOnFault,
}

impl LockAll {
    /// Returns how to lock what is mapped, if at all, and what will be mapped.
    fn flags(self) -> (Option<VmaFlags>, VmaFlags) {
        match self {
            Self::Current => (Some(AT_ONCE), UNLOCKED),
            Self::Future => (None, AT_ONCE),
            Self::CurrentAndFuture => (Some(AT_ONCE), AT_ONCE),
            Self::CurrentOnFault => (Some(ON_FAULT), UNLOCKED),
            Self::FutureOnFault => (None, ON_FAULT),
            Self::CurrentAndFutureOnFault => (Some(ON_FAULT), ON_FAULT),
        }
    }
}

/// The values of [`VmaFlags::LOCKED_MASK`].
const UNLOCKED: VmaFlags = VmaFlags::empty();
const AT_ONCE: VmaFlags = VmaFlags::LOCKED;
const ON_FAULT: VmaFlags = VmaFlags::LOCKED_MASK;

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Locks the pages that the range touches in memory, and populates them. VMAs that cannot be locked are passed over.
    ///
    /// # Errors
    /// [`MlockError`]: [rule 5.26](crate::docs::semantics#5-operations). The VMAs below the one at which it stopped are locked.
    pub fn mlock(&mut self, start: u64, len: u64) -> Result<(), MlockError> {
        self.plan(Patience::Forever).mlock(start, len).commit()
    }

    /// Locks the pages that the range touches, each when it is first touched (`mlock2` with `MLOCK_ONFAULT`). Populates no page.
    ///
    /// # Errors
    /// As [`mlock`](Self::mlock), except [`MlockError::Inaccessible`].
    pub fn mlock_on_fault(&mut self, start: u64, len: u64) -> Result<(), MlockError> {
        self.plan(Patience::Forever).mlock_on_fault(start, len).commit()
    }

    /// Unlocks the pages that the range touches.
    ///
    /// # Errors
    /// As [`mlock`](Self::mlock).
    pub fn munlock(&mut self, start: u64, len: u64) -> Result<(), MlockError> {
        self.plan(Patience::Forever).munlock(start, len).commit()
    }

    /// Locks what is mapped in memory, or what will be mapped, or both.
    ///
    /// # Errors
    /// [`MlockError`]: [rule 5.26](crate::docs::semantics#5-operations). It is no error if a VMA cannot be split or its pages cannot be populated.
    pub fn mlockall(&mut self, what: LockAll) -> Result<(), MlockError> {
        self.plan(Patience::Forever).mlockall(what).commit()
    }

    /// Unlocks everything, and what will be mapped is not locked either.
    ///
    /// # Errors
    /// [`MlockError`]: memory is short.
    pub fn munlockall(&mut self) -> Result<(), MlockError> {
        self.plan(Patience::Forever).munlockall().commit()
    }

    /// Checks `RLIMIT_MEMLOCK`. Pages that are locked already are not counted twice.
    fn check_mlock(&self, start: u64, whole: u64, limits: &Limits) -> Result<(), Limit> {
        let (pages, limit_pages) = (whole / PAGE_SIZE, limits.locked_pages());
        let mut asked_pages = self.sums().locked().saturating_add(pages);
        if asked_pages > limit_pages
            && let Some(span) = span_of(start, whole)
            && let Ok(vmas) = self.range(span)
        {
            let locked = vmas.filter(|vma| vma.flags().contains(VmaFlags::LOCKED));
            asked_pages -= locked.filter_map(|vma| vma.span().intersection(span)).map(|part| part.pages()).sum::<u64>();
        }
        if asked_pages > limit_pages { Err(Limit::Locked { asked_pages, limit_pages }) } else { Ok(()) }
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::mlock`].
    pub fn mlock(self, start: u64, len: u64) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        self.lock(start, len, AT_ONCE)
    }

    /// Plans [`MmWriteGuard::mlock_on_fault`].
    pub fn mlock_on_fault(self, start: u64, len: u64) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        self.lock(start, len, ON_FAULT)
    }

    /// Plans [`MmWriteGuard::munlock`].
    pub fn munlock(self, start: u64, len: u64) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        self.lock(start, len, UNLOCKED)
    }

    /// Plans a change of how the pages that a range touches are locked.
    fn lock(self, start: u64, len: u64, locked: VmaFlags) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        let limits = self.guard.mm().limits();
        if locked != UNLOCKED && !limits.may_lock() {
            return self.nothing(Err(MlockError::MayNotLock));
        }
        let (asked, (start, whole)) = (start, pages_around(start, len));
        if locked != UNLOCKED
            && let Err(limit) = self.guard.check_mlock(start, whole, &limits)
        {
            return self.nothing(Err(LayoutError::Limit(limit).into()));
        }
        let end = start.wrapping_add(whole);
        if end < start {
            return self.nothing(Err(MlockError::Wraps { at: asked, len }));
        }
        if end == start {
            return self.nothing(Ok(()));
        }
        let span = Span::from_entry(start, end - 1);
        self.draft(with_adjacent(span), &limits, |draft| draft.lock_range(span, locked, &limits))
    }

    /// Plans [`MmWriteGuard::mlockall`].
    pub fn mlockall(self, what: LockAll) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        let limits = self.guard.mm().limits();
        if !limits.may_lock() {
            return self.nothing(Err(MlockError::MayNotLock));
        }
        let (asked_pages, limit_pages) = (self.guard.sums().total(), limits.locked_pages());
        let (current, future) = what.flags();
        if current.is_some() && asked_pages > limit_pages {
            return self.nothing(Err(LayoutError::Limit(Limit::Locked { asked_pages, limit_pages }).into()));
        }
        self.lock_all(current, future, &limits)
    }

    /// Plans [`MmWriteGuard::munlockall`].
    pub fn munlockall(self) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        let limits = self.guard.mm().limits();
        self.lock_all(Some(UNLOCKED), UNLOCKED, &limits)
    }

    /// Plans a change of how everything that is mapped is locked, and of what is mapped later.
    fn lock_all(self, current: Option<VmaFlags>, future: VmaFlags, limits: &Limits) -> Plan<'w, 'm, P, Result<(), MlockError>, L> {
        self.draft(Span::ALL, limits, |draft| {
            draft.state = StateUpdate { locks_future: Some(future), ..StateUpdate::default() };
            if let Some(locked) = current {
                draft.lock_all(locked, limits)?;
            }
            Ok(())
        })
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Locks every VMA. Those that cannot be split are passed over.
    fn lock_all(&mut self, locked: VmaFlags, limits: &Limits) -> Result<(), ResourceError> {
        self.each_part(Span::ALL, Gaps::Skip, |draft, i, part| {
            _ = draft.lock_one(i, part, locked, limits);
            // The plan reports that memory ran out.
            if draft.is_spoiled { Err(ResourceError::OutOfMemory) } else { Ok(()) }
        })?;
        if locked != UNLOCKED {
            for i in 0..self.vmas.len() {
                self.populate(self.vmas[i].span)?;
            }
        }
        Ok(())
    }

    /// Locks a range VMA by VMA, up to the first gap, and then populates it.
    fn lock_range(&mut self, span: Span, locked: VmaFlags, limits: &Limits) -> Result<(), MlockError> {
        if let Some(at) = self.each_part(span, Gaps::Stop, |draft, i, part| draft.lock_one(i, part, locked, limits))? {
            return Err(MlockError::Gap { at });
        }
        if locked != UNLOCKED
            && let Some(vma) = self.populate(span)?
        {
            return Err(MlockError::Inaccessible { vma });
        }
        Ok(())
    }

    /// Locks a part of one VMA.
    fn lock_one(&mut self, i: usize, part: Span, locked: VmaFlags, limits: &Limits) -> Result<(), LayoutError> {
        let old = self.vmas[i].flags();
        let new = (old - VmaFlags::LOCKED_MASK) | locked;
        if new == old || old.intersects(NEVER_LOCKED) {
            return Ok(());
        }
        self.change(part, SplitLimit::of(limits), |new_vma| new_vma.attrs.flags = new)
    }
}
