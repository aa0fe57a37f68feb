//! Unmapping: Linux's `munmap` (5.15).

use super::MmWriteGuard;
use super::limits::Limits;
use super::plan::Plan;
use super::sheet::{Room, Sheet};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, MunmapError};
use crate::lock::{Patience, RawMmLock};
use crate::tree::limbo::Charge;
use crate::vma::{Payload, VmaFlags};
use core::ops::Range;

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
    /// assert_eq!(mm.map_count(), 2);
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
        self.plan(span, &limits, patience, |sheet| {
            sheet.charge = Charge::Exempt;
            Ok(sheet.unmap(span, &limits).map(|_| 0)?)
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

impl<P: Payload> Sheet<'_, P> {
    /// Unmaps a range on the sheet; tells how many pages went.
    pub(super) fn unmap(&mut self, span: Span, limits: &Limits) -> Result<u64, LayoutError> {
        let going = self.cut_free(span, limits)?;
        self.take_out(going)
    }

    /// Cuts what sticks out of a range that is to be unmapped, and sees whether all in it may go: tells which go.
    pub(super) fn cut_free(&mut self, span: Span, limits: &Limits) -> Result<Range<usize>, LayoutError> {
        let mut going = self.within(span);
        if going.is_empty() {
            return Ok(going);
        }
        let first = &self.parts[going.start];
        if first.span.start() < span.start() {
            // One becomes two: that needs room. The other splits may exceed the limit for a moment, and then less is there.
            let limit = limits.max_map_count;
            if span.last() < first.span.last() && self.count >= limit {
                return Err(LayoutError::TooMany { count: self.count, limit });
            }
            self.check_sealed(going.start)?;
            self.cut(going.start, span.start(), Room::Unlimited)?;
            going = going.start + 1..going.end + 1;
        }
        let top = going.end - 1;
        for i in going.clone() {
            self.check_sealed(i)?;
        }
        if self.parts[top].span.last() > span.last() {
            self.cut(top, span.last() + 1, Room::Unlimited)?;
        }
        Ok(going)
    }

    /// 5.27: what is sealed does not change.
    pub(super) fn check_sealed(&self, i: usize) -> Result<(), LayoutError> {
        let part = &self.parts[i];
        if part.flags().contains(VmaFlags::SEALED) { Err(LayoutError::Sealed { by: part.span }) } else { Ok(()) }
    }
}
