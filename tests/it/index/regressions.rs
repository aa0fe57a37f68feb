//! Mistakes that kernels have made: a test each, where no test of a rule shows it already. The table of all of them is in
//! `docs/semantics.md`.
//!
//! Maps are drawn with a letter a page: `S` a stack, `A` anonymous memory, `.` nothing.

use crate::support::address_space::{DOWN, RW, layout, map_all, mm_of, mm_with, page};
use std::thread;
use vmaple::map::{GapError, GapQuery};
use vmaple::mm::fault::FaultError;
use vmaple::mm::{AnonOwner, MmReadGuard, UpgradePolicy};
use vmaple::{ErrorCode, FaultContext, Interrupt, PAGE_SIZE, RangeMap, VmaFlags, VmaSpec};

/// Bug 5 (677f1df179cb): a store over several leaves that ends where one does left its end corrupt. So stores from each entry to each,
/// over three leaves and more.
#[test]
fn spanning_stores_that_end_on_leaf_edges() {
    const ENTRIES: u64 = if cfg!(miri) { 20 } else { 70 };
    let filled: RangeMap<u64> =
        RangeMap::builder().private_epochs().build_from((0..ENTRIES).map(|i| (8 * i..8 * i + 8, i))).expect("sorted");
    let list = |map: &RangeMap<u64>| map.read().iter().map(|e| (e.start(), e.last() + 1, *e.value())).collect::<Vec<_>>();
    for first in 0..ENTRIES {
        for last in (first..ENTRIES).step_by(if cfg!(miri) { 5 } else { 1 }) {
            let map = filled.read().dup().expect("memory");
            map.write().replace(8 * first..8 * last + 8, 1_000).expect("memory");
            let untouched = |i: &u64| *i < first || last < *i;
            let mut expected: Vec<_> = (0..ENTRIES).filter(untouched).map(|i| (8 * i, 8 * i + 8, i)).collect();
            expected.push((8 * first, 8 * last + 8, 1_000));
            expected.sort_unstable();
            assert_eq!(list(&map), expected, "{first} to {last}");
            map.write().validate().expect("the invariants hold");
        }
    }
}

/// Bug 6 (bugzilla 216911): a search from above answered below the window's minimum. Bug 8 (c7ef3210f3ab): a window of exactly the size
/// was refused. Bug 7 (0257d9908d38) cannot occur: a search leaves no cursor behind.
#[test]
fn a_gap_search_keeps_to_its_window() {
    // ..AA..AA..AA..AA..
    let map: RangeMap<u64> =
        RangeMap::builder().private_epochs().build_from((0..60u64).map(|i| (4 * i + 2..4 * i + 4, i))).expect("sorted");
    let writer = map.write();
    let gap = |query: GapQuery, low: u64, high: u64| writer.find_gap(&query.within(low..high)).map(|span| span.start());
    for hole in (0..200).step_by(4) {
        for query in [GapQuery::new(2).lowest(), GapQuery::new(2).highest()] {
            assert_eq!(gap(query, hole, hole + 2), Ok(hole), "min and max leave room for it alone");
            assert_eq!(gap(query, hole, hole + 5), Ok(hole));
            assert!(matches!(gap(query, hole + 1, hole + 5), Err(GapError::NotFound { .. })), "half of a hole lies below the minimum");
        }
        assert_eq!(gap(GapQuery::new(1).highest(), hole + 1, hole + 4), Ok(hole + 1), "not below");
    }
}

/// ```text
/// before  ..AAASSS
/// unmap   ..---      by a thread that downgrades and reads on
/// fault      ^       may not grow into what is being torn down
/// ```
/// Bug 13 (CVE-2020-29369): `munmap` downgraded while a neighbour, under the read lock, grew into the range. Growth needs the write guard
/// here, so it waits, or says that it would.
#[test]
fn munmap_downgraded_while_a_neighbour_grows() {
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        let mm = mm_with(|limits| (limits.stack_guard_gap_pages, limits.upgrade) = (0, policy));
        map_all(&mm, &[(2, 5, RW), (5, 8, DOWN)]);
        let calm = Interrupt::new();
        thread::scope(|threads| {
            let mut writer = mm.write();
            writer.munmap(page(2), page(5) - page(2)).expect("memory");
            let tearing_down: MmReadGuard<'_> = writer.downgrade();
            let refused = mm.find_vma_for_fault(page(3), FaultContext::KernelWithoutFixup).map(drop);
            assert_eq!(refused, Err(FaultError::WouldBlock));
            let fault = threads.spawn(|| mm.find_vma_for_fault(page(3), FaultContext::User(&calm)).map(|found| found.vma().start()));
            while mm.try_read().is_some() {
                thread::yield_now();
            }
            assert_eq!(tearing_down.iter().map(|vma| vma.start()).collect::<Vec<_>>(), [page(5)], "nothing has grown");
            drop(tearing_down);
            assert_eq!(fault.join().expect("no panic"), Ok(page(3)));
        });
        assert_eq!(layout(&mm), [(3, 8, DOWN)]);
    }
}

/// Bug 15 (2016, Khlebnikov): an anon owner appeared between the lock and the unlock of a growth. A growth gives one before it locks, once
/// (2.4), and whoever comes after finds it; a split keeps it.
#[test]
fn an_anon_owner_that_appears_during_growth() {
    let mm = mm_of(&[]);
    for (at, owner) in [(8, Some(AnonOwner::from(3))), (28, None)] {
        let spec = VmaSpec::anonymous(DOWN);
        let spec = owner.map_or(spec.clone(), |owner| spec.owned_by(owner));
        mm.write().map(page(at)..page(at + 2), spec).expect("free");
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

/// Bug 11 (561b5e0709e4): a neighbour that was exempt from the guard gap becomes accessible later, and nobody looks. Decided: nothing
/// that is mapped is moved or refused for it, as in Linux; the next growth looks at the neighbour as it is then.
#[test]
fn an_exempt_neighbour_becomes_accessible_later() {
    let mm = mm_of(&[(0, 2, VmaFlags::empty()), (8, 9, DOWN)]);
    mm.write().expand_down(page(3)).expect("exempt");
    mm.write().munmap(page(0), page(2) - page(0)).expect("memory");
    map_all(&mm, &[(0, 2, RW)]);
    assert_eq!(mm.write().expand_down(page(2)).expect_err("too near now").errno(), 12);
    assert_eq!(mm.read().lookup(page(3)).map(|vma| vma.start()), Some(3 * PAGE_SIZE + page(0)), "what has grown stays");
}
