//! Merging of adjacent VMAs: the anonymous owner that the result has.

use crate::support::address_space::{RW, bytes, mm_with, mmap_at, page};
use vmaple::Mm;
use vmaple::mm::{AnonOwner, RemapRequest};

fn owner(mm: &Mm, at: u64) -> Option<AnonOwner> {
    mm.read().lookup(page(at)).and_then(|vma| vma.anon_owner())
}

/// 6.25: a merge keeps the only owner, of either side. VMAs with different owners do not merge. A written page that is moved beside a page
/// that was never written keeps its owner.
#[test]
fn merges_keep_the_owner() {
    let mm = mm_with(|_| {});
    for written in [0, 2] {
        mmap_at(&mm, 0, 1, RW);
        mmap_at(&mm, 2, 1, RW);
        let one = mm.write().own(page(written));
        assert!(one.is_some());
        mmap_at(&mm, 1, 1, RW);
        assert_eq!((mm.len(), owner(&mm, 0), owner(&mm, 1), owner(&mm, 2)), (1, one, one, one), "page {written} was written");
        mm.write().munmap(page(0), bytes(3)).expect("memory");
    }
    // The page between two owners merges with one side; the other side keeps its owner.
    mmap_at(&mm, 0, 1, RW);
    mmap_at(&mm, 2, 1, RW);
    let own = |at| mm.write().own(page(at));
    let owners = (own(0), own(2));
    assert_ne!(owners.0, owners.1);
    mmap_at(&mm, 1, 1, RW);
    assert_eq!((mm.len(), owner(&mm, 0), owner(&mm, 2)), (2, owners.0, owners.1));
    // Page 0 is moved away, and back beside a page that was never written.
    mm.write().munmap(page(1), bytes(2)).expect("memory");
    mm.write().mremap(&RemapRequest::resize(page(0), bytes(1), bytes(1)).fixed(page(20))).expect("memory");
    mmap_at(&mm, 1, 1, RW);
    mm.write().mremap(&RemapRequest::resize(page(20), bytes(1), bytes(1)).fixed(page(0))).expect("memory");
    assert_eq!((mm.len(), owner(&mm, 0), owner(&mm, 1)), (1, owners.0, owners.0));
}
