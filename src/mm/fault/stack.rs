//! The two ways in which the rest of a kernel grows stacks. They differ in what happens to the guard if growth fails.
//!
//! Called by the embedder, outside a fault.

use super::FaultContext;
use crate::error::{ExpandError, FaultError};
use crate::lock::{Patience, RawMmLock};
use crate::mm::{LockedVma, MmReadGuard, MmWriteGuard};
use crate::vma::{Vma, VmaFlags};

impl<'m, P, L: RawMmLock> MmReadGuard<'m, P, L> {
    /// Grows a stack to the address, down or up: Linux's `expand_stack()`.
    ///
    /// [Rule 1.11](crate::docs::semantics#1-the-fault-helper).
    ///
    /// It is for a caller that has searched under a read guard and found nothing. The guard is consumed: on failure the lock is *already
    /// released*. [`MmWriteGuard::find_extend_vma_locked`] has the opposite contract.
    ///
    /// # Concurrency
    /// Releases the read hold, waits for the write hold as the context allows, and searches again.
    ///
    /// # Errors
    /// [`FaultError`]: nothing is held.
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
    /// Returns the VMA that contains the address, growing a stack to it if necessary: Linux's `find_extend_vma_locked()`.
    ///
    /// [Rule 1.12](crate::docs::semantics#1-the-fault-helper).
    ///
    /// The guard is only borrowed, so the caller keeps the lock *also on failure*. [`MmReadGuard::expand_stack`] has the opposite contract.
    ///
    /// # Errors
    /// [`ExpandError`]: nothing was changed, except as [`expand_down`](Self::expand_down) says, and the lock is held.
    pub fn find_extend_vma_locked(&mut self, address: u64) -> Result<Vma<'_, P>, ExpandError> {
        self.find_or_extend(address, Patience::Forever)?;
        self.lookup(address).ok_or(ExpandError::Absent { at: address })
    }

    /// Makes sure that a VMA contains the address: one that does already, or the VMA before it, grown up, or the one after it, grown down.
    fn find_or_extend(&mut self, address: u64, patience: Patience<'_, L::Interrupt>) -> Result<(), ExpandError> {
        if self.lookup(address).is_some() {
            return Ok(());
        }
        if self.prev(address).is_some_and(|vma| vma.flags().contains(VmaFlags::GROWSUP)) {
            let above = self.find(address).is_some_and(|vma| vma.flags().contains(VmaFlags::GROWSDOWN));
            match self.expand_up_with(address, patience) {
                // If the wait ended, do not try the other direction, which would wait with the same patience.
                Err(error) if above && !matches!(error, ExpandError::Wait(_)) => {}
                result => return result.map(drop),
            }
        }
        self.expand_down_with(address, patience).map(drop)
    }
}
