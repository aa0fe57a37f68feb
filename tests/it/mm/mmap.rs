//! `mmap` and `insert`: where a mapping is placed, what is refused, and what a fixed mapping replaces.
//!
//! Layouts are drawn with one letter for each page: `S` a stack, `A` anonymous memory, `.` nothing.

use crate::support::address_space::{DOWN, RW, bytes, layout, map_all, mm_of, mm_with, mmap_at, page};
use vmaple::lock::Patience;
use vmaple::mm::{InsertVmaCause, LayoutError, MapRequest, MmapError, ObjectId};
use vmaple::{ErrorCode, PAGE_SIZE, VmaFlags, VmaSpec};

/// Refused mappings, each with its errno (5.1, 5.3, 5.5). None changes anything.
#[test]
fn insert_refuses() {
    let mm = mm_with(|limits| {
        limits.locked_bytes = 2 * PAGE_SIZE;
        limits.address_space_bytes = 8 * PAGE_SIZE;
        limits.data_bytes = 6 * PAGE_SIZE;
        limits.commit_bytes = PAGE_SIZE;
    });
    map_all(&mm, &[(4, 6, RW)]);
    let cause = |start, end, flags: VmaFlags| mm.write().insert(start, end - start, VmaSpec::anonymous(flags)).expect_err("refused").cause;
    let errno = |start, end, flags| cause(start, end, flags).errno();
    assert_eq!(errno(page(1), page(1), RW), 22);
    assert_eq!(errno(page(1) + 1, page(2), RW), 22);
    assert_eq!(errno(page(1), page(2) + 1, RW), 22);
    assert_eq!(errno(page(1), page(2), DOWN | VmaFlags::SHARED), 22, "what grows is private");
    assert_eq!(errno(0x7fff_ffff_f000, 0x8000_0000_0000, RW), 12, "beyond the address space");
    assert_eq!(errno(0xf000, 0x1_0000, RW), 1, "below the lowest address");
    assert!(matches!(cause(page(5), page(7), RW), InsertVmaCause::Occupied { by, .. } if by.start() == page(4)));
    assert_eq!(errno(page(3), page(5), RW), 17);
    assert_eq!(errno(page(8), page(11), VmaFlags::READ | VmaFlags::LOCKED), 11, "RLIMIT_MEMLOCK");
    assert_eq!(errno(page(8), page(15), VmaFlags::READ), 12, "RLIMIT_AS");
    assert_eq!(errno(page(8), page(13), RW), 12, "RLIMIT_DATA");
    assert_eq!(errno(page(8), page(10), VmaFlags::READ | VmaFlags::ACCOUNT), 12, "promised");
    let two_bytes = VmaFlags::from_bits_retain(VmaFlags::HUGETLB.bits() | 1 << 54);
    assert_eq!(cause(page(1), page(1) + 2, two_bytes), InsertVmaCause::NoSuchHugePages { bytes: 2 });
    let stack_of_object = VmaSpec::of_object(ObjectId::from(1), 0, DOWN);
    assert_eq!(mm.write().insert(page(1), PAGE_SIZE, stack_of_object.clone()).expect_err("refused").value, stack_of_object);
    assert_eq!(layout(&mm), [(4, 6, RW)]);
}

/// 5.30: a length that wraps around when it is rounded up to whole huge pages is an invalid argument; a shorter one is too long.
#[test]
fn a_length_wraps_around_in_huge_pages_alone() {
    let mm = mm_with(|_| {});
    let refused = |len, flags| mm.write().mmap(&MapRequest::new(len, VmaSpec::anonymous(flags))).map_err(|error| (error, error.errno()));
    let huge = 2 << 20;
    for len in [u64::MAX, u64::MAX - huge + 2] {
        assert_eq!(refused(len, RW | VmaFlags::HUGETLB), Err((MmapError::LengthWraps { len }, 22)));
        assert_eq!(refused(len, RW), Err((MmapError::TooLong { len }, 12)));
    }
    let len = u64::MAX - huge + 1;
    assert_eq!(refused(len, RW | VmaFlags::HUGETLB), Err((MmapError::TooLong { len }, 12)));
    assert!(mm.is_empty());
}

/// 5.1: the limit on the number of VMAs is compared as Linux does, so there can be one more than it; 5.15: but not after a split.
#[test]
fn the_number_of_vmas_is_limited() {
    let mm = mm_with(|limits| limits.max_map_count = 2);
    map_all(&mm, &[(0, 1, RW), (2, 3, RW), (4, 9, RW)]);
    let refused = mm.write().insert(page(20), PAGE_SIZE, VmaSpec::anonymous(RW)).expect_err("one too many").cause;
    assert_eq!(refused, InsertVmaCause::TooMany { count: 3, limit: 2 });
    let refused = mm.write().munmap(page(5), page(6) - page(5)).expect_err("one would become two");
    assert_eq!((refused, refused.errno()), (LayoutError::TooMany { count: 3, limit: 2 }.into(), 12));
    assert_eq!(mm.write().munmap(page(4), page(6) - page(4)), Ok(()), "an end may be cut off");
    assert_eq!(layout(&mm), [(0, 1, RW), (2, 3, RW), (6, 9, RW)]);
}

