//! The errors of the operations on a layout: one enum for each operation, with Linux's errnos. Used by `mm`.

use super::ErrorCode;
use super::errno::{EACCES, EAGAIN, EEXIST, EFAULT, EINVAL, ENOMEM, EOVERFLOW, EPERM};
use super::limits::Limit;
use super::shared::LayoutError;
use crate::addr::{Access, Span};
use core::fmt;

operation_error! {
    /// Why `mmap` mapped nothing. The layout has not changed, except that VMAs may have been split where a fixed mapping would begin or end.
    ///
    /// Numbers in parentheses are [rules](crate::docs::semantics).
    MmapError of "mmap" {
        /// The length is 0 (5.1).
        ZeroLength => EINVAL, "the length is 0";
        /// The fixed address, or the offset in the object, is not at the start of a page, or, for memory of huge pages, of a huge page.
        Unaligned {
            /// The address, or the offset in bytes.
            at: u64,
        } => EINVAL, "{at:#x} is not at a page's start";
        /// The system has no huge pages of that size.
        NoSuchHugePages {
            /// The size asked for.
            bytes: u64,
        } => EINVAL, "there are no huge pages of {bytes:#x} bytes";
        /// The length wraps around if it is rounded up to whole huge pages.
        LengthWraps {
            /// The length asked for, in bytes.
            len: u64,
        } => EINVAL, "{len:#x} bytes wrap around in whole huge pages";
        /// The length, rounded up to whole pages, exceeds the address space.
        TooLong {
            /// The length asked for, in bytes.
            len: u64,
        } => ENOMEM, "a mapping of {len:#x} bytes is longer than the address space";
        /// The offsets in the object would wrap around.
        OffsetOverflow {
            /// The offset asked for, in bytes.
            offset: u64,
        } => EOVERFLOW, "from offset {offset:#x} on, the offsets would wrap around";
        /// The fixed range ends beyond the address space (5.3).
        BeyondTask {
            /// The fixed address.
            at: u64,
            /// The length asked for, in bytes.
            len: u64,
            /// The end of the address space.
            task_size: u64,
        } => ENOMEM, "{len:#x} bytes at {at:#x} end beyond {task_size:#x}, where the address space ends";
        /// The fixed address is in the last page. Linux mistakes such an address for an errno, and returns that errno (5.3).
        ReadsAsErrno {
            /// The address.
            at: u64,
        } => (at.wrapping_neg() & 0xfff) as i32, "{at:#x} is in the last page, whose addresses read as an errno";
        /// The fixed range starts below the lowest address that may be mapped.
        BelowMinimum {
            /// The fixed address.
            at: u64,
            /// The lowest address.
            minimum: u64,
        } => EPERM, "{at:#x} is below {minimum:#x}, the lowest address that may be mapped";
        /// No gap is large enough (5.4).
        NoRoom {
            /// The length asked for, in bytes.
            len: u64,
        } => ENOMEM, "no gap of {len:#x} bytes";
        /// A VMA is in the way, and may not be replaced (5.3).
        Occupied {
            /// The range asked for.
            asked: Span,
            /// The first VMA in it.
            by: Span,
        } => EEXIST, "cannot map {asked}: the VMA {by} is in the way";
        /// Nothing may be locked in memory.
        MayNotLock => EPERM, "nothing may be locked in memory";
        /// The mapping would exceed the limit on locked memory (5.5).
        LockLimit {
            /// The limit.
            limit: Limit,
        } => EAGAIN, "{limit}";
        /// The flags have `DROPPABLE`, and the memory would be shared, have an object, grow, or be locked.
        Droppable => EINVAL, "memory that may be dropped is private, has no object behind it, does not grow, and is not locked";
        /// The mapping would grow, and be shared or have an object.
        Growing => EINVAL, "a VMA that grows is private and has no object behind it";
    }
}

operation_error! {
    /// Why `munmap` unmapped nothing. A VMA may have been split where the range begins.
    ///
    /// Numbers in parentheses are [rules](crate::docs::semantics).
    MunmapError of "munmap" {
        /// The length is 0 (5.15).
        ZeroLength => EINVAL, "the length is 0";
        /// The range does not start at a page's start.
        Unaligned {
            /// The address.
            at: u64,
        } => EINVAL, "{at:#x} is not at a page's start";
        /// The range is not in the address space.
        BeyondTask {
            /// Where it starts.
            at: u64,
            /// Its length in bytes.
            len: u64,
            /// The end of the address space.
            task_size: u64,
        } => EINVAL, "{len:#x} bytes from {at:#x} on are not within {task_size:#x}";
    }
}

