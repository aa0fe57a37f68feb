//! Locks and records of VMAs: part 3 of `docs/semantics.md`, one test or more for each rule, over each lock.
//!
//! Layouts are drawn with one letter for each page: `S` a stack, `A` anonymous memory, `.` nothing.

use crate::support::address_space::{DOWN, RW, layout, map_all, page};
use crate::support::each_lock::{TestInterrupt, TestLock, over_each_lock};
#[cfg(all(feature = "std", debug_assertions))]
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(all(feature = "std", debug_assertions))]
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use vmaple::lock::{Patience, WaitError};
#[cfg(all(feature = "std", debug_assertions))]
use vmaple::mm::Prot;
#[cfg(all(feature = "std", debug_assertions))]
use vmaple::mm::fault::FaultError;
use vmaple::mm::{LayoutError, LockFindError, LockVmaError, VmaHandle};
use vmaple::{Access, ErrorCode, FaultContext, Mm, PAGE_SIZE, VmaFlags, VmaSpec};

over_each_lock! {
    a_record_is_attached_no_longer_than_its_address_space,
    vmas_are_write_locked_in_the_order_of_addresses,
    rule_3_1_the_sequence,
    rule_3_2_one_step_releases_all,
    rule_3_3_readers_share,
    #[cfg(not(miri))] rule_3_3_readers_that_cannot_be_counted,
    rule_3_4_a_writer_drains_readers,
    rule_3_4_the_wait_can_be_interrupted,
    rule_3_6_busy_and_absent,
    rule_3_6_absent_is_no_proof,
    rule_3_8_speculation,
    rule_3_9_a_record_is_never_another_vmas,
    rule_3_11_order,
    #[cfg(all(feature = "std", debug_assertions))] rule_3_11_waiting_for_the_mm_lock_is_refused,
    #[cfg(all(feature = "std", debug_assertions))] rule_3_11_waiting_for_ones_own_vma_is_refused,
    rule_3_7_from_vma_to_vma,
    rule_3_7_no_hole_is_reported_where_none_is,
    a_locked_vma_contains_its_address,
}

/// A record that outlives its address space is not attached.
fn a_record_is_attached_no_longer_than_its_address_space<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, RW), (4, 5, DOWN)]);
    let child = mm.write().fork().expect("memory");
    let kept = |mm: &Mm<(), L>| [0, 4].map(|n| mm.read().lookup(page(n)).expect("mapped").handle());
    let (records, of_child) = (kept(&mm), kept(&child));
    assert!(records.iter().chain(&of_child).all(VmaHandle::is_attached));
    drop(mm);
    assert!(records.iter().all(|record| !record.is_attached()) && of_child.iter().all(VmaHandle::is_attached));
    drop(child);
    assert!(of_child.iter().all(|record| !record.is_attached()));
}

/// If a writer may not wait for the readers of a VMA, the VMAs below it stay write-locked until the hold ends, and none above it is.
fn vmas_are_write_locked_in_the_order_of_addresses<L: TestLock>() {
    let mm = L::mm_of(&[(0, 2, RW), (3, 5, RW), (6, 8, RW)]);
    let held = mm.lock_vma(page(3)).expect("mapped, and no writer is inside");
    let mut writer = mm.write();
    let refused = writer.plan(Patience::Never).munmap(page(1), page(7) - page(1)).commit();
    assert_eq!(refused.map_err(|error| error.errno()), Err(11));
    let result = [0, 3, 7].map(|n| mm.lock_vma(page(n)).map(|found| found.vma().start()));
    assert_eq!(result, [Err(LockVmaError::Busy { at: page(0) }), Ok(page(3)), Ok(page(6))]);
    drop((writer, held));
}

/// 3.1: the sequence is odd while the lock is held for writing. The end of the hold and a downgrade make it even, an upgrade makes it odd.
fn rule_3_1_the_sequence<L: TestLock>() {
    let mm = L::mm_of(&[]);
    let begun = mm.write_sequence();
    let writer = mm.write();
    assert_eq!(mm.write_sequence(), begun + 1);
    let reader = writer.downgrade();
    assert_eq!(mm.write_sequence(), begun + 2);
    let writer = reader.try_upgrade().expect("alone");
    assert_eq!(mm.write_sequence(), begun + 3);
    drop(writer);
    assert_eq!(mm.write_sequence(), begun + 4);
}

