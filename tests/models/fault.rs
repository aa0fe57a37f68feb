//! The fault path and the lock of a VMA. Maps are drawn with a letter a page; `S` is a stack. The guard gap is two pages.
//!
//! Each question to the helper is explored with the upgrade and without it: what comes of it is the same set, and upgrades are seen to
//! succeed.

use super::{explore_within, thread};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use vmaple::lock::Patience;
use vmaple::mm::fault::Fault;
use vmaple::mm::{LayoutError, Limits, LockVmaError, MunmapError, Roads, Shared, UpgradePolicy};
use vmaple::{FaultContext, Interrupt, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
const DOWN: VmaFlags = RW.union(VmaFlags::GROWSDOWN);

/// Under loom with four preemptions at most: a fault has many steps (`VMAPLE_PREEMPTIONS` says otherwise).
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
    mm.write().map(page(8)..page(9), VmaSpec::anonymous(DOWN)).expect("it is free");
    Arc::new(mm)
}

fn beside<T: Send + 'static>(mm: &Arc<Mm>, run: impl FnOnce(&Mm) -> T + Send + 'static) -> thread::JoinHandle<T> {
    let mm = Arc::clone(mm);
    thread::spawn(move || run(&mm))
}

/// A fault on a page: the first page of the VMA found, or the errno. The context waits for ever.
fn fault(mm: &Mm, at: u64) -> Result<u64, i32> {
    let killed = Interrupt::new();
    let found = mm.find_vma_for_fault(page(at), FaultContext::User(&killed)).map_err(|fault| fault.errno())?;
    assert!(found.span().contains(page(at)));
    assert_eq!(found.guard().vma(page(at)).map(|vma| vma.span()), Some(found.span()), "the layout stands still");
    Ok(number(found.span().start()))
}

/// What is mapped in the end: first page, page after the last.
fn layout(mm: &Mm) -> Vec<(u64, u64)> {
    let writer = mm.write();
    writer.validate().expect("the invariants hold");
    writer.vmas().map(|vma| (number(vma.start()), number(vma.last() + 1))).collect()
}

/// Explores a scenario with the upgrade and without.
fn both_ways<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: &[T],
    scenario: impl Fn(UpgradePolicy) -> (T, Roads) + Send + Sync + Copy + 'static,
) {
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        let upgrades = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&upgrades);
        explore(expected.iter().cloned(), move || {
            let (told, roads) = scenario(policy);
            count.fetch_add(roads.upgraded, Relaxed);
            vec![told]
        });
        assert_eq!(upgrades.load(Relaxed) > 0, policy == UpgradePolicy::Optimistic, "how often upgrades succeeded");
    }
}

/// fault       b.a.S   two on one stack
/// after       SSSSS   it ends at the lower address, and each page is counted once
#[test]
fn two_faults_on_one_stack() {
    // Where the stack starts for the fault on page 6.
    both_ways(&[4, 6], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| fault(mm, 4));
        let own = fault(&mm, 6).expect("room below");
        assert_eq!(other.join().expect("it ran to its end"), Ok(4));
        assert_eq!(layout(&mm), [(4, 9)]);
        assert_eq!(mm.stats().stack_pages, 5);
        (own, mm.stats().roads)
    });
}

/// fault       ..a.S   beside an unmapping of the S: before it, and two pages stay; or after it, and nothing is there (1.7)
#[test]
fn a_fault_beside_an_unmap() {
    both_ways(&[Ok(6), Err(14)], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().munmap(page(8), page(9) - page(8)));
        let own = fault(&mm, 6);
        assert_eq!(other.join().expect("it ran to its end"), Ok(0));
        let left: &[(u64, u64)] = if own.is_ok() { &[(6, 8)] } else { &[] };
        assert_eq!(layout(&mm), left);
        (own, mm.stats().roads)
    });
}

/// fault       ..a.S   beside a mapping of .MM..: the mapping is refused, or it is what the fault finds (1.7)
#[test]
fn a_fault_beside_a_mapping_in_the_way() {
    both_ways(&[(Ok(6), false), (Ok(5), true)], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().map(page(5)..page(7), VmaSpec::anonymous(RW)).is_ok());
        let own = fault(&mm, 6);
        let mapped = other.join().expect("it ran to its end");
        assert_eq!(layout(&mm), if mapped { vec![(5, 7), (8, 9)] } else { vec![(6, 9)] });
        ((own, mapped), mm.stats().roads)
    });
}

/// fault       ..a.S   beside a mapping of MM...: it is too near when it comes first (2.3, looked at again under the write lock)
#[test]
fn a_fault_beside_a_mapping_in_the_guard_gap() {
    both_ways(&[Ok(6), Err(12)], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().map(page(3)..page(5), VmaSpec::anonymous(RW)).is_ok());
        let own = fault(&mm, 6);
        assert!(other.join().expect("it ran to its end"), "mapping asks no guard gaps");
        assert_eq!(layout(&mm), [(3, 5), (if own.is_ok() { 6 } else { 8 }, 9)]);
        (own, mm.stats().roads)
    });
}

