//! Unmapping: Linux's `munmap` (5.15).
//!
//! Called by embedders through the write guard and its planner, and by `mremap` for the check of a range.

use super::MmWriteGuard;
use super::limits::Limits;
use super::plan::{Plan, Planner};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::MunmapError;
use crate::lock::{Patience, RawMmLock};
use crate::tree::Charge;
use crate::vma::Payload;

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Unmaps the pages of a range. A VMA that is partly in the range is split. It is no error if nothing is mapped there.
    ///
    /// Each part that stays becomes a VMA with a record of its own and the same linear offset.
    ///
    /// # Concurrency
    /// Waits for every thread that has locked one of the VMAs by a [`VmaGuard`](crate::mm::VmaGuard). If that is the calling thread, the wait
    /// never ends. A lockless reader sees the whole change or none of it.
    ///
    /// # Errors
    /// [`MunmapError`]: [rule 5.15](crate::docs::semantics#5-operations). Nothing is lost; if a VMA other than the first is sealed, the first may
    /// have been split. A split needs memory, so unmapping may fail with `ENOMEM`, but is never refused because of the
    /// [budget](crate::map::Builder::budget_bytes).
    ///
    /// # Examples
    /// ```
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// // before  AAAA
    /// // after   A..A
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.insert(0x10_0000, 0x4000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// writer.munmap(0x10_1000, 0x2000)?;
    /// assert_eq!(mm.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn munmap(&mut self, start: u64, len: u64) -> Result<(), MunmapError> {
        self.plan(Patience::Forever).munmap(start, len).commit()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::munmap`].
    pub fn munmap(self, start: u64, len: u64) -> Plan<'w, 'm, P, Result<(), MunmapError>, L> {
        let limits = self.guard.mm().limits();
        let span = match check(start, len, &limits) {
            Ok(span) => span,
            Err(error) => return self.nothing(Err(error)),
        };
        self.draft(span, &limits, |draft| {
            draft.charge = Charge::Exempt;
            draft.unmap(span, &limits)?;
            Ok(())
        })
    }
}

/// Checks the range and rounds it up to whole pages (5.15).
pub(super) fn check(start: u64, len: u64, limits: &Limits) -> Result<Span, MunmapError> {
    let task_size = limits.task_size;
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(MunmapError::Unaligned { at: start });
    }
    if start > task_size || len > task_size - start {
        return Err(MunmapError::BeyondTask { at: start, len, task_size });
    }
    if len == 0 {
        return Err(MunmapError::ZeroLength);
    }
    // The address space ends at a page's start, so rounding up does not go beyond it.
    Ok(Span::from_entry(start, start + len.next_multiple_of(PAGE_SIZE) - 1))
}
