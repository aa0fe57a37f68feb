//! Locking pages in memory: Linux's `mlock`, `munlock`, `mlockall`, `munlockall` (5.26).

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::flag_rules::NEVER_LOCKED;
use super::limits::Limits;
use super::pages::{pages_around, span_of, with_adjacent};
use super::plan::Plan;
use super::state::StateUpdate;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, Limit, MlockError, ResourceError};
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Payload, VmaFlags};

/// What `mlockall` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockAll {
    /// What is mapped (`MCL_CURRENT`).
    Current,
    /// What will be mapped (`MCL_FUTURE`).
    Future,
    /// Both.
    CurrentAndFuture,
    /// What is mapped, each page when it is first touched (with `MCL_ONFAULT`).
    CurrentOnFault,
    /// What will be mapped, likewise.
    FutureOnFault,
    /// Both, likewise.
    CurrentAndFutureOnFault,
}

impl LockAll {
    /// How what is mapped is locked, and how what will be: nothing where it is not asked for.
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

/// The three ways of pages to be locked, of [`VmaFlags::LOCKED_MASK`].
const UNLOCKED: VmaFlags = VmaFlags::empty();
const AT_ONCE: VmaFlags = VmaFlags::LOCKED;
const ON_FAULT: VmaFlags = VmaFlags::LOCKED_MASK;

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Locks all pages in memory that the range touches, and brings them in. Tells 0. VMAs that cannot be locked are passed over.
    ///
    /// # Errors
    /// [`MlockError`]: rule 5.26. VMAs below the one where it stopped are locked.
    pub fn mlock(&mut self, start: u64, len: u64) -> Result<u64, MlockError> {
        self.plan_mlock(start, len, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mlock(&mut self, start: u64, len: u64, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MlockError, L> {
        self.plan_lock(start, len, AT_ONCE, patience)
    }

    /// Locks the pages in memory likewise, each when it is first touched: none is brought in. Linux's `mlock2` with `MLOCK_ONFAULT`.
    ///
    /// # Errors
    /// As [`mlock`](Self::mlock), but for what lets nobody in.
    pub fn mlock_on_fault(&mut self, start: u64, len: u64) -> Result<u64, MlockError> {
        self.plan_mlock_on_fault(start, len, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mlock_on_fault(&mut self, start: u64, len: u64, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MlockError, L> {
        self.plan_lock(start, len, ON_FAULT, patience)
    }

    /// Unlocks all pages that the range touches. Tells 0.
    ///
    /// # Errors
    /// As [`mlock`](Self::mlock).
    pub fn munlock(&mut self, start: u64, len: u64) -> Result<u64, MlockError> {
        self.plan_munlock(start, len, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_munlock(&mut self, start: u64, len: u64, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MlockError, L> {
        self.plan_lock(start, len, UNLOCKED, patience)
    }

    fn plan_lock(
        &mut self,
        start: u64,
        len: u64,
        locked: VmaFlags,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MlockError, L> {
        let limits = self.mm().limits_now();
        if locked != UNLOCKED && !limits.may_lock() {
            return self.nothing(Err(MlockError::MayNotLock));
        }
        // Outward to whole pages; both may come round.
        let (asked, (start, whole)) = (start, pages_around(start, len));
        if locked != UNLOCKED
            && let Err(limit) = self.check_mlock(start, whole, &limits)
        {
            return self.nothing(Err(LayoutError::Limit(limit).into()));
        }
        let end = start.wrapping_add(whole);
        if end < start {
            return self.nothing(Err(MlockError::Wraps { at: asked, len }));
        }
        if end == start {
            return self.nothing(Ok(0));
        }
        let span = Span::from_entry(start, end - 1);
        self.plan(with_adjacent(span), &limits, patience, |draft| draft.lock_range(span, locked, &limits))
    }

    /// `RLIMIT_MEMLOCK`; what is locked already is not counted twice.
    fn check_mlock(&self, start: u64, whole: u64, limits: &Limits) -> Result<(), Limit> {
        let (pages, limit_pages) = (whole / PAGE_SIZE, limits.locked_pages());
        let mut asked_pages = self.sums().locked().saturating_add(pages);
        if asked_pages > limit_pages
            && let Some(span) = span_of(start, whole)
        {
            let mut at = Some(start);
            while let Some(vma) = at.and_then(|at| self.find(at)).filter(|vma| vma.start() <= span.last()) {
                if vma.flags().contains(VmaFlags::LOCKED) {
                    asked_pages -= vma.span().intersection(span).map_or(0, |part| part.pages());
                }
                at = vma.last().checked_add(1);
            }
        }
        if asked_pages > limit_pages { Err(Limit::Locked { asked_pages, limit_pages }) } else { Ok(()) }
    }

    /// Locks in memory what is mapped, or what will be, or both. Tells 0.
    ///
    /// # Errors
    /// [`MlockError`]: rule 5.26. That a VMA cannot be split, or its pages not be brought in, is no error.
    pub fn mlockall(&mut self, what: LockAll) -> Result<u64, MlockError> {
        self.plan_mlockall(what, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mlockall(&mut self, what: LockAll, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MlockError, L> {
        let limits = self.mm().limits_now();
        if !limits.may_lock() {
            return self.nothing(Err(MlockError::MayNotLock));
        }
        let (asked_pages, limit_pages) = (self.sums().total(), limits.locked_pages());
        let (current, future) = what.flags();
        if current.is_some() && asked_pages > limit_pages {
            return self.nothing(Err(LayoutError::Limit(Limit::Locked { asked_pages, limit_pages }).into()));
        }
        self.plan_all(current, StateUpdate { locks_future: Some(future), ..StateUpdate::default() }, patience)
    }

    /// Unlocks all, also what will be mapped. Tells 0.
    ///
    /// # Errors
    /// [`MlockError`]: a wait that ended early, or memory.
    pub fn munlockall(&mut self) -> Result<u64, MlockError> {
        self.plan_munlockall(Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_munlockall(&mut self, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MlockError, L> {
        self.plan_all(Some(UNLOCKED), StateUpdate { locks_future: Some(UNLOCKED), ..StateUpdate::default() }, patience)
    }

    fn plan_all(
        &mut self,
        locked: Option<VmaFlags>,
        state: StateUpdate,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MlockError, L> {
        let limits = self.mm().limits_now();
        self.plan(Span::ALL, &limits, patience, |draft| {
            draft.state = state;
            if let Some(locked) = locked {
                draft.lock_all(locked, &limits)?;
            }
            Ok(0)
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

    fn lock_range(&mut self, span: Span, locked: VmaFlags, limits: &Limits) -> Result<u64, MlockError> {
        if let Some(at) = self.each_part(span, Gaps::Stop, |draft, i, part| draft.lock_one(i, part, locked, limits))? {
            return Err(MlockError::Gap { at });
        }
        if locked != UNLOCKED
            && let Some(vma) = self.populate(span)?
        {
            return Err(MlockError::Inaccessible { vma });
        }
        Ok(0)
    }

    /// Locks a part of one VMA.
    fn lock_one(&mut self, i: usize, part: Span, locked: VmaFlags, limits: &Limits) -> Result<(), LayoutError> {
        let old = self.vmas[i].flags();
        let new = (old - VmaFlags::LOCKED_MASK) | locked;
        if new == old || old.intersects(NEVER_LOCKED) {
            return Ok(());
        }
        self.change(part, SplitLimit::of(limits), |kind| kind.attrs.flags = new)
    }
}