/// Locks the VMA at a page, and looks whether it stands still while it is locked. Where it starts.
fn lock(mm: &Mm, at: u64) -> Result<u64, LockVmaError> {
    let vma = mm.lock_vma(page(at))?;
    for _ in 0..2 {
        let pin = mm.pin();
        let now = pin.vma(page(at)).expect("a VMA that is locked is mapped");
        assert!(Shared::ptr_eq(now.record(), vma.record()) && vma.is_attached(), "it is what was locked");
        assert_eq!(now.span(), vma.span(), "with the bounds that were told");
    }
    Ok(number(vma.span().start()))
}

/// A VMA is locked beside its unmapping: the writer waits, or the reader is told; never both at it.
#[test]
fn a_locked_vma_beside_an_unmap() {
    explore([Ok(8), Err(LockVmaError::Busy), Err(LockVmaError::Absent)].map(|told| format!("{told:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        let reader = beside(&mm, |mm| lock(mm, 8));
        assert_eq!(mm.write().munmap(page(8), page(9) - page(8)), Ok(0));
        let told = reader.join().expect("it ran to its end");
        assert!(layout(&mm).is_empty());
        vec![format!("{told:?}")]
    });
}

/// A VMA is locked beside its growth: it has the bounds of before or of after, and keeps them.
#[test]
fn a_locked_vma_beside_its_growth() {
    explore([Ok(8), Ok(6), Err(LockVmaError::Busy)].map(|told| format!("{told:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        let reader = beside(&mm, |mm| lock(mm, 8));
        mm.write().expand_down(page(6)).expect("room below");
        let told = reader.join().expect("it ran to its end");
        vec![format!("{told:?}")]
    });
}

/// A VMA is locked beside its growth and a write hold after it that leaves it alone: who sees the second begun sees what the first did.
#[test]
fn a_locked_vma_beside_its_growth_and_another_hold() {
    explore([Ok(8), Ok(6), Err(LockVmaError::Busy)].map(|told| format!("{told:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        let reader = beside(&mm, |mm| lock(mm, 8));
        mm.write().expand_down(page(6)).expect("room below");
        drop(mm.write());
        let told = reader.join().expect("it ran to its end");
        vec![format!("{told:?}")]
    });
}

/// A VMA is locked beside a split that takes nothing of the address away: another record, and never an old one under the lock.
#[test]
fn a_locked_vma_beside_a_split() {
    explore([Ok(8), Ok(6), Err(LockVmaError::Busy)].map(|told| format!("{told:?}")), || {
        let mm = stack(UpgradePolicy::Optimistic);
        mm.write().expand_down(page(6)).expect("room below");
        let reader = beside(&mm, |mm| lock(mm, 8));
        assert_eq!(mm.write().munmap(page(6), page(8) - page(6)), Ok(0));
        let told = reader.join().expect("it ran to its end");
        assert_eq!(layout(&mm), [(8, 9)]);
        vec![format!("{told:?}")]
    });
}

/// Goes from VMA to VMA, and looks whether each stands still while it is locked. First page, page after the last.
fn walk(mm: &Mm) -> Vec<(u64, u64)> {
    let (mut from, mut met) = (page(0), Vec::new());
    while let Some(vma) = mm.lock_next(from, Patience::Forever).expect("it waits") {
        let now = mm.pin().vma(vma.span().last()).map(|now| now.span());
        assert_eq!(now, Some(vma.span()), "a VMA that is locked has the bounds that were told");
        met.push((number(vma.span().start()), number(vma.span().last() + 1)));
        from = vma.span().last() + 1;
    }
    met
}

/// 3.7. From VMA to VMA beside a growth: the hole before the stack is told as it was at one moment.
#[test]
fn a_walk_beside_a_growth() {
    explore([vec![(8, 9)], vec![(6, 9)]], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let walker = beside(&mm, walk);
        mm.write().expand_down(page(6)).expect("room below");
        vec![walker.join().expect("it ran to its end")]
    });
}

/// 3.7. From VMA to VMA beside an unmapping of the first: the other is met, whatever becomes of the first.
#[test]
fn a_walk_beside_an_unmap() {
    explore([vec![(2, 3), (8, 9)], vec![(8, 9)]], || {
        let mm = stack(UpgradePolicy::Optimistic);
        mm.write().map(page(2)..page(3), VmaSpec::anonymous(RW)).expect("it is free");
        let walker = beside(&mm, walk);
        assert_eq!(mm.write().munmap(page(2), page(3) - page(2)), Ok(0));
        vec![walker.join().expect("it ran to its end")]
    });
}

/// 3.7. From VMA to VMA beside a mapping in the hole before it: it is met, or the hole is told that was there.
#[test]
fn a_walk_beside_a_mapping() {
    explore([vec![(4, 5), (8, 9)], vec![(8, 9)]], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let walker = beside(&mm, walk);
        mm.write().map(page(4)..page(5), VmaSpec::anonymous(RW)).expect("it is free");
        vec![walker.join().expect("it ran to its end")]
    });
}

/// A writer waits for the reader of a VMA and is interrupted: it has unmapped, or it has not, and the VMA can be locked as before.
#[test]
fn an_interrupt_beside_the_last_reader() {
    explore([true, false], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let interrupt = Arc::new(Interrupt::new());
        let raised = Arc::clone(&interrupt);
        let held = mm.lock_vma(page(8)).expect("nobody is at it");
        let writer = beside(&mm, move |mm| mm.write().plan_munmap(page(8), page(9) - page(8), Patience::Unless(&raised)).commit());
        interrupt.raise();
        drop(held);
        let told = writer.join().expect("it ran to its end");
        assert!(matches!(told, Ok(0) | Err(MunmapError::Layout(LayoutError::Wait(_)))));
        assert_eq!(mm.lock_vma(page(8)).is_ok(), told.is_err(), "nothing is left behind");
        vec![told.is_ok()]
    });
}

