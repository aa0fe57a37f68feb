//! What is always true of a layout (5.29), checked on request.
//!
//! Called by tests and checkers through the write guard.

use super::MmWriteGuard;
use super::accounts::Sums;
use super::huge::page_bytes;
use crate::lock::RawMmLock;
use crate::tree::ValidateError;
use crate::vma::{Backing, Vma, VmaFlags};
use alloc::format;
use alloc::string::String;

/// Returns an error of rule 5.29 if the condition does not hold.
fn check(holds: bool, found: impl FnOnce() -> String) -> Result<(), ValidateError> {
    if holds { Ok(()) } else { Err(ValidateError { rule: "5.29", found: found() }) }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Checks what is true after every operation, also after a failed one (5.29).
    ///
    /// These are the index's invariants; that VMAs consist of whole pages inside the address space, and are in the index with their own
    /// records; that VMAs that grow are private and have no object; and that the accounts and the number of VMAs match what is mapped.
    ///
    /// # Errors
    /// [`ValidateError`]: this crate has a bug, or `task_size` was lowered below what was mapped.
    // Hidden: tests and checkers call it; it never fails otherwise.
    #[doc(hidden)]
    pub fn validate(&self) -> Result<(), ValidateError> {
        self.guard.validate()?;
        let (mut sums, mut count) = (Sums::default(), 0);
        let task_size = self.mm().read_limits(|limits| limits.task_size);
        for vma in self.iter() {
            Self::validate_vma(vma, task_size)?;
            sums.add(vma.flags(), vma.span().pages());
            count += 1;
        }
        check(self.sums() == sums, || format!("the accounts are {:?}, and what is mapped comes to {sums:?}", self.sums()))?;
        check(self.mm().len() == count, || format!("{count} VMAs are mapped, and {} are counted", self.mm().len()))?;
        let heap = self.mm().state.heap();
        check(heap.is_none_or(|heap| heap.start <= heap.brk), || format!("the break is below the start of the heap: {heap:?}"))
    }

    /// Checks what rule 5.29 says of one VMA.
    fn validate_vma(vma: Vma<'_, P>, task_size: u64) -> Result<(), ValidateError> {
        let (span, flags) = (vma.span(), vma.flags());
        check(span.last() < task_size, || format!("{span} ends beyond {task_size:#x}, where the address space ends"))?;
        let page = page_bytes(flags);
        let is_whole = |at: u64| at.is_multiple_of(page);
        check(is_whole(span.start()) && is_whole(span.last() + 1), || format!("{span} is not in whole pages of {page:#x} bytes"))?;
        let is_plain = !flags.contains(VmaFlags::SHARED) && vma.backing() == Backing::Anonymous;
        check(is_plain || !flags.is_stack(), || format!("{span} grows, and is shared or has an object"))?;
        check(vma.is_attached(), || format!("the record of {span} says that it is not mapped"))
    }
}
