//! What binds an address space: the limits, who they do not bind, and where nothing may be mapped. Numbers are those of
//! `docs/semantics.md`.

use crate::vma::{RW, mm_with, page};
use vmaple::{Capabilities, LockAll, MapRequest, PAGE_SIZE, VmaFlags, VmaSpec};

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
