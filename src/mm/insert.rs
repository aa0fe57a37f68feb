//! Inserting a VMA where nothing is mapped yet.
//!
//! Called by embedders through the write guard.

use super::MmWriteGuard;
use super::huge::page_bytes;
use super::limits::{GuardGapPolicy, Limits};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{InsertVmaCause, InsertVmaError, RangeError, ResourceError};
use crate::lock::RawMmLock;
use crate::sync::Shared;
use crate::vma::{Backing, VmaFlags, VmaRecord, VmaSpec};

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Inserts a VMA where nothing is mapped (`MAP_FIXED_NOREPLACE`, without merging).
    ///
    /// The VMA has the flags of the specification, protection key included (8.1). The range must be in whole pages. As for a fixed mapping,
    /// the guard gaps of stacks nearby are no obstacle (5.3), except under [`GuardGapPolicy::Enforced`] (7.9).
    ///
    /// # Errors
    /// [`InsertVmaError`], with the specification: a VMA is in the way (`EEXIST`), the range or the flags are invalid, or a limit is reached. Nothing
    /// was changed.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{ErrorCode, Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.insert(0x10_0000, 0x4_0000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// let error = writer.insert(0x13_f000, 0x1_1000, VmaSpec::anonymous(VmaFlags::READ)).unwrap_err();
    /// assert_eq!(error.cause.errno(), 17); // EEXIST
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert(&mut self, start: u64, len: u64, spec: VmaSpec<P>) -> Result<(), InsertVmaError<VmaSpec<P>>> {
        let limits = self.mm().limits();
        let span = match range_of(start, len).and_then(|span| self.check_insert(span, &spec, &limits)) {
            Ok(span) => span,
            Err(cause) => return Err(InsertVmaError::new(spec, cause)),
        };
        let asked = spec.like_with(());
        let spec = completed(spec, &limits);
        let flags = spec.attrs.flags;
        // Write-locked before it can be seen (3.10).
        let made = Shared::try_new(VmaRecord::new(spec.into_new_vma(span.start()), self.sequence()));
        let inserted = match made {
            Ok(record) => self.guard.insert(span, record).map_err(|error| match Shared::into_inner(error.value) {
                Some(record) => (record, error.cause.into()),
                None => unreachable!("it was never published"),
            }),
            Err(record) => Err((record, InsertVmaCause::Resource(ResourceError::OutOfMemory))),
        };
        inserted.map_err(|(record, cause)| InsertVmaError::new(asked.with_payload(record.into_payload()), cause))?;
        let mut sums = self.sums();
        sums.add(flags, span.pages());
        self.mm().accounts.set(sums);
        Ok(())
    }

    /// Checks that the VMA may be inserted, in the order of rules 5.1 and 5.3. Returns the range.
    fn check_insert(&self, span: Span, spec: &VmaSpec<P>, limits: &Limits) -> Result<Span, InsertVmaCause> {
        let flags = spec.attrs.flags;
        let page_bytes = page_bytes(limits.sized(flags));
        if page_bytes < PAGE_SIZE {
            return Err(InsertVmaCause::NoSuchHugePages { bytes: page_bytes });
        }
        for at in [span.start(), span.last().wrapping_add(1), spec.offset.unwrap_or(0)] {
            if at % page_bytes != 0 {
                return Err(InsertVmaCause::Unaligned { at });
            }
        }
        if flags.is_stack() && (flags.contains(VmaFlags::SHARED) || spec.attrs.backing != Backing::Anonymous) {
            return Err(InsertVmaCause::Growing);
        }
        if span.last() >= limits.task_size {
            return Err(InsertVmaCause::BeyondTask { asked: span, task_size: limits.task_size });
        }
        if !limits.may_place_at(span.start()) {
            return Err(InsertVmaCause::BelowMinimum { at: span.start(), minimum: limits.mmap_min_addr });
        }
        if let Some(by) = self.find(span.start()).filter(|vma| vma.start() <= span.last()) {
            return Err(InsertVmaCause::Occupied { asked: span, by: by.span() });
        }
        if limits.policy.guard_gap == GuardGapPolicy::Enforced
            && let Some((asked, by)) = self.guard_breach_of(span, flags, limits)
        {
            return Err(InsertVmaCause::GuardGap { asked, by });
        }
        let (count, limit) = (self.mm().len(), limits.max_map_count);
        if limits.may_map(count).is_err() {
            return Err(InsertVmaCause::TooMany { count, limit });
        }
        let (sums, pages) = (self.sums(), span.pages());
        sums.check_locked(limits, flags, pages)
            .and_then(|()| sums.check_room(limits, flags, pages))
            .and_then(|()| sums.check_commit(limits, flags, pages))
            .map_err(InsertVmaCause::Limit)?;
        Ok(span)
    }
}

/// Returns the range, which holds an address and does not wrap around.
fn range_of(start: u64, len: u64) -> Result<Span, InsertVmaCause> {
    Span::of_len(start, len).map_err(|error| match error {
        RangeError::TooLong { start: at, len } => InsertVmaCause::Wraps { at, len },
        error => InsertVmaCause::Range(error),
    })
}

/// Completes a specification of memory of huge pages: its flags say their size, and it has an object.
fn completed<P>(mut spec: VmaSpec<P>, limits: &Limits) -> VmaSpec<P> {
    if spec.attrs.flags.contains(VmaFlags::HUGETLB) {
        spec.attrs.flags = limits.sized(spec.attrs.flags);
        if spec.attrs.backing == Backing::Anonymous {
            spec.attrs.backing = Backing::unnamed(spec.attrs.flags);
        }
    }
    spec
}
