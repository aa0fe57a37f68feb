//! Sealing: Linux's `mseal` (5.27). A sealed VMA can be neither unmapped nor moved nor protected otherwise. It may still grow.
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::limits::Limits;
use super::pages::{whole_pages, with_adjacent};
use super::plan::{Plan, Planner};
use crate::addr::Span;
use crate::error::MsealError;
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Payload, VmaFlags};

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Seals the pages of a range permanently. Sealed pages stay sealed.
    ///
    /// # Errors
    /// [`MsealError`]: [rule 5.27](crate::docs::semantics#5-operations). If anything in the range is not mapped, nothing is sealed.
    pub fn mseal(&mut self, start: u64, len: u64) -> Result<(), MsealError> {
        self.plan(Patience::Forever).mseal(start, len).commit()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::mseal`].
    pub fn mseal(self, start: u64, len: u64) -> Plan<'w, 'm, P, Result<(), MsealError>, L> {
        let limits = self.guard.mm().limits();
        let span = match whole_pages(start, len) {
            Ok(Some(span)) => span,
            Ok(None) => return self.nothing(Ok(())),
            Err(()) => return self.nothing(Err(MsealError::Range { at: start, len })),
        };
        if let Some(gap) = self.guard.gaps(span).ok().and_then(|mut gaps| gaps.next()) {
            return self.nothing(Err(MsealError::Gap { at: gap.start() }));
        }
        self.draft(with_adjacent(span), &limits, |draft| draft.seal(span, &limits))
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Seals a range in which everything is mapped.
    fn seal(&mut self, range: Span, limits: &Limits) -> Result<(), MsealError> {
        self.each_part(range, Gaps::Stop, |draft, i, part| {
            if draft.vmas[i].flags().contains(VmaFlags::SEALED) {
                return Ok(());
            }
            draft.change(part, SplitLimit::of(limits), |new_vma| new_vma.attrs.flags |= VmaFlags::SEALED)
        })?;
        Ok(())
    }
}
