//! The path of a page fault: part 1 of `docs/semantics.md`, one test or more for each rule, over each lock.

use crate::support::address_space::{DOWN, RW, UP, layout, map_all, page};
use crate::support::each_lock::{RaiseOnDrop, TestInterrupt, TestLock, over_each_lock};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;
use vmaple::FaultContext::{self, KernelWithoutFixup};
use vmaple::lock::RawMmLock;
use vmaple::mm::fault::{ExpandError, FaultError, FaultedVma};
use vmaple::mm::{Limit, Limits, MmStats, MmWriteGuard, UpgradePolicy};
use vmaple::{Access, Mm, PAGE_SIZE, VmaFlags, VmaSpec};
use vmaple::{ErrorCode, SegvCode, Signal};

over_each_lock! {
    rule_1_1_read_acquisition,
    rule_1_2_a_hit_without_waiting,
    rule_1_3_a_hit_holds_the_read_lock,
    rule_1_4_a_plain_miss,
    rule_1_5_the_upgrade,
    rule_1_6_when_the_upgrade_fails,
    rule_1_7_everything_is_looked_at_again,
    rule_1_8_growth_refused,
    rule_1_10_the_sequence,
    rule_1_11_expand_stack,
    rule_1_12_find_extend_vma_locked,
    rule_1_12_up_first_then_down,
    rule_1_12_a_wait_that_ended_is_the_end,
    rule_1_13_nothing_grows_up_here,
    rule_1_14_the_paths,
    a_kept_reader_takes_the_same_paths,
    a_writer_elsewhere_is_not_in_the_way,
    every_fault_has_its_errno_and_signal,
    growth_waits_for_readers_of_the_vma_as_the_context_allows,
    two_threads_grow_one_stack,
    the_policies_agree,
}

fn never_upgrading<L: RawMmLock>(mm: Mm<(), L>) -> Mm<(), L> {
    let mut limits = Limits::clone(&mm.limits());
    limits.upgrade = UpgradePolicy::Never;
    mm.set_limits(limits).expect("limits that mean something");
    mm
}

/// Returns whether nothing is held, so that a writer could enter.
fn nothing_held<L: RawMmLock>(mm: &Mm<(), L>) -> bool {
    mm.try_write().is_some()
}

/// Waits until a writer waits for a read hold of the caller.
fn until_a_writer_waits<L: RawMmLock>(mm: &Mm<(), L>) {
    while mm.try_read().is_some() {
        thread::yield_now();
    }
}

/// 1.1: the lock is write-held. A fault that may not wait fails with `WouldBlock`; one that may waits, and is let in or interrupted.
fn rule_1_1_read_acquisition<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(0, 1, RW)]), L::Interrupt::default());
    thread::scope(|threads| {
        let _raise = RaiseOnDrop(&interrupt);
        let writer = mm.write();
        let refused = threads.spawn(|| mm.find_vma_for_fault(page(0), KernelWithoutFixup).map(drop));
        assert_eq!(refused.join().expect("no panic"), Err(FaultError::WouldBlock));
        let waits = threads.spawn(|| mm.find_vma_for_fault(page(0), FaultContext::User(&interrupt)).map(|found| found.vma().start()));
        drop(writer);
        assert_eq!(waits.join().expect("no panic"), Ok(page(0)));

        let writer = mm.write();
        let killed = ["user", "kernel"].map(|mode| {
            let context = if mode == "user" { FaultContext::User(&interrupt) } else { FaultContext::KernelWithFixup(&interrupt) };
            let mm = &mm;
            threads.spawn(move || mm.find_vma_for_fault(page(0), context).map(drop))
        });
        interrupt.raise();
        for killed in killed {
            assert_eq!(killed.join().expect("no panic"), Err(FaultError::Interrupted));
        }
        drop(writer);
    });
    assert!(nothing_held(&mm));
}

/// 1.2: a fault that needs no wait succeeds in every context, also in one that is interrupted.
fn rule_1_2_a_hit_without_waiting<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(0, 1, RW)]), L::Interrupt::default());
    interrupt.raise();
    for context in [KernelWithoutFixup, FaultContext::User(&interrupt), FaultContext::KernelWithFixup(&interrupt)] {
        let _other = mm.read();
        assert!(mm.find_vma_for_fault(page(0), context).is_ok());
    }
}

