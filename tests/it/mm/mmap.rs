//! Flags and offsets of VMAs, and what `map` and `munmap` refuse and leave.

use crate::support::address_space::{DOWN, RW, UP, layout, map_all, mm_of, mm_with, page};
use std::sync::Arc;
use vmaple::mm::{AnonOwner, Backing, LayoutError, MapCause, MunmapError, ObjectId};
use vmaple::{Access, ErrorCode, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

#[test]
fn flags_say_what_is_allowed() {
    for bits in 0..8 {
        let flags = VmaFlags::from_bits_retain(bits);
        assert_eq!(flags.allows(Access::Read), bits != 0, "any way in is a way to read");
        assert_eq!(flags.allows(Access::Write), flags.contains(VmaFlags::WRITE));
        assert_eq!(flags.allows(Access::Exec), flags.contains(VmaFlags::EXEC));
        assert_eq!(flags.is_accessible(), bits != 0);
    }
    assert!(RW.is_data() && !DOWN.is_data() && !(RW | VmaFlags::SHARED).is_data() && !VmaFlags::READ.is_data());
    assert!(DOWN.is_stack() && UP.is_stack() && !RW.is_stack());
}

/// before  AAAA
/// unmap    ..
/// after   A..A    each with a record of its own, the same linear offset, the payload cloned
#[test]
fn a_split_keeps_what_each_address_is_backed_by() {
    let mm: Mm<Arc<str>> = Mm::builder().private_epochs().build();
    let spec = VmaSpec::of_object(ObjectId::from(7), 0x5000, RW).owned_by(AnonOwner::from(3)).with_payload(Arc::from("text"));
    mm.write().map(page(0)..page(4), spec).expect("free");
    let (before, linear_offset) = mm.read().lookup(page(0)).map(|vma| (vma.handle(), vma.linear_offset())).expect("mapped");
    assert_eq!(mm.write().munmap(page(1), page(3) - page(1)).expect("memory"), 0);
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

/// 5.8: the offset of anonymous memory is its address, or where it came from.
#[test]
fn anonymous_offsets_are_addresses() {
    let mm = mm_of(&[(0, 1, RW)]);
    mm.write().map(page(4)..page(5), VmaSpec::anonymous(RW).at_offset(0x3000)).expect("free");
    assert_eq!(mm.read().lookup(page(0)).expect("mapped").page_offset_of(page(0)), page(0) / PAGE_SIZE);
    assert_eq!(mm.read().lookup(page(4)).expect("mapped").page_offset_of(page(4)), 3);
}

/// What is refused, with its errno (5.1, 5.3, 5.5). Nothing changes.
#[test]
fn map_refuses() {
    let mm = mm_with(|limits| {
        limits.locked_bytes = 2 * PAGE_SIZE;
        limits.address_space_bytes = 8 * PAGE_SIZE;
        limits.data_bytes = 6 * PAGE_SIZE;
        limits.commit_bytes = PAGE_SIZE;
    });
    map_all(&mm, &[(4, 6, RW)]);
    let cause = |start, end, flags: VmaFlags| mm.write().map(start..end, VmaSpec::anonymous(flags)).expect_err("refused").cause;
    let errno = |start, end, flags| cause(start, end, flags).errno();
    assert_eq!(errno(page(1), page(1), RW), 22);
    assert_eq!(errno(page(1) + 1, page(2), RW), 22);
    assert_eq!(errno(page(1), page(2) + 1, RW), 22);
    assert_eq!(errno(page(1), page(2), DOWN | VmaFlags::SHARED), 22, "what grows is private");
    assert_eq!(errno(0x7fff_ffff_f000, 0x8000_0000_0000, RW), 12, "beyond the address space");
    assert_eq!(errno(0xf000, 0x1_0000, RW), 1, "below the lowest address");
    assert!(matches!(cause(page(5), page(7), RW), MapCause::Occupied { by, .. } if by.start() == page(4)));
    assert_eq!(errno(page(3), page(5), RW), 17);
    assert_eq!(errno(page(8), page(11), VmaFlags::READ | VmaFlags::LOCKED), 11, "RLIMIT_MEMLOCK");
    assert_eq!(errno(page(8), page(15), VmaFlags::READ), 12, "RLIMIT_AS");
    assert_eq!(errno(page(8), page(13), RW), 12, "RLIMIT_DATA");
    assert_eq!(errno(page(8), page(10), VmaFlags::READ | VmaFlags::ACCOUNT), 12, "promised");
    let stack_of_object = VmaSpec::of_object(ObjectId::from(1), 0, DOWN);
    assert_eq!(mm.write().map(page(1)..page(2), stack_of_object.clone()).expect_err("refused").value, stack_of_object);
    assert_eq!(layout(&mm), [(4, 6, RW)]);
}

/// 5.1: the limit on the number of VMAs is compared as Linux does, so one more than it can be reached; 5.15: not by a split.
#[test]
fn the_number_of_vmas_is_limited() {
    let mm = mm_with(|limits| limits.max_map_count = 2);
    map_all(&mm, &[(0, 1, RW), (2, 3, RW), (4, 9, RW)]);
    let refused = mm.write().map(page(20)..page(21), VmaSpec::anonymous(RW)).expect_err("one too many").cause;
    assert_eq!(refused, MapCause::TooMany { count: 3, limit: 2 });
    let refused = mm.write().munmap(page(5), page(6) - page(5)).expect_err("one would become two");
    assert_eq!((refused, refused.errno()), (LayoutError::TooMany { count: 3, limit: 2 }.into(), 12));
    assert_eq!(mm.write().munmap(page(4), page(6) - page(4)), Ok(0), "an end may be cut off");
    assert_eq!(layout(&mm), [(0, 1, RW), (2, 3, RW), (6, 9, RW)]);
}

/// before  AA.BBBB.CC    B and C different in flags
/// unmap    .......
/// after   A.......C
#[test]
fn unmap_cuts_both_ends() {
    let locked = VmaFlags::READ | VmaFlags::LOCKED;
    let mm = mm_of(&[(0, 2, RW), (3, 7, locked), (8, 10, DOWN)]);
    assert_eq!((mm.stats().locked_pages, mm.stats().stack_pages, mm.stats().data_pages), (4, 2, 2));
    assert_eq!(mm.write().munmap(page(1), page(9) - page(1)), Ok(0));
    assert_eq!(layout(&mm), [(0, 1, RW), (9, 10, DOWN)]);
    assert_eq!((mm.stats().locked_pages, mm.stats().stack_pages, mm.stats().data_pages), (0, 1, 1));
    assert_eq!(mm.write().munmap(page(1), page(9) - page(1)), Ok(0), "5.15: nothing there is no error");
}

/// 5.15: arguments, and a sealed VMA anywhere in the range: nothing is removed.
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
