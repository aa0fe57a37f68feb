//! Models of the fault path and of the lock of a VMA.
//!
//! Maps are drawn with one letter for each page; `S` is a stack. The guard gap is two pages. Each call of `find_vma_for_fault` is explored
//! with the upgrade and without it: the outcomes are the same, and some upgrades succeed.

use super::{explore_within, thread};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use vmaple::lock::Patience;
use vmaple::mm::fault::FaultError;
use vmaple::mm::{FaultPaths, LayoutError, Limits, LockVmaError, MunmapError, UpgradePolicy};
use vmaple::{ErrorCode, FaultContext, Interrupt, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
const DOWN: VmaFlags = RW.union(VmaFlags::GROWSDOWN);

/// Under loom with at most four preemptions (or as many as `VMAPLE_PREEMPTIONS` says), because a fault has many steps.
fn explore<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: impl IntoIterator<Item = T>,
    scenario: impl Fn() -> Vec<T> + Send + Sync + 'static,
) {
    explore_within(Some(4), &expected.into_iter().collect(), scenario);
}

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

fn number(address: u64) -> u64 {
    (address - page(0)) / PAGE_SIZE
}

/// before  ........S   one page of stack, page 8
fn stack(policy: UpgradePolicy) -> Arc<Mm> {
    let mut limits = Limits::default();
    (limits.stack_guard_gap_pages, limits.upgrade) = (2, policy);
    let mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    mm.write().insert(page(8), PAGE_SIZE, VmaSpec::anonymous(DOWN)).expect("it is free");
    Arc::new(mm)
}

fn beside<T: Send + 'static>(mm: &Arc<Mm>, run: impl FnOnce(&Mm) -> T + Send + 'static) -> thread::JoinHandle<T> {
    let mm = Arc::clone(mm);
    thread::spawn(move || run(&mm))
}

/// Faults on a page. Returns the first page of the VMA, or the errno. Waits as long as necessary.
fn fault(mm: &Mm, at: u64) -> Result<u64, i32> {
    let killed = Interrupt::new();
    let found = mm.find_vma_for_fault(page(at), FaultContext::User(&killed)).map_err(|fault| fault.errno())?;
    assert!(found.vma().contains(page(at)));
    assert_eq!(found.guard().lookup(page(at)).map(|vma| vma.span()), Some(found.vma().span()), "the layout does not change");
    Ok(number(found.vma().start()))
}

/// Returns what is mapped: the first page of each VMA, and the page after its last.
fn layout(mm: &Mm) -> Vec<(u64, u64)> {
    let writer = mm.write();
    writer.validate().expect("the invariants hold");
    writer.iter().map(|vma| (number(vma.start()), number(vma.last() + 1))).collect()
}

/// Explores a scenario with the upgrade and without it.
fn both_ways<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: &[T],
    scenario: impl Fn(UpgradePolicy) -> (T, FaultPaths) + Send + Sync + Copy + 'static,
) {
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        let upgrades = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&upgrades);
        explore(expected.iter().cloned(), move || {
            let (outcome, paths) = scenario(policy);
            count.fetch_add(paths.upgraded, Relaxed);
            vec![outcome]
        });
        assert_eq!(upgrades.load(Relaxed) > 0, policy == UpgradePolicy::Optimistic, "upgrades succeed only if the policy allows them");
    }
}

/// fault       b.a.S   two faults on one stack
/// after       SSSSS   it grows to the lower address, and each page is counted once
#[test]
fn two_faults_on_one_stack() {
    // The start of the stack that the fault on page 6 finds.
    both_ways(&[4, 6], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| fault(mm, 4));
        let own = fault(&mm, 6).expect("room below");
        assert_eq!(other.join().expect("it ran to its end"), Ok(4));
        assert_eq!(layout(&mm), [(4, 9)]);
        assert_eq!(mm.stats().stack_pages, 5);
        (own, mm.stats().fault_paths)
    });
}