/// 1.3, 1.9: a hit and a growth return with the read lock held, and the VMA contains the address.
fn rule_1_3_a_hit_holds_the_read_lock<L: TestLock>() {
    let mm = L::mm_of(&[(4, 8, DOWN)]);
    for (at, start) in [(7, 4), (4, 4), (2, 2)] {
        let found = mm.find_vma_for_fault(page(at) + 5, KernelWithoutFixup).expect("there");
        assert_eq!((found.vma().start(), found.vma().last()), (page(start), page(8) - 1));
        assert!(mm.try_read().is_some() && mm.try_write().is_none(), "read-held");
        assert_eq!(found.guard().lookup(page(at)).map(|vma| vma.span()), Some(found.vma().span()));
        assert!(found.into_guard().try_upgrade().is_ok(), "by nobody else");
    }
}

/// 1.4: if nothing is above, or the VMA above does not grow down, the fault fails and never takes the write lock.
fn rule_1_4_a_plain_miss<L: TestLock>() {
    let mm = L::mm_of(&[(4, 5, RW), (8, 9, UP)]);
    let sequence = mm.write_sequence();
    let _other = mm.read();
    for at in [0, 6, 9, 20] {
        assert_eq!(mm.find_vma_for_fault(page(at), KernelWithoutFixup).map(drop), Err(FaultError::Unmapped { at: page(at) }));
    }
    assert_eq!(mm.write_sequence(), sequence, "1.10");
}

/// 1.5, better than Linux: if no other thread holds the lock, the read hold becomes the write hold. 1.8, 1.9: the VMA grows, and the
/// hold is downgraded.
fn rule_1_5_the_upgrade<L: TestLock>() {
    let mm = L::mm_of(&[(8, 9, DOWN)]);
    assert_eq!(mm.find_vma_for_fault(page(4), KernelWithoutFixup).map(|found| found.vma().start()), Ok(page(4)));
    assert_eq!((mm.stats().fault_paths.upgraded, mm.stats().fault_paths.retaken), (1, 0));
    let mm = never_upgrading(mm);
    assert_eq!(mm.find_vma_for_fault(page(2), KernelWithoutFixup).map(|found| found.vma().start()), Ok(page(2)));
    assert_eq!((mm.stats().fault_paths.upgraded, mm.stats().fault_paths.retaken), (1, 1));
}

/// 1.6: another reader holds the lock, so the upgrade fails. A fault that must not wait fails with `WouldBlock`; one that may drops its
/// hold first (else it would wait for itself), waits, and grows the VMA.
fn rule_1_6_when_the_upgrade_fails<L: TestLock>() {
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        let (mm, interrupt) = (L::mm_of(&[(8, 9, DOWN)]), L::Interrupt::default());
        let mm = if policy == UpgradePolicy::Never { never_upgrading(mm) } else { mm };
        thread::scope(|threads| {
            let _raise = RaiseOnDrop(&interrupt);
            let other = mm.read();
            let refused = threads.spawn(|| mm.find_vma_for_fault(page(4), KernelWithoutFixup).map(drop));
            assert_eq!(refused.join().expect("no panic"), Err(FaultError::WouldBlock));
            let waits = threads.spawn(|| mm.find_vma_for_fault(page(4), FaultContext::User(&interrupt)).map(|found| found.vma().start()));
            until_a_writer_waits(&mm);
            drop(other);
            assert_eq!(waits.join().expect("no panic"), Ok(page(4)));

            let other = mm.read();
            let killed = threads.spawn(|| mm.find_vma_for_fault(page(2), FaultContext::KernelWithFixup(&interrupt)).map(drop));
            until_a_writer_waits(&mm);
            interrupt.raise();
            assert_eq!(killed.join().expect("no panic"), Err(FaultError::Interrupted));
            drop(other);
        });
        assert!(nothing_held(&mm));
        assert_eq!(layout(&mm), [(4, 9, DOWN)]);
        let paths = mm.stats().fault_paths;
        assert_eq!((paths.upgraded, paths.retaken, paths.failed), (0, 1, 2));
    }
}

