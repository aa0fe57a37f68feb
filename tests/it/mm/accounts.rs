//! The accounts count pages in 64 bits on every machine: more pages than 32 bits can count.

use vmaple::mm::{Limits, MapRequest, MmapError};
use vmaple::{Mm, VmaFlags, VmaSpec};

/// More pages than 32 bits can count: 12,884,901,632.
const FROM: u64 = 0x10_0000;
const TO: u64 = 0x3000_0000_0000;
const PAGES: u64 = (TO - FROM) >> 12;

#[test]
fn all_accounts_count_more_pages_than_32_bits_do() {
    let data = VmaFlags::READ | VmaFlags::WRITE | VmaFlags::ACCOUNT | VmaFlags::LOCKED;
    for flags in [data, VmaFlags::READ | VmaFlags::EXEC, VmaFlags::READ | VmaFlags::WRITE | VmaFlags::GROWSDOWN] {
        let mut limits = Limits::default();
        limits.locked_bytes = u64::MAX;
        let mm: Mm = Mm::builder().private_epochs().limits(limits).expect("limits that hold").build();
        let mut writer = mm.write();
        writer.insert(FROM, TO - FROM, VmaSpec::anonymous(flags)).expect("free");
        let counted = |of: VmaFlags| if flags.contains(of) { PAGES } else { 0 };
        let stats = mm.stats();
        assert_eq!(stats.total_pages, PAGES);
        assert_eq!(stats.stack_pages, counted(VmaFlags::GROWSDOWN));
        assert_eq!(stats.data_pages, counted(VmaFlags::LOCKED));
        assert_eq!(stats.exec_pages, counted(VmaFlags::EXEC));
        assert_eq!(stats.locked_pages, counted(VmaFlags::LOCKED));
        assert_eq!(stats.committed_pages, counted(VmaFlags::ACCOUNT));
        // The mapping is cut, copied to a child, and unmapped.
        writer.munmap(FROM, 0x1000).expect("mapped");
        assert_eq!(mm.stats().total_pages, PAGES - 1);
        let child = writer.fork().expect("memory");
        assert_eq!((child.stats().total_pages, child.stats().locked_pages), (PAGES - 1, 0));
        writer.munmap(FROM, TO - FROM).expect("mapped");
        assert_eq!(mm.stats().total_pages, 0);
    }
}

#[test]
fn limits_are_held_against_all_pages() {
    let mut limits = Limits::default();
    // The limit is one page more than 2^32 pages, which no count modulo 2^32 exceeds.
    limits.address_space_bytes = ((1 << 32) + 1) << 12;
    let mm: Mm = Mm::builder().private_epochs().limits(limits).expect("limits that hold").build();
    let mut writer = mm.write();
    let read = VmaSpec::anonymous(VmaFlags::READ);
    writer.mmap(&MapRequest::new(1 << 44, read.clone())).expect("2^32 pages");
    writer.mmap(&MapRequest::new(0x1000, read.clone())).expect("and one");
    let error = writer.mmap(&MapRequest::new(0x1000, read)).expect_err("no more");
    assert!(matches!(error, MmapError::Layout(_)), "{error:?}");
}
