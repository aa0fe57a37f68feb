//! Growth of stacks: part 2 of `docs/semantics.md`, one test or more for each rule.
//!
//! Layouts are drawn with one letter for each page: `S` a stack that grows down, `U` one that grows up, `A` accessible, `-` inaccessible,
//! `.` nothing.
//! The guard gap is two pages.

use crate::support::address_space::{DOWN, RW, UP, layout, map_all, mm_of, mm_with, page};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use vmaple::lock::{Patience, WaitError};
use vmaple::mm::fault::ExpandError;
use vmaple::mm::{AnonOwner, Limit, Limits};
use vmaple::{ErrorCode, FaultContext, Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

const NONE: VmaFlags = VmaFlags::empty();

fn down(mm: &Mm, at: u64) -> Result<u64, ExpandError> {
    mm.write().expand_down(page(at) + 0x123).map(|span| (span.start() - page(0)) / PAGE_SIZE)
}

fn up(mm: &Mm, at: u64) -> Result<u64, ExpandError> {
    mm.write().expand_up(page(at) + 0x123).map(|span| (span.last() + 1 - page(0)) / PAGE_SIZE)
}

fn errno<T: std::fmt::Debug>(result: Result<T, ExpandError>) -> i32 {
    result.expect_err("refused").errno()
}

/// 2.1, 1.15: growth of a VMA that does not grow in that direction is EFAULT.
#[test]
fn rule_2_1_the_wrong_direction() {
    let mm = mm_of(&[(0, 1, UP), (8, 9, RW)]);
    assert!(matches!(down(&mm, 6), Err(ExpandError::WrongDirection { vma, .. }) if vma.start() == page(8)));
    assert_eq!((errno(down(&mm, 6)), errno(up(&mm, 9))), (14, 14));
    assert_eq!((errno(down(&mm, 10)), errno(mm_of(&[]).write().expand_up(page(0)))), (14, 14), "and so is nothing at all");
}

/// 2.2: the lowest address is the larger of the limit that is set and the one that is built in. Checked to the byte.
#[test]
fn rule_2_2_the_lowest_address() {
    for (set, built_in) in [(0x1000, 0x1_0000), (0x1_0000, 0x1000)] {
        let mm = mm_with(|limits| (limits.mmap_min_addr, limits.min_addr_floor) = (set, built_in));
        mm.write().insert(0x2_0000, 0x1000, VmaSpec::anonymous(DOWN)).expect("free");
        let refused = mm.write().expand_down(0xffff).expect_err("below");
        assert_eq!((refused, refused.errno()), (ExpandError::BelowMinimum { at: 0xf000, minimum: 0x1_0000 }, 1));
        assert_eq!(mm.write().expand_down(0x1_0000).map(|span| span.start()), Ok(0x1_0000));
    }
}

/// ```text
/// before  AA..SS      A gap as large as the guard gap is allowed, one page less is refused.
/// fault 5     ^
/// ```
#[test]
fn rule_2_3_the_guard_gap() {
    let mm = mm_of(&[(0, 2, RW), (8, 9, DOWN)]);
    let refused = down(&mm, 3).expect_err("a page too near");
    assert!(matches!(refused, ExpandError::GuardGap { by, gap_bytes, .. } if by.last() == page(2) - 1 && gap_bytes == 2 * PAGE_SIZE));
    assert_eq!(refused.errno(), 12);
    assert_eq!(layout(&mm), [(0, 2, RW), (8, 9, DOWN)]);
    assert_eq!(down(&mm, 4), Ok(4));
}

/// ```text
/// A--...SS    An inaccessible neighbour, or one that grows down itself, is exempt, up to adjacency; VMAs behind it are not checked.
/// ```
#[test]
fn rule_2_3_exemptions() {
    for exempt in [NONE, DOWN, VmaFlags::READ | VmaFlags::GROWSDOWN] {
        let mm = mm_of(&[(0, 1, RW), (1, 2, exempt), (6, 7, DOWN)]);
        assert_eq!(down(&mm, 2), Ok(2));
    }
    for guarded in [VmaFlags::READ, VmaFlags::WRITE, VmaFlags::EXEC, UP] {
        let mm = mm_of(&[(1, 2, guarded), (6, 7, DOWN)]);
        assert_eq!(errno(down(&mm, 2)), 12);
    }
}

/// 2.3 is checked before 2.6: in a stack mapped right above its neighbour, growth to its own pages that are too near is refused.
#[test]
fn rule_2_3_is_asked_before_2_6() {
    let mm = mm_of(&[(0, 2, RW), (2, 6, DOWN)]);
    assert_eq!(errno(down(&mm, 3)), 12);
    assert_eq!(down(&mm, 4), Ok(2));
}

/// 2.4, unlike Linux: growth down allocates nothing, so it succeeds even if no node may be retired.
#[test]
fn rule_2_4_growth_down_needs_no_memory() {
    let mm: Mm = Mm::builder().private_epochs().budget_bytes(0).build();
    mm.write().insert(page(8), PAGE_SIZE, VmaSpec::anonymous(DOWN)).expect("an empty map retires nothing");
    let _pin = mm.pin();
    let full = (0..1000).any(|i| mm.write().insert(page(20 + 2 * i), PAGE_SIZE, VmaSpec::anonymous(RW)).is_err());
    assert!(full, "what the pin holds back is over the budget");
    assert_eq!(down(&mm, 2), Ok(2));
}

/// 2.4: the VMA gets an owner after the check of the guard gap and before the wait and the limits, and keeps it if one of these refuses.
#[test]
fn rule_2_4_a_refused_growth_leaves_an_owner() {
    let mm = mm_with(|limits| (limits.stack_guard_gap_pages, limits.stack_bytes) = (2, 3 * PAGE_SIZE));
    map_all(&mm, &[(0, 1, RW), (8, 9, DOWN), (20, 21, UP), (30, 31, RW), (40, 41, DOWN)]);
    let owner = |n| mm.read().lookup(page(n)).expect("mapped").anon_owner();
    assert!(matches!(down(&mm, 2), Err(ExpandError::GuardGap { .. })) && matches!(up(&mm, 28), Err(ExpandError::GuardGap { .. })));
    assert_eq!((owner(8), owner(20)), (None, None));
    assert!(matches!(down(&mm, 5), Err(ExpandError::Limit(Limit::Stack { .. }))) && matches!(up(&mm, 25), Err(ExpandError::Limit(_))));
    let left = (owner(8), owner(20));
    assert!(left.0.is_some() && left.1.is_some() && left.0 != left.1);
    let held = mm.lock_vma(page(40)).expect("free");
    assert_eq!(mm.write().expand_down_with(page(39), Patience::Never), Err(ExpandError::Wait(WaitError::WouldBlock)));
    drop(held);
    assert!(owner(40).is_some());
    assert_eq!((down(&mm, 7), up(&mm, 21)), (Ok(7), Ok(22)));
    assert_eq!((owner(8), owner(20)), left, "it has one already");
}

/// 2.5: growth waits for the VMA's readers before it reads and changes its bounds.
#[test]
fn rule_2_5_readers_are_drained_first() {
    let mm = mm_of(&[(8, 9, DOWN)]);
    thread::scope(|threads| {
        let guard = mm.lock_vma(page(8)).expect("free");
        let writer = threads.spawn(|| down(&mm, 4));
        while mm.lock_vma(page(8)).is_ok() {
            thread::yield_now();
        }
        assert_eq!(mm.pin().lookup(page(8)).map(|vma| vma.start()), Some(guard.vma().start()), "it has not grown");
        drop(guard);
        assert_eq!(writer.join().expect("no panic"), Ok(4));
    });
}

/// 2.6: if the VMA contains the page already, growth succeeds, counts nothing, and checks no limit.
#[test]
fn rule_2_6_contained_already() {
    let mm = mm_of(&[(4, 9, DOWN), (20, 22, UP)]);
    let before = mm.stats();
    let mut limits = Limits::default();
    (limits.address_space_bytes, limits.stack_bytes) = (0, 0);
    mm.set_limits(limits).expect("limits that mean something");
    assert_eq!((down(&mm, 4), down(&mm, 8), up(&mm, 21)), (Ok(4), Ok(4), Ok(22)));
    assert_eq!(mm.stats(), before);
}

/// 2.7: the offset must not go below zero. Checked to the page.
#[test]
fn rule_2_7_the_offset_ends_at_zero() {
    let mm = mm_of(&[]);
    mm.write().insert(page(8), PAGE_SIZE, VmaSpec::anonymous(DOWN).at_offset(3 * PAGE_SIZE)).expect("free");
    assert_eq!(errno(down(&mm, 4)), 12);
    assert!(matches!(down(&mm, 4), Err(ExpandError::Offset { .. })));
    assert_eq!(down(&mm, 5), Ok(5));
    let reader = mm.read();
    let vma = reader.lookup(page(5)).expect("grown");
    assert_eq!((vma.page_offset_of(page(5)), vma.page_offset_of(page(8))), (0, 3), "2.9: each page keeps its offset");
}

/// 2.8: each limit, with a size equal to it and one page larger.
#[test]
fn rule_2_8_limits() {
    type Set = fn(&mut Limits, u64);
    type Told = fn(&ExpandError) -> bool;
    let cases: [(Set, VmaFlags, Told); 4] = [
        (
            |l, n| l.address_space_bytes = n,
            DOWN,
            |e| matches!(e, ExpandError::Limit(Limit::AddressSpace { asked_pages: 5, limit_pages: 4 })),
        ),
        (|l, n| l.stack_bytes = n, DOWN, |e| matches!(e, ExpandError::Limit(Limit::Stack { asked_bytes: 0x5000, limit_bytes: 0x4000 }))),
        (|l, n| l.locked_bytes = n, DOWN | VmaFlags::LOCKED, |e| matches!(e, ExpandError::Limit(Limit::Locked { asked_pages: 5, .. }))),
        (|l, n| l.commit_bytes = n, DOWN | VmaFlags::ACCOUNT, |e| matches!(e, ExpandError::Limit(Limit::Commit { asked_pages: 5, .. }))),
    ];
    for (set, flags, is_it) in cases {
        let mm = mm_with(|limits| set(limits, 4 * PAGE_SIZE));
        map_all(&mm, &[(8, 9, flags)]);
        let refused = down(&mm, 4).expect_err("five pages");
        assert!(is_it(&refused) && refused.errno() == 12, "{refused}");
        assert_eq!(layout(&mm), [(8, 9, flags)]);
        assert_eq!(down(&mm, 5), Ok(5), "four pages: equal passes");
    }
}

/// 2.8: the limit on locked memory applies only to a locked VMA, `RLIMIT_DATA` to none; in a range for huge pages, growth is EFAULT.
#[test]
fn rule_2_8_limits_that_do_not_apply_and_huge_pages() {
    let mm = mm_with(|limits| {
        (limits.locked_bytes, limits.data_bytes, limits.commit_bytes) = (0, 0, 0);
        limits.huge_pages_only = Some(Span::from_bounds(page(0)..page(4)).expect("a range"));
    });
    map_all(&mm, &[(8, 9, DOWN)]);
    assert_eq!(down(&mm, 4), Ok(4));
    assert_eq!(errno(down(&mm, 3)), 14);
    assert!(matches!(down(&mm, 3), Err(ExpandError::HugePagesOnly { .. })));
}

/// 2.9: a VMA grows by any size at once, does not merge, and may be sealed; the accounts follow.
#[test]
fn rule_2_9_commit() {
    let flags = DOWN | VmaFlags::LOCKED | VmaFlags::SEALED;
    let mm = mm_of(&[(0, 2, DOWN), (1000, 1001, flags)]);
    assert_eq!(down(&mm, 2), Ok(2));
    assert_eq!(layout(&mm), [(0, 2, DOWN), (2, 1001, flags)]);
    let stats = mm.stats();
    assert_eq!((stats.total_pages, stats.stack_pages, stats.locked_pages, stats.data_pages), (1001, 1001, 999, 0));
}

/// 2.10: a VMA may grow up to the end of the address space, not beyond.
#[test]
fn rule_2_10_up_to_the_end() {
    let mm = mm_with(|limits| limits.task_size = page(6));
    map_all(&mm, &[(0, 1, UP)]);
    assert!(matches!(up(&mm, 6), Err(ExpandError::BeyondTask { task_size, .. }) if task_size == page(6)));
    assert_eq!((errno(up(&mm, 6)), up(&mm, 5)), (12, Ok(6)));
    let stats = mm.stats();
    assert_eq!((stats.total_pages, stats.stack_pages), (6, 6));
    assert_eq!(layout(&mm), [(0, 6, UP)]);
}

/// ```text
/// before  UU....AA    two pages stay free, unless the neighbour is exempt; at the end of the address space there is no guard gap
/// ```
#[test]
fn rule_2_11_the_guard_gap_above() {
    let mm = mm_of(&[(0, 1, UP), (6, 7, RW)]);
    assert!(matches!(up(&mm, 4), Err(ExpandError::GuardGap { by, .. }) if by.start() == page(6)));
    assert_eq!((errno(up(&mm, 4)), up(&mm, 3)), (12, Ok(4)));
    for exempt in [NONE, UP] {
        let mm = mm_of(&[(0, 1, UP), (6, 7, exempt)]);
        assert_eq!(up(&mm, 5), Ok(6));
        assert_eq!(layout(&mm).len(), 2, "nothing merges");
    }
    let mm = mm_with(|limits| (limits.task_size, limits.stack_guard_gap_pages) = (page(6), u64::MAX));
    map_all(&mm, &[(0, 1, UP)]);
    assert_eq!(up(&mm, 5), Ok(6), "clamped");
}

/// 2.12: the offset must not wrap around.
#[test]
fn rule_2_12_the_offset_ends() {
    let mm = mm_of(&[]);
    mm.write().insert(page(0), PAGE_SIZE, VmaSpec::anonymous(UP).at_offset(0u64.wrapping_sub(3 * PAGE_SIZE))).expect("free");
    assert!(matches!(up(&mm, 3), Err(ExpandError::Offset { .. })));
    assert_eq!((errno(up(&mm, 3)), up(&mm, 2)), (12, Ok(3)));
}

/// Growth to adjacency beside lockless readers (`StackRot`; the growth that used up the whole gap): each lookup of an address that is
/// mapped throughout finds a VMA that contains it.
#[test]
fn growth_to_adjacency_beside_lockless_readers() {
    const ROUNDS: u64 = if cfg!(miri) { 3 } else { 300 };
    const STEP: usize = if cfg!(miri) { 13 } else { 1 };
    let mm = mm_of(&[(0, 1, NONE), (40, 41, DOWN), (60, 61, UP), (100, 101, NONE)]);
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        let _ends = crate::support::Ends(&stop);
        let reader = threads.spawn(|| {
            let mut adjacent = 0u64;
            while !stop.load(Ordering::Relaxed) {
                let pin = mm.pin();
                for at in [0, 40, 60, 100] {
                    let vma = pin.lookup(page(at)).expect("it is mapped throughout");
                    assert!(vma.span().contains(page(at)));
                    assert_eq!(pin.find(page(at)).map(|found| found.flags()), Some(vma.flags()));
                    adjacent += u64::from(vma.start() == page(1) || vma.last() == page(100) - 1);
                }
            }
            adjacent
        });
        for _ in 0..ROUNDS {
            for step in (0..=39).step_by(STEP) {
                assert_eq!((down(&mm, 40 - step), up(&mm, 60 + step)), (Ok(40 - step), Ok(61 + step)));
            }
            assert_eq!(layout(&mm), [(0, 1, NONE), (1, 41, DOWN), (60, 100, UP), (100, 101, NONE)]);
            mm.write().munmap(page(1), page(40) - page(1)).expect("memory");
            mm.write().munmap(page(61), page(100) - page(61)).expect("memory");
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("no panic");
    });
    assert_eq!(mm.stats().total_pages, 4);
}

