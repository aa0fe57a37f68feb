//! Small address spaces in pages: making one, and reading its layout back.
//!
//! Called by the tests of `mm`, `fault`, `vma`, `lock` and `memory`.

use vmaple::lock::{MmLock, RawMmLock};
use vmaple::mm::{Limits, MapRequest};
use vmaple::{Mm, PAGE_SIZE, VmaFlags, VmaSpec};

pub(crate) const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
pub(crate) const DOWN: VmaFlags = RW.union(VmaFlags::GROWSDOWN);
pub(crate) const UP: VmaFlags = RW.union(VmaFlags::GROWSUP);

/// Returns the address of a page of the tests. Page 0 is far from both ends of the address space.
pub(crate) fn page(n: u64) -> u64 {
    0x10_0000_0000 + n * PAGE_SIZE
}

/// Returns the length of `pages` pages.
pub(crate) fn bytes(pages: u64) -> u64 {
    pages * PAGE_SIZE
}

/// Returns an empty address space whose limits were changed.
pub(crate) fn mm_with(change: impl FnOnce(&mut Limits)) -> Mm {
    mm_over(MmLock::new(), change)
}

/// Returns the same over this lock.
pub(crate) fn mm_over<L: RawMmLock>(lock: L, change: impl FnOnce(&mut Limits)) -> Mm<(), L> {
    let mut limits = Limits::default();
    change(&mut limits);
    Mm::builder().private_epochs().lock(lock).limits(limits).expect("limits that mean something").build()
}

/// Returns an address space with a guard gap of two pages and these VMAs: first page, page after the last, flags.
pub(crate) fn mm_of(vmas: &[(u64, u64, VmaFlags)]) -> Mm {
    let mm = mm_with(|limits| limits.stack_guard_gap_pages = 2);
    map_all(&mm, vmas);
    mm
}

/// Inserts these VMAs: first page, page after the last, exact flags.
pub(crate) fn map_all<L: RawMmLock>(mm: &Mm<(), L>, vmas: &[(u64, u64, VmaFlags)]) {
    for &(start, end, flags) in vmas {
        mm.write().insert(page(start), page(end) - page(start), VmaSpec::anonymous(flags).exact_flags()).expect("it is free");
    }
}

/// Maps anonymous pages at a fixed place. They merge with adjacent VMAs like them, which `map_all` does not do.
pub(crate) fn mmap_at(mm: &Mm, at: u64, pages: u64, flags: VmaFlags) {
    let request = MapRequest::new(bytes(pages), VmaSpec::anonymous(flags)).fixed(page(at));
    assert_eq!(mm.write().mmap(&request), Ok(page(at)));
}

/// Checks the invariants and returns what is mapped: first page, page after the last, flags.
pub(crate) fn layout<L: RawMmLock>(mm: &Mm<(), L>) -> Vec<(u64, u64, VmaFlags)> {
    let writer = mm.write();
    writer.validate().expect("the invariants hold");
    let of = |address: u64| (address - page(0)) / PAGE_SIZE;
    writer.iter().map(|vma| (of(vma.start()), of(vma.last() + 1), vma.flags())).collect()
}
