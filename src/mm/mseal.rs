//! Sealing: Linux's `mseal` (5.27). What is sealed can be neither unmapped nor moved nor protected otherwise; it may still grow.

use super::MmWriteGuard;
use super::limits::Limits;
use super::mmap::split_room;
use super::plan::{Plan, touched};
use super::sheet::Sheet;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::MsealError;
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Payload, VmaFlags};

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Seals the pages of a range, for ever. Tells 0. What is sealed already stays so.
    ///
    /// # Errors
    /// [`MsealError`]: rule 5.27. Where anything in the range is not mapped nothing is sealed.
    pub fn mseal(&mut self, start: u64, len: u64) -> Result<u64, MsealError> {
        self.plan_mseal(start, len, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mseal(&mut self, start: u64, len: u64, patience: Patience<'_, L::Interrupt>) -> Plan<'_, 'm, P, MsealError, L> {
        let limits = self.mm().limits_now();
        let whole = len.checked_next_multiple_of(PAGE_SIZE);
        let Some(end) = whole.and_then(|whole| start.checked_add(whole)).filter(|_| start.is_multiple_of(PAGE_SIZE)) else {
            return self.nothing(Err(MsealError::Range { at: start, len }));
        };
        if end == start {
            return self.nothing(Ok(0));
        }
        let span = Span::from_entry(start, end - 1);
        self.plan(touched(span), &limits, patience, |sheet| sheet.seal(span, &limits))
    }
}

impl<P: Payload> Sheet<'_, P> {
    fn seal(&mut self, span: Span, limits: &Limits) -> Result<u64, MsealError> {
        if let Some(at) = self.first_gap(span) {
            return Err(MsealError::Gap { at });
        }
        let mut at = Some(span.start());
        while let Some(from) = at
            && let Some(i) = self.lookup(from)
        {
            let part = Span::from_entry(from, self.parts[i].span.last().min(span.last()));
            if !self.parts[i].flags().contains(VmaFlags::SEALED) {
                self.change(part, split_room(limits), |kind| kind.flags |= VmaFlags::SEALED)?;
            }
            at = part.last().checked_add(1).filter(|above| *above <= span.last());
        }
        Ok(0)
    }

    /// The first address of a range that is not mapped.
    pub(super) fn first_gap(&self, span: Span) -> Option<u64> {
        let mut at = span.start();
        for i in self.within(span) {
            let part = &self.parts[i];
            if part.span.start() > at {
                return Some(at);
            }
            at = part.span.last().checked_add(1)?;
        }
        (at <= span.last()).then_some(at)
    }
}