/// 3.2, 3.10: a new VMA is write-locked before readers can see it. The end of the hold, or a downgrade, unlocks all VMAs at once.
fn rule_3_2_one_step_releases_all<L: TestLock>() {
    let mm = L::mm_of(&[]);
    for end in [0, 1] {
        let mut writer = mm.write();
        for i in 0..4 {
            writer.insert(page(8 * end + 2 * i), PAGE_SIZE, VmaSpec::anonymous(RW)).expect("free");
            assert_eq!(mm.lock_vma(page(8 * end + 2 * i)).map(drop), Err(LockVmaError::Busy { at: page(8 * end + 2 * i) }));
        }
        let reader = (end == 0).then(|| writer.downgrade());
        let guards: Vec<_> = (0..4).map(|i| mm.lock_vma(page(8 * end + 2 * i)).expect("unlocked")).collect();
        assert!(guards.iter().all(|guard| guard.vma().is_attached()));
        drop(reader);
    }
}

/// 3.3: several readers may hold a VMA, and only a writer that changes this VMA must wait for them.
fn rule_3_3_readers_share<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, RW), (4, 5, RW)]);
    let (a, b) = (mm.lock_vma(page(0)).expect("free"), mm.lock_vma(page(0)).expect("shared"));
    let mut writer = mm.write();
    assert_eq!(
        writer.plan(Patience::Never).munmap(page(0), page(1) - page(0)).commit(),
        Err(LayoutError::Wait(WaitError::WouldBlock).into())
    );
    assert_eq!(writer.plan(Patience::Never).munmap(page(4), page(5) - page(4)).commit(), Ok(()), "only this VMA's readers count");
    drop(a);
    assert_eq!(
        writer.plan(Patience::Never).munmap(page(0), page(1) - page(0)).commit(),
        Err(LayoutError::Wait(WaitError::WouldBlock).into())
    );
    drop(b);
    assert_eq!(writer.plan(Patience::Never).munmap(page(0), page(1) - page(0)).commit(), Ok(()));
}

/// 3.4: a writer waits for the readers of the VMA that it changes. While it waits, new readers fail; when the readers leave, it continues.
fn rule_3_4_a_writer_drains_readers<L: TestLock>() {
    let mm = L::mm_of(&[(0, 2, RW), (4, 5, RW)]);
    thread::scope(|threads| {
        let guard = mm.lock_vma(page(0)).expect("free");
        let writer = threads.spawn(|| mm.write().munmap(page(1), page(2) - page(1)));
        while mm.lock_vma(page(0)).is_ok() {
            thread::yield_now();
        }
        assert!(mm.lock_vma(page(4)).is_ok(), "a VMA that it does not change is free");
        assert_eq!((guard.vma().last(), guard.vma().is_attached()), (page(2) - 1, true), "nothing has changed under the guard");
        drop(guard);
        assert_eq!(writer.join().expect("no panic"), Ok(()));
    });
    assert_eq!(layout(&mm), [(0, 1, RW), (4, 5, RW)]);
}

/// 3.4: the wait can be interrupted. Then nothing has changed, and readers can lock the VMA again.
fn rule_3_4_the_wait_can_be_interrupted<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(0, 2, RW)]), L::Interrupt::default());
    thread::scope(|threads| {
        let guard = mm.lock_vma(page(0)).expect("free");
        let writer = threads.spawn(|| mm.write().plan(Patience::Interruptible(&interrupt)).munmap(page(0), page(1) - page(0)).commit());
        while mm.lock_vma(page(0)).is_ok() {
            thread::yield_now();
        }
        interrupt.raise();
        let result = writer.join().expect("no panic").expect_err("it waits for the guard");
        assert_eq!((result, result.errno()), (LayoutError::Wait(WaitError::Interrupted).into(), 4));
        assert!(mm.lock_vma(page(0)).is_ok(), "beside the first");
        drop(guard);
    });
    assert_eq!(layout(&mm), [(0, 2, RW)]);
}

/// 3.3: a VMA has at most as many readers as its lock can count. With one more, a fault takes the mm lock instead.
fn rule_3_3_readers_that_cannot_be_counted<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, RW)]);
    let held: Vec<_> = (0..1 << 20).map_while(|_| mm.lock_vma(page(0)).ok()).collect();
    assert_eq!(held.len(), (1 << 20) - 1);
    assert_eq!(mm.lock_vma(page(0)).map(drop), Err(LockVmaError::TooManyReaders { at: page(0) }));
    assert_eq!(mm.lock_find(page(0), Patience::Forever).map(drop), Err(LockFindError::TooManyReaders { from: page(0) }));
    let interrupt = L::Interrupt::default();
    assert!(mm.handle_fault(page(0), Access::Write, FaultContext::User(&interrupt)).is_ok());
    drop(held);
    assert!(mm.lock_vma(page(0)).is_ok());
}

