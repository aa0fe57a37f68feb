//! The heap: Linux's `brk` (5.25), in its order.
//!
//! Called by embedders through the write guard and its planner.

use super::draft::{LayoutDraft, Sides};
use super::limits::Limits;
use super::pages::with_adjacent;
use super::place::start_gap;
use super::plan::{Plan, Planner};
use super::staged::Carried;
use super::state::{Heap, StateUpdate};
use super::{Mm, MmWriteGuard};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{BrkError, HeapError, LayoutError, Limit};
use crate::lock::{Patience, RawMmLock};
use crate::tree::Charge;
use crate::vma::{Backing, NewVma, Payload, VmaAttrs, VmaFlags};

/// The flags of a heap.
const HEAP: VmaFlags = VmaFlags::READ
    .union(VmaFlags::WRITE)
    .union(VmaFlags::MAYREAD)
    .union(VmaFlags::MAYWRITE)
    .union(VmaFlags::MAYEXEC)
    .union(VmaFlags::ACCOUNT);

impl<P, L: RawMmLock> Mm<P, L> {
    /// Returns the program break: the first address beyond the heap, or 0 if no heap was set.
    #[must_use]
    pub fn program_break(&self) -> u64 {
        self.state.brk()
    }
}

impl<P: Payload + Default, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Moves the break. Returns the new one.
    ///
    /// A heap that is new gets the default payload. Linux's `brk` returns no error but the break that is in effect: on failure that is
    /// [`Mm::program_break`], which has not changed.
    ///
    /// # Errors
    /// [`BrkError`]: [rule 5.25](crate::docs::semantics#5-operations).
    ///
    /// # Examples
    /// ```
    /// use vmaple::Mm;
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.set_heap(0x10_0000, 0x10_0000)?;
    /// assert_eq!(writer.brk(0x10_1234)?, 0x10_1234);
    /// // As the system call answers.
    /// assert_eq!(writer.brk(0).unwrap_or_else(|_| mm.program_break()), 0x10_1234);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn brk(&mut self, brk: u64) -> Result<u64, BrkError> {
        self.plan(Patience::Forever).brk(brk).commit()
    }

    /// Checks that the heap may have these pages. Returns its flags.
    fn check_heap(&self, span: Span, brk: u64, limits: &Limits) -> Result<VmaFlags, BrkError> {
        let flags = HEAP | self.mm().state.locks_future();
        if span.last() >= limits.task_size {
            return Err(BrkError::BeyondTask { asked: brk, task_size: limits.task_size });
        }
        if !limits.may_place_at(span.start()) {
            return Err(BrkError::BelowMinimum { at: span.start(), minimum: limits.mmap_min_addr });
        }
        self.sums().check_locked(limits, flags, span.pages()).map_err(|limit| BrkError::LockLimit { limit })?;
        // One page above the heap stays free, and the guard gap of a stack there.
        let end = (span.last() + 1).saturating_add(PAGE_SIZE);
        match self.find(span.start()).filter(|next| end > start_gap(next, limits)) {
            Some(next) => Err(BrkError::Blocked { asked: brk, by: next.span() }),
            None => Ok(flags),
        }
    }

    /// Sets where the heap starts, and the break, as loading a program does. Without a heap [`brk`](Self::brk) fails.
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

impl<'w, 'm, P: Payload + Default, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::brk`].
    pub fn brk(self, brk: u64) -> Plan<'w, 'm, P, Result<u64, BrkError>, L> {
        let limits = self.guard.mm().limits();
        let Some(Heap { start, brk: old }) = self.guard.mm().state.heap() else {
            return self.nothing(Err(BrkError::NoHeap { asked: brk }));
        };
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
            return self.nothing(Err(BrkError::BeyondTask { asked: brk, task_size: limits.task_size }));
        };
        let old_end = old.next_multiple_of(PAGE_SIZE);
        if new_end == old_end {
            return self.nothing(Ok(brk)).with_state(state);
        }
        let span = Span::from_entry(new_end.min(old_end), new_end.max(old_end) - 1);
        // `None` if it shrinks.
        let flags = match (new_end > old_end).then(|| self.guard.check_heap(span, brk, &limits)).transpose() {
            Ok(flags) => flags,
            Err(error) => return self.nothing(Err(error)),
        };
        self.draft(with_adjacent(span), &limits, |draft| {
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
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Unmaps the end of the heap (5.25).
    fn shrink_heap(&mut self, span: Span, brk: u64, limits: &Limits) -> Result<(), BrkError> {
        if self.within(span).is_empty() {
            return Err(BrkError::Absent { asked: brk });
        }
        self.unmap(span, limits)?;
        Ok(())
    }

    /// Extends the heap's VMA by new pages, or maps them as a VMA of their own if there is no heap yet (5.25).
    fn grow_heap(&mut self, span: Span, start: u64, flags: VmaFlags, limits: &Limits) -> Result<(), BrkError>
    where
        P: Default,
    {
        self.sums.check_room(limits, flags, span.pages())?;
        limits.may_map(self.count)?;
        self.sums.check_commit(limits, flags, span.pages())?;
        // A VMA that ends where the heap starts is not the heap.
        let heap = span.start().checked_sub(1).and_then(|below| self.lookup(below)).filter(|_| span.start() > start);
        let payload = match heap {
            Some(i) => self.another(self.vmas[i].payload()).map_err(LayoutError::from)?,
            None => Carried::Kept(self.keep(|_| P::default()).map_err(LayoutError::from)?),
        };
        let new_vma = NewVma { attrs: VmaAttrs::new(flags, Backing::Anonymous), owner: None, payload };
        self.put_merging(span, new_vma, if heap.is_some() { Sides::Below } else { Sides::None })?;
        if flags.contains(VmaFlags::LOCKED) {
            self.populate(span)?;
        }
        Ok(())
    }
}
