//! Going from VMA to VMA, each locked by itself, without the mm lock: Linux's `lock_next_vma`.

use super::lock_vma::Question;
use super::{Mm, VmaGuard};
use crate::error::{LockVmaError, WaitError};
use crate::lock::Patience;
use crate::lock::RawMmLock;

impl<P, L: RawMmLock> Mm<P, L> {
    /// Finds the first VMA that ends at or after the address and locks it for reading: without the mm lock where that can be (3.7). None if
    /// none was there at some moment of the call.
    ///
    /// What is told was true at one moment, the hole before the VMA included: so who goes on from each VMA's end meets every VMA that is
    /// mapped throughout, and is told no hole where one is. The whole is no snapshot: a writer may work between two steps.
    ///
    /// # Concurrency
    /// As [`lock_vma`](Self::lock_vma), where no writer is at the VMA. Where one is, read-locks the mm for a moment, waiting as long as is
    /// said: so the guard of the VMA before must have been dropped (3.11).
    ///
    /// # Errors
    /// [`WaitError`]: a writer was in the way, and was not waited out; or the VMA has a million readers.
    ///
    /// # Panics
    /// In debug builds, where the calling thread would wait for its own hold of the mm lock, or for a writer that waits for its own VMA.
    ///
    /// # Examples
    /// ```
    /// use vmaple::lock::Patience;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// for start in [0x10_0000, 0x20_0000, 0x30_0000] {
    ///     mm.write().map(start..start + 0x2000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// }
    /// let (mut from, mut pages) = (Some(0), 0);
    /// while let Some(at) = from {
    ///     let Some(vma) = mm.lock_next(at, Patience::Forever)? else { break };
    ///     pages += vma.span().pages();
    ///     from = vma.span().last().checked_add(1);
    /// }
    /// assert_eq!(pages, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn lock_next(&self, from: u64, patience: Patience<'_, L::Interrupt>) -> Result<Option<VmaGuard<'_, P, L>>, WaitError> {
        let pin = self.pin();
        let found = self.lock_found(Question::WhichFirst, || pin.first_from(from));
        // The fallback may wait, and what is pinned is not reclaimed.
        drop(pin);
        match found {
            Ok(vma) => Ok(Some(vma)),
            Err(LockVmaError::Absent) => Ok(None),
            Err(LockVmaError::Busy) => self.lock_next_slow(from, patience),
        }
    }

    /// Under the mm lock no writer write-locks a VMA or waits for its readers.
    #[cold]
    #[track_caller]
    fn lock_next_slow(&self, from: u64, patience: Patience<'_, L::Interrupt>) -> Result<Option<VmaGuard<'_, P, L>>, WaitError> {
        let reader = self.read_with(patience)?;
        match self.lock_found(Question::WhichFirst, || reader.first_from(from)) {
            Ok(vma) => Ok(Some(vma)),
            Err(LockVmaError::Absent) => Ok(None),
            Err(LockVmaError::Busy) => Err(WaitError::WouldBlock),
        }
    }
}
