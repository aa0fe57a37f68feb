//! Changing what the embedder keeps with VMAs: for attributes that it has and the library has not, such as Linux's memory policies,
//! userfaultfd contexts and names, which take part in whether VMAs merge (5.7). Splits and merges are those of 5.11.
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::limits::Limits;
use super::plan::{Plan, Planner};
use super::staged::Carried;
use crate::addr::Span;
use crate::error::{ChangePayloadsError, LayoutError, MadviseError};
use crate::lock::{Patience, RawMmLock};
use crate::vma::Payload;

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Changes the payload of everything that is mapped in a range.
    ///
    /// `change` is asked for each VMA in the range, from low to high addresses, and returns the new payload, or `None` to leave the VMA
    /// as it is: the library cannot compare payloads, so an equal payload splits the VMA too. A VMA that is only partly in the range is
    /// split, and each changed part merges with its neighbours where the payloads allow it (5.11): the operation does for an attribute of
    /// the embedder what `madvise` does for flags. Linux changes memory policies (`mbind`), userfaultfd contexts and anonymous names in
    /// this way.
    ///
    /// # Errors
    /// [`ChangePayloadsError`], as [`madvise`](Self::madvise): [rule 5.24](crate::docs::semantics#5-operations). A gap is reported at the end,
    /// after everything else was changed.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::MapRequest;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// // The payload is the memory node that pages come from.
    /// let mm: Mm<u8> = Mm::builder().build();
    /// let mut writer = mm.write();
    /// let spec = VmaSpec::anonymous(VmaFlags::READ).with_payload(0);
    /// let at = writer.mmap(&MapRequest::new(0x4000, spec))?;
    /// writer.change_payloads(at + 0x1000, 0x1000, |_| Some(1))?;
    /// assert_eq!(mm.len(), 3);
    /// // The parts merge when they are alike again.
    /// writer.change_payloads(at, 0x4000, |node| (*node == 1).then_some(0))?;
    /// assert_eq!(mm.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn change_payloads(&mut self, start: u64, len: u64, change: impl FnMut(&P) -> Option<P>) -> Result<(), ChangePayloadsError> {
        self.plan(Patience::Forever).change_payloads(start, len, change).commit()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::change_payloads`]. `change` is called while it is planned.
    pub fn change_payloads(
        self,
        start: u64,
        len: u64,
        change: impl FnMut(&P) -> Option<P>,
    ) -> Plan<'w, 'm, P, Result<(), ChangePayloadsError>, L> {
        self.change_mapped(start, len, |draft, span, limits| draft.change_payloads(span, change, limits)).map_err(|error| match error {
            MadviseError::Range { at, len } => ChangePayloadsError::Range { at, len },
            MadviseError::Gap { at } => ChangePayloadsError::Gap { at },
            MadviseError::Again { cause } => ChangePayloadsError::Again { cause },
            MadviseError::Layout(cause) => ChangePayloadsError::Layout(cause),
            MadviseError::Unfit { .. } => unreachable!("any VMA may have another payload"),
        })
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Changes the payload of everything that is mapped in a range. Returns the first address at which nothing is mapped.
    fn change_payloads(
        &mut self,
        span: Span,
        mut change: impl FnMut(&P) -> Option<P>,
        limits: &Limits,
    ) -> Result<Option<u64>, MadviseError> {
        self.each_part(span, Gaps::Skip, |draft, i, part| {
            let payload = draft.vmas[i].payload();
            if let Some(changed) = draft.keep_if(|payloads| change(payload.of(payloads))).map_err(LayoutError::from)? {
                draft.change(part, SplitLimit::of(limits), |new_vma| new_vma.payload = Carried::Kept(changed))?;
            }
            Ok(())
        })
    }
}
