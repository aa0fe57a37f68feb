//! The guards of the mm lock, through a map: conversions, the order of waiting, and what a panic or an interrupt leaves behind.
//!
//! No test waits for time to pass. To know that a writer waits, a test calls `try_read` beside a read guard until it fails, which it does
//! only while a writer waits.

use crate::support::Ends;
use crate::support::each_lock::RaiseOnDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use vmaple::lock::InterruptedError;
use vmaple::{ErrorCode, Interrupt, RangeMap};

pub(crate) fn map() -> RangeMap<u64> {
    RangeMap::builder().private_epochs().build_from([(10..20u64, 1u64), (30..40, 2)]).expect("sorted")
}

/// Waits until a writer waits behind the caller's read guard.
fn until_a_writer_waits(map: &RangeMap<u64>) {
    while map.try_read().is_some() {
        thread::yield_now();
    }
}

#[test]
fn readers_share_and_a_writer_excludes() {
    let map = map();
    let (a, b) = (map.read(), map.read());
    assert!(map.try_read().is_some() && map.try_write().is_none());
    drop((a, b));
    let writer = map.write();
    assert!(map.try_read().is_none() && map.try_write().is_none());
    drop(writer);
    assert!(map.try_write().is_some());
    assert!(map.try_read().is_some());
}

#[test]
fn an_upgrade_is_for_the_only_reader() {
    let map = map();
    let (first, second) = (map.read(), map.read());
    let first = first.try_upgrade().expect_err("another reader is inside");
    assert!(map.try_write().is_none(), "the read hold is as it was");
    assert_eq!(first.lookup(15).map(|entry| *entry.value()), Some(1));
    drop(second);
    let mut writer = first.try_upgrade().expect("nobody else is inside");
    assert!(map.try_read().is_none(), "write-held");
    writer.extend_down(30, 25).expect("room below");
    drop(writer);
    assert!(map.try_write().is_some(), "released once, as the writer that it was");
}

#[test]
fn an_upgrade_fails_while_a_writer_waits() {
    let map = map();
    thread::scope(|threads| {
        let reader = map.read();
        let waits = threads.spawn(|| map.write().insert(50..60, 3).expect("free"));
        until_a_writer_waits(&map);
        let reader = reader.try_upgrade().expect_err("a writer waits");
        assert!(reader.lookup(55).is_none(), "it is kept out still");
        drop(reader);
        waits.join().expect("it was let in");
    });
    assert_eq!(map.len(), 3);
}

#[test]
fn a_downgrade_keeps_writers_out_and_lets_readers_in() {
    let map = map();
    let mut writer = map.write();
    writer.insert(0..5, 9).expect("free");
    let reader = writer.downgrade();
    assert!(map.try_write().is_none() && map.try_read().is_some());
    assert_eq!(reader.lookup(3).map(|entry| *entry.value()), Some(9));
    let writer = reader.try_upgrade().expect("the only reader");
    let reader = writer.downgrade();
    drop(reader);
    assert!(map.try_write().is_some());
}

/// A reader holds the lock, a writer waits, and a second reader waits behind it. When the writer gives up, the second reader enters.
#[test]
fn a_cancelled_writer_admits_the_readers_behind_it() {
    let (map, interrupt) = (map(), Interrupt::new());
    thread::scope(|threads| {
        let held = map.read();
        let guard = RaiseOnDrop(&interrupt);
        let writer = threads.spawn(|| map.write_interruptible(&interrupt).map(drop));
        until_a_writer_waits(&map);
        let reader = threads.spawn(|| map.read().iter().count());
        drop(guard);
        assert_eq!(writer.join().expect("no panic"), Err(InterruptedError::new()));
        assert_eq!(reader.join().expect("no panic"), 2);
        assert!(held.try_upgrade().is_ok(), "nobody waits any more");
    });
}

