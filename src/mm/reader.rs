//! A thread's kept way to faults: what [`Reader`] is to the index.

use super::guard::vma_of;
use super::lock_vma::Question;
use super::{Mm, Record, VmaGuard};
use crate::error::LockVmaError;
use crate::lock::{MmLock, RawMmLock};
use crate::map::Reader;
use crate::vma::Vma;
use core::fmt;

/// A thread's kept handle on an address space: each question pins it afresh, which costs less than a pin of its own.
///
/// For threads that fault again and again: a vCPU, a thread of a pager. Between questions the reader stays pinned, so one that goes idle,
/// or waits for the page that a fault brings in, must [`unpin`](Self::unpin), or writers can reuse nothing. Bound to its thread.
///
/// # Examples
/// ```
/// use vmaple::{Access, FaultContext, Interrupt, Mm, VmaFlags, VmaSpec};
/// let mm = Mm::new();
/// mm.write().map(0x10_0000..0x14_0000, VmaSpec::anonymous(VmaFlags::READ))?;
/// let killed = Interrupt::new();
/// let mut reader = mm.reader();
/// for page in 0..64 {
///     let vma = reader.handle_fault(0x10_0000 + page * 0x1000, Access::Read, FaultContext::User(&killed))?;
///     assert_eq!(vma.span().start(), 0x10_0000);
/// }
/// reader.unpin();
/// assert_eq!(mm.stats().roads.per_vma, 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MmReader<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    reader: Reader<'m, Record<P>>,
}

impl<'m, P, L: RawMmLock> MmReader<'m, P, L> {
    pub(super) fn new(mm: &'m Mm<P, L>, reader: Reader<'m, Record<P>>) -> Self {
        Self { mm, reader }
    }

    /// The address space that it asks.
    #[must_use]
    pub fn mm(&self) -> &'m Mm<P, L> {
        self.mm
    }

    /// The VMA that contained the address at some moment of the call.
    #[must_use]
    pub fn vma(&mut self, address: u64) -> Option<Vma<'_, P>> {
        self.reader.lookup(address).map(vma_of)
    }

    /// The first VMA that ended at or after the address at some moment of the call.
    #[must_use]
    pub fn find(&mut self, address: u64) -> Option<Vma<'_, P>> {
        self.reader.find(address).map(vma_of)
    }

    /// As [`Mm::lock_vma`]. The guard does not need the reader: it may outlive the next question, and the reader.
    ///
    /// # Errors
    /// As [`Mm::lock_vma`].
    #[inline]
    pub fn lock_vma(&mut self, address: u64) -> Result<VmaGuard<'m, P, L>, LockVmaError> {
        let view = self.reader.view();
        self.mm.lock_found(Question::WhatContains, || view.lookup(address))
    }

    /// Ends the pin until the next question.
    pub fn unpin(&mut self) {
        self.reader.unpin();
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmReader<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmReader").finish_non_exhaustive()
    }
}
