//! `mremap`: from inside a VMA, and near the limit on the number of VMAs.
//!
//! Layouts are drawn with one letter for each page: `A` anonymous memory.

use crate::support::address_space::{bytes, layout, map_all, mm_with, mmap_at, page};
use vmaple::mm::RemapRequest;
use vmaple::{ErrorCode, VmaFlags};

const R: VmaFlags = VmaFlags::READ;

/// 6.23: a resize from inside a VMA.
/// ```text
/// before  AAAA
/// grow     ^^     pages 2 and 3, to the end: in place;  pages 1 and 2: moved, the rest stays
/// ```
#[test]
fn mremap_from_inside_a_vma() {
    let mm = mm_with(|_| {});
    mmap_at(&mm, 0, 4, R);
    assert_eq!(mm.write().mremap(&RemapRequest::resize(page(2), bytes(2), bytes(3))), Ok(page(2)));
    assert_eq!(layout(&mm).iter().map(|vma| (vma.0, vma.1)).collect::<Vec<_>>(), [(0, 5)]);
    assert_eq!(mm.write().mremap(&RemapRequest::resize(page(1), bytes(2), bytes(3))).map_err(|e| e.errno()), Err(12));
    let to = mm.write().mremap(&RemapRequest::resize(page(1), bytes(2), bytes(3)).may_move()).expect("room");
    assert!(to >= page(5) || to < page(0) - bytes(2));
    let reader = mm.read();
    assert!(
        reader.lookup(page(0)).is_some()
            && reader.lookup(page(3)).is_some()
            && reader.lookup(page(1)).is_none()
            && reader.lookup(to).is_some()
    );
}

/// 6.24: how far below the limit the number of VMAs must be, as in Linux 6.18: a call that changes nothing succeeds at the limit, a move at
/// four below it or more, a move to a fixed place at six below it or more.
#[test]
fn mremap_near_the_limit() {
    let (limit, works) = (20, |count: u64, request: RemapRequest| {
        let mm = mm_with(|limits| limits.max_map_count = 20);
        let list: Vec<_> = (0..count).map(|i| (i * 2, i * 2 + 1, R)).collect();
        map_all(&mm, &list);
        mm.write().mremap(&request).is_ok()
    });
    let may_move = |pages| RemapRequest::resize(page(0), bytes(1), bytes(pages)).may_move();
    assert!(works(limit, may_move(1)), "nothing to do");
    assert_eq!([limit - 5, limit - 4, limit - 3, limit].map(|count| works(count, may_move(3))), [true, true, false, false]);
    assert_eq!(
        [limit - 7, limit - 6, limit - 5, limit]
            .map(|count| works(count, RemapRequest::resize(page(0), bytes(1), bytes(1)).fixed(page(100)))),
        [true, true, false, false]
    );
}
