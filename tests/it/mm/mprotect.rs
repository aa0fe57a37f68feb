//! `mprotect`, `madvise`, `mlock`: which error is returned, and what has changed by then.

use crate::support::address_space::{RW, bytes, layout, mm_with, mmap_at, page};
use vmaple::mm::{Advice, MapRequest, MprotectError};
use vmaple::{ErrorCode, VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;

/// 27: the error that occurred is the one that is told, where another would come later; and `mlock` of what has merged meanwhile works.
#[test]
fn the_first_error_is_told() {
    let mm = mm_with(|_| {});
    let readable = VmaSpec::anonymous(R | VmaFlags::SHARED | VmaFlags::MAYREAD);
    mmap_at(&mm, 0, 1, R);
    mm.write().mmap(&MapRequest::new(bytes(1), readable).fixed(page(1))).expect("free");
    // Page 1 may not be written to; page 2 is not mapped.
    let told = mm.write().mprotect(page(0), bytes(3), RW.prot());
    assert!(matches!(told, Err(MprotectError::Denied { .. })), "{told:?}");
    assert_eq!(layout(&mm)[0].2 & VmaFlags::ACCESS, RW, "what lies below is changed");
    // Page 1 has an object: no WIPEONFORK for it, which is told, and not the gap.
    assert_eq!(mm.write().madvise(page(0), bytes(3), Advice::WipeOnFork).map_err(|e| e.errno()), Err(22));

    let mm = mm_with(|_| {});
    mmap_at(&mm, 0, 3, R);
    for at in [0, 1, 2] {
        assert_eq!(mm.write().mlock(page(at), bytes(3 - at)), Ok(()), "from page {at}");
        mm.write().munlock(page(at), bytes(1)).expect("memory");
    }
    mm.write().mlock(page(0), bytes(3)).expect("all of it, in parts that merge on the way");
    assert_eq!(mm.len(), 1);
}
