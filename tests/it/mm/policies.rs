//! The policies that differ from Linux: part 7 of `docs/semantics.md`, each compared with the default.
//!
//! Layouts are drawn with one letter for each page.

use crate::support::address_space::{DOWN, RW, bytes, layout, map_all, mm_with, page};
use vmaple::mm::{
    Advice, GuardGapPolicy, InsertVmaCause, LayoutError, Limits, MapCountLimit, MapRequest, MmWriteGuard, MmapError, MprotectError,
    PartialEffects, RemapRequest,
};
use vmaple::{ErrorCode, VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;
const NONE: VmaFlags = VmaFlags::empty();

fn fixed(at: u64, pages: u64, flags: VmaFlags) -> MapRequest {
    MapRequest::new(bytes(pages), VmaSpec::anonymous(flags)).fixed(page(at))
}

/// ```text
/// limit 4   A.A.A.A    and one more, as in Linux
/// ```
#[test]
fn rule_7_8_the_number_of_vmas_reaches_the_limit_and_no_more() {
    for (policy, most) in [(MapCountLimit::AsLinux, 5), (MapCountLimit::Exact, 4)] {
        let mm = mm_with(|limits| (limits.max_map_count, limits.policy.map_count) = (4, policy));
        let mut writer = mm.write();
        writer.set_heap(page(100), page(100)).expect("a heap in the address space");
        for i in 0..most {
            writer.mmap(&fixed(2 * i, 1, RW)).expect("room");
        }
        let result = writer.mmap(&fixed(20, 1, RW));
        assert!(matches!(result, Err(MmapError::Layout(LayoutError::TooMany { limit: 4, .. }))), "{policy:?}: {result:?}");
        let result = writer.insert(page(20), bytes(1), VmaSpec::anonymous(RW)).map_err(|error| error.cause);
        assert!(matches!(result, Err(InsertVmaCause::TooMany { limit: 4, .. })), "{policy:?}: {result:?}");
        assert!(writer.brk(page(101)).is_err(), "the heap would be one more");
        assert_eq!(mm.len() as u64, most, "{policy:?}");
        writer.munmap(page(0), bytes(1)).expect("it goes");
        assert_eq!(writer.brk(page(101)), Ok(page(101)), "{policy:?}");
    }
}

/// ```text
/// limit 4   AAAA BBBB SSSS C     S sealed
/// mmap       x                   five VMAs with the parts that it cuts off
/// munmap      xx xxxx xx         refused, and leaves no split
/// ```
#[test]
fn rule_7_8_nor_do_splits_go_beyond_it() {
    for (policy, most) in [(MapCountLimit::AsLinux, [5, 6]), (MapCountLimit::Exact, [3, 4])] {
        let mm = mm_with(|limits| (limits.max_map_count, limits.policy.map_count) = (4, policy));
        let mut writer = mm.write();
        for at in [0, 10, 20] {
            writer.mmap(&fixed(at, 4, RW)).expect("room");
        }
        writer.mseal(page(20), bytes(4)).expect("it is mapped");
        let result = writer.mmap(&fixed(1, 1, R));
        assert_eq!((result.is_ok(), mm.len()), (policy == MapCountLimit::AsLinux, most[0]), "{result:?}");
        if policy == MapCountLimit::Exact {
            writer.mmap(&fixed(30, 1, R)).expect("room");
        }
        let result = writer.munmap(page(3), bytes(18));
        assert!(result.is_err_and(|error| error.errno() == 1), "it is sealed: {result:?}");
        assert_eq!(mm.len(), most[1], "{policy:?}");
    }
}

/// ```text
/// before    ......S     the gap is two pages, 4 and 5
/// mmap      ..AA        and not above page 3
/// before    ..----S
/// mprotect  ..AA        and not above page 3
/// ```
#[test]
fn rule_7_9_the_guard_gap_keeps_out_what_is_fixed_and_what_becomes_accessible() {
    for policy in [GuardGapPolicy::AsLinux, GuardGapPolicy::Enforced] {
        let mm = || {
            let mm = mm_with(|limits| (limits.stack_guard_gap_pages, limits.policy.guard_gap) = (2, policy));
            mm.write().mmap(&fixed(6, 1, DOWN)).expect("memory");
            mm
        };
        let is_kept_out = |result: bool| assert_eq!(result, policy == GuardGapPolicy::Enforced, "{policy:?}");
        for (at, pages) in [(4, 1), (5, 1), (2, 3)] {
            let (mm, stack) = (mm(), page(6));
            let result = mm.write().mmap(&fixed(at, pages, RW));
            is_kept_out(matches!(result, Err(MmapError::Layout(LayoutError::GuardGap { by, .. })) if by.start() == stack));
            is_kept_out(layout(&mm).len() == 1);
        }
        mm().write().mmap(&fixed(2, 2, RW)).expect("that is out of the gap");
        mm().write().mmap(&fixed(5, 2, RW)).expect("the stack itself goes");

        let guarded = mm();
        map_all(&guarded, &[(2, 6, NONE | VmaFlags::MAYREAD)]);
        for (at, pages) in [(5, 1), (4, 2), (2, 4)] {
            let before = layout(&guarded);
            let result = guarded.write().mprotect(page(at), bytes(pages), R.prot());
            is_kept_out(matches!(result, Err(MprotectError::Layout(LayoutError::GuardGap { .. }))));
            is_kept_out(layout(&guarded) == before);
            guarded.write().mprotect(page(at), bytes(pages), NONE.prot()).expect("what lets nobody in is no neighbour");
        }
        guarded.write().mprotect(page(2), bytes(2), R.prot()).expect("that is out of the gap");
    }
}

/// Each operation fails at its second step, after the first has succeeded.
/// ```text
/// before   AAAA.AA.SSSS     S sealed
/// ```
#[test]
fn rule_7_10_an_operation_that_fails_has_changed_nothing() {
    type Fails = fn(&mut MmWriteGuard<'_>) -> bool;
    let operations: [(&str, Fails); 8] = [
        ("mprotect", |writer| writer.mprotect(page(2), bytes(4), R.prot()).is_err()),
        ("madvise", |writer| writer.madvise(page(2), bytes(4), Advice::DontDump).is_err()),
        ("mlock", |writer| writer.mlock(page(2), bytes(4)).is_err()),
        ("munlock", |writer| {
            writer.mlock(page(0), bytes(4)).expect("it is mapped");
            writer.munlock(page(2), bytes(4)).is_err()
        }),
        ("munmap", |writer| writer.munmap(page(6), bytes(6)).is_err()),
        ("mmap", |writer| writer.mmap(&fixed(2, 20, RW | VmaFlags::SHARED)).is_err()),
        ("mremap", |writer| {
            // Over the second A; then the commit limit has no room for this length.
            writer.mremap(&RemapRequest::resize(page(0), bytes(4), bytes(64)).fixed(page(30))).is_err()
        }),
        ("mseal", |writer| writer.mseal(page(1), bytes(2)).is_err()),
    ];
    for (name, fails) in operations {
        for policy in [PartialEffects::AsLinux, PartialEffects::Never] {
            let change = |limits: &mut Limits| {
                (limits.policy.partial, limits.huge_page_bytes, limits.commit_bytes) = (policy, 1, bytes(32));
                (limits.locked_bytes, limits.max_map_count) = (u64::MAX, if name == "mseal" { 5 } else { 100 });
            };
            let mm = mm_with(change);
            for (at, pages, flags) in [(0, 4, RW), (5, 2, RW), (8, 4, RW), (30, 1, R)] {
                mm.write().mmap(&fixed(at, pages, flags)).expect("memory");
            }
            mm.write().mseal(page(8), bytes(4)).expect("it is mapped");
            let mut writer = mm.write();
            if name == "munlock" {
                writer.mlock(page(0), bytes(4)).expect("it is mapped");
            }
            let records = |writer: &MmWriteGuard<'_>| writer.iter().map(|vma| (vma.span(), vma.handle())).collect::<Vec<_>>();
            let (before, stats) = (records(&writer), mm.stats());
            assert!(fails(&mut writer), "{name} is to fail");
            let after = records(&writer);
            let is_as_before =
                before.len() == after.len() && before.iter().zip(&after).all(|(one, other)| one.0 == other.0 && one.1 == other.1);
            assert_eq!(is_as_before, policy == PartialEffects::Never, "{name}, {policy:?}");
            assert!(policy == PartialEffects::AsLinux || mm.stats() == stats, "{name}");
        }
    }
}

/// Every operation that makes memory accessible, in a guard gap of two pages. The inaccessible page next to the stack exempts nothing.
/// ```text
/// pages     0123456789
/// before    ..N.NS....     S grows down, N allows no access
/// ```
#[test]
fn rule_7_9_whatever_makes_memory_accessible_is_kept_out_of_the_gap() {
    type Makes = fn(&mut MmWriteGuard<'_>) -> Result<u64, i32>;
    let operations: [(&str, Makes); 8] = [
        ("mmap inside what lets nobody in", |writer| writer.mmap(&fixed(4, 1, R)).map_err(|error| error.errno())),
        ("mmap in the hole", |writer| writer.mmap(&fixed(3, 1, R)).map_err(|error| error.errno())),
        ("mmap not replacing", |writer| {
            let request = MapRequest::new(bytes(1), VmaSpec::anonymous(R)).fixed_no_replace(page(3));
            writer.mmap(&request).map_err(|error| error.errno())
        }),
        ("mprotect", |writer| writer.mprotect(page(4), bytes(1), R.prot()).map(|()| 0).map_err(|error| error.errno())),
        ("insert", |writer| writer.insert(page(3), bytes(1), VmaSpec::anonymous(R)).map(|()| 0).map_err(|error| error.cause.errno())),
        ("mremap", |writer| {
            writer.mremap(&RemapRequest::resize(page(20), bytes(1), bytes(1)).fixed(page(3))).map_err(|error| error.errno())
        }),
        ("mremap in place", |writer| {
            writer.mmap(&fixed(2, 1, R)).expect("out of the gap");
            writer.mremap(&RemapRequest::resize(page(2), bytes(1), bytes(2))).map_err(|error| error.errno())
        }),
        ("expand_up", |writer| {
            writer.mmap(&fixed(2, 1, RW | VmaFlags::GROWSUP)).expect("out of the gap");
            writer.expand_up(page(3)).map(|_| 0).map_err(|error| error.errno())
        }),
    ];
    for (name, makes) in operations {
        for policy in [GuardGapPolicy::AsLinux, GuardGapPolicy::Enforced] {
            let mm = mm_with(|limits| (limits.stack_guard_gap_pages, limits.policy.guard_gap) = (2, policy));
            map_all(&mm, &[(2, 3, NONE | VmaFlags::MAYREAD), (4, 5, NONE | VmaFlags::MAYREAD), (5, 6, DOWN), (20, 21, RW)]);
            let result = makes(&mut mm.write());
            assert_eq!(result.is_err(), policy == GuardGapPolicy::Enforced, "{name}, {policy:?}: {result:?}");
            assert!(result.is_ok() || result == Err(12), "{name}: {result:?}");
            mm.write().validate().expect("the invariants hold");
        }
    }
}

/// ```text
/// pages     0123456789
/// before    .AN...S      grows to page 5; at page 4 A would be two pages below
/// before    UN.AA        the gap of U, which grows up, is pages 1 to 3
/// ```
#[test]
fn rule_7_9_a_stack_keeps_its_own_gap_and_both_ways() {
    for (policy, is_kept_out) in [(GuardGapPolicy::AsLinux, false), (GuardGapPolicy::Enforced, true)] {
        let mm = mm_with(|limits| (limits.stack_guard_gap_pages, limits.policy.guard_gap) = (3, policy));
        map_all(&mm, &[(1, 2, RW), (2, 3, NONE), (6, 7, DOWN)]);
        assert!(mm.write().expand_down(page(5)).is_ok());
        assert_eq!(mm.write().expand_down(page(4)).is_err(), is_kept_out, "{policy:?}");
        map_all(&mm, &[(20, 21, VmaFlags::GROWSUP | RW), (21, 22, NONE)]);
        assert_eq!(mm.write().mmap(&fixed(23, 1, R)).is_err(), is_kept_out, "{policy:?}");
        assert!(mm.write().mmap(&fixed(24, 1, R)).is_ok());
        // A heap grows to a VMA without access, and that to a stack.
        map_all(&mm, &[(43, 44, NONE), (44, 45, DOWN)]);
        let mut writer = mm.write();
        writer.set_heap(page(40), page(40)).expect("a heap in the address space");
        assert_eq!(writer.brk(page(41)), Ok(page(41)));
        assert_eq!(writer.brk(page(42)).is_err(), is_kept_out, "{policy:?}");
        writer.validate().expect("the invariants hold");
    }
}

/// A search continues until the mapping itself is out of the gap. The room that it looks for is larger, and may reach into the gap, because
/// nothing is mapped there. Huge pages of four pages, gaps of five; the room is seven pages.
/// ```text
/// pages     0123456789abcde
/// down      NNN.........N.S      the gap of S is 9 to d
/// found     NNN.HHHH....N.S      in the room from 4 to a
/// up        UN..........N        the gap of U is 1 to 5
/// found     UN......HHHHN        in the room from 5 to b
/// ```
#[test]
fn rule_7_9_a_search_for_huge_pages_goes_on_to_where_they_may_be() {
    for (policy, expected) in [(GuardGapPolicy::AsLinux, [8, 4]), (GuardGapPolicy::Enforced, [4, 8])] {
        let mm = |base: u64| {
            mm_with(|limits| {
                (limits.stack_guard_gap_pages, limits.policy.guard_gap) = (5, policy);
                (limits.mmap_min_addr, limits.mmap_base, limits.mmap_legacy_base) = (page(0), page(base), page(0));
                (limits.hugetlb_bytes, limits.hugetlb_sizes) = (bytes(4), bytes(4));
            })
        };
        let down = mm(12);
        map_all(&down, &[(0, 3, NONE), (12, 13, NONE), (14, 15, DOWN)]);
        let up = mm(0);
        map_all(&up, &[(0, 1, VmaFlags::GROWSUP | RW), (1, 2, NONE), (12, 13, NONE)]);
        let huge = MapRequest::new(bytes(4), VmaSpec::anonymous(RW | VmaFlags::HUGETLB));
        for (mm, expected) in [down, up].iter().zip(expected) {
            assert_eq!(mm.write().mmap(&huge), Ok(page(expected)), "{policy:?}");
            mm.write().validate().expect("the invariants hold");
        }
    }
}