/// ```text
/// before     ......SS
/// meanwhile  ..AAAASS   mapped by another thread before the fault had the write lock: found, and nothing grows
///            ....SSSS   grown by another thread: the same
///            ........   unmapped: nothing there
///            .......A   what is above no longer grows: nothing there
/// fault         ^
/// ```
fn rule_1_7_everything_is_looked_at_again<L: TestLock>() {
    type Meanwhile<L> = fn(&mut MmWriteGuard<'_, (), L>) -> bool;
    type Told = Result<(u64, VmaFlags), FaultError>;
    let cases: [(Meanwhile<L>, Told); 4] = [
        (|writer| writer.insert(page(2), 4 * PAGE_SIZE, VmaSpec::anonymous(RW).exact_flags()).is_ok(), Ok((2, RW))),
        (|writer| writer.expand_down(page(2)).is_ok(), Ok((2, DOWN))),
        (|writer| writer.munmap(page(0), page(8) - page(0)).is_ok(), Err(FaultError::Unmapped { at: page(3) })),
        (
            |writer| {
                writer.munmap(page(0), page(8) - page(0)).expect("memory");
                writer.insert(page(7), PAGE_SIZE, VmaSpec::anonymous(RW)).is_ok()
            },
            Err(FaultError::Unmapped { at: page(3) }),
        ),
    ];
    for (meanwhile, expected) in cases {
        let mut seen = false;
        for attempt in 0..if cfg!(miri) { 1 } else { 2_000 } {
            let (mm, interrupt, both_are_near) = (L::mm_of(&[(6, 8, DOWN)]), L::Interrupt::default(), Barrier::new(3));
            let result = thread::scope(|threads| {
                let _raise = RaiseOnDrop(&interrupt);
                let held = mm.write();
                // If both are in the queue, the fault finds the stack beside the downgraded hold, cannot upgrade, and waits to write behind
                // the change. Nothing shows that they are, so each attempt gives them more time than the one before.
                let change = threads.spawn(|| {
                    both_are_near.wait();
                    meanwhile(&mut mm.write())
                });
                let fault = threads.spawn(|| {
                    both_are_near.wait();
                    let found = mm.find_vma_for_fault(page(3), FaultContext::User(&interrupt));
                    found.map(|found| ((found.vma().start() - page(0)) / PAGE_SIZE, found.vma().flags()))
                });
                both_are_near.wait();
                for _ in 0..attempt {
                    thread::yield_now();
                }
                let held = held.downgrade();
                until_a_writer_waits(&mm);
                drop(held);
                change.join().expect("no panic");
                fault.join().expect("no panic")
            });
            assert!(result == expected || result == Ok((3, DOWN)), "{result:?}: neither before the change nor after it");
            let (paths, sequence) = (mm.stats().fault_paths, mm.write_sequence());
            assert!(nothing_held(&mm));
            // The fault's own write hold is the fourth, though it found nothing: it has looked twice.
            seen |= result == expected && (paths.found_again == 1 || paths.failed == 1 && sequence == 8);
            if seen {
                break;
            }
        }
        assert!(seen || cfg!(miri), "{expected:?} was never found by looking again");
    }
}

/// 1.8: after a refused growth nothing is held, nothing has grown, and the error is that of the rule. 1.10: the sequence is larger by two.
fn rule_1_8_growth_refused<L: TestLock>() {
    let mm = L::mm_of(&[(0, 2, RW), (8, 9, DOWN)]);
    for mm in [mm, never_upgrading(L::mm_of(&[(0, 2, RW), (8, 9, DOWN)]))] {
        let sequence = mm.write_sequence();
        let fault = mm.find_vma_for_fault(page(3), KernelWithoutFixup).expect_err("too near");
        assert!(matches!(fault, FaultError::Growth(ExpandError::GuardGap { .. })));
        assert_eq!((fault.errno(), fault.signal()), (12, Some(Signal::Segv(SegvCode::MapErr))));
        assert_eq!(mm.write_sequence(), sequence + 2);
        assert!(nothing_held(&mm));
        assert_eq!(layout(&mm), [(0, 2, RW), (8, 9, DOWN)]);
    }
}

/// 1.10: a growth is one write hold.
fn rule_1_10_the_sequence<L: TestLock>() {
    for mm in [L::mm_of(&[(8, 9, DOWN)]), never_upgrading(L::mm_of(&[(8, 9, DOWN)]))] {
        let sequence = mm.write_sequence();
        drop(mm.find_vma_for_fault(page(8), KernelWithoutFixup).expect("a hit"));
        assert_eq!(mm.write_sequence(), sequence);
        let found = mm.find_vma_for_fault(page(5), KernelWithoutFixup).expect("grown");
        assert_eq!(mm.write_sequence(), sequence + 2, "ended by the downgrade, before the lock is released");
        drop(found);
        assert_eq!(mm.write_sequence(), sequence + 2);
    }
}

/// 1.11: `expand_stack` consumes the guard, and returns it with the VMA or releases it. In both directions.
fn rule_1_11_expand_stack<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, UP), (8, 9, VmaFlags::empty()), (20, 21, DOWN), (30, 31, RW)]);
    for (at, span) in [(20, (20, 21)), (3, (0, 4)), (16, (16, 21))] {
        let found = mm.read().expand_stack(page(at), KernelWithoutFixup).expect("it grows");
        assert_eq!((found.vma().start(), found.vma().last()), (page(span.0), page(span.1) - 1));
        assert!(mm.try_write().is_none(), "read-held");
    }
    for at in [25, 40] {
        let result = mm.read().expand_stack(page(at), KernelWithoutFixup).expect_err("nothing grows there");
        assert_eq!((result.errno(), nothing_held(&mm)), (14, true));
    }
    let _other = mm.read();
    assert_eq!(mm.read().expand_stack(page(10), KernelWithoutFixup).expect_err("another reads"), FaultError::WouldBlock);
}

