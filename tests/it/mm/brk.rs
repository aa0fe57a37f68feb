//! `brk` and `set_heap`: where the heap is, and what it does not extend.
//!
//! Layouts are drawn with one letter for each page: `A` anonymous memory, `H` the heap, `.` nothing.

use crate::support::address_space::{DOWN, RW, bytes, layout, map_all, mm_with, mmap_at, page};
use vmaple::lock::Patience;
use vmaple::mm::{BrkError, HeapError};
use vmaple::{PAGE_SIZE, Span};

/// A heap is in the address space, and its break is not below its start. If no heap was set, there is no break to move (5.25).
#[test]
fn a_heap_is_set_before_its_break_is_moved() {
    let mm = mm_with(|limits| (limits.mmap_min_addr, limits.min_addr_floor) = (0, 0));
    let mut writer = mm.write();
    for asked in [0, 1, 0x5000, 0x7fff_ffff_f000, u64::MAX] {
        assert_eq!(writer.plan(Patience::Forever).brk(asked).outcome(), Err(BrkError::NoHeap { asked }));
        assert_eq!((writer.brk(asked).is_err(), mm.program_break(), mm.len()), (true, 0, 0));
    }
    let end = mm.limits().task_size;
    assert_eq!(writer.set_heap(0x10_0000, u64::MAX), Err(HeapError::BeyondTask { brk: u64::MAX, task_size: end }));
    assert_eq!(writer.set_heap(0x10_0000, 0xf_ffff), Err(HeapError::Reversed { start: 0x10_0000, brk: 0xf_ffff }));
    assert!(writer.brk(0x10_2000).is_err(), "what was refused is no heap");
    assert!(writer.fork().expect("memory").write().brk(0x10_2000).is_err(), "nor is a child's");
    assert_eq!(writer.set_heap(end, end), Ok(()));
    assert!(writer.brk(end + 1).is_err(), "there is nothing beyond");
    assert_eq!(writer.set_heap(0x10_0000, 0x10_0000), Ok(()));
    assert_eq!(writer.brk(0x10_2000), Ok(0x10_2000));
    writer.exit().expect("memory");
    assert_eq!(mm.program_break(), 0x10_0000);
}

/// 6.22: a VMA that ends where the heap begins is not part of the heap, and if the heap was unmapped, only its new pages are mapped.
/// ```text
/// before  AA|          the heap starts behind A
/// after   AA|HH        two VMAs, although their flags are the same
/// unmap     |..        the next `brk` maps only the new pages
/// ```
#[test]
fn brk_extends_no_foreign_vma_and_assumes_no_heap() {
    let mm = mm_with(|_| {});
    mmap_at(&mm, 0, 2, RW);
    mm.write().set_heap(page(2), page(2)).expect("a heap in the address space");
    assert_eq!(mm.write().brk(page(4)), Ok(page(4)));
    assert_eq!(layout(&mm).iter().map(|vma| (vma.0, vma.1)).collect::<Vec<_>>(), [(0, 2), (2, 4)]);
    mm.write().munmap(page(2), bytes(2)).expect("memory");
    assert!(mm.write().brk(page(3)).is_err(), "there is nothing to give back");
    assert_eq!(mm.program_break(), page(4));
    assert_eq!(mm.write().brk(page(5)), Ok(page(5)));
    assert_eq!(layout(&mm).iter().map(|vma| (vma.0, vma.1)).collect::<Vec<_>>(), [(0, 2), (4, 5)]);
}

/// 5.25: the heap stays in the address space, and one page away from the VMA above it, or from the guard gap of a stack there.
/// ```text
/// page     0123456789
/// layout   HH...A           the heap may end at page 4
/// layout   HH......S        the guard gap has two pages: at page 5
/// ```
#[test]
fn brk_is_refused_beyond_the_address_space_and_where_a_vma_is_in_the_way() {
    for (vma, highest) in [((5, 6, RW), 4), ((8, 9, DOWN), 5)] {
        let mm = mm_with(|limits| limits.stack_guard_gap_pages = 2);
        let mut writer = mm.write();
        writer.set_heap(page(0), page(0)).expect("a heap in the address space");
        assert_eq!(writer.brk(page(2)), Ok(page(2)));
        drop(writer);
        map_all(&mm, &[vma]);

        let mut writer = mm.write();
        let by = Span::new(page(vma.0), page(vma.1) - 1).expect("a range");
        for asked in [page(highest) + 1, page(vma.0), page(vma.1) + 7] {
            assert_eq!(writer.brk(asked), Err(BrkError::Blocked { asked, by }));
        }
        let task_size = mm.limits().task_size;
        for asked in [task_size + 1, task_size + PAGE_SIZE, !(PAGE_SIZE - 1), u64::MAX] {
            assert_eq!(writer.brk(asked), Err(BrkError::BeyondTask { asked, task_size }));
        }
        assert_eq!(mm.program_break(), page(2), "what is refused moves nothing");
        assert_eq!(writer.brk(page(highest)), Ok(page(highest)));
        writer.validate().expect("the invariants hold");
    }
}
