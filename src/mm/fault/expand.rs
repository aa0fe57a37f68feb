//! Growth of a VMA into the hole beside it: part 2 of `docs/semantics.md`, rule by rule, in its order.
//!
//! Called by `find.rs` and `stack.rs`, and by the embedder. All of it needs the write guard.

use crate::addr::{PAGE_SIZE, Span, page_floor};
use crate::error::{ExpandError, Limit};
use crate::lock::{Patience, RawMmLock};
use crate::mm::{GuardGapPolicy, Limits, MmWriteGuard, Record};
use crate::vma::{VmaFlags, VmaRecord};

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Grows the VMA that contains the address, or else the first one above it, down to the address's page. Returns its bounds.
    ///
    /// Changes nothing if the VMA contains the page already (2.6).
    ///
    /// # Complexity
    /// O(log n). Lockless readers see one store. Nothing is allocated, so memory is never short (2.4).
    ///
    /// # Concurrency
    /// Write-locks the VMA first: waits for every [`VmaGuard`](crate::mm::VmaGuard) of it.
    ///
    /// # Errors
    /// [`ExpandError`]: [rules 2.1 to 2.8](crate::docs::semantics#2-growth). Nothing was changed, except that a growth that is refused after rule
    /// 2.3 leaves the VMA with an owner of its private pages, as in Linux (2.4).
    ///
    /// # Examples
    /// ```
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// // before  ........SSSS
    /// // after   ....SSSSSSSS
    /// let mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.insert(0x80_0000, 0x4000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN))?;
    /// assert_eq!(writer.expand_down(0x7f_c123)?.start(), 0x7f_c000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expand_down(&mut self, address: u64) -> Result<Span, ExpandError> {
        self.expand_down_with(address, Patience::Forever)
    }

    /// Grows a VMA as [`expand_down`](Self::expand_down) does, with a limited wait for the VMA's readers.
    ///
    /// # Errors
    /// As [`expand_down`](Self::expand_down).
    pub fn expand_down_with(&mut self, address: u64, patience: Patience<'_, L::Interrupt>) -> Result<Span, ExpandError> {
        let vma = self.find(address).ok_or(ExpandError::Absent { at: address })?;
        let (span, record) = (vma.span(), Record::clone(vma.record()));
        let limits = self.mm().limits();
        self.grow_down(span, &record, address, &limits, patience)
    }

    /// Grows a VMA that was found under this guard, or under the read guard that it was upgraded from.
    pub(super) fn grow_down(
        &mut self,
        span: Span,
        record: &VmaRecord<P>,
        address: u64,
        limits: &Limits,
        patience: Patience<'_, L::Interrupt>,
    ) -> Result<Span, ExpandError> {
        let page = page_floor(address);
        let grown = Span::from_entry(page.min(span.start()), span.last());

        // 2.1
        if !record.flags().contains(VmaFlags::GROWSDOWN) {
            return Err(ExpandError::WrongDirection { at: address, vma: span });
        }
        // 2.2
        if page < limits.lowest_address() {
            return Err(ExpandError::BelowMinimum { at: page, minimum: limits.lowest_address() });
        }
        // 2.3
        if let Some(by) = self.prev(span.start()) {
            let exempt = !by.flags().is_accessible() || by.flags().contains(VmaFlags::GROWSDOWN);
            // Bytes between the two: from the neighbour's end to the page.
            if !exempt && page - (by.last() + 1) < limits.stack_guard_gap_bytes() {
                return Err(ExpandError::GuardGap { asked: grown, by: by.span(), gap_bytes: limits.stack_guard_gap_bytes() });
            }
        }
        self.check_guard_gaps(grown, record.flags(), limits)?;
        // 2.4: the owner stays, whatever refuses the growth.
        if record.owner().is_none() {
            self.own(span.last());
        }
        // 2.5
        self.start_write(record, patience)?;
        // 2.6
        if page >= span.start() {
            return Ok(span);
        }
        // 2.7
        if (span.start() - page) / PAGE_SIZE > record.attrs().offset_of(span.start()) / PAGE_SIZE {
            return Err(ExpandError::Offset { asked: grown });
        }
        self.account_and_grow(limits, span.last(), record, span, grown)
    }

    /// Grows the last VMA that starts at or below the address up to the address's page, and returns its bounds.
    ///
    /// Changes nothing if the VMA contains the page already.
    ///
    /// # Complexity
    /// O(log n): a splice, which allocates.
    ///
    /// # Concurrency
    /// As [`expand_down`](Self::expand_down).
    ///
    /// # Errors
    /// [`ExpandError`]: [rules 2.10 to 2.12 and 2.8](crate::docs::semantics#2-growth). Nothing was changed except the owner, as in
    /// [`expand_down`](Self::expand_down).
    pub fn expand_up(&mut self, address: u64) -> Result<Span, ExpandError> {
        self.expand_up_with(address, Patience::Forever)
    }

    /// Grows a VMA as [`expand_up`](Self::expand_up) does, with a limited wait for the VMA's readers.
    ///
    /// # Errors
    /// As [`expand_up`](Self::expand_up).
    pub fn expand_up_with(&mut self, address: u64, patience: Patience<'_, L::Interrupt>) -> Result<Span, ExpandError> {
        let vma = self.lookup(address).or_else(|| self.prev(address)).ok_or(ExpandError::Absent { at: address })?;
        let (at, span, record) = (vma.start(), vma.span(), Record::clone(vma.record()));
        let limits = self.mm().limits();
        let page = page_floor(address);

        // 2.10
        if !record.flags().contains(VmaFlags::GROWSUP) {
            return Err(ExpandError::WrongDirection { at: address, vma: span });
        }
        if page >= page_floor(limits.task_size) {
            return Err(ExpandError::BeyondTask { at: page, task_size: limits.task_size });
        }
        let grown = Span::from_entry(span.start(), span.last().max(page + (PAGE_SIZE - 1)));
        // 2.11
        let end = page + PAGE_SIZE;
        let limit = end.checked_add(limits.stack_guard_gap_bytes()).map_or(limits.task_size, |limit| limit.min(limits.task_size));
        if let Some(by) = self.find(span.last() + 1).filter(|by| by.start() < limit)
            && by.flags().is_accessible()
            && !by.flags().contains(VmaFlags::GROWSUP)
        {
            return Err(ExpandError::GuardGap { asked: grown, by: by.span(), gap_bytes: limits.stack_guard_gap_bytes() });
        }
        self.check_guard_gaps(grown, record.flags(), &limits)?;
        // 2.4: the owner stays, whatever refuses the growth.
        if record.owner().is_none() {
            self.own(span.last());
        }
        // 2.5
        self.start_write(&record, patience)?;
        // 2.6
        if page <= span.last() {
            return Ok(span);
        }
        // 2.12
        if record.attrs().offset_of(span.start()).checked_add(grown.len_less_one()).is_none() {
            return Err(ExpandError::Offset { asked: grown });
        }
        self.account_and_grow(&limits, at, &record, span, grown)
    }

    /// Checks that nothing accessible comes into a guard gap, its own or another's, whatever lies between (7.9).
    fn check_guard_gaps(&self, grown: Span, flags: VmaFlags, limits: &Limits) -> Result<(), ExpandError> {
        if limits.policy.guard_gap == GuardGapPolicy::AsLinux {
            return Ok(());
        }
        let Some((pages, stack)) = self.guard_breach_of(grown, flags, limits) else { return Ok(()) };
        let by = if stack == grown { pages } else { stack };
        Err(ExpandError::GuardGap { asked: grown, by, gap_bytes: limits.stack_guard_gap_bytes() })
    }

    /// Checks the limits and grows the VMA: 2.8 and 2.9, for both directions.
    fn account_and_grow(&mut self, limits: &Limits, at: u64, record: &VmaRecord<P>, span: Span, grown: Span) -> Result<Span, ExpandError> {
        let pages = grown.pages() - span.pages();
        let flags = record.flags();
        let sums = self.sums();
        sums.check_total(limits, pages)?;
        let asked_bytes = grown.len_less_one() + 1;
        if asked_bytes > limits.stack_bytes {
            return Err(Limit::Stack { asked_bytes, limit_bytes: limits.stack_bytes }.into());
        }
        sums.check_locked(limits, flags, pages)?;
        if limits.huge_pages_only.is_some_and(|only| only.overlaps(grown)) {
            return Err(ExpandError::HugePagesOnly { asked: grown });
        }
        sums.check_commit(limits, flags, pages)?;
        self.commit_growth(at, flags, span, grown)?;
        Ok(grown)
    }
}