/// 1.12: the caller keeps the lock, also on failure.
fn rule_1_12_find_extend_vma_locked<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, UP), (8, 9, VmaFlags::empty()), (20, 21, DOWN), (30, 31, RW)]);
    let mut writer = mm.write();
    assert_eq!(writer.find_extend_vma_locked(page(20)).map(|vma| vma.start()), Ok(page(20)));
    assert_eq!(writer.find_extend_vma_locked(page(2)).map(|vma| vma.last()), Ok(page(3) - 1));
    assert_eq!(writer.find_extend_vma_locked(page(17)).map(|vma| vma.start()), Ok(page(17)));
    for at in [25, 40] {
        assert_eq!(writer.find_extend_vma_locked(page(at)).expect_err("nothing grows there").errno(), 14);
        assert!(mm.try_read().is_none(), "write-held still");
    }
    writer.validate().expect("and fit for use");
}

/// 1.11, 1.12: if the VMA before the address grows up but its growth is refused, the one after the address is tried.
fn rule_1_12_up_first_then_down<L: TestLock>() {
    let mm = L::mm_with(|limits| (limits.stack_guard_gap_pages, limits.stack_bytes) = (2, 4 * PAGE_SIZE));
    map_all(&mm, &[(0, 4, UP), (12, 13, DOWN)]);
    assert_eq!(mm.write().find_extend_vma_locked(page(10)).map(|vma| vma.start()), Ok(page(10)));
}

/// 1.11, 1.12: if a wait ends early, the other direction is not tried.
fn rule_1_12_a_wait_that_ended_is_the_end<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(0, 1, UP), (12, 13, DOWN)]), L::Interrupt::default());
    interrupt.raise();
    thread::scope(|threads| {
        let held = mm.lock_vma(page(0)).expect("free");
        let result = threads.spawn(|| {
            let contexts = [FaultContext::User(&interrupt), KernelWithoutFixup];
            contexts.map(|context| mm.read().expand_stack(page(6), context).map(|found| found.vma().start()))
        });
        assert_eq!(result.join().expect("no panic"), [Err(FaultError::Interrupted), Err(FaultError::WouldBlock)]);
        drop(held);
    });
    assert_eq!(mm.len(), 2);
    assert_eq!(
        mm.read().expand_stack(page(6), KernelWithoutFixup).map(|found| found.vma().start()),
        Ok(page(0)),
        "upward, as it is free now"
    );
}

/// 1.13: `find_vma_for_fault` grows VMAs only downward.
fn rule_1_13_nothing_grows_up_here<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, UP)]);
    assert_eq!(mm.find_vma_for_fault(page(1), KernelWithoutFixup).map(drop), Err(FaultError::Unmapped { at: page(1) }));
    assert_eq!(layout(&mm), [(0, 1, UP)]);
}

