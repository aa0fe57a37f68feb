//! Advice that changes flags: Linux's `madvise` (5.24). What advice does to pages is up to the embedder.
//!
//! Called by embedders through the write guard and its planner, and by `change_payloads`.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::limits::Limits;
use super::pages::{whole_pages, with_adjacent};
use super::plan::{Plan, Planner};
use super::staged::StagedVma;
use crate::addr::{Access, Span};
use crate::error::{LayoutError, MadviseError};
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Backing, Payload, VmaFlags};

/// What `madvise` is asked for, by Linux's names.
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
    /// Returns whether a child would lose pages because of the advice, which is refused for sealed VMAs that are not writable (5.27).
    fn discards(self) -> bool {
        matches!(self, Self::DontFork | Self::WipeOnFork)
    }

    /// Returns the flags of a VMA that follows the advice; `None` if the advice is refused for the VMA.
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
            // A VMA that cannot follow is passed over.
            Self::Mergeable if old.intersects(never_merged) => old,
            Self::Mergeable => old | VmaFlags::MERGEABLE,
            Self::Unmergeable => old - VmaFlags::MERGEABLE,
            Self::HugePage => (old - VmaFlags::NOHUGEPAGE) | VmaFlags::HUGEPAGE,
            Self::NoHugePage => (old - VmaFlags::HUGEPAGE) | VmaFlags::NOHUGEPAGE,
        })
    }
}

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Changes the flags of everything that is mapped in a range as the advice says.
    ///
    /// # Errors
    /// [`MadviseError`]: [rule 5.24](crate::docs::semantics#5-operations). A gap stops nothing and is reported at the end. Any other error stops
    /// the operation, and the VMAs below stay changed.
    pub fn madvise(&mut self, start: u64, len: u64, advice: Advice) -> Result<(), MadviseError> {
        self.plan(Patience::Forever).madvise(start, len, advice).commit()
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::madvise`].
    pub fn madvise(self, start: u64, len: u64, advice: Advice) -> Plan<'w, 'm, P, Result<(), MadviseError>, L> {
        self.change_mapped(start, len, |draft, span, limits| draft.advise(span, advice, limits))
    }

    /// Plans a change of everything that is mapped in a range. `change` returns the first gap, which is reported at the end (5.24).
    pub(super) fn change_mapped(
        self,
        start: u64,
        len: u64,
        change: impl FnOnce(&mut LayoutDraft<'_, P>, Span, &Limits) -> Result<Option<u64>, MadviseError>,
    ) -> Plan<'w, 'm, P, Result<(), MadviseError>, L> {
        let limits = self.guard.mm().limits();
        let span = match whole_pages(start, len) {
            Ok(Some(span)) => span,
            Ok(None) => return self.nothing(Ok(())),
            Err(()) => return self.nothing(Err(MadviseError::Range { at: start, len })),
        };
        let plan = self.draft(with_adjacent(span), &limits, |draft| {
            let gap = change(draft, span, &limits)?;
            gap.map_or(Ok(()), |at| Err(MadviseError::Gap { at }))
        });
        plan.map_err(again)
    }
}

/// Reports a lack of memory, or of VMAs that may be added, as `EAGAIN` (5.24).
fn again(error: MadviseError) -> MadviseError {
    match error {
        MadviseError::Layout(cause @ (LayoutError::TooMany { .. } | LayoutError::Resource(_))) => MadviseError::Again { cause },
        other => other,
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Changes the flags of everything that is mapped in a range. Returns the first address at which nothing is mapped.
    fn advise(&mut self, span: Span, advice: Advice, limits: &Limits) -> Result<Option<u64>, MadviseError> {
        self.each_part(span, Gaps::Skip, |draft, i, part| {
            let vma = &draft.vmas[i];
            let (old, discards) = (vma.flags(), advice.discards() && vma.attrs().backing == Backing::Anonymous);
            // A caller that can write to pages can discard what is in them anyway.
            let is_writable = old.contains(VmaFlags::WRITE) && draft.keyring.allows(old.pkey(), Access::Write);
            if discards && !is_writable {
                draft.check_sealed(i)?;
            }
            let new = advice.flags_of(vma).ok_or(MadviseError::Unfit { vma: vma.span })?;
            if new != old {
                draft.change(part, SplitLimit::of(limits), |new_vma| new_vma.attrs.flags = new)?;
            }
            Ok(())
        })
    }
}