#[test]
fn a_reader_is_interrupted_too() {
    let (map, interrupt) = (map(), Interrupt::new());
    thread::scope(|threads| {
        let writer = map.write();
        let reader = threads.spawn(|| map.read_interruptible(&interrupt).map(drop));
        interrupt.raise();
        assert_eq!(reader.join().expect("no panic"), Err(InterruptedError::new()));
        drop(writer);
    });
    assert!(map.try_write().is_some());
}

/// An interrupt ends waits, and no calls that need no wait. No wait begins until it is lowered.
#[test]
fn an_interrupt_ends_waits_alone() {
    let (map, interrupt) = (map(), Interrupt::new());
    interrupt.raise();
    drop(map.write_interruptible(&interrupt).expect("nobody is inside"));
    drop(map.read_interruptible(&interrupt).expect("nobody is inside"));
    thread::scope(|threads| {
        let writer = map.write();
        let refused = threads.spawn(|| map.read_interruptible(&interrupt).map(drop).map_err(|error| error.errno()));
        assert_eq!(refused.join().expect("no panic"), Err(4), "EINTR");
        interrupt.lower();
        let waits = threads.spawn(|| map.read_interruptible(&interrupt).is_ok());
        drop(writer);
        assert!(waits.join().expect("no panic"));
    });
}

/// A signal handler cannot wake a thread, so the wait checks repeatedly.
#[test]
fn a_wait_finds_by_itself_that_a_signal_handler_interrupted_it() {
    let (map, interrupt) = (map(), Interrupt::new());
    thread::scope(|threads| {
        let held = map.read();
        let writer = threads.spawn(|| map.write_interruptible(&interrupt).map(drop));
        until_a_writer_waits(&map);
        interrupt.raise_from_signal();
        assert_eq!(writer.join().expect("no panic"), Err(InterruptedError::new()));
        drop(held);
    });
}

/// One interrupt ends several waits, for two locks.
#[test]
fn one_interrupt_ends_many_waits() {
    let (one, other, interrupt) = (map(), map(), Interrupt::new());
    thread::scope(|threads| {
        let (a, b) = (one.write(), other.read());
        let waits = [&one, &one, &other, &other].map(|map| threads.spawn(|| map.write_interruptible(&interrupt).is_err()));
        until_a_writer_waits(&other);
        interrupt.raise();
        assert!(waits.into_iter().all(|wait| wait.join().expect("no panic")));
        drop((a, b));
    });
    assert!(one.try_write().is_some() && other.try_write().is_some(), "nobody waits, nobody is inside");
}

#[test]
fn the_sequence_is_odd_while_write_held() {
    let map = map();
    assert_eq!(map.write_sequence(), 0);
    let writer = map.write();
    assert_eq!(map.write_sequence(), 1);
    let reader = writer.downgrade();
    assert_eq!(map.write_sequence(), 2, "a downgrade ends it");
    let writer = reader.try_upgrade().expect("alone");
    assert_eq!(map.write_sequence(), 3, "an upgrade begins it");
    drop(writer);
    assert_eq!(map.write_sequence(), 4);
    let (a, b) = (map.read(), map.read());
    assert!(a.try_upgrade().is_err());
    drop(b);
    assert_eq!(map.write_sequence(), 4, "readers, and an upgrade that fails, do not move it");
}

#[test]
fn a_speculation_is_refused_or_fails_beside_a_writer() {
    let map = map();
    let speculation = map.speculate().expect("no writer is inside");
    let reader = map.read();
    assert!(speculation.validate(), "readers do not disturb it");
    let writer = reader.try_upgrade().expect("alone");
    assert!(!speculation.validate() && map.speculate().is_none(), "an upgrade does");
    let reader = writer.downgrade();
    let again = map.speculate().expect("downgraded");
    assert!(again.validate() && !speculation.validate());
    drop(reader);
    assert!(again.validate());
    drop(map.write());
    assert!(!again.validate());
}

/// A panic under a guard releases it and poisons nothing.
#[test]
fn a_panic_leaves_the_lock_free_and_the_map_valid() {
    let map = map();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut writer = map.write();
        writer.remove(10..20).expect("memory");
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(map.speculate().is_some(), "the sequence ended");
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _reader = map.read();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let writer = map.try_write().expect("nobody is inside");
    writer.validate().expect("the invariants hold");
    assert_eq!(map.len(), 1, "what was done before the panic is done");
}