/// 3.5, 3.6: absent and busy are different errors, and are returned without a wait.
fn rule_3_6_busy_and_absent<L: TestLock>() {
    let mm = L::mm_of(&[(0, 2, RW)]);
    assert_eq!(mm.lock_vma(page(2)).map(drop), Err(LockVmaError::Absent { at: page(2) }));
    let mut writer = mm.write();
    assert!(mm.lock_vma(page(0)).is_ok(), "a writer that is not at this VMA is not in the way");
    writer.munmap(page(1), page(2) - page(1)).expect("memory");
    assert_eq!(mm.lock_vma(page(0)).map(drop), Err(LockVmaError::Busy { at: page(0) }), "3.5a: write-locked");
    assert_eq!(mm.lock_vma(page(1)).map(drop), Err(LockVmaError::Absent { at: page(1) }));
    drop(writer);
    assert_eq!(mm.lock_vma(page(0)).map(|found| found.vma().last()), Ok(page(1) - 1));
}

/// 3.6: absent is no proof: a stack may grow there the next moment. The guard has the bounds that the VMA had when it was locked.
fn rule_3_6_absent_is_no_proof<L: TestLock>() {
    let mm = L::mm_of(&[(8, 9, DOWN)]);
    let pin = mm.pin();
    assert_eq!(pin.lock_vma(page(6)).map(drop), Err(LockVmaError::Absent { at: page(6) }));
    let record = pin.lookup(page(8)).expect("mapped").handle();
    mm.write().expand_down(page(6)).expect("room");
    let guard = pin.lock_vma(page(6)).expect("there now");
    assert!(guard.vma().handle() == record, "growth in place keeps the record");
    assert_eq!(guard.vma().start(), page(6));
}

/// 3.8: a speculation is valid if no writer held the lock since it began.
fn rule_3_8_speculation<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, RW)]);
    let speculation = mm.speculate().expect("no writer");
    drop(mm.lock_vma(page(0)));
    assert!(speculation.validate());
    let writer = mm.write();
    assert!(mm.speculate().is_none() && !speculation.validate());
    drop(writer);
    assert!(!speculation.validate() && mm.speculate().is_some());
}

/// 3.9, unlike Linux: a record always belongs to the VMA it was read for, and shows when it is no longer in the index.
fn rule_3_9_a_record_is_never_another_vmas<L: TestLock>() {
    let mm = L::mm_of(&[(0, 1, RW)]);
    let pin = mm.pin();
    let vma = pin.lookup(page(0)).expect("mapped");
    mm.write().munmap(page(0), page(1) - page(0)).expect("memory");
    map_all(&mm, &[(0, 1, VmaFlags::READ)]);
    assert!(!vma.is_attached() && vma.flags() == RW, "as it was, under the pin");
    assert_eq!(pin.lock_vma(page(0)).map(|found| found.vma().flags()), Ok(VmaFlags::READ));
}

/// 3.11: a thread that holds a VMA and waits for the mm lock may wait for a thread that waits for that VMA. An attempt fails instead.
fn rule_3_11_order<L: TestLock>() {
    let mm = L::mm_of(&[(8, 9, DOWN)]);
    let _guard = mm.lock_vma(page(8)).expect("free");
    let mut writer = mm.try_write().expect("a VMA guard holds no mm lock");
    assert_eq!(writer.expand_down_with(page(7), Patience::Never).expect_err("read by this thread").errno(), 11);
}

/// 3.11: in debug builds, every operation that would wait so panics with a message. Operations that do not wait still work.
#[cfg(all(feature = "std", debug_assertions))]
fn rule_3_11_waiting_for_the_mm_lock_is_refused<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(0, 1, RW), (8, 9, DOWN)]), L::Interrupt::default());
    let (inside, ended) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|threads| {
        threads.spawn(|| {
            let writer = mm.write();
            inside.wait();
            ended.wait();
            drop(writer);
        });
        inside.wait();
        let guards = (mm.lock_vma(page(0)).expect("free"), mm.lock_vma(page(8)).expect("free"));
        let waits: [&dyn Fn(); 5] = [
            &|| drop(mm.read()),
            &|| drop(mm.write()),
            &|| _ = mm.read_interruptible(&interrupt).is_ok(),
            &|| _ = mm.find_vma_for_fault(page(0), FaultContext::User(&interrupt)).is_ok(),
            &|| _ = mm.handle_fault(page(6), Access::Read, FaultContext::KernelWithFixup(&interrupt)).is_ok(),
        ];
        let said: Vec<String> = waits.iter().map(|wait| panicked(wait)).collect();
        let refused = (mm.try_read().is_none(), mm.handle_fault(page(6), Access::Read, FaultContext::KernelWithoutFixup).map(drop));
        drop(guards.0);
        let still = panicked(&|| drop(mm.read()));
        drop(guards.1);
        ended.wait();
        drop(mm.read()); // the thread holds no VMA any more, so it may wait
        assert!(said.iter().chain([&still]).all(|said| said.starts_with("lock order: a thread that holds a VMA waits")), "{said:?}");
        assert_eq!(refused, (true, Err(FaultError::WouldBlock)));
    });
}

