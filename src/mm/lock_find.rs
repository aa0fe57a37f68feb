//! Going from VMA to VMA, each locked by itself, without the mm lock: Linux's `lock_next_vma`.
//!
//! Called by the embedder. It takes the mm lock only if a writer is at the VMA.

use super::lock_vma::LookupMode;
use super::{Mm, VmaGuard};
use crate::error::{LockFindError, LockVmaError, WaitError};
use crate::lock::Patience;
use crate::lock::RawMmLock;

impl<P, L: RawMmLock> Mm<P, L> {
    /// Finds the VMA that contains the address, or else the first one above it, and locks it for reading.
    ///
    /// [Rule 3.7](crate::docs::semantics#3-the-lock-of-a-vma).
    ///
    /// It takes the mm lock only if a writer is at the VMA. It is Linux's `lock_next_vma`.
    ///
    /// Returns `None` if there was no such VMA at some moment of the call. The answer, including the hole before the VMA, was true at one
    /// moment. So a caller that goes on from each VMA's end meets every VMA that is mapped throughout. The whole walk is not a snapshot: a
    /// writer may work between two steps.
    ///
    /// # Concurrency
    /// As [`lock_vma`](Self::lock_vma) if no writer is at the VMA. Otherwise it read-locks the mm for a moment and waits for that with the
    /// given patience, so the guard of the VMA before must have been dropped (3.11).
    ///
    /// # Errors
    /// [`LockFindError`]: a writer was in the way and patience ended, or the VMA has as many readers as its lock can count.
    ///
    /// # Panics
    /// In debug builds with the feature `std`, if the calling thread would wait for its own hold of the mm lock, or for a writer that waits
    /// for this thread's VMA.
    ///
    /// # Examples
    /// ```
    /// use vmaple::lock::Patience;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// for start in [0x10_0000, 0x20_0000, 0x30_0000] {
    ///     mm.write().insert(start, 0x2000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// }
    /// let (mut from, mut pages) = (0, 0);
    /// while let Some(held) = mm.lock_find(from, Patience::Forever)? {
    ///     pages += held.vma().span().pages();
    ///     from = held.vma().end();
    /// }
    /// assert_eq!(pages, 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn lock_find(&self, address: u64, patience: Patience<'_, L::Interrupt>) -> Result<Option<VmaGuard<'_, P, L>>, LockFindError> {
        let pin = self.pin();
        let found = self.lock_in(&pin, address, LookupMode::First);
        // The fallback may wait, and what is pinned is not reclaimed.
        drop(pin);
        let found = match found {
            Err(LockVmaError::Busy { .. }) => {
                let reader = self.read_with(patience)?;
                self.lock_in(&reader, address, LookupMode::First)
            }
            found => found,
        };
        match found {
            Ok(vma) => Ok(Some(vma)),
            Err(LockVmaError::Absent { .. }) => Ok(None),
            Err(LockVmaError::TooManyReaders { at }) => Err(LockFindError::TooManyReaders { from: at }),
            // Never: under the mm lock no writer write-locks a VMA or waits for its readers.
            Err(LockVmaError::Busy { .. }) => Err(WaitError::WouldBlock.into()),
        }
    }
}