/// 5.1, 5.3: `insert` and `mmap` give a VMA the same `MAY` flags. `MAY` flags that were given are kept, and exact flags get no others.
#[test]
fn insert_and_mmap_agree_on_flags() {
    const R: VmaFlags = VmaFlags::READ;
    const SHARED: VmaFlags = VmaFlags::SHARED;
    let (read, write, exec, share) = (VmaFlags::MAYREAD, VmaFlags::MAYWRITE, VmaFlags::MAYEXEC, VmaFlags::MAYSHARE);
    let mm = mm_of(&[]);
    for (given, may) in [
        (VmaFlags::empty(), read | write | exec),
        (R, read | write | exec),
        (R | read, read | write),
        (R | exec | write, exec | write),
        (R | SHARED, read | write | exec | share),
        (R | SHARED | read, read | share),
        (R | share, read | write | exec | share),
    ] {
        let spec = VmaSpec::anonymous(given);
        let all = read | write | exec | share;
        for (spec, may) in [(spec.clone(), may), (spec.clone().with_payload(()), may), (spec.exact_flags(), given & all)] {
            mm.write().insert(page(0), PAGE_SIZE, spec.clone()).expect("free");
            mm.write().mmap(&MapRequest::new(PAGE_SIZE, spec.clone()).fixed(page(2))).expect("room");
            let [inserted, mapped] = [0, 2].map(|at| mm.read().lookup(page(at)).expect("mapped").flags());
            assert_eq!((inserted, mapped), ((given - all) | may, (given - all) | may), "{spec:?}");
            mm.write().munmap(page(0), bytes(3)).expect("memory");
        }
    }
}

/// 5.8: the offset of anonymous memory is its address, or the offset that was given.
#[test]
fn anonymous_offsets_are_addresses() {
    let mm = mm_of(&[(0, 1, RW)]);
    mm.write().insert(page(4), PAGE_SIZE, VmaSpec::anonymous(RW).at_offset(0x3000)).expect("free");
    assert_eq!(mm.read().lookup(page(0)).expect("mapped").page_offset_of(page(0)), page(0) / PAGE_SIZE);
    assert_eq!(mm.read().lookup(page(4)).expect("mapped").page_offset_of(page(4)), 3);
}

/// 6.9, 6.10: a mapping is not placed in a stack's guard gap, even if the window of the search ends in it, and a gap that is large enough
/// only with the guard gap does not end the search.
/// ```text
/// before  ..........AA....S   the gap is two pages
/// search       ^ two pages: not 14 and 15, in the guard gap, but 12 and 13
/// search   ^ three pages: below the A
/// ```
#[test]
fn placement_keeps_out_of_guard_gaps() {
    let mm = mm_with(|limits| {
        (limits.stack_guard_gap_pages, limits.mmap_base, limits.mmap_legacy_base) = (2, page(15), page(0));
    });
    map_all(&mm, &[(10, 12, VmaFlags::READ), (16, 17, DOWN)]);
    let search = |pages| MapRequest::new(bytes(pages), VmaSpec::anonymous(RW));
    assert_eq!(mm.write().plan(Patience::Never).mmap(&search(3)).outcome(), Ok(page(7)), "the window ends in the guard gap");
    assert_eq!(mm.write().mmap(&search(2)), Ok(page(12)));
    assert_eq!(mm.write().plan(Patience::Never).mmap(&search(1)).outcome(), Ok(page(9)));
    let near = search(1).near(page(14));
    assert_eq!(mm.write().plan(Patience::Never).mmap(&near).outcome(), Ok(page(9)), "nor is a hint there taken");
}

/// 6.29: readers see the old mapping or the new one: a plan is not visible, and its commit becomes visible at once.
#[test]
fn a_fixed_mapping_replaces_in_one_step() {
    let mm = mm_with(|_| {});
    mmap_at(&mm, 0, 4, VmaFlags::READ);
    let mut writer = mm.write();
    let request = MapRequest::new(bytes(2), VmaSpec::anonymous(RW)).fixed(page(1));
    let plan = writer.plan(Patience::Never).mmap(&request);
    let seen = |at| mm.pin().lookup(page(at)).map(|vma| (vma.start(), vma.flags() & VmaFlags::ACCESS));
    assert_eq!([0, 1, 2, 3].map(seen), [Some((page(0), VmaFlags::READ)); 4], "planned, and nothing has happened");
    plan.commit().expect("memory");
    assert_eq!(
        [0, 1, 2, 3].map(seen),
        [Some((page(0), VmaFlags::READ)), Some((page(1), RW)), Some((page(1), RW)), Some((page(3), VmaFlags::READ))]
    );
}