/// Bug 15 (2016, Khlebnikov): an anon owner appeared between the lock and the unlock of a growth. The first growth gives the VMA an owner
/// before it locks (2.4), a later growth finds that owner, and a split keeps it.
#[test]
fn an_anon_owner_that_appears_during_growth() {
    let mm = mm_of(&[]);
    for (at, owner) in [(8, Some(AnonOwner::from(3))), (28, None)] {
        let spec = VmaSpec::anonymous(DOWN);
        let spec = owner.map_or(spec.clone(), |owner| spec.owned_by(owner));
        mm.write().insert(page(at), 2 * PAGE_SIZE, spec).expect("free");
        let record = mm.read().lookup(page(at)).expect("mapped").handle();
        let grown = mm.find_vma_for_fault(page(at - 4), FaultContext::KernelWithoutFixup).expect("room below");
        assert!(grown.vma().handle() == record, "the record is the same, and so is its lock");
        drop(grown);
        mm.write().munmap(page(at - 2), page(at) - page(at - 2)).expect("memory");
        let reader = mm.read();
        let owners = [at - 4, at + 1].map(|at| reader.lookup(page(at)).expect("it stays").anon_owner());
        assert!(owners[0].is_some() && owners[0] == owners[1] && owner.is_none_or(|owner| owners[0] == Some(owner)));
    }
}

/// Bug 11 (561b5e0709e4): a neighbour that was exempt from the guard gap becomes accessible later, and nothing checks the gap then. As in
/// Linux, that is allowed, and what is mapped stays; the next growth checks the neighbour as it is then.
#[test]
fn an_exempt_neighbour_becomes_accessible_later() {
    let mm = mm_of(&[(0, 2, VmaFlags::empty()), (8, 9, DOWN)]);
    mm.write().expand_down(page(3)).expect("exempt");
    mm.write().munmap(page(0), page(2) - page(0)).expect("memory");
    map_all(&mm, &[(0, 2, RW)]);
    assert_eq!(mm.write().expand_down(page(2)).expect_err("too near now").errno(), 12);
    assert_eq!(mm.read().lookup(page(3)).map(|vma| vma.start()), Some(3 * PAGE_SIZE + page(0)), "what has grown stays");
}