/// A fault beside an interrupt, while the caller holds what the fault must wait for: it grows the stack or it ends, at whatever step of its
/// wait the interrupt comes; nothing is left behind either way, and the next fault is served.
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
        let told = waits.expect("it was asked").join().expect("it ran to its end");
        assert!(matches!(told, Ok(()) | Err(Fault::Interrupted)), "{told:?}");
        drop(mm.try_write().expect("nobody is inside, nobody waits"));
        assert_eq!(layout(&mm), [(if told.is_ok() { 6 } else { 8 }, 9)]);
        assert!(mm.lock_vma(page(8)).is_ok(), "nobody drains it");
        assert_eq!(fault(&mm, 6), Ok(6));
        vec![told.is_ok()]
    });
}

#[test]
fn an_interrupt_beside_a_fault_that_waits_to_read() {
    an_interrupt_beside_a_fault(|mm, ask| {
        let _held = mm.write();
        ask();
    });
}

#[test]
fn an_interrupt_beside_a_fault_that_waits_to_write() {
    an_interrupt_beside_a_fault(|mm, ask| {
        let _held = mm.read();
        ask();
    });
}

#[test]
fn an_interrupt_beside_a_fault_that_waits_for_a_reader_of_the_vma() {
    an_interrupt_beside_a_fault(|mm, ask| {
        let _held = mm.lock_vma(page(8)).expect("nobody is at it");
        ask();
    });
}

/// The last reader leaves while the writer goes to sleep: no wake is lost.
#[test]
fn a_writer_drains_the_last_reader() {
    explore([()], || {
        let mm = stack(UpgradePolicy::Optimistic);
        let held = mm.lock_vma(page(8)).expect("nobody is at it");
        let writer = beside(&mm, |mm| mm.write().munmap(page(8), page(9) - page(8)));
        assert!(held.is_attached());
        drop(held);
        assert_eq!(writer.join().expect("it ran to its end"), Ok(0));
        vec![()]
    });
}

/// Faults, an unmapping and a mapping, all at once: whatever is found holds, and the accounts are right in the end.
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
                    Ok(vma) => assert!(vma.span().contains(page(at)) && vma.is_attached()),
                    Err(fault) => assert!(matches!(fault, Fault::Unmapped { .. } | Fault::Growth(_)), "{fault}"),
                }
            })
        });
        let unmap = beside(&mm, |mm| mm.write().munmap(page(7), page(9) - page(7)));
        _ = mm.write().map(page(2)..page(3), VmaSpec::anonymous(RW));
        for fault in faults {
            fault.join().expect("it ran to its end");
        }
        unmap.join().expect("it ran to its end").expect("memory");
        layout(&mm);
        vec![()]
    });
}

/// Who must not wait never does, and is told so.
#[test]
fn a_fault_that_must_not_wait() {
    both_ways(&["found", "would block"], |policy| {
        let mm = stack(policy);
        let other = beside(&mm, |mm| mm.write().expand_down(page(7)).map(drop));
        let told = match mm.find_vma_for_fault(page(6), FaultContext::KernelWithoutFixup) {
            Ok(_) => "found",
            Err(Fault::WouldBlock) => "would block",
            Err(_) => "something else",
        };
        other.join().expect("it ran to its end").expect("room below");
        (told, mm.stats().roads)
    });
}