operation_error! {
    /// Why `mprotect` stopped. The part of the range below the VMA or address in the error has changed, except under
    /// [`PartialEffects::Never`](crate::mm::PartialEffects::Never).
    ///
    /// Numbers in parentheses are [rules](crate::docs::semantics).
    MprotectError of "mprotect" {
        /// The range does not start at a page's start.
        Unaligned {
            /// The address.
            at: u64,
        } => EINVAL, "{at:#x} is not at a page's start";
        /// The range wraps around at the end of the addresses.
        Wraps {
            /// Where it starts.
            at: u64,
            /// Its length in bytes.
            len: u64,
        } => ENOMEM, "{len:#x} bytes from {at:#x} on wrap around";
        /// The raw argument has unknown bits, or extends the range both ways. Only
        /// [`ProtectRequest::from_raw`](crate::mm::ProtectRequest::from_raw) can request that.
        Unknown {
            /// The argument.
            prot: u64,
        } => EINVAL, "{prot:#x} is not a protection";
        /// The protection key is not allocated, is the execute-only key, or is not a key (8.4).
        Key {
            /// Its number.
            key: i32,
        } => EINVAL, "the protection key {key} may not be given: it is not allocated, or is the execute-only key";
        /// Part of the range is not mapped.
        Gap {
            /// The first address at which nothing is mapped.
            at: u64,
        } => ENOMEM, "nothing is mapped at {at:#x}";
        /// The request extends to the end of a stack, and the first VMA does not grow that way.
        NotGrowing {
            /// The VMA.
            vma: Span,
        } => EINVAL, "the VMA {vma} does not grow that way";
        /// The `MAY` flags of the VMA forbid an access that the request gives.
        Denied {
            /// The VMA.
            vma: Span,
            /// The access that is forbidden.
            access: Access,
        } => EACCES, "the VMA {vma} may not be given the right to {access}";
    }
}

operation_error! {
    /// Why `mremap` failed. The table in [part 5](crate::docs::semantics#5-operations) says what each failure leaves behind.
    MremapError of "mremap" {
        /// The address is not at the start of a page, the length is 0, or the range is not in the address space.
        Range {
            /// The address.
            at: u64,
            /// The length in bytes.
            len: u64,
        } => EINVAL, "{len:#x} bytes at {at:#x}: not whole pages, none, or not in the address space";
        /// The raw flags are unknown, or contradict each other or the lengths. Only
        /// [`RemapRequest::from_raw`](crate::mm::RemapRequest::from_raw) can request that.
        Contradiction => EINVAL, "the flags are unknown, or contradict each other or the lengths";
        /// The target overlaps the source.
        Overlap {
            /// The source.
            from: Span,
            /// The target.
            to: Span,
        } => EINVAL, "the target {to} overlaps the source {from}";
        /// The old length is 0, which requests a second mapping of the pages, and they are private.
        Private {
            /// The VMA.
            vma: Span,
        } => EINVAL, "the pages of {vma} are its own: they cannot be mapped twice";
        /// The pages of such a VMA cannot be moved away from it (`MREMAP_DONTUNMAP`).
        Special {
            /// The VMA.
            vma: Span,
        } => EINVAL, "the pages of {vma} cannot be moved away from it";
        /// The offsets in the object would wrap around.
        Offset {
            /// The VMA.
            vma: Span,
        } => EINVAL, "the offsets of {vma} would wrap around";
        /// Nothing is mapped at the start of the source.
        Absent {
            /// The address.
            at: u64,
        } => EFAULT, "nothing is mapped at {at:#x}";
        /// More than one VMA would be resized or moved.
        AcrossEnd {
            /// The VMA.
            vma: Span,
        } => EFAULT, "it goes on beyond the end of {vma}";
        /// The VMA may not be expanded.
        DontExpand {
            /// The VMA.
            vma: Span,
        } => EFAULT, "the VMA {vma} may not be expanded";
        /// The VMA would grow, and consists of huge pages.
        HugePages {
            /// The VMA.
            vma: Span,
        } => EINVAL, "the VMA {vma} consists of huge pages, and does not grow";
        /// The target is below the lowest address that may be mapped. What was at a fixed target has been unmapped, and the source shrunk.
        BelowMinimum {
            /// The target.
            at: u64,
            /// The lowest address.
            minimum: u64,
        } => EPERM, "not moved to {at:#x}: it is below {minimum:#x}, the lowest address that may be mapped";
        /// More memory would be locked than the limit allows.
        LockLimit {
            /// The limit.
            limit: Limit,
        } => EAGAIN, "{limit}";
        /// The VMA cannot grow in place, and may not be moved.
        InTheWay {
            /// The VMA.
            vma: Span,
        } => ENOMEM, "the VMA {vma} cannot grow where it is";
        /// No gap is large enough.
        NoRoom {
            /// The length asked for, in bytes.
            len: u64,
        } => ENOMEM, "no gap of {len:#x} bytes";
    }
}