/// fault       ..a.S   and an unmapping of S: the fault comes first, and two pages stay; or second, and nothing is there (1.7)
#[test]
fn a_fault_beside_an_unmap() {
    both_ways(&[Ok(6), Err(14)], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().munmap(page(8), page(9) - page(8)));
        let own = fault(&mm, 6);
        assert_eq!(other.join().expect("it ran to its end"), Ok(()));
        let left: &[(u64, u64)] = if own.is_ok() { &[(6, 8)] } else { &[] };
        assert_eq!(layout(&mm), left);
        (own, mm.stats().fault_paths)
    });
}

/// fault       ..a.S   and a mapping of .MM..: the mapping is refused, or the fault finds it (1.7)
#[test]
fn a_fault_beside_a_mapping_in_the_way() {
    both_ways(&[(Ok(6), false), (Ok(5), true)], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().insert(page(5), 2 * PAGE_SIZE, VmaSpec::anonymous(RW)).is_ok());
        let own = fault(&mm, 6);
        let mapped = other.join().expect("it ran to its end");
        assert_eq!(layout(&mm), if mapped { vec![(5, 7), (8, 9)] } else { vec![(6, 9)] });
        ((own, mapped), mm.stats().fault_paths)
    });
}

/// fault       ..a.S   and a mapping of MM...: if the mapping comes first, it is too near (2.3, checked again under the write lock)
#[test]
fn a_fault_beside_a_mapping_in_the_guard_gap() {
    both_ways(&[Ok(6), Err(12)], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().insert(page(3), 2 * PAGE_SIZE, VmaSpec::anonymous(RW)).is_ok());
        let own = fault(&mm, 6);
        assert!(other.join().expect("it ran to its end"), "`insert` ignores guard gaps");
        assert_eq!(layout(&mm), [(3, 5), (if own.is_ok() { 6 } else { 8 }, 9)]);
        (own, mm.stats().fault_paths)
    });
}

/// Locks the VMA at a page, and checks that it does not change while it is locked. Returns its first page.
fn lock(mm: &Mm, at: u64) -> Result<u64, LockVmaError> {
    let held = mm.lock_vma(page(at))?;
    for _ in 0..2 {
        let pin = mm.pin();
        let now = pin.lookup(page(at)).expect("a locked VMA is mapped");
        assert_eq!(now, held.vma(), "it is the VMA that was locked");
        assert!(held.vma().is_attached());
    }
    Ok(number(held.vma().start()))
}

/// A VMA is locked while it is unmapped: the writer waits, or the reader fails.
#[test]
fn a_locked_vma_beside_an_unmap() {
    explore(
        [Ok(8), Err(LockVmaError::Busy { at: page(8) }), Err(LockVmaError::Absent { at: page(8) })].map(|result| format!("{result:?}")),
        || {
            let mm = stack(UpgradePolicy::Optimistic);
            let reader = beside(&mm, |mm| lock(mm, 8));
            assert_eq!(mm.write().munmap(page(8), page(9) - page(8)), Ok(()));
            let result = reader.join().expect("it ran to its end");
            assert!(layout(&mm).is_empty());
            vec![format!("{result:?}")]
        },
    );
}