fn paths<L: RawMmLock>(mm: &Mm<(), L>) -> [u64; 6] {
    let paths = mm.stats().fault_paths;
    [paths.per_vma, paths.mm_read, paths.upgraded, paths.retaken, paths.found_again, paths.failed]
}

/// 1.14: the per-VMA path grows nothing; if it finds no VMA, the fault takes the mm lock. Each path is counted.
fn rule_1_14_the_paths<L: TestLock>() {
    let mm = L::mm_of(&[(8, 9, DOWN)]);
    let handle = |at| mm.handle_fault(page(at), Access::Write, KernelWithoutFixup);
    assert!(matches!(handle(8), Ok(FaultedVma::PerVma(_))));
    assert_eq!(paths(&mm), [1, 0, 0, 0, 0, 0]);
    assert!(matches!(handle(6), Ok(FaultedVma::Mm(_))), "grown");
    assert_eq!(paths(&mm), [1, 0, 1, 0, 0, 0]);
    assert!(matches!(handle(6), Ok(FaultedVma::PerVma(_))));
    assert!(handle(20).is_err());
    assert_eq!(paths(&mm), [2, 0, 1, 0, 0, 1]);
}

/// 1.14: a reader that is used for many faults gives the same answers by the same paths.
fn a_kept_reader_takes_the_same_paths<L: TestLock>() {
    let layout = &[(2, 4, RW), (4, 5, VmaFlags::READ), (20, 22, DOWN), (30, 31, VmaFlags::empty())];
    let (mm, twin) = (L::mm_of(layout), L::mm_of(layout));
    let mut reader = mm.reader();
    for access in [Access::Write, Access::Read] {
        // Downward first, so that the stack grows page by page; then upward, when it has grown.
        for n in (0..34).rev().chain(0..34) {
            let result =
                reader.handle_fault(page(n) + 7, access, KernelWithoutFixup).map(|found| (found.vma().span(), found.vma().flags()));
            let expected =
                twin.handle_fault(page(n) + 7, access, KernelWithoutFixup).map(|found| (found.vma().span(), found.vma().flags()));
            assert_eq!(result, expected, "page {n}, {access:?}");
        }
    }
    assert_eq!(mm.stats(), twin.stats());
    assert!(mm.stats().fault_paths.per_vma > 0 && mm.stats().fault_paths.upgraded > 0 && mm.stats().fault_paths.failed > 0);
    assert!(nothing_held(&mm));
    // An answer outlives the reader.
    let held = reader.handle_fault(page(3), Access::Write, KernelWithoutFixup).expect("mapped");
    drop(reader);
    assert_eq!((held.vma().start(), held.vma().is_attached()), (page(2), true));
}

/// A fault on a VMA that a writer has not locked succeeds while that writer holds the mm lock.
fn a_writer_elsewhere_is_not_in_the_way<L: TestLock>() {
    let mm = L::mm_of(&[(8, 9, RW), (20, 24, RW)]);
    let mut writer = mm.write();
    writer.munmap(page(21), page(22) - page(21)).expect("memory");
    assert!(matches!(mm.handle_fault(page(8), Access::Read, KernelWithoutFixup), Ok(FaultedVma::PerVma(_))));
    assert_eq!(mm.handle_fault(page(20), Access::Read, KernelWithoutFixup).map(drop), Err(FaultError::WouldBlock), "it is at this one");
}

