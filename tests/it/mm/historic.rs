//! Mistakes that kernels made in the operations of the layout, one test each: the table "Historic bugs" of `docs/semantics.md`.
//!
//! Maps are drawn with a letter a page.

use crate::support::address_space::{DOWN, RW, layout, map_all, mm_of, mm_with, page};
use vmaple::lock::Patience;
use vmaple::mm::{Advice, AnonOwner, LayoutError, MapRequest, MprotectError, MremapFlags};
use vmaple::{ErrorCode, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;
const MOVE: MremapFlags = MremapFlags::MAYMOVE;
const FIXED: MremapFlags = MremapFlags::MAYMOVE.union(MremapFlags::FIXED);

fn bytes(pages: u64) -> u64 {
    pages * PAGE_SIZE
}

/// Anonymous pages there; what touches them and is alike is one VMA with them.
fn map(mm: &Mm, at: u64, pages: u64, flags: VmaFlags) {
    let request = MapRequest::new(bytes(pages), VmaSpec::anonymous(flags)).fixed(page(at));
    assert_eq!(mm.write().mmap(&request), Ok(page(at)));
}

fn owner(mm: &Mm, at: u64) -> Option<AnonOwner> {
    mm.read().lookup(page(at)).and_then(|vma| vma.anon_owner())
}

/// 9, 10: what is placed keeps out of a stack's guard gap, also where the window of the search ends in it, and a gap that is too small
/// but for the guard gap does not end the search.
/// ```text
/// before  ..........AA....S   the gap is two pages
/// search       ^ two pages: not 14, 15, which are all that is free below the stack; 12, 13
/// search   ^ three: below the A
/// ```
#[test]
fn placement_keeps_out_of_guard_gaps() {
    let mm = mm_with(|limits| {
        (limits.stack_guard_gap_pages, limits.mmap_base, limits.mmap_legacy_base) = (2, page(15), page(0));
    });
    map_all(&mm, &[(10, 12, R), (16, 17, DOWN)]);
    let search = |pages| MapRequest::new(bytes(pages), VmaSpec::anonymous(RW));
    assert_eq!(mm.write().plan_mmap(&search(3), Patience::Never).outcome(), Ok(page(7)), "the window ends in the guard gap");
    assert_eq!(mm.write().mmap(&search(2)), Ok(page(12)));
    assert_eq!(mm.write().plan_mmap(&search(1), Patience::Never).outcome(), Ok(page(9)));
    let near = search(1).near(page(14));
    assert_eq!(mm.write().plan_mmap(&near, Patience::Never).outcome(), Ok(page(9)), "nor is a hint there taken");
}

/// 16, 3.13: a fork waits for who reads a VMA, and copies nothing that somebody is at.
#[test]
fn fork_write_locks_before_it_copies() {
    let mm = mm_of(&[(0, 2, RW), (4, 6, RW)]);
    let faulting = mm.lock_vma(page(4)).expect("nobody else is there");
    let told = mm.try_write().expect("free").fork_with(Patience::Never).map(|_| ());
    assert!(matches!(told, Err(LayoutError::Wait(_))), "{told:?}");
    drop(faulting);
    let mut writer = mm.write();
    let child = writer.fork().expect("memory");
    assert_eq!(mm.lock_vma(page(4)).map(|_| ()), Err(vmaple::mm::LockVmaError::Busy), "all are locked until the hold ends");
    drop(writer);
    assert!(child.lock_vma(page(4)).is_ok() && mm.lock_vma(page(4)).is_ok());
}

/// 22: what ends where the heap begins is no heap, and a heap that was unmapped is not grown from nothing.
/// ```text
/// before  AA|          the heap starts behind A
/// after   AA|HH        two VMAs, for all that they are alike
/// unmap     |..        then further: only what is new
/// ```
#[test]
fn brk_extends_no_foreign_vma_and_assumes_no_heap() {
    let mm = mm_with(|_| {});
    map(&mm, 0, 2, RW);
    mm.write().set_heap(page(2), page(2)).expect("a heap in the address space");
    assert_eq!(mm.write().brk(page(4)), page(4));
    assert_eq!(layout(&mm).iter().map(|vma| (vma.0, vma.1)).collect::<Vec<_>>(), [(0, 2), (2, 4)]);
    mm.write().munmap(page(2), bytes(2)).expect("memory");
    assert_eq!(mm.write().brk(page(3)), page(4), "there is nothing to give back");
    assert_eq!(mm.write().brk(page(5)), page(5));
    assert_eq!(layout(&mm).iter().map(|vma| (vma.0, vma.1)).collect::<Vec<_>>(), [(0, 2), (4, 5)]);
}

/// 23: a resize from inside a VMA.
/// ```text
/// before  AAAA
/// grow     ^^     from page 2 to the end: in place;  from page 1, not to the end: moved, the rest stays
/// ```
#[test]
fn mremap_from_inside_a_vma() {
    let mm = mm_with(|_| {});
    map(&mm, 0, 4, R);
    assert_eq!(mm.write().mremap(page(2), bytes(2), bytes(3), MremapFlags::empty(), 0), Ok(page(2)));
    assert_eq!(layout(&mm).iter().map(|vma| (vma.0, vma.1)).collect::<Vec<_>>(), [(0, 5)]);
    assert_eq!(mm.write().mremap(page(1), bytes(2), bytes(3), MremapFlags::empty(), 0).map_err(|e| e.errno()), Err(12));
    let to = mm.write().mremap(page(1), bytes(2), bytes(3), MOVE, 0).expect("room");
    assert!(to >= page(5) || to < page(0) - bytes(2));
    let reader = mm.read();
    assert!(
        reader.lookup(page(0)).is_some()
            && reader.lookup(page(3)).is_some()
            && reader.lookup(page(1)).is_none()
            && reader.lookup(to).is_some()
    );
}

/// 24: how many VMAs must be to spare; decided as in 6.18: a no-op works at the limit, a move up to four below it, one to a fixed place
/// up to six below.
#[test]
fn mremap_near_the_limit() {
    let (limit, works) = (20, |count: u64, flags: MremapFlags, old: u64, new: u64| {
        let mm = mm_with(|limits| limits.max_map_count = 20);
        let list: Vec<_> = (0..count).map(|i| (i * 2, i * 2 + 1, R)).collect();
        map_all(&mm, &list);
        mm.write().mremap(page(0), bytes(old), bytes(new), flags, page(100)).is_ok()
    });
    assert!(works(limit, MOVE, 1, 1), "nothing to do");
    assert_eq!([limit - 5, limit - 4, limit - 3, limit].map(|count| works(count, MOVE, 1, 3)), [true, true, false, false]);
    assert_eq!([limit - 7, limit - 6, limit - 5, limit].map(|count| works(count, FIXED, 1, 1)), [true, true, false, false]);
}

/// 25: a merge keeps the owner there is, of whichever side; two different ones do not merge; and a move from what was written to what was
/// not keeps the one there is.
#[test]
fn merges_keep_the_owner() {
    let mm = mm_with(|_| {});
    for written in [0, 2] {
        map(&mm, 0, 1, RW);
        map(&mm, 2, 1, RW);
        let one = mm.write().own(page(written));
        assert!(one.is_some());
        map(&mm, 1, 1, RW);
        assert_eq!((mm.len(), owner(&mm, 0), owner(&mm, 1), owner(&mm, 2)), (1, one, one, one), "page {written} was written");
        mm.write().munmap(page(0), bytes(3)).expect("memory");
    }
    // Two owners: what is between them goes to one, and the other keeps its own.
    map(&mm, 0, 1, RW);
    map(&mm, 2, 1, RW);
    let own = |at| mm.write().own(page(at));
    let owners = (own(0), own(2));
    assert_ne!(owners.0, owners.1);
    map(&mm, 1, 1, RW);
    assert_eq!((mm.len(), owner(&mm, 0), owner(&mm, 2)), (2, owners.0, owners.1));
    // Faulted into unfaulted: page 0 goes away and comes back beside what was never written.
    mm.write().munmap(page(1), bytes(2)).expect("memory");
    mm.write().mremap(page(0), bytes(1), bytes(1), FIXED, page(20)).expect("memory");
    map(&mm, 1, 1, RW);
    mm.write().mremap(page(20), bytes(1), bytes(1), FIXED, page(0)).expect("memory");
    assert_eq!((mm.len(), owner(&mm, 0), owner(&mm, 1)), (1, owners.0, owners.0));
}

/// 27: the error that occurred is the one that is told, where another would come later; and `mlock` of what has merged meanwhile works.
#[test]
fn the_first_error_is_told() {
    let mm = mm_with(|_| {});
    let readable = VmaSpec::anonymous(R | VmaFlags::SHARED | VmaFlags::MAYREAD);
    map(&mm, 0, 1, R);
    mm.write().mmap(&MapRequest::new(bytes(1), readable).fixed(page(1))).expect("free");
    // Page 1 may not be written to; page 2 is not mapped.
    let told = mm.write().mprotect(page(0), bytes(3), RW);
    assert!(matches!(told, Err(MprotectError::Denied { .. })), "{told:?}");
    assert_eq!(layout(&mm)[0].2 & VmaFlags::ACCESS, RW, "what lies below is changed");
    // Page 1 has an object: no WIPEONFORK for it, which is told, and not the gap.
    assert_eq!(mm.write().madvise(page(0), bytes(3), Advice::WipeOnFork).map_err(|e| e.errno()), Err(22));

    let mm = mm_with(|_| {});
    map(&mm, 0, 3, R);
    for at in [0, 1, 2] {
        assert_eq!(mm.write().mlock(page(at), bytes(3 - at)), Ok(0), "from page {at}");
        mm.write().munlock(page(at), bytes(1)).expect("memory");
    }
    mm.write().mlock(page(0), bytes(3)).expect("all of it, in parts that merge on the way");
    assert_eq!(mm.len(), 1);
}

/// 29: a fixed mapping shows the old or the new one: what is planned is not seen, and what is committed is seen whole.
#[test]
fn a_fixed_mapping_replaces_in_one_step() {
    let mm = mm_with(|_| {});
    map(&mm, 0, 4, R);
    let mut writer = mm.write();
    let request = MapRequest::new(bytes(2), VmaSpec::anonymous(RW)).fixed(page(1));
    let plan = writer.plan_mmap(&request, Patience::Never);
    let seen = |at| mm.pin().lookup(page(at)).map(|vma| (vma.start(), vma.flags() & VmaFlags::ACCESS));
    assert_eq!([0, 1, 2, 3].map(seen), [Some((page(0), R)); 4], "planned, and nothing has happened");
    plan.commit().expect("memory");
    assert_eq!([0, 1, 2, 3].map(seen), [Some((page(0), R)), Some((page(1), RW)), Some((page(1), RW)), Some((page(3), R))]);
}
