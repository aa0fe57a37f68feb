//! What each error says, and its errno: the operation, what was asked, and what was in the way.

use super::*;
use crate::addr::{Access, Span};

#[track_caller]
fn says(error: &(impl ErrorCode + fmt::Display), errno: i32, message: &str) {
    assert_eq!((error.to_string().as_str(), error.errno()), (message, errno));
}

fn span(start: u64, last: u64) -> Span {
    Span::from_entry(start, last)
}

const OUT_OF_MEMORY: ResourceError = ResourceError::OutOfMemory;
const OVER_BUDGET: ResourceError = ResourceError::OverBudget { held_bytes: 5, needed_bytes: 6, budget_bytes: 7 };

#[test]
fn errors_that_operations_share() {
    says(&RangeError::Empty { at: 5 }, 22, "the range at 0x5 is empty");
    says(&RangeError::Reversed { start: 5, end: 3 }, 22, "the range is reversed: it starts at 0x5 and ends at 0x3");
    says(
        &RangeError::TooLong { start: 0x10, len: u64::MAX },
        22,
        "the range of 0xffffffffffffffff addresses from 0x10 ends after the last address of all",
    );
    says(&RangeError::Unrepresentable { after: u64::MAX }, 22, "the range starts after 0xffffffffffffffff, the last address of all");
    says(&OUT_OF_MEMORY, 12, "no memory for new nodes of the index");
    says(&OVER_BUDGET, 11, "pinned readers hold back 5 bytes, and 6 more would exceed the budget of 7 bytes");
    says(&InterruptedError::new(), 4, "the wait for the lock was interrupted");
    says(&WaitError::Interrupted, 4, "the wait was interrupted");
    says(&WaitError::WouldBlock, 11, "the operation would have to wait, and must not");
}

#[test]
fn errors_of_a_map() {
    let (range, asked, by) = (RangeError::Empty { at: 5 }, span(8, 15), span(4, 11));
    says(&InsertCause::Range(range), 22, "cannot insert: the range at 0x5 is empty");
    says(&InsertCause::Occupied { asked, by }, 17, "cannot insert at 0x8..=0xf: the entry 0x4..=0xb is in the way");
    says(&InsertCause::Resource(OUT_OF_MEMORY), 12, "cannot insert: no memory for new nodes of the index");
    says(&InsertError::new('a', range), 22, "cannot insert: the range at 0x5 is empty");
    says(&ReplaceCause::Range(range), 22, "cannot replace: the range at 0x5 is empty");
    let cut = "cannot replace the entries at 0x8..=0xf: the entry 0x4..=0xb would be cut";
    says(&ReplaceCause::Cut { asked, entry: by }, 22, cut);
    says(&ReplaceCause::Resource(OUT_OF_MEMORY), 12, "cannot replace: no memory for new nodes of the index");
    says(&RemoveError::Range(range), 22, "cannot remove: the range at 0x5 is empty");
    says(&RemoveError::Cut { asked, entry: by }, 22, "cannot remove the entries at 0x8..=0xf: the entry 0x4..=0xb would be cut");
    says(&RemoveError::Resource(OUT_OF_MEMORY), 12, "cannot remove: no memory for new nodes of the index");
    says(&RemoveEntryError::Resource(OUT_OF_MEMORY), 12, "cannot remove the entry: no memory for new nodes of the index");
    says(&DupError::Resource(OUT_OF_MEMORY), 12, "cannot copy the map: no memory for new nodes of the index");
    says(&SetCause::Absent { at: 9 }, 14, "cannot set the value at 0x9: no entry contains the address");
    says(&SetCause::Resource(OUT_OF_MEMORY), 12, "cannot set the value: no memory for new nodes of the index");
    says(&SpliceCause::Range(range), 22, "cannot splice: the range at 0x5 is empty");
    let unsorted = "cannot splice: the item 0x8..=0xf does not start above 0x4..=0xb, the item before it";
    says(&SpliceCause::Unsorted { item: asked, after: by }, 22, unsorted);
    let outside = "cannot splice at 0x8..=0xf: the items are at 0x4..=0xb, which is not inside";
    says(&SpliceCause::Outside { items: by, asked }, 22, outside);
    says(&SpliceCause::Cut { asked, entry: by }, 22, "cannot splice the entries at 0x8..=0xf: the entry 0x4..=0xb would be cut");
    says(&SpliceCause::Resource(OUT_OF_MEMORY), 12, "cannot splice: no memory for new nodes of the index");
    says(&ExtendError::Absent { at: 9 }, 14, "cannot extend the entry at 0x9: no entry contains the address");
    says(&ExtendError::Blocked { asked, by }, 17, "cannot extend the entry to 0x8..=0xf: the entry 0x4..=0xb is in the way");
    says(&ExtendError::Resource(OUT_OF_MEMORY), 12, "cannot extend the entry: no memory for new nodes of the index");
    says(&GapError::ZeroSize, 22, "cannot find a gap of 0 bytes");
    says(&GapError::Alignment { align: 3 }, 22, "cannot find a gap aligned to 0x3, which is not a power of two");
    says(&GapError::Window(range), 22, "cannot find a gap in the window: the range at 0x5 is empty");
    let small = "cannot find a gap of 0x20 bytes in 0x8..=0xf, which is smaller";
    says(&GapError::SmallWindow { size: 0x20, window: asked }, 22, small);
    says(&GapError::NotFound { size: 4, align: 8, window: asked }, 16, "no gap of 0x4 bytes aligned to 0x8 is in 0x8..=0xf");
    says(&BuildCause::Range(range), 22, "cannot build the map: the range at 0x5 is empty");
    let unsorted = "cannot build the map: the item 0x8..=0xf does not start above 0x4..=0xb, the item before it";
    says(&BuildCause::Unsorted { item: asked, after: by }, 22, unsorted);
    says(&BuildCause::Resource(OUT_OF_MEMORY), 12, "cannot build the map: no memory for new nodes of the index");
    says(&SynchronizeError, 35, "cannot synchronize: the calling thread is pinned, and would wait for itself");
}

