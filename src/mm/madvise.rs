//! Advice that changes flags: Linux's `madvise` (5.24). What advice does to pages is the embedder's.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::limits::Limits;
use super::pages::{whole_pages, with_adjacent};
use super::plan::Plan;
use super::staged::StagedVma;
use crate::addr::Span;
use crate::error::{LayoutError, MadviseError};
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Backing, Payload, VmaFlags};

/// Advice: Linux's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// `MADV_NORMAL`.
    Normal,
    /// `MADV_RANDOM`.
    Random,
    /// `MADV_SEQUENTIAL`.
    Sequential,
    /// `MADV_DONTFORK`.
    DontFork,
    /// `MADV_DOFORK`.
    DoFork,
    /// `MADV_WIPEONFORK`.
    WipeOnFork,
    /// `MADV_KEEPONFORK`.
    KeepOnFork,
    /// `MADV_DONTDUMP`.
    DontDump,
    /// `MADV_DODUMP`.
    DoDump,
    /// `MADV_MERGEABLE`.
    Mergeable,
    /// `MADV_UNMERGEABLE`.
    Unmergeable,
    /// `MADV_HUGEPAGE`.
    HugePage,
    /// `MADV_NOHUGEPAGE`.
    NoHugePage,
}

impl Advice {
    /// Whether a child would miss pages by it: what is sealed and cannot be written is kept from that (5.27).
    fn discards(self) -> bool {
        matches!(self, Self::DontFork | Self::WipeOnFork)
    }

    /// The flags of a VMA that follows it; none where it makes no sense for the VMA.
    fn flags_of<P>(self, part: &StagedVma<'_, P>) -> Option<VmaFlags> {
        let old = part.flags();
        let is_private_anonymous = part.attrs().backing == Backing::Anonymous && !old.contains(VmaFlags::SHARED);
        let never_merged = VmaFlags::SPECIAL | VmaFlags::HUGETLB | VmaFlags::DROPPABLE | VmaFlags::SHARED | VmaFlags::MAYSHARE;
        Some(match self {
            Self::Normal => old - (VmaFlags::RAND_READ | VmaFlags::SEQ_READ),
            Self::Random => (old - VmaFlags::SEQ_READ) | VmaFlags::RAND_READ,
            Self::Sequential => (old - VmaFlags::RAND_READ) | VmaFlags::SEQ_READ,
            Self::DontFork => old | VmaFlags::DONTCOPY,
            Self::DoFork if old.contains(VmaFlags::IO) => return None,
            Self::DoFork => old - VmaFlags::DONTCOPY,
            Self::WipeOnFork if !is_private_anonymous => return None,
            Self::WipeOnFork => old | VmaFlags::WIPEONFORK,
            Self::KeepOnFork | Self::DoDump if old.contains(VmaFlags::DROPPABLE) => return None,
            Self::KeepOnFork => old - VmaFlags::WIPEONFORK,
            Self::DontDump => old | VmaFlags::DONTDUMP,
            Self::DoDump if old.intersects(VmaFlags::SPECIAL) && !old.contains(VmaFlags::HUGETLB) => return None,
            Self::DoDump => old - VmaFlags::DONTDUMP,
            // What cannot follow is passed over.
            Self::Mergeable if old.intersects(never_merged) => old,
            Self::Mergeable => old | VmaFlags::MERGEABLE,
            Self::Unmergeable => old - VmaFlags::MERGEABLE,
            Self::HugePage => (old - VmaFlags::NOHUGEPAGE) | VmaFlags::HUGEPAGE,
            Self::NoHugePage => (old - VmaFlags::HUGEPAGE) | VmaFlags::NOHUGEPAGE,
        })
    }
}

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Changes the flags of all that is mapped in a range as the advice says. Tells 0.
    ///
    /// # Errors
    /// [`MadviseError`]: rule 5.24. Gaps are told in the end, and stop nothing; any other error stops at once, with what lies below done.
    pub fn madvise(&mut self, start: u64, len: u64, advice: Advice) -> Result<u64, MadviseError> {
        self.plan_madvise(start, len, advice, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_madvise(
        &mut self,
        start: u64,
        len: u64,
        advice: Advice,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MadviseError, L> {
        self.plan_all_mapped(start, len, patience, |draft, span, limits| draft.advise(span, advice, limits))
    }

    /// Plans a change of everything that is mapped in a range. A gap is reported at the end (5.24).
    pub(super) fn plan_all_mapped(
        &mut self,
        start: u64,
        len: u64,
        patience: Patience<'_, L::Interrupt>,
        change: impl FnOnce(&mut LayoutDraft<'_, P>, Span, &Limits) -> Result<Option<u64>, MadviseError>,
    ) -> Plan<'_, 'm, P, MadviseError, L> {
        let limits = self.mm().limits_now();
        let span = match whole_pages(start, len) {
            Ok(Some(span)) => span,
            Ok(None) => return self.nothing(Ok(0)),
            Err(()) => return self.nothing(Err(MadviseError::Range { at: start, len })),
        };
        let plan = self.plan(with_adjacent(span), &limits, patience, |draft| {
            let gap = change(draft, span, &limits)?;
            gap.map_or(Ok(0), |at| Err(MadviseError::Gap { at }))
        });
        plan.map_err(again)
    }
}

/// 5.24: that there is no room, or no memory, is told as "again".
fn again(error: MadviseError) -> MadviseError {
    match error {
        MadviseError::Layout(cause @ (LayoutError::TooMany { .. } | LayoutError::Resource(_))) => MadviseError::Again { cause },
        other => other,
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Returns the first address at which nothing is mapped.
    fn advise(&mut self, span: Span, advice: Advice, limits: &Limits) -> Result<Option<u64>, MadviseError> {
        self.each_part(span, Gaps::Skip, |draft, i, part| {
            let vma = &draft.vmas[i];
            let (old, is_kept) = (vma.flags(), advice.discards() && vma.attrs().backing == Backing::Anonymous);
            if is_kept && !old.contains(VmaFlags::WRITE) {
                draft.check_sealed(i)?;
            }
            let new = advice.flags_of(vma).ok_or(MadviseError::Unfit { vma: vma.span })?;
            if new != old {
                draft.change(part, SplitLimit::of(limits), |kind| kind.attrs.flags = new)?;
            }
            Ok(())
        })
    }
}
