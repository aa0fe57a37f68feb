//! `mprotect`, `madvise`, `mlock`: which error is returned, and what has changed by then.

use crate::support::address_space::{RW, bytes, layout, mm_with, mmap_at, page};
use vmaple::mm::{Advice, MapRequest, MprotectError};
use vmaple::{ErrorCode, VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;

/// 6.27: the first error is returned, even if another would follow; and `mlock` of VMAs that merged meanwhile succeeds.
#[test]
fn the_first_error_is_returned() {
    let mm = mm_with(|_| {});
    let readable = VmaSpec::anonymous(R | VmaFlags::SHARED | VmaFlags::MAYREAD);
    mmap_at(&mm, 0, 1, R);
    mm.write().mmap(&MapRequest::new(bytes(1), readable).fixed(page(1))).expect("free");
    // Page 1 may not be written to; page 2 is not mapped.
    let result = mm.write().mprotect(page(0), bytes(3), RW.prot());
    assert!(matches!(result, Err(MprotectError::Denied { .. })), "{result:?}");
    assert_eq!(layout(&mm)[0].2 & VmaFlags::ACCESS, RW, "what lies below is changed");
    // Page 1 has an object, so no WIPEONFORK; that error is returned, not the one for the gap.
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
