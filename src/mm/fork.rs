//! The child's address space, and the end of one: Linux's `fork` (5.28) and `exit`.

use super::plan::Words;
use super::{Mm, MmWriteGuard, Record};
use crate::addr::Span;
use crate::error::{LayoutError, ResourceError};
use crate::lock::RawMmLock;
use crate::sync::Shared;
use crate::vma::{AnonOwner, Owner, Patience, Payload, VmaFlags, VmaRecord};

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Makes the address space of a child: VMAs with `DONTCOPY` are not in it, nothing is locked in memory, `WIPEONFORK` brings no owner
    /// of private pages along; limits and heap are the same. Private pages have owners that share with the parent's (5.9).
    ///
    /// # Concurrency
    /// Each VMA is write-locked before it is copied (3.13), and waited for.
    ///
    /// # Errors
    /// [`LayoutError`]: the wait, a limit on what may be promised, or memory. There is no child then, and this is as it was.
    ///
    /// # Examples
    /// ```
    /// use vmaple::{Advice, MapRequest, Mm, VmaFlags, VmaSpec};
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::of_len(0x4000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// writer.madvise(at, 0x1000, Advice::DontFork)?;
    /// let child = writer.fork()?;
    /// assert_eq!((mm.map_count(), child.map_count()), (2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fork(&mut self) -> Result<Mm<P, L>, LayoutError>
    where
        L: Default,
    {
        self.fork_with(Patience::Forever)
    }

    /// The same, waiting for readers of VMAs as long as is said.
    ///
    /// # Errors
    /// As [`fork`](Self::fork).
    pub fn fork_with(&mut self, patience: Patience<'_, L::Interrupt>) -> Result<Mm<P, L>, LayoutError>
    where
        L: Default,
    {
        for vma in self.vmas() {
            self.mark(vma.record(), patience)?;
        }
        let limits = self.mm().limits();
        let oom = |_| ResourceError::OutOfMemory;
        let mut entries: Vec<(Span, Record<P>)> = Vec::new();
        entries.try_reserve_exact(self.mm().map_count()).map_err(oom)?;
        let mut sums = super::accounts::Sums::default();
        for vma in self.vmas().filter(|vma| !vma.flags().contains(VmaFlags::DONTCOPY)) {
            let mut kind = vma.record().kind();
            kind.flags.remove(VmaFlags::LOCKED);
            kind.owner = match kind.owner {
                Some(_) if !kind.flags.contains(VmaFlags::WIPEONFORK) => Some(Owner { id: AnonOwner::unique(), inherited: true }),
                _ => None,
            };
            sums.check_commit(&limits, kind.flags, vma.span().pages())?;
            sums.add(kind.flags, vma.span().pages());
            // Marked in no hold: the child's first has another number (3.2).
            let record = Shared::try_new(VmaRecord::new(kind, u64::MAX)).map_err(|_| ResourceError::OutOfMemory)?;
            entries.push((vma.span(), record));
        }
        let map = self.mm().map.like().build_from(entries.into_iter().map(|(span, record)| (span.start()..=span.last(), record)));
        // The same value until one of the two replaces it: nothing is asked for that could not be had.
        let child = Mm::of(map.map_err(|_| ResourceError::OutOfMemory)?.with_lock(L::default()), limits);
        child.pages.set(sums);
        let state = &self.mm().state;
        child.state.set_heap(state.brk_start(), state.brk());
        Ok(child)
    }

    /// Unmaps all, what is sealed included: the end of an address space.
    ///
    /// # Errors
    /// [`LayoutError`]: memory; nothing has changed then.
    pub fn exit(&mut self) -> Result<(), LayoutError> {
        let words = Words { brk: Some(self.mm().state.brk_start()), locks_future: Some(false) };
        let plan = self.plan::<LayoutError>(Span::ALL, Patience::Forever, |sheet| {
            sheet.words = words;
            sheet.take_out(Span::ALL)
        });
        plan.commit().map(|_| ())
    }
}