/// A value whose drop is counted, and uses the map.
#[derive(Clone)]
struct Nosy {
    map: Arc<RangeMap<Box<Nosy>>>,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Nosy {
    fn drop(&mut self) {
        let writer = self.map.try_write().expect("nothing is locked where a value is dropped");
        drop(writer);
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Values removed before a downgrade are dropped once, and when nothing is locked any more: after the read guard, also if that was upgraded
/// and downgraded again.
#[test]
fn what_was_removed_before_a_downgrade_is_dropped_after_it_all() {
    const ENTRIES: u64 = if cfg!(miri) { 20 } else { 200 };
    let map: Arc<RangeMap<Box<Nosy>>> = Arc::new(RangeMap::builder().private_epochs().build());
    let dropped = Arc::new(AtomicUsize::new(0));
    for i in 0..ENTRIES {
        let value = Box::new(Nosy { map: Arc::clone(&map), dropped: Arc::clone(&dropped) });
        map.write().insert(10 * i..10 * i + 5, value).unwrap_or_else(|_| panic!("free"));
    }
    for i in 0..ENTRIES {
        let mut writer = map.write();
        writer.remove_entry(10 * i).expect("memory");
        let before = dropped.load(Ordering::Relaxed);
        let reader = writer.downgrade();
        let reader = if i % 2 == 0 { reader } else { reader.try_upgrade().unwrap_or_else(|_| panic!("alone")).downgrade() };
        assert_eq!(dropped.load(Ordering::Relaxed), before, "a value was dropped under the lock");
        drop(reader);
    }
    map.reclaim();
    assert_eq!((dropped.load(Ordering::Relaxed) as u64, map.stats().drop_panics), (ENTRIES, 0));
}

#[cfg(all(feature = "std", debug_assertions))]
fn said(panicked: Result<(), Box<dyn std::any::Any + Send>>) -> String {
    *panicked.expect_err("it panics").downcast::<String>().expect("with a message")
}

/// In debug builds, a thread that would wait for itself panics with a message.
#[cfg(all(feature = "std", debug_assertions))]
#[test]
fn waiting_for_oneself_is_refused() {
    let (map, interrupt) = (map(), Interrupt::new());
    let here = |wait: &dyn Fn()| said(catch_unwind(AssertUnwindSafe(wait)));
    let writer = map.write();
    assert!(here(&|| drop(map.read())).contains("holds the mm lock for write waits to take it for read"));
    assert!(here(&|| drop(map.write())).contains("holds the mm lock for write waits to take it for write"));
    assert!(here(&|| _ = map.read_interruptible(&interrupt).is_ok()).contains("deadlock"));
    let reader = writer.downgrade();
    assert!(here(&|| drop(map.write())).contains("holds the mm lock for read waits to take it for write"));
    assert!(here(&|| _ = map.write_interruptible(&interrupt).is_ok()).contains("deadlock"));
    drop(map.read()); // no writer waits, so a second read hold is no deadlock
    thread::scope(|threads| {
        let _raise = RaiseOnDrop(&interrupt);
        let waits = threads.spawn(|| map.write_interruptible(&interrupt).is_ok());
        until_a_writer_waits(&map);
        assert!(here(&|| drop(map.read())).contains("holds the mm lock for read waits to take it for read"));
        drop(reader);
        assert!(waits.join().expect("no panic"), "what was refused left nothing behind");
    });
    drop(map.write());
}

/// Runs `turn` many times beside two threads that run `busy` meanwhile.
fn beside_two_busy_threads(busy: impl Fn(&AtomicBool) + Sync, turn: impl Fn()) {
    let stop = AtomicBool::new(false);
    let begin = Barrier::new(3);
    thread::scope(|threads| {
        let _ends = Ends(&stop);
        for _ in 0..2 {
            threads.spawn(|| {
                begin.wait();
                busy(&stop);
            });
        }
        begin.wait();
        for _ in 0..if cfg!(miri) { 3 } else { 100 } {
            turn();
        }
    });
}

/// Two readers hold the lock almost without a pause, and a writer still enters.
#[test]
fn a_stream_of_readers_does_not_starve_a_writer() {
    let map = map();
    let read = |stop: &AtomicBool| {
        let mut held = map.read();
        while !stop.load(Ordering::Relaxed) {
            // Takes the next hold before this one ends, if that needs no wait.
            if let Some(next) = map.try_read() {
                held = next;
            } else {
                drop(held);
                held = map.read();
            }
        }
    };
    beside_two_busy_threads(read, || drop(map.write()));
}

/// Two writers take the lock without a pause, and a reader still enters.
#[test]
fn a_stream_of_writers_does_not_starve_a_reader() {
    let map = map();
    let write = |stop: &AtomicBool| {
        while !stop.load(Ordering::Relaxed) {
            drop(map.write());
        }
    };
    beside_two_busy_threads(write, || assert_eq!(map.read().iter().count(), 2));
}

/// Every operation on several threads: holds exclude, upgrades keep what was read, and interrupts leave no thread waiting.
#[test]
fn many_threads_of_everything() {
    const ROUNDS: u64 = if cfg!(miri) { 10 } else { 2_000 };
    let map: RangeMap<u64> = RangeMap::builder().private_epochs().build_from([(0..=9u64, 0u64)]).expect("sorted");
    let (interrupt, wrote, upgraded) = (Interrupt::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    let count = |view: &vmaple::map::View<u64>| *view.lookup(5).expect("always mapped").value();
    thread::scope(|threads| {
        for thread in 0..4 {
            let (map, interrupt, wrote, upgraded) = (&map, &interrupt, &wrote, &upgraded);
            threads.spawn(move || {
                for round in 0..ROUNDS {
                    let add = |writer: &mut vmaple::map::WriteGuard<'_, u64>| {
                        let next = count(writer) + 1;
                        writer.replace(0..=9, next).expect("memory");
                        wrote.fetch_add(1, Ordering::Relaxed);
                        next
                    };
                    match (round + thread) % 4 {
                        0 => _ = add(&mut map.write()),
                        1 => {
                            let reader = map.read();
                            let read = count(&reader);
                            if let Ok(mut writer) = reader.try_upgrade() {
                                assert_eq!(add(&mut writer), read + 1, "a writer came between");
                                upgraded.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        2 => {
                            if let Ok(mut writer) = map.write_interruptible(interrupt) {
                                let wrote = add(&mut writer);
                                assert_eq!(count(&writer.downgrade()), wrote, "a writer came between");
                            }
                            interrupt.raise();
                        }
                        _ => {
                            interrupt.lower();
                            if let Some(speculation) = map.speculate() {
                                let pin = map.pin();
                                let read = (count(&pin), count(&pin));
                                assert!(!speculation.validate() || read.0 == read.1, "not one state");
                            }
                            _ = map.read_interruptible(interrupt).is_ok();
                        }
                    }
                }
            });
        }
    });
    assert_eq!(count(&map.read()), wrote.load(Ordering::Relaxed) as u64);
    let writer = map.try_write().expect("nobody is inside");
    writer.validate().expect("the invariants hold");
    drop(writer);
    assert!(upgraded.load(Ordering::Relaxed) > 0 || cfg!(miri), "some upgraded");
    assert!(map.speculate().is_some());
}

/// A wait that is interrupted before it begins fails and is no deadlock, even if the thread would wait for itself.
#[test]
fn an_interrupted_wait_for_oneself_is_no_deadlock() {
    let (map, interrupt) = (map(), Interrupt::new());
    interrupt.raise();
    let held = map.write();
    assert!(map.read_interruptible(&interrupt).is_err() && map.write_interruptible(&interrupt).is_err());
    let held = held.downgrade();
    assert!(map.write_interruptible(&interrupt).is_err());
    drop(held);
    assert!(map.write_interruptible(&interrupt).is_ok());
}
