//! What binds an address space: the limits, who they do not bind, and where nothing may be mapped. Numbers are those of
//! `docs/semantics.md`.

use crate::vma::{RW, mm_with, page};
use vmaple::{BrkError, Capabilities, HeapError, Limits, LockAll, MapRequest, PAGE_SIZE, Patience, RangeMap, VmaFlags, VmaSpec};

/// Each limit on locked memory, with and without the capability to pass it (5.5, 5.17, 5.25, 5.26).
#[test]
fn who_may_lock_any_amount_is_bound_by_no_limit_on_it() {
    for (capabilities, is_bound) in [(Capabilities::empty(), true), (Capabilities::SYS_RAWIO, true), (Capabilities::IPC_LOCK, false)] {
        for bytes in [0, PAGE_SIZE] {
            let mm = mm_with(|limits| (limits.locked_bytes, limits.capabilities) = (bytes, capabilities));
            let mut writer = mm.write();
            let locked = MapRequest::of_len(2 * PAGE_SIZE, VmaSpec::anonymous(RW | VmaFlags::LOCKED)).fixed(page(0));
            assert_eq!(writer.mmap(&locked).is_err(), is_bound, "{capabilities:?}, {bytes} bytes");
            writer.mmap(&MapRequest::of_len(2 * PAGE_SIZE, VmaSpec::anonymous(RW)).fixed(page(4))).expect("nothing is locked");
            assert_eq!(writer.mlock(page(4), 2 * PAGE_SIZE).is_err(), is_bound, "{capabilities:?}, {bytes} bytes");
            assert_eq!(writer.mlockall(LockAll::Current).is_err(), is_bound, "{capabilities:?}, {bytes} bytes");
            assert_eq!(writer.mlockall(LockAll::Future).is_err(), is_bound && bytes == 0, "{capabilities:?}, {bytes} bytes");
        }
    }
}

/// The numbers are Linux's: a mask of a process reads as one.
#[test]
fn capabilities_have_the_numbers_of_linux() {
    assert_eq!(Capabilities::from_bits_truncate(0x1ff_feff_ffff), Capabilities::all());
    assert_eq!((Capabilities::IPC_LOCK.bits(), Capabilities::SYS_RAWIO.bits()), (1 << 14, 1 << 17));
}

/// What means nothing is refused when it is set, by the name of its field, and what was set before stays.
#[test]
fn limits_that_mean_nothing_are_refused_by_name() {
    type Change = fn(&mut Limits);
    let senseless: [(&str, u64, Change); 11] = [
        ("hugetlb_bytes", 0, |limits| limits.hugetlb_bytes = 0),
        ("hugetlb_bytes", 2048, |limits| limits.hugetlb_bytes = 2048),
        ("hugetlb_sizes", 2 << 20 | 1 << 30 | 8, |limits| limits.hugetlb_sizes |= 8),
        ("protection_keys", 17, |limits| limits.protection_keys = 17),
        ("task_size", u64::MAX, |limits| limits.task_size = u64::MAX),
        ("task_size", 0xffff_ffff_ffff_f001, |limits| limits.task_size = 0xffff_ffff_ffff_f001),
        ("task_size", 0x10_5800, |limits| limits.task_size = 0x10_5800),
        ("huge_page_bytes", 0, |limits| limits.huge_page_bytes = 0),
        ("huge_page_bytes", 3, |limits| limits.huge_page_bytes = 3),
        ("huge_page_bytes", 5000, |limits| limits.huge_page_bytes = 5000),
        ("huge_page_bytes", u64::MAX, |limits| limits.huge_page_bytes = u64::MAX),
    ];
    let mm = mm_with(|limits| limits.stack_bytes = 7);
    for (field, value, change) in senseless {
        let mut limits = Limits::default();
        change(&mut limits);
        let refused = limits.validate().expect_err(field);
        assert_eq!((refused.field(), refused.value(), refused.errno()), (field, value, 22));
        assert!(refused.to_string().contains(&format!("`{field}` is {value:#x}")), "{refused}");
        assert_eq!(mm.set_limits(limits.clone()), Err(refused));
        assert_eq!(mm.limits().stack_bytes, 7, "the limits of before stay");
        assert_eq!(vmaple::Mm::<()>::with(RangeMap::builder(), limits).expect_err(field), refused);
    }
}

/// A heap is in the address space, and its break not below its start. Where none was set there is no break to move (5.25).
#[test]
fn a_heap_is_set_before_its_break_is_moved() {
    let mm = mm_with(|limits| (limits.mmap_min_addr, limits.min_addr_floor) = (0, 0));
    let mut writer = mm.write();
    for asked in [0, 1, 0x5000, 0x7fff_ffff_f000, u64::MAX] {
        assert_eq!(writer.plan_brk(asked, Patience::Forever).outcome(), Err(BrkError::NoHeap { asked }));
        assert_eq!((writer.brk(asked), mm.map_count()), (0, 0));
    }
    let end = mm.limits().task_size;
    assert_eq!(writer.set_heap(0x10_0000, u64::MAX), Err(HeapError::BeyondTask { brk: u64::MAX, task_size: end }));
    assert_eq!(writer.set_heap(0x10_0000, 0xf_ffff), Err(HeapError::Reversed { start: 0x10_0000, brk: 0xf_ffff }));
    assert_eq!(writer.brk(0x10_2000), 0, "what was refused is no heap");
    assert_eq!(writer.fork().expect("memory").write().brk(0x10_2000), 0, "nor is a child's");
    assert_eq!(writer.set_heap(end, end), Ok(()));
    assert_eq!(writer.brk(end + 1), end, "there is nothing beyond");
    assert_eq!(writer.set_heap(0x10_0000, 0x10_0000), Ok(()));
    assert_eq!(writer.brk(0x10_2000), 0x10_2000);
    writer.exit().expect("memory");
    assert_eq!(mm.brk(), 0x10_0000);
}
