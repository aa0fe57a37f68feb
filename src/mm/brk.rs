//! The heap: Linux's `brk` (5.25), in its order.

use super::draft::{LayoutDraft, Sides};
use super::limits::Limits;
use super::pages::with_adjacent;
use super::place::start_gap;
use super::plan::Plan;
use super::staged::Carried;
use super::state::Heap;
use super::state::StateUpdate;
use super::{Mm, MmWriteGuard};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{BrkError, HeapError, LayoutError, Limit};
use crate::lock::{Patience, RawMmLock};
use crate::tree::Charge;
use crate::vma::{Backing, Payload, VmaAttrs, VmaDraft, VmaFlags};

/// What a heap is.
const HEAP: VmaFlags = VmaFlags::READ
    .union(VmaFlags::WRITE)
    .union(VmaFlags::MAYREAD)
    .union(VmaFlags::MAYWRITE)
    .union(VmaFlags::MAYEXEC)
    .union(VmaFlags::ACCOUNT);

impl<P, L: RawMmLock> Mm<P, L> {
    /// The break: the first address beyond the heap; 0 where no heap was set.
    #[must_use]
    pub fn brk(&self) -> u64 {
        self.state.brk()
    }
}

impl<'m, P: Payload + Default, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Moves the break; tells where it is then. Where it cannot be moved it is where it was: why not, [`plan_brk`](Self::plan_brk) tells.
    pub fn brk(&mut self, brk: u64) -> u64 {
        self.plan_brk(brk, Patience::Forever).commit().unwrap_or_else(|_| self.mm().brk())
    }

    /// The same, planned: tells the break, or why it stays.
    ///
    /// The heap's payload is the default one, where it is new.
    pub fn plan_brk(&mut self, brk: u64, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, BrkError, L> {
        let limits = self.mm().limits_now();
        let Some(Heap { start, brk: old }) = self.mm().state.heap() else { return self.nothing(Err(BrkError::NoHeap { asked: brk })) };
        let state = StateUpdate { brk: Some(brk), ..StateUpdate::default() };
        if brk < start {
            return self.nothing(Err(BrkError::BelowStart { asked: brk, start }));
        }
        let data = brk.saturating_sub(start).saturating_add(limits.loaded_data_bytes);
        if data > limits.data_bytes {
            let (asked_pages, limit_pages) = (data.div_ceil(PAGE_SIZE), limits.data_bytes / PAGE_SIZE);
            return self.nothing(Err(LayoutError::Limit(Limit::Data { asked_pages, limit_pages }).into()));
        }
        let Some(new_end) = brk.checked_next_multiple_of(PAGE_SIZE) else {
            return self.nothing(Err(BrkError::Blocked { asked: brk }));
        };
        let old_end = old.next_multiple_of(PAGE_SIZE);
        if new_end == old_end {
            let mut plan = self.nothing(Ok(brk));
            plan.remember(state);
            return plan;
        }
        let span = Span::from_entry(new_end.min(old_end), new_end.max(old_end) - 1);
        // None: it shrinks.
        let flags = match (new_end > old_end).then(|| self.check_heap(span, brk, &limits)).transpose() {
            Ok(flags) => flags,
            Err(error) => return self.nothing(Err(error)),
        };
        self.plan(with_adjacent(span), &limits, patience, |draft| {
            if let Some(flags) = flags {
                draft.grow_heap(span, start, flags, &limits)?;
            } else {
                draft.charge = Charge::Exempt;
                draft.shrink_heap(span, brk, &limits)?;
            }
            draft.state = state;
            Ok(brk)
        })
    }

    /// Whether the heap may have these pages; the flags that it has.
    fn check_heap(&self, span: Span, brk: u64, limits: &Limits) -> Result<VmaFlags, BrkError> {
        let flags = HEAP | self.mm().state.locks_future();
        if span.last() >= limits.task_size {
            return Err(BrkError::Blocked { asked: brk });
        }
        if !limits.may_place_at(span.start()) {
            return Err(BrkError::BelowMinimum { at: span.start(), minimum: limits.mmap_min_addr });
        }
        self.sums().check_locked(limits, flags, span.pages()).map_err(|limit| BrkError::LockLimit { limit })?;
        // One page more stays free, and the guard gap of a stack.
        let is_blocked = self.find(span.start()).is_some_and(|next| (span.last() + 1).saturating_add(PAGE_SIZE) > start_gap(&next, limits));
        if is_blocked { Err(BrkError::Blocked { asked: brk }) } else { Ok(flags) }
    }

    /// Says where the heap starts, and its break: an address space is told when a program is loaded into it. Without a heap
    /// [`brk`](Self::brk) is refused.
    ///
    /// # Errors
    /// [`HeapError`]: the break is below the start, or beyond the address space.
    pub fn set_heap(&mut self, start: u64, brk: u64) -> Result<(), HeapError> {
        let task_size = self.mm().read_limits(|limits| limits.task_size);
        if brk < start {
            return Err(HeapError::Reversed { start, brk });
        }
        if brk > task_size {
            return Err(HeapError::BeyondTask { brk, task_size });
        }
        self.mm().state.set_heap(Heap { start, brk });
        Ok(())
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    fn shrink_heap(&mut self, span: Span, brk: u64, limits: &Limits) -> Result<(), BrkError> {
        if self.within(span).is_empty() {
            return Err(BrkError::Absent { asked: brk });
        }
        self.unmap(span, limits)?;
        Ok(())
    }

    fn grow_heap(&mut self, span: Span, start: u64, flags: VmaFlags, limits: &Limits) -> Result<(), BrkError>
    where
        P: Default,
    {
        self.sums.check_room(limits, flags, span.pages())?;
        limits.may_map(self.count)?;
        self.sums.check_commit(limits, flags, span.pages())?;
        // Only what lies above the heap's start is the heap: what ends right below is not.
        let heap = span.start().checked_sub(1).and_then(|below| self.lookup(below)).filter(|_| span.start() > start);
        let payload = match heap {
            Some(i) => self.another(self.vmas[i].payload()).map_err(LayoutError::from)?,
            None => Carried::Kept(self.keep(|_| P::default()).map_err(LayoutError::from)?),
        };
        let kind = VmaDraft { attrs: VmaAttrs::new(flags, Backing::Anonymous), owner: None, payload };
        self.put_merging(span, kind, if heap.is_some() { Sides::Below } else { Sides::None })?;
        if flags.contains(VmaFlags::LOCKED) {
            self.populate(span)?;
        }
        Ok(())
    }
}