/// 3.11: in debug builds, every operation that would wait for a VMA which the calling thread holds panics. Nothing has changed then,
/// and the lock is free.
#[cfg(all(feature = "std", debug_assertions))]
fn rule_3_11_waiting_for_ones_own_vma_is_refused<L: TestLock>() {
    let (mm, interrupt) = (L::mm_of(&[(0, 2, RW | VmaFlags::MAYREAD), (8, 9, DOWN), (20, 21, RW)]), L::Interrupt::default());
    let other = L::mm_of(&[(0, 2, RW), (8, 9, DOWN)]);
    let before = layout(&mm);
    let held = [0, 8].map(|n| mm.lock_vma(page(n)).expect("free"));
    let waits: [&dyn Fn(); 8] = [
        &|| _ = mm.write().munmap(page(0), PAGE_SIZE),
        &|| _ = mm.write().mprotect(page(0), PAGE_SIZE, Prot::READ),
        &|| _ = mm.write().plan(Patience::Interruptible(&interrupt)).munmap(page(0), PAGE_SIZE).commit(),
        &|| _ = mm.write().expand_down(page(7)),
        &|| _ = mm.read().expand_stack(page(7), FaultContext::User(&interrupt)).is_ok(),
        &|| _ = mm.find_vma_for_fault(page(7), FaultContext::User(&interrupt)).is_ok(),
        &|| _ = mm.handle_fault(page(7), Access::Read, FaultContext::KernelWithFixup(&interrupt)).is_ok(),
        &|| _ = mm.write().fork().is_ok(),
    ];
    for (i, wait) in waits.iter().enumerate() {
        let said = panicked(wait);
        assert_eq!(said, "deadlock: a thread that holds a VMA waits to change it, which waits for its own hold", "wait {i}");
        assert!(mm.try_write().is_some() && mm.lock_vma(page(0)).is_ok(), "wait {i}: nothing is locked but what was");
    }
    let refused = mm.write().plan(Patience::Never).munmap(page(0), PAGE_SIZE).commit();
    assert_eq!(refused, Err(LayoutError::Wait(WaitError::WouldBlock).into()), "what does not wait may be asked");
    mm.write().munmap(page(20), PAGE_SIZE).expect("this thread does not hold that one");
    other.write().munmap(page(0), PAGE_SIZE).expect("nor one of another address space");
    drop(held);
    assert_eq!(layout(&mm), before[..2]);
    mm.write().munmap(page(0), PAGE_SIZE).expect("it holds none any more");
}

/// Returns the message with which it panicked, or an empty string if it did not panic.
#[cfg(all(feature = "std", debug_assertions))]
fn panicked(run: &dyn Fn()) -> String {
    let result = catch_unwind(AssertUnwindSafe(run));
    let Err(said) = result else { return String::new() };
    let text = said.downcast_ref::<String>().map(String::as_str).or_else(|| said.downcast_ref::<&str>().copied());
    text.unwrap_or_default().to_owned()
}

/// 3.7: a walk from VMA to VMA locks each in turn, and waits for a writer at one of them as long as its patience allows.
fn rule_3_7_from_vma_to_vma<L: TestLock>() {
    let mm = L::mm_of(&[(0, 2, RW), (4, 5, RW), (8, 9, DOWN)]);
    let next = |from| mm.lock_find(page(from), Patience::Never).map(|vma| vma.map(|found| (found.vma().start() - page(0)) / PAGE_SIZE));
    assert_eq!([0, 1, 2, 4, 5, 9].map(next), [Ok(Some(0)), Ok(Some(0)), Ok(Some(4)), Ok(Some(4)), Ok(Some(8)), Ok(None)]);
    let mut writer = mm.write();
    assert_eq!(next(0), Ok(Some(0)), "a writer that is not at it is not in the way");
    writer.munmap(page(1), page(2) - page(1)).expect("memory");
    assert_eq!((next(0), next(2)), (Err(WaitError::WouldBlock.into()), Ok(Some(4))));
    let interrupt = L::Interrupt::default();
    interrupt.raise();
    thread::scope(|threads| {
        let killed = threads.spawn(|| mm.lock_find(page(0), Patience::Interruptible(&interrupt)).map(drop));
        assert_eq!(killed.join().expect("no panic").map(drop), Err(WaitError::Interrupted.into()));
        let waits = threads.spawn(|| mm.lock_find(page(0), Patience::Forever).map(|vma| vma.map(|found| found.vma().last())));
        drop(writer);
        assert_eq!(waits.join().expect("no panic"), Ok(Some(page(1) - 1)));
    });
}