operation_error! {
    /// Why `brk` did not move the break (5.25).
    ///
    /// Numbers in parentheses are [rules](crate::docs::semantics).
    BrkError of "brk" {
        /// No heap was set ([`set_heap`](crate::mm::MmWriteGuard::set_heap)).
        NoHeap {
            /// The break asked for.
            asked: u64,
        } => ENOMEM, "no break at {asked:#x}: the address space has no heap";
        /// The heap's new pages would begin below the lowest address that may be mapped.
        BelowMinimum {
            /// Where they would begin.
            at: u64,
            /// The lowest address.
            minimum: u64,
        } => EPERM, "no heap at {at:#x}: it is below {minimum:#x}, the lowest address that may be mapped";
        /// The break would be below the start of the heap.
        BelowStart {
            /// The break asked for.
            asked: u64,
            /// The start of the heap.
            start: u64,
        } => ENOMEM, "{asked:#x} is below {start:#x}, where the heap starts";
        /// The heap would end beyond the address space.
        BeyondTask {
            /// The break asked for.
            asked: u64,
            /// The end of the address space.
            task_size: u64,
        } => ENOMEM, "{asked:#x} is beyond {task_size:#x}, where the address space ends";
        /// The heap would come closer than one page to a VMA, or to its guard gap.
        Blocked {
            /// The break asked for.
            asked: u64,
            /// The VMA.
            by: Span,
        } => ENOMEM, "the heap cannot reach {asked:#x}: the VMA {by} is in the way";
        /// The heap would shrink, and nothing is mapped at its end.
        Absent {
            /// The break asked for.
            asked: u64,
        } => ENOMEM, "no heap is mapped above {asked:#x}";
        /// More memory would be locked than the limit allows.
        LockLimit {
            /// The limit.
            limit: Limit,
        } => EAGAIN, "{limit}";
    }
}

operation_error! {
    /// Why `madvise` changed nothing, or only a part.
    ///
    /// Numbers in parentheses are [rules](crate::docs::semantics).
    MadviseError of "madvise" {
        /// The range does not start at a page's start, or wraps around.
        Range {
            /// Where it starts.
            at: u64,
            /// Its length in bytes.
            len: u64,
        } => EINVAL, "{len:#x} bytes at {at:#x}: not at a page's start, or they wrap around";
        /// The advice cannot be followed for this VMA.
        Unfit {
            /// The VMA.
            vma: Span,
        } => EINVAL, "the advice makes no sense for the VMA {vma}";
        /// Part of the range is not mapped. Everything else in it follows the advice (5.24).
        Gap {
            /// The first address at which nothing is mapped.
            at: u64,
        } => ENOMEM, "nothing is mapped at {at:#x}; what is mapped in the range was done";
        /// Memory is short, or there are too many VMAs for a split.
        Again {
            /// The cause.
            cause: LayoutError,
        } => EAGAIN, "{cause}";
    }
}

operation_error! {
    /// Why `change_payloads` changed nothing, or only a part.
    ChangePayloadsError of "change_payloads" {
        /// The range does not start at a page's start, or wraps around.
        Range {
            /// Where it starts.
            at: u64,
            /// Its length in bytes.
            len: u64,
        } => EINVAL, "{len:#x} bytes at {at:#x}: not at a page's start, or they wrap around";
        /// Part of the range is not mapped. Everything else in it was changed.
        Gap {
            /// The first address at which nothing is mapped.
            at: u64,
        } => ENOMEM, "nothing is mapped at {at:#x}; what is mapped in the range was changed";
        /// Memory is short, or there are too many VMAs for a split.
        Again {
            /// The cause.
            cause: LayoutError,
        } => EAGAIN, "{cause}";
    }
}

operation_error! {
    /// Why `mlock`, `munlock` or `mlockall` stopped. The part of the range below the VMA or address in the error has changed, except under
    /// [`PartialEffects::Never`](crate::mm::PartialEffects::Never).
    MlockError of "mlock or munlock" {
        /// The range wraps around at the end of the addresses.
        Wraps {
            /// Where it starts.
            at: u64,
            /// Its length in bytes.
            len: u64,
        } => EINVAL, "{len:#x} bytes from {at:#x} on wrap around";
        /// Nothing may be locked in memory.
        MayNotLock => EPERM, "nothing may be locked in memory";
        /// Part of the range is not mapped.
        Gap {
            /// The first address at which nothing is mapped.
            at: u64,
        } => ENOMEM, "nothing is mapped at {at:#x}";
        /// The VMA's pages cannot be brought in, because the thread may not access them. The VMA is locked nevertheless, except under
        /// [`PartialEffects::Never`](crate::mm::PartialEffects::Never).
        Inaccessible {
            /// The VMA.
            vma: Span,
        } => ENOMEM, "the pages of the VMA {vma} cannot be brought in, because it is not accessible";
    }
}

operation_error! {
    /// Why `mseal` sealed nothing, or only a part.
    MsealError of "mseal" {
        /// The range does not start at a page's start, or wraps around.
        Range {
            /// Where it starts.
            at: u64,
            /// Its length in bytes.
            len: u64,
        } => EINVAL, "{len:#x} bytes at {at:#x}: not at a page's start, or they wrap around";
        /// Part of the range is not mapped, so nothing was sealed.
        Gap {
            /// The first address at which nothing is mapped.
            at: u64,
        } => ENOMEM, "nothing is mapped at {at:#x}";
    }
}
