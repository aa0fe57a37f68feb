//! Linux's `lock_mm_and_find_vma()`, with an upgrade of the mm lock, which Linux's lock does not have.
//!
//! Called by `handle.rs` if the VMA's own lock is not enough, and by the embedder.

use super::FaultContext;
use crate::error::FaultError;
use crate::lock::{Patience, RawMmLock};
use crate::mm::{FaultPath, LockedVma, Mm, UpgradePolicy, WriteLockedVma};
use crate::sync::seeded;
use crate::vma::VmaFlags;

impl<P, L: RawMmLock> Mm<P, L> {
    /// Finds the VMA of a fault under the mm lock for reading, growing a stack down to the address if necessary.
    ///
    /// That is Linux's `lock_mm_and_find_vma()` (1.1 to 1.10).
    ///
    /// # Concurrency
    /// Waits for the mm lock as the context allows, and, if a stack must grow, for the readers of its VMA. A wait ends when the context's
    /// interrupt is raised; [`FaultContext::KernelWithoutFixup`] never waits. To grow a stack, the read hold is upgraded in one step if
    /// there is no other hold. Otherwise it is released, the lock is taken for writing, and the VMA is searched for once more.
    ///
    /// # Errors
    /// [`FaultError`]: nothing is held, and nothing was changed except that a refused growth may leave the VMA with an owner (2.4). Linux
    /// returns `NULL` for all of them.
    ///
    /// # Panics
    /// In debug builds with the feature `std`, if the calling thread would wait for its own hold of the mm lock or of the VMA that is to
    /// grow.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::fault::FaultError;
    /// use vmaple::{FaultContext, Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// mm.write().insert(0x80_0000, 0x4000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN))?;
    /// let found = mm.find_vma_for_fault(0x7f_f000, FaultContext::KernelWithoutFixup)?;
    /// assert!(found.vma().contains(0x7f_f000) && mm.try_write().is_none());
    /// drop(found);
    /// let beyond = mm.find_vma_for_fault(0x90_0000, FaultContext::KernelWithoutFixup);
    /// assert_eq!(beyond.unwrap_err(), FaultError::Unmapped { at: 0x90_0000 });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_vma_for_fault(&self, address: u64, context: FaultContext<'_, L::Interrupt>) -> Result<LockedVma<'_, P, L>, FaultError> {
        let found = self.find_or_grow(address, context.patience());
        self.note(found.as_ref().map_or(FaultPath::Failed, |(_, path)| *path));
        found.map(|(vma, _)| vma)
    }

    /// Finds the VMA by rules 1.1 to 1.9, one step a line. Returns the path on which it was found, too.
    fn find_or_grow(&self, address: u64, patience: Patience<'_, L::Interrupt>) -> Result<(LockedVma<'_, P, L>, FaultPath), FaultError> {
        let unmapped = FaultError::Unmapped { at: address };
        let reader = self.read_with(patience)?; // 1.1, 1.2
        let vma = reader.into_first(address).map_err(|_| unmapped)?; // 1.4
        if vma.vma().contains(address) {
            return Ok((vma, FaultPath::MmRead)); // 1.3
        }
        if !vma.vma().flags().contains(VmaFlags::GROWSDOWN) {
            return Err(unmapped); // 1.4
        }
        let limits = self.limits();
        let (mut vma, path) = match vma.upgrade_by(limits.upgrade) {
            Ok(vma) => (vma, FaultPath::Upgraded), // 1.5: the layout has not changed since
            Err(vma) => {
                drop(vma); // 1.6: before the wait
                // Unlike in Linux, a fault that must not wait takes the lock if it is free.
                let writer = self.write_with(patience)?;
                let vma = writer.into_first(address).ok_or(unmapped)?; // 1.7
                if vma.vma().contains(address) && !seeded("recheck_left_out") {
                    return Ok((vma.downgrade(), FaultPath::FoundAgain));
                }
                if !vma.vma().flags().contains(VmaFlags::GROWSDOWN) {
                    return Err(unmapped);
                }
                (vma, FaultPath::Retaken)
            }
        };
        vma.grow(|writer, span, record| writer.grow_down(span, record, address, &limits, patience))?; // 1.8
        Ok((vma.downgrade(), path)) // 1.9
    }
}

impl<'m, P, L: RawMmLock> LockedVma<'m, P, L> {
    /// Upgrades if the policy allows it and there is no other hold.
    fn upgrade_by(self, policy: UpgradePolicy) -> Result<WriteLockedVma<'m, P, L>, Self> {
        match policy {
            UpgradePolicy::Optimistic => self.try_upgrade(),
            UpgradePolicy::Never => Err(self),
        }
    }
}
