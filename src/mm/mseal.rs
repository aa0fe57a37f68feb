//! Sealing: Linux's `mseal` (5.27). What is sealed can be neither unmapped nor moved nor protected otherwise; it may still grow.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::limits::Limits;
use super::pages::{whole_pages, with_adjacent};
use super::plan::Plan;
use crate::addr::Span;
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
        let span = match whole_pages(start, len) {
            Ok(Some(span)) => span,
            Ok(None) => return self.nothing(Ok(0)),
            Err(()) => return self.nothing(Err(MsealError::Range { at: start, len })),
        };
        self.plan(with_adjacent(span), &limits, patience, |draft| draft.seal(span, &limits))
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    fn seal(&mut self, span: Span, limits: &Limits) -> Result<u64, MsealError> {
        if let Some(at) = self.first_gap(span) {
            return Err(MsealError::Gap { at });
        }
        self.each_part(span, Gaps::Stop, |draft, i, part| {
            if draft.vmas[i].flags().contains(VmaFlags::SEALED) {
                return Ok(());
            }
            draft.change(part, SplitLimit::of(limits), |kind| kind.attrs.flags |= VmaFlags::SEALED)
        })?;
        Ok(0)
    }
}
