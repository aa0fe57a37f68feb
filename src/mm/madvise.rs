//! Advice that changes flags: Linux's `madvise` (5.24). What advice does to pages is the embedder's.

use super::MmWriteGuard;
use super::limits::Limits;
use super::mmap::split_room;
use super::plan::{Plan, touched};
use super::sheet::{Part, Sheet};
use crate::addr::{PAGE_SIZE, Span};
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
    fn flags_of<P>(self, part: &Part<'_, P>) -> Option<VmaFlags> {
        let old = part.flags();
        let is_private_anonymous = part.backing() == Backing::Anonymous && !old.contains(VmaFlags::SHARED);
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
        self.plan_all_mapped(start, len, patience, |sheet, span, limits| sheet.advise(span, advice, limits))
    }

    /// Plans a change of everything that is mapped in a range. A gap is reported at the end (5.24).
    pub(super) fn plan_all_mapped(
        &mut self,
        start: u64,
        len: u64,
        patience: Patience<'_, L::Interrupt>,
        change: impl FnOnce(&mut Sheet<'_, P>, Span, &Limits) -> Result<(), MadviseError>,
    ) -> Plan<'_, 'm, P, MadviseError, L> {
        let limits = self.mm().limits_now();
        let whole = len.checked_next_multiple_of(PAGE_SIZE);
        let Some(end) = whole.and_then(|whole| start.checked_add(whole)).filter(|_| start.is_multiple_of(PAGE_SIZE)) else {
            return self.nothing(Err(MadviseError::Range { at: start, len }));
        };
        if end == start {
            return self.nothing(Ok(0));
        }
        let span = Span::from_entry(start, end - 1);
        let plan = self.plan(touched(span), &limits, patience, |sheet| {
            let gap = sheet.first_gap(span);
            change(sheet, span, &limits)?;
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

impl<P: Payload> Sheet<'_, P> {
    fn advise(&mut self, span: Span, advice: Advice, limits: &Limits) -> Result<(), MadviseError> {
        let mut at = Some(span.start());
        while let Some(part) = at.map(|at| self.find(at)).and_then(|i| self.parts.get(i)).filter(|part| part.span.start() <= span.last()) {
            let range = Span::from_entry(part.span.start().max(span.start()), part.span.last().min(span.last()));
            let is_kept = advice.discards() && part.backing() == Backing::Anonymous && !part.flags().contains(VmaFlags::WRITE);
            if is_kept && part.flags().contains(VmaFlags::SEALED) {
                return Err(LayoutError::Sealed { by: part.span }.into());
            }
            let new = advice.flags_of(part).ok_or(MadviseError::Unfit { vma: part.span })?;
            if new != part.flags() {
                self.change(range, split_room(limits), |kind| kind.flags = new)?;
            }
            at = range.last().checked_add(1).filter(|above| *above <= span.last());
        }
        Ok(())
    }
}