/// Every kind of fault, its errno and its signal.
fn every_fault_has_its_errno_and_signal<L: TestLock>() {
    let (map_err, acc_err) = (Some(Signal::Segv(SegvCode::MapErr)), Some(Signal::Segv(SegvCode::AccErr)));
    let mm = L::mm_with(|limits| (limits.stack_guard_gap_pages, limits.stack_bytes) = (2, 8 * PAGE_SIZE));
    map_all(&mm, &[(0, 1, RW), (8, 9, DOWN), (20, 21, VmaFlags::empty()), (30, 31, DOWN)]);
    let handle = |at, access| mm.handle_fault(page(at), access, KernelWithoutFixup).expect_err("refused");
    let codes = |fault: FaultError| (fault.errno(), fault.signal());
    assert_eq!(codes(handle(50, Access::Read)), (14, map_err));
    assert_eq!(codes(handle(8, Access::Exec)), (14, acc_err));
    assert_eq!(codes(handle(20, Access::Read)), (14, acc_err), "inaccessible, but mapped");
    assert!(
        matches!(handle(6, Access::Exec), FaultError::Denied { vma, .. } if vma.start() == page(6)),
        "it grew, and is denied all the same"
    );
    assert!(matches!(handle(2, Access::Read), FaultError::Growth(ExpandError::GuardGap { .. })));
    assert_eq!(codes(handle(2, Access::Read)), (12, map_err));
    assert!(matches!(handle(22, Access::Read), FaultError::Growth(ExpandError::Limit(Limit::Stack { .. }))));
    assert_eq!(codes(handle(22, Access::Read)), (12, map_err));
    let writer = mm.write();
    assert_eq!(codes(handle(50, Access::Read)), (11, None), "WouldBlock");
    drop(writer);
    assert_eq!(codes(FaultError::Interrupted), (4, None));
    assert_eq!((Signal::Segv(SegvCode::MapErr).number(), Signal::Segv(SegvCode::AccErr).code()), (11, 2));
    assert!(nothing_held(&mm));
}

/// The VMA's own readers delay its growth as long as the context allows: not at all, or until interrupted (2.5, 3.4).
fn growth_waits_for_readers_of_the_vma_as_the_context_allows<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(8, 9, DOWN)]), L::Interrupt::default());
    thread::scope(|threads| {
        let _raise = RaiseOnDrop(&interrupt);
        let guard = mm.lock_vma(page(8)).expect("free");
        assert_eq!(mm.find_vma_for_fault(page(6), KernelWithoutFixup).map(drop), Err(FaultError::WouldBlock));
        let killed = threads.spawn(|| mm.find_vma_for_fault(page(6), FaultContext::User(&interrupt)).map(drop));
        while mm.lock_vma(page(8)).is_ok() {
            thread::yield_now();
        }
        interrupt.raise();
        assert_eq!(killed.join().expect("no panic"), Err(FaultError::Interrupted));
        drop(guard);
        assert!(mm.find_vma_for_fault(page(6), KernelWithoutFixup).is_ok());
    });
}

/// Two threads grow one stack (CVE-2005-0001): it ends at the lower address, and each page is counted once.
fn two_threads_grow_one_stack<L: TestLock>() {
    const ROUNDS: u64 = if cfg!(miri) { 3 } else { 200 };
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        for _ in 0..ROUNDS {
            let (mm, interrupt, begin) = (L::mm_of(&[(40, 41, DOWN)]), L::Interrupt::default(), Barrier::new(2));
            let mm = if policy == UpgradePolicy::Never { never_upgrading(mm) } else { mm };
            thread::scope(|threads| {
                for offset in 0..2 {
                    let (mm, begin, interrupt) = (&mm, &begin, &interrupt);
                    threads.spawn(move || {
                        begin.wait();
                        for step in 0..10 {
                            let at = page(38 - 2 * step + offset);
                            let held = mm.handle_fault(at, Access::Write, FaultContext::User(interrupt)).expect("room below");
                            assert!(held.vma().contains(at));
                        }
                    });
                }
            });
            assert_eq!(layout(&mm), [(20, 41, DOWN)]);
            let MmStats { total_pages, stack_pages, fault_paths: paths, .. } = mm.stats();
            assert_eq!((total_pages, stack_pages), (21, 21));
            assert_eq!(paths.per_vma + paths.mm_read + paths.upgraded + paths.retaken + paths.found_again, 20);
            assert!(policy == UpgradePolicy::Optimistic || paths.upgraded == 0);
        }
    }
}

/// In one thread, the policies give the same results.
fn the_policies_agree<L: TestLock>() {
    let outcome = |mm: Mm<(), L>| -> BTreeSet<(u64, Result<u64, i32>)> {
        (0..24)
            .map(|at| {
                (at, mm.find_vma_for_fault(page(23 - at), KernelWithoutFixup).map(|found| found.vma().start()).map_err(|f| f.errno()))
            })
            .collect()
    };
    let vmas = [(0, 2, RW), (6, 7, DOWN), (9, 10, RW), (15, 16, DOWN), (20, 21, RW)];
    assert_eq!(outcome(L::mm_of(&vmas)), outcome(never_upgrading(L::mm_of(&vmas))));
}
