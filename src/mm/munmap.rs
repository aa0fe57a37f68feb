//! Unmapping: Linux's `munmap` (5.15).

use super::MmWriteGuard;
use super::limits::Limits;
use super::plan::Plan;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::MunmapError;
use crate::lock::{Patience, RawMmLock};
use crate::tree::Charge;
use crate::vma::Payload;

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Unmaps the pages of a range: VMAs inside go, those that stick out are split. Tells 0; so also where nothing was mapped.
    ///
    /// Each part that stays is a VMA with a record of its own, of the same linear offset.
    ///
    /// # Concurrency
    /// Waits for whoever holds one of the VMAs by a [`VmaGuard`](crate::mm::VmaGuard): for itself and for ever, if that is this thread.
    /// A reader without a lock sees all of it or nothing.
    ///
    /// # Errors
    /// [`MunmapError`]: rule 5.15. Nothing is lost; where a VMA beyond the first is sealed, the first may have been split. Unmapping needs
    /// memory where it splits or replaces parts of the index, and so may fail with `ENOMEM`; it is never refused for the
    /// [budget](crate::map::Builder::budget_bytes).
    ///
    /// # Examples
    /// ```
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// // before  AAAA
    /// // after   A..A
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.map(0x10_0000..0x10_4000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// writer.munmap(0x10_1000, 0x2000)?;
    /// assert_eq!(mm.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn munmap(&mut self, start: u64, len: u64) -> Result<u64, MunmapError> {
        self.plan_munmap(start, len, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_munmap(&mut self, start: u64, len: u64, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MunmapError, L> {
        let limits = self.mm().limits_now();
        let span = match check(start, len, &limits) {
            Ok(span) => span,
            Err(error) => return self.nothing(Err(error)),
        };
        self.plan(span, &limits, patience, |draft| {
            draft.charge = Charge::Exempt;
            Ok(draft.unmap(span, &limits).map(|_| 0)?)
        })
    }
}

/// 5.15: what is asked for must make sense.
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
    // The end of the address space is at a page's start, so in whole pages it is not beyond.
    Ok(Span::from_entry(start, start + len.next_multiple_of(PAGE_SIZE) - 1))
}
