//! Sealing: Linux's `mseal` (5.27). What is sealed can be neither unmapped nor moved nor protected otherwise; it may still grow.

use super::MmWriteGuard;
use super::mmap::split_room;
use super::plan::{Plan, Words};
use super::sheet::Sheet;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::MsealError;
use crate::lock::RawMmLock;
use crate::vma::{Patience, Payload, VmaFlags};

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
        let mut sheet = match Sheet::of(self, span) {
            Ok(sheet) => sheet,
            Err(error) => return self.nothing(Err(error.into())),
        };
        let mut outcome = match sheet.first_gap(span) {
            Some(at) => Err(MsealError::Gap { at }),
            None => Ok(0),
        };
        let mut at = Some(start).filter(|_| outcome.is_ok());
        while let Some(from) = at
            && let Some(i) = sheet.lookup(from)
        {
            let part = Span::from_entry(from, sheet.parts[i].span.last().min(span.last()));
            if !sheet.parts[i].flags().contains(VmaFlags::SEALED)
                && let Err(error) = sheet.change(part, split_room(&limits), |kind| kind.flags |= VmaFlags::SEALED)
            {
                outcome = Err(error.into());
                break;
            }
            at = part.last().checked_add(1).filter(|above| *above <= span.last());
        }
        self.plan(sheet, Words::default(), outcome, patience)
    }
}

impl<P: Payload> Sheet<P> {
    /// The first address of a range that is not mapped.
    pub(super) fn first_gap(&self, span: Span) -> Option<u64> {
        let mut at = span.start();
        for part in &self.parts[self.within(span)] {
            if part.span.start() > at {
                return Some(at);
            }
            at = part.span.last().checked_add(1)?;
        }
        (at <= span.last()).then_some(at)
    }
}
