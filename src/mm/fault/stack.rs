//! The two ways in which the rest of a kernel grows stacks: with opposite contracts, told apart by what becomes of the guard.

use super::FaultContext;
use crate::error::{ExpandError, FaultError};
use crate::lock::{Patience, RawMmLock};
use crate::mm::{LockedVma, MmReadGuard, MmWriteGuard};
use crate::vma::{Vma, VmaFlags};

impl<'m, P, L: RawMmLock> MmReadGuard<'m, P, L> {
    /// Grows a stack to the address, down or up: Linux's `expand_stack()` (1.11), for those who have looked under a read guard of their
    /// own and found nothing.
    ///
    /// The guard goes in, and does not come back but with a VMA: on failure the lock is *already released*.
    /// [`MmWriteGuard::find_extend_vma_locked`] has the opposite contract.
    ///
    /// # Concurrency
    /// Drops the read hold, waits for the write hold as the context allows, and looks again.
    ///
    /// # Errors
    /// [`FaultError`], with nothing held.
    ///
    /// # Examples
    /// ```compile_fail,E0382
    /// # use vmaple::{FaultContext, Mm};
    /// let mm = Mm::new();
    /// let reader = mm.read();
    /// let grown = reader.expand_stack(0x1000, FaultContext::KernelWithoutFixup);
    /// reader.lookup(0x1000); // the lock is released
    /// ```
    pub fn expand_stack(self, address: u64, context: FaultContext<'_, L::Interrupt>) -> Result<LockedVma<'m, P, L>, FaultError> {
        let mm = self.mm();
        drop(self);
        let mut writer = mm.write_with(context.patience())?;
        writer.find_or_extend(address, context.patience())?;
        writer.downgrade().into_locked(address).map_err(|_| FaultError::Unmapped { at: address })
    }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Finds the VMA that contains the address, growing a stack to it, down or up: Linux's `find_extend_vma_locked()` (1.12).
    ///
    /// The lock stays with the caller, *also on failure*: the guard is only borrowed. [`MmReadGuard::expand_stack`] has the opposite
    /// contract.
    ///
    /// # Errors
    /// [`ExpandError`], with nothing changed and the lock held.
    pub fn find_extend_vma_locked(&mut self, address: u64) -> Result<Vma<'_, P>, ExpandError> {
        self.find_or_extend(address, Patience::Forever)?;
        self.lookup(address).ok_or(ExpandError::Absent { at: address })
    }

    /// A hit; else the VMA before, if it grows up; else the VMA after, if it grows down.
    fn find_or_extend(&mut self, address: u64, patience: Patience<'_, L::Interrupt>) -> Result<(), ExpandError> {
        if self.lookup(address).is_some() {
            return Ok(());
        }
        if self.prev(address).is_some_and(|vma| vma.flags().contains(VmaFlags::GROWSUP)) {
            let above = self.find(address).is_some_and(|vma| vma.flags().contains(VmaFlags::GROWSDOWN));
            match self.expand_up_with(address, patience) {
                // A wait that has ended is the end of it: the other direction would wait under the same patience.
                Err(error) if above && !matches!(error, ExpandError::Wait(_)) => {}
                told => return told.map(drop),
            }
        }
        self.expand_down_with(address, patience).map(drop)
    }
}