#[test]
fn errors_of_a_fault() {
    let (at, vma, by) = (0x5000, span(0x4000, 0x4fff), span(0x1000, 0x1fff));
    says(&FaultError::Unmapped { at }, 14, "cannot handle the fault at 0x5000: nothing is mapped there");
    says(&FaultError::Denied { at, access: Access::Write, vma }, 14, "cannot write at 0x5000: the VMA 0x4000..=0x4fff does not allow it");
    says(&FaultError::Interrupted, 4, "cannot handle the fault: the wait was interrupted");
    says(&FaultError::WouldBlock, 11, "cannot handle the fault: the operation would have to wait, and must not");
    let gap = ExpandError::GuardGap { asked: vma, by, gap_bytes: 0x2000 };
    let near = "cannot expand the VMA to 0x4000..=0x4fff: the VMA 0x1000..=0x1fff would be nearer than 0x2000 bytes";
    says(&gap, 12, near);
    says(&FaultError::Growth(gap), 12, &format!("cannot handle the fault: {near}"));
    says(&ExpandError::Absent { at }, 14, "cannot expand a VMA to 0x5000: there is none beside it");
    let direction = "cannot expand the VMA 0x4000..=0x4fff to 0x5000: it does not grow in that direction";
    says(&ExpandError::WrongDirection { at, vma }, 14, direction);
    let minimum = "cannot expand a VMA to 0x5000: that is below 0x8000, the lowest address that may be mapped";
    says(&ExpandError::BelowMinimum { at, minimum: 0x8000 }, 1, minimum);
    let beyond = "cannot expand a VMA to 0x5000: that is beyond 0x4000, where the address space ends";
    says(&ExpandError::BeyondTask { at, task_size: 0x4000 }, 12, beyond);
    let offset = "cannot expand the VMA to 0x4000..=0x4fff: the offsets in what backs it do not reach that far";
    says(&ExpandError::Offset { asked: vma }, 12, offset);
    let limit = Limit::Stack { asked_bytes: 9, limit_bytes: 8 };
    says(&ExpandError::Limit(limit), 12, "cannot expand the VMA: a stack of 9 bytes: the limit is 8");
    says(&ExpandError::HugePagesOnly { asked: vma }, 14, "cannot expand the VMA to 0x4000..=0x4fff: only huge pages may be there");
    says(&ExpandError::Wait(WaitError::WouldBlock), 11, "cannot expand the VMA: the operation would have to wait, and must not");
    says(&ExpandError::Resource(OUT_OF_MEMORY), 12, "cannot expand the VMA: no memory for new nodes of the index");
    says(&LockVmaError::Busy { at }, 11, "cannot lock the VMA at 0x5000: a writer has locked it, or is about to");
    let absent = "cannot lock the VMA at 0x5000: none was there at that moment; only a search under the mm lock can prove that none is";
    says(&LockVmaError::Absent { at }, 11, absent);
    let full = "cannot lock the VMA at 0x5000: it has as many readers as its lock can count";
    says(&LockVmaError::TooManyReaders { at }, 11, full);
    let full = "cannot lock the first VMA from 0x5000 on: it has as many readers as its lock can count";
    says(&LockFindError::TooManyReaders { from: at }, 11, full);
    says(&LockFindError::Wait(WaitError::Interrupted), 4, "cannot lock the first VMA: the wait was interrupted");
}

