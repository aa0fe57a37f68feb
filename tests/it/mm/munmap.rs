//! `munmap`: what is cut off, what a split keeps, what is refused, and growth beside a downgraded `munmap`.
//!
//! Layouts are drawn with one letter for each page: `S` a stack, `A` anonymous memory, `.` nothing.

use crate::support::address_space::{DOWN, RW, layout, map_all, mm_of, mm_with, page};
use std::sync::Arc;
use std::thread;
use vmaple::mm::fault::FaultError;
use vmaple::mm::{AnonOwner, Backing, LayoutError, MmReadGuard, MunmapError, ObjectId, UpgradePolicy};
use vmaple::{ErrorCode, FaultContext, Interrupt, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

/// before  AA.BBBB.CC    B and C have different flags
/// unmap    .......
/// after   A.......C
#[test]
fn unmap_cuts_both_ends() {
    let locked = VmaFlags::READ | VmaFlags::LOCKED;
    let mm = mm_of(&[(0, 2, RW), (3, 7, locked), (8, 10, DOWN)]);
    assert_eq!((mm.stats().locked_pages, mm.stats().stack_pages, mm.stats().data_pages), (4, 2, 2));
    assert_eq!(mm.write().munmap(page(1), page(9) - page(1)), Ok(()));
    assert_eq!(layout(&mm), [(0, 1, RW), (9, 10, DOWN)]);
    assert_eq!((mm.stats().locked_pages, mm.stats().stack_pages, mm.stats().data_pages), (0, 1, 1));
    assert_eq!(mm.write().munmap(page(1), page(9) - page(1)), Ok(()), "5.15: nothing there is no error");
}

/// before  AAAA
/// unmap    ..
/// after   A..A    each with its own record, the same linear offset, and a clone of the payload
#[test]
fn a_split_keeps_what_each_address_is_backed_by() {
    let mm: Mm<Arc<str>> = Mm::builder().private_epochs().build();
    let spec = VmaSpec::of_object(ObjectId::from(7), 0x5000, RW).exact_flags().owned_by(AnonOwner::from(3)).with_payload(Arc::from("text"));
    mm.write().insert(page(0), 4 * PAGE_SIZE, spec).expect("free");
    let (before, linear_offset) = mm.read().lookup(page(0)).map(|vma| (vma.handle(), vma.linear_offset())).expect("mapped");
    mm.write().munmap(page(1), page(3) - page(1)).expect("memory");
    let reader = mm.read();
    for (at, offset) in [(0, 0x5000), (3, 0x8000)] {
        let vma = reader.lookup(page(at)).expect("it stays");
        assert_eq!((vma.start(), vma.last()), (page(at), page(at + 1) - 1));
        assert_eq!((vma.offset_of(page(at)), vma.page_offset_of(page(at))), (offset, offset / PAGE_SIZE));
        assert_eq!((vma.linear_offset(), vma.flags()), (linear_offset, RW));
        assert_eq!((vma.backing(), vma.anon_owner()), (Backing::Object(ObjectId::from(7)), Some(AnonOwner::from(3))));
        assert!(Arc::ptr_eq(vma.payload(), before.payload()), "the payload keeps its identity");
        assert!(vma.handle() != before && vma.is_attached());
    }
    assert!(!before.is_attached(), "3.10");
    assert_eq!((mm.len(), mm.stats().total_pages), (2, 2));
}

/// 5.15: with invalid arguments, or a sealed VMA anywhere in the range, nothing is removed.
#[test]
fn unmap_refuses() {
    let mm = mm_of(&[(0, 2, RW), (2, 4, RW | VmaFlags::SEALED)]);
    assert_eq!(mm.write().munmap(page(0) + 1, PAGE_SIZE).expect_err("unaligned").errno(), 22);
    assert_eq!(mm.write().munmap(page(0), page(0) - page(0)).expect_err("empty").errno(), 22);
    assert_eq!(mm.write().munmap(0x7fff_ffff_e000, 0x2000).expect_err("beyond").errno(), 22);
    let sealed = mm.write().munmap(page(0), page(3) - page(0)).expect_err("sealed");
    assert!(matches!(sealed, MunmapError::Layout(LayoutError::Sealed { by }) if by.start() == page(2)) && sealed.errno() == 1);
    assert_eq!(layout(&mm).len(), 2);
}

/// ```text
/// before  ..AAASSS
/// unmap   ..---      by a thread that then downgrades its hold
/// fault      ^       may not grow into the unmapped range yet
/// ```
/// Bug 13 (CVE-2020-29369): `munmap` downgraded while a neighbour, under the read lock, grew into the range. In this
/// library growth needs the write guard, so it waits, or fails if it may not.
#[test]
fn munmap_downgraded_while_a_neighbour_grows() {
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        let mm = mm_with(|limits| (limits.stack_guard_gap_pages, limits.upgrade) = (0, policy));
        map_all(&mm, &[(2, 5, RW), (5, 8, DOWN)]);
        let calm = Interrupt::new();
        thread::scope(|threads| {
            let mut writer = mm.write();
            writer.munmap(page(2), page(5) - page(2)).expect("memory");
            let tearing_down: MmReadGuard<'_> = writer.downgrade();
            let refused = mm.find_vma_for_fault(page(3), FaultContext::KernelWithoutFixup).map(drop);
            assert_eq!(refused, Err(FaultError::WouldBlock));
            let fault = threads.spawn(|| mm.find_vma_for_fault(page(3), FaultContext::User(&calm)).map(|found| found.vma().start()));
            while mm.try_read().is_some() {
                thread::yield_now();
            }
            assert_eq!(tearing_down.iter().map(|vma| vma.start()).collect::<Vec<_>>(), [page(5)], "nothing has grown");
            drop(tearing_down);
            assert_eq!(fault.join().expect("no panic"), Ok(page(3)));
        });
        assert_eq!(layout(&mm), [(3, 8, DOWN)]);
    }
}