/// A VMA is locked while it grows: it has the old bounds or the new ones, and keeps them.
#[test]
fn a_locked_vma_beside_its_growth() {
    explore([Ok(8), Ok(6), Err(LockVmaError::Busy { at: page(8) })].map(|result| format!("{result:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        let reader = beside(&mm, |mm| lock(mm, 8));
        mm.write().expand_down(page(6)).expect("room below");
        let result = reader.join().expect("it ran to its end");
        vec![format!("{result:?}")]
    });
}

/// A VMA is locked while it grows, with a second write hold afterwards that does not change it: a reader that sees the second hold begun
/// sees what the first one did.
#[test]
fn a_locked_vma_beside_its_growth_and_another_hold() {
    explore([Ok(8), Ok(6), Err(LockVmaError::Busy { at: page(8) })].map(|result| format!("{result:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        let reader = beside(&mm, |mm| lock(mm, 8));
        mm.write().expand_down(page(6)).expect("room below");
        drop(mm.write());
        let result = reader.join().expect("it ran to its end");
        vec![format!("{result:?}")]
    });
}

/// A VMA is locked while it is split, and the address stays mapped: the reader gets the new record, and never the old one afterwards.
#[test]
fn a_locked_vma_beside_a_split() {
    explore([Ok(8), Ok(6), Err(LockVmaError::Busy { at: page(8) })].map(|result| format!("{result:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        mm.write().expand_down(page(6)).expect("room below");
        let reader = beside(&mm, |mm| lock(mm, 8));
        assert_eq!(mm.write().munmap(page(6), page(8) - page(6)), Ok(()));
        let result = reader.join().expect("it ran to its end");
        assert_eq!(layout(&mm), [(8, 9)]);
        vec![format!("{result:?}")]
    });
}

/// Goes from VMA to VMA, and checks that each does not change while it is locked. Returns the first page of each, and the page after its
/// last.
fn walk(mm: &Mm) -> Vec<(u64, u64)> {
    let (mut from, mut met) = (page(0), Vec::new());
    while let Some(held) = mm.lock_find(from, Patience::Forever).expect("it waits") {
        let now = mm.pin().lookup(held.vma().last()).map(|now| now.span());
        assert_eq!(now, Some(held.vma().span()), "a locked VMA has the guard's bounds");
        met.push((number(held.vma().start()), number(held.vma().last() + 1)));
        from = held.vma().last() + 1;
    }
    met
}

/// 3.7. From VMA to VMA while a stack grows: the hole before the stack is reported as it was at one moment.
#[test]
fn a_walk_beside_a_growth() {
    explore([vec![(8, 9)], vec![(6, 9)]], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let walker = beside(&mm, walk);
        mm.write().expand_down(page(6)).expect("room below");
        vec![walker.join().expect("it ran to its end")]
    });
}

/// 3.7. From VMA to VMA while the first one is unmapped: the other one is found in any case.
#[test]
fn a_walk_beside_an_unmap() {
    explore([vec![(2, 3), (8, 9)], vec![(8, 9)]], || {
        let mm = stack(UpgradePolicy::Optimistic);
        mm.write().insert(page(2), PAGE_SIZE, VmaSpec::anonymous(RW)).expect("it is free");
        let walker = beside(&mm, walk);
        assert_eq!(mm.write().munmap(page(2), page(3) - page(2)), Ok(()));
        vec![walker.join().expect("it ran to its end")]
    });
}

/// 3.7. From VMA to VMA while the hole before the stack is mapped: the new VMA is found, or the hole as it was before.
#[test]
fn a_walk_beside_a_mapping() {
    explore([vec![(4, 5), (8, 9)], vec![(8, 9)]], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let walker = beside(&mm, walk);
        mm.write().insert(page(4), PAGE_SIZE, VmaSpec::anonymous(RW)).expect("it is free");
        vec![walker.join().expect("it ran to its end")]
    });
}

/// A writer waits for the reader of a VMA and is interrupted: it unmaps the VMA, or it does not and the VMA can be locked as before.
#[test]
fn an_interrupt_beside_the_last_reader() {
    explore([true, false], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let interrupt = Arc::new(Interrupt::new());
        let raised = Arc::clone(&interrupt);
        let held = mm.lock_vma(page(8)).expect("no writer holds it");
        let writer = beside(&mm, move |mm| mm.write().plan(Patience::Interruptible(&raised)).munmap(page(8), page(9) - page(8)).commit());
        interrupt.raise();
        drop(held);
        let result = writer.join().expect("it ran to its end");
        assert!(matches!(result, Ok(()) | Err(MunmapError::Layout(LayoutError::Wait(_)))));
        assert_eq!(mm.lock_vma(page(8)).is_ok(), result.is_err(), "the cancelled wait left no trace");
        vec![result.is_ok()]
    });
}