/// 3.7: while a writer splits, grows, unmaps and maps, a walk from VMA to VMA finds each that is mapped throughout, in order, and none
/// changes while it is held.
fn rule_3_7_no_hole_is_reported_where_none_is<L: TestLock>() {
    const ROUNDS: u64 = if cfg!(miri) { 4 } else { 1_000 };
    let mm = L::mm_of(&[(0, 1, RW), (4, 8, RW), (20, 21, DOWN), (30, 31, RW)]);
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        let reader = threads.spawn(|| {
            let mut walks = 0;
            while !stop.load(Ordering::Relaxed) || walks == 0 {
                let (mut from, mut met) = (page(0), Vec::new());
                while let Some(held) = mm.lock_find(from, Patience::Forever).expect("it waits") {
                    assert!(held.vma().last() >= from && held.vma().is_attached());
                    assert_eq!(mm.pin().lookup(held.vma().last()).map(|now| now.span()), Some(held.vma().span()), "it stands still");
                    // The addresses below `from` were visited before.
                    met.extend([0, 7, 20, 30].into_iter().filter(|&at| page(at) >= from && held.vma().contains(page(at))));
                    from = held.vma().last() + 1;
                }
                assert_eq!(met, [0, 7, 20, 30], "each is mapped throughout");
                walks += 1;
            }
        });
        let _ends = crate::support::Ends(&stop);
        for round in 0..ROUNDS {
            let mut writer = mm.write();
            match round % 4 {
                0 => _ = writer.expand_down(page(12)).expect("room"),
                1 => writer.munmap(page(5), page(6) - page(5)).expect("memory"),
                2 => writer.munmap(page(12), page(20) - page(12)).expect("memory"),
                _ => writer.insert(page(5), PAGE_SIZE, VmaSpec::anonymous(RW)).expect("free"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("no panic");
    });
}

/// A locked VMA contains the address, while writers split it, grow it, unmap it, or map another.
fn a_locked_vma_contains_its_address<L: TestLock>() {
    const ROUNDS: u64 = if cfg!(miri) { 8 } else { 3_000 };
    let mm = L::mm_of(&[(8, 12, DOWN)]);
    thread::scope(|threads| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                threads.spawn(|| {
                    let mut locked = 0;
                    while !mm.is_empty() {
                        for at in [6, 7, 9, 10, 11] {
                            let Ok(held) = mm.lock_vma(page(at)) else { continue };
                            locked += 1;
                            assert!(held.vma().contains(page(at)) && held.vma().is_attached());
                            assert_eq!(mm.pin().lookup(page(at)), Some(held.vma()), "it stands still under the guard");
                        }
                    }
                    locked
                })
            })
            .collect();
        for round in 0..ROUNDS {
            let mut writer = mm.write();
            match round % 4 {
                0 => _ = writer.expand_down(page(6)).expect("room"),
                1 => writer.munmap(page(10), page(11) - page(10)).expect("memory"),
                2 => writer.munmap(page(6), page(8) - page(6)).expect("memory"),
                _ => {
                    writer.insert(page(20), PAGE_SIZE, VmaSpec::anonymous(RW)).expect("free");
                    writer.munmap(page(0), page(12) - page(0)).expect("memory");
                    writer.insert(page(8), 4 * PAGE_SIZE, VmaSpec::anonymous(DOWN)).expect("free");
                    writer.munmap(page(20), page(21) - page(20)).expect("memory");
                }
            }
        }
        mm.write().munmap(page(0), page(32) - page(0)).expect("memory");
        let locked: u64 = readers.into_iter().map(|reader| reader.join().expect("no panic")).sum();
        assert!(cfg!(miri) || locked > 0);
    });
    assert_eq!(mm.stats().total_pages, 0);
}