/// Only a fault's error has a signal, whatever kept a stack from growing.
#[test]
fn only_a_fault_has_a_signal() {
    let growth = ExpandError::Absent { at: 0 };
    assert_eq!(FaultError::Growth(growth).signal(), Some(Signal::Segv(SegvCode::MapErr)));
    assert_eq!(FaultError::WouldBlock.signal(), None);
    assert_eq!(growth.signal(), None);
    assert_eq!(InsertError::new((), OUT_OF_MEMORY).signal(), None);
}

#[test]
fn errors_of_an_address_space() {
    let (asked, by) = (span(0x4000, 0x5fff), span(0x5000, 0x5fff));
    says(&InsertVmaCause::Unaligned { at: 9 }, 22, "cannot insert the VMA: 0x9 is not at a page's start");
    let huge = "cannot insert the VMA: there are no huge pages of 0x2 bytes";
    says(&InsertVmaCause::NoSuchHugePages { bytes: 2 }, 22, huge);
    says(&InsertVmaCause::Growing, 22, "cannot insert the VMA: one that grows is private and has no object behind it");
    says(&InsertVmaCause::Occupied { asked, by }, 17, "cannot insert the VMA 0x4000..=0x5fff: the VMA 0x5000..=0x5fff is in the way");
    let beyond = "cannot insert the VMA 0x4000..=0x5fff: it ends beyond 0x5000, where the address space ends";
    says(&InsertVmaCause::BeyondTask { asked, task_size: 0x5000 }, 12, beyond);
    says(
        &InsertVmaCause::BelowMinimum { at: 1, minimum: 2 },
        1,
        "cannot insert the VMA: 0x1 is below 0x2, the lowest address that may be mapped",
    );
    let gap = "cannot insert the VMA: 0x4000..=0x5fff would be in the guard gap of the stack 0x5000..=0x5fff";
    says(&InsertVmaCause::GuardGap { asked, by }, 12, gap);
    says(&InsertVmaCause::TooMany { count: 3, limit: 2 }, 12, "cannot insert the VMA: there are 3 VMAs, and the limit is 2");
    let heap = "cannot set the heap: the break 0x1 is below 0x2, where the heap starts";
    says(&HeapError::Reversed { start: 2, brk: 1 }, 22, heap);
    let heap = "cannot set the heap: the break 0x2 is beyond 0x1, where the address space ends";
    says(&HeapError::BeyondTask { brk: 2, task_size: 1 }, 22, heap);
    says(&PkeyAllocError::Rights { bits: 8 }, 22, "pkey_alloc: 0x8 are not rights to a protection key");
    says(&PkeyAllocError::Exhausted, 28, "pkey_alloc: all protection keys are allocated");
    let key = "pkey_free: the protection key 3 is not allocated, or is the execute-only key";
    says(&PkeyFreeError::NotAllocated { key: 3 }, 22, key);
    says(&MunmapError::ZeroLength, 22, "munmap: the length is 0");
    says(&MunmapError::Layout(LayoutError::Sealed { by }), 1, "munmap: the VMA 0x5000..=0x5fff is sealed");
    says(&ForkError::Wait(WaitError::Interrupted), 4, "fork: the wait was interrupted");
    let commit = Limit::Commit { asked_pages: 3, limit_pages: 2 };
    says(&ForkError::Limit(commit), 12, "fork: 3 pages promised: the limit is 2");
    says(&ForkError::Resource(OVER_BUDGET), 11, &format!("fork: {OVER_BUDGET}"));
    says(&ExitError::Resource(OUT_OF_MEMORY), 12, "exit: no memory for new nodes of the index");
    let gap = "change_payloads: nothing is mapped at 0x9; what is mapped in the range was changed";
    says(&ChangePayloadsError::Gap { at: 9 }, 12, gap);
    says(&MmapError::Occupied { asked, by }, 17, "mmap: cannot map 0x4000..=0x5fff: the VMA 0x5000..=0x5fff is in the way");
}