/// A fault is interrupted while this thread holds what the fault waits for. At whatever step the interrupt comes, the fault grows the stack
/// or ends interrupted. Either way it leaves no trace, and the next fault succeeds.
fn an_interrupt_beside_a_fault(while_held: fn(&Mm, &mut dyn FnMut())) {
    explore([true, false], move || {
        let mm = stack(UpgradePolicy::Optimistic);
        let interrupt = Arc::new(Interrupt::new());
        let mut waits = None;
        while_held(&mm, &mut || {
            let raised = Arc::clone(&interrupt);
            waits = Some(beside(&mm, move |mm| mm.find_vma_for_fault(page(6), FaultContext::User(&raised)).map(drop)));
            interrupt.raise();
        });
        let result = waits.expect("it was spawned").join().expect("it ran to its end");
        assert!(matches!(result, Ok(()) | Err(FaultError::Interrupted)), "{result:?}");
        drop(mm.try_write().expect("the lock is free"));
        assert_eq!(layout(&mm), [(if result.is_ok() { 6 } else { 8 }, 9)]);
        assert!(mm.lock_vma(page(8)).is_ok(), "it is not draining");
        assert_eq!(fault(&mm, 6), Ok(6));
        vec![result.is_ok()]
    });
}

#[test]
fn an_interrupt_beside_a_fault_that_waits_to_read() {
    an_interrupt_beside_a_fault(|mm, fault| {
        let _held = mm.write();
        fault();
    });
}

#[test]
fn an_interrupt_beside_a_fault_that_waits_to_write() {
    an_interrupt_beside_a_fault(|mm, fault| {
        let _held = mm.read();
        fault();
    });
}

#[test]
fn an_interrupt_beside_a_fault_that_waits_for_a_reader_of_the_vma() {
    an_interrupt_beside_a_fault(|mm, fault| {
        let _held = mm.lock_vma(page(8)).expect("no writer holds it");
        fault();
    });
}

/// The last reader leaves while the writer goes to sleep: no wake-up is lost.
#[test]
fn a_writer_drains_the_last_reader() {
    explore([()], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let held = mm.lock_vma(page(8)).expect("no writer holds it");
        let writer = beside(&mm, |mm| mm.write().munmap(page(8), page(9) - page(8)));
        assert!(held.vma().is_attached());
        drop(held);
        assert_eq!(writer.join().expect("it ran to its end"), Ok(()));
        vec![()]
    });
}

/// Faults, an unmapping and a mapping at once: what a fault finds is valid, and the accounts are right in the end.
#[cfg(vmaple_shuttle)]
#[test]
fn four_threads_on_one_stack() {
    use vmaple::Access;
    explore([()], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let faults = [4, 6].map(|at| {
            beside(&mm, move |mm| {
                let killed = Interrupt::new();
                match mm.handle_fault(page(at), Access::Write, FaultContext::User(&killed)) {
                    Ok(held) => assert!(held.vma().contains(page(at)) && held.vma().is_attached()),
                    Err(fault) => assert!(matches!(fault, FaultError::Unmapped { .. } | FaultError::Growth(_)), "{fault}"),
                }
            })
        });
        let unmap = beside(&mm, |mm| mm.write().munmap(page(7), page(9) - page(7)));
        _ = mm.write().insert(page(2), PAGE_SIZE, VmaSpec::anonymous(RW));
        for fault in faults {
            fault.join().expect("it ran to its end");
        }
        unmap.join().expect("it ran to its end").expect("memory");
        layout(&mm);
        vec![()]
    });
}

/// A fault that must not wait does not wait, and says so.
#[test]
fn a_fault_that_must_not_wait() {
    both_ways(&["found", "would block"], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().expand_down(page(7)).map(drop));
        let result = match mm.find_vma_for_fault(page(6), FaultContext::KernelWithoutFixup) {
            Ok(_) => "found",
            Err(FaultError::WouldBlock) => "would block",
            Err(_) => "something else",
        };
        other.join().expect("it ran to its end").expect("room below");
        (result, mm.stats().fault_paths)
    });
}
