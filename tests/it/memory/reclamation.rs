//! What a pinned reader holds back, and when it is freed: retired nodes and values, `reclaim`, `synchronize`, the policies at the budget.

use super::{FEW, KIB, Loud, filled, private};
use crate::support::OVER_SLOTS;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use vmaple::map::{BudgetPolicy, ReplaceCause, ResourceError};
use vmaple::{Inline, Mm, PAGE_SIZE, RangeMap, Value, VmaFlags, VmaSpec};

#[test]
fn a_pinned_reader_holds_back_what_stats_say_and_then_nothing() {
    let map = filled(private(), 64);
    let pin = map.pin();
    let before = pin.lookup(16).expect("mapped").value();
    for i in 0..FEW as u64 {
        map.write().replace(16..24, i).expect("the budget is large");
    }
    let held = map.stats();
    assert!(held.retired_nodes >= FEW as u64, "each replace retires a leaf");
    assert!(held.held_bytes > FEW * 100, "all of it is counted: {held:?}");
    assert_eq!(held.recycled_nodes, 0, "nothing is reused under the pin");
    assert_eq!(*before, 1, "and what was read is readable still");
    drop(pin);
    assert_eq!(map.reclaim(), 0);
    let after = map.stats();
    assert_eq!(after.held_bytes, 0);
    assert_eq!(after.recycled_nodes, after.retired_nodes);
}

#[test]
fn the_next_write_brings_a_large_holding_back() {
    let map = filled(private().budget_bytes(64 * KIB), 64);
    let pin = map.pin();
    while map.write().replace(16..24, 7).is_ok() {}
    assert!(map.stats().held_bytes > 60 * KIB);
    drop(pin);
    // Over slots the grace period of the first batch is over at once, so the write is admitted without recycling the rest, and the next ones
    // recycle a bounded number each.
    for _ in 0..if OVER_SLOTS { 20 } else { 1 } {
        map.write().replace(16..24, 8).expect("the reader is gone");
    }
    assert!(map.stats().held_bytes < 4 * KIB, "{:?}", map.stats());
}

/// A value that has no size and owns nothing counts as no bytes. It is dropped nevertheless, also by writes that edit nothing.
#[test]
fn values_that_count_for_nothing_are_not_forgotten() {
    const MANY: usize = if cfg!(miri) { 200 } else { 20_000 };
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    #[derive(Clone)]
    struct Token;
    impl Drop for Token {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
    #[allow(unsafe_code, reason = "an unsafe trait")]
    // SAFETY: of no size.
    unsafe impl Value for Token {}
    let map = private().build_from((0..MANY as u64).map(|i| (8 * i..8 * i + 4, Token))).expect("sorted");
    let pin = map.pin();
    map.write().remove(..).expect("removals are never refused");
    drop(pin);
    let mut writes = 0;
    while DROPPED.load(Ordering::Relaxed) < MANY && writes < MANY {
        drop(map.write());
        writes += 1;
    }
    assert_eq!((DROPPED.load(Ordering::Relaxed), map.stats().held_values), (MANY, 0));
}

/// After a large removal beside a pinned reader, and when the reader has left, each write recycles a bounded number of values. No write is
/// refused, although more is held than the budget.
#[test]
fn a_write_after_a_large_removal_does_not_pay_for_all_of_it() {
    const MANY: u64 = if cfg!(miri) { 200 } else { 20_000 };
    let one = Arc::new(());
    let entries = (0..MANY).map(|i| (8 * i..8 * i + 4, Box::new(Arc::clone(&one))));
    let map = private().budget_bytes(if cfg!(miri) { 2 * KIB } else { 64 * KIB }).build_from(entries).expect("sorted");
    let pin = map.pin();
    map.write().remove(..).expect("removals are never refused");
    drop(pin);
    assert_eq!(Arc::strong_count(&one) as u64, MANY + 1, "all of it waits");
    let (mut most, mut writes) = (0, 0);
    while Arc::strong_count(&one) > 1 && writes < MANY {
        let before = Arc::strong_count(&one);
        map.write().insert(8 * writes..8 * writes + 4, Box::default()).expect("nobody holds it back any more");
        most = most.max(before - Arc::strong_count(&one));
        writes += 1;
    }
    assert_eq!((Arc::strong_count(&one), map.len() as u64), (1, writes));
    assert!(most > 0 && most <= 2 * 1024, "a write dropped {most}");
    assert_eq!(map.reclaim(), 0);
}

#[test]
fn what_a_removal_left_behind_is_freed_by_writes_that_retire_nothing() {
    let map: RangeMap<u64> =
        private().budget_bytes(64 * KIB).build_from((0..2 * KIB as u64).map(|n| (n * 8..n * 8 + 4, n))).expect("in order");
    map.write().insert(1 << 40..1 << 41, 0).expect("free");
    let pin = map.pin();
    map.write().remove(..1 << 30).expect("memory");
    let held = map.stats().held_bytes;
    assert!(held >= 16 * KIB, "much is held: {held} bytes");
    drop(pin);
    // Growth in place retires nothing. Each write hold recycles a little, once the collector has been asked.
    for n in 1..1000 {
        map.write().extend_down(1 << 40, (1 << 40) - n).expect("room below");
    }
    let held = map.stats().held_bytes;
    assert!(held < 16 * KIB, "{held} bytes are still held");
}

#[test]
fn from_a_quarter_of_the_budget_on_a_write_tries_hard() {
    let map = filled(private().budget_bytes(64 * KIB), 64);
    let pin = map.pin();
    while map.stats().held_bytes < 20 * KIB {
        map.write().replace(16..24, 7).expect("far from the budget");
    }
    drop(pin);
    map.write().replace(16..24, 8).expect("far from the budget");
    assert!(map.stats().held_bytes < 4 * KIB, "{:?}", map.stats());
}

#[test]
fn at_the_budget_writes_fail_whole_and_lookups_go_on() {
    let budget = 32 * KIB;
    let map = filled(private().budget_bytes(budget), 64);
    let pin = map.pin();
    let error = loop {
        match map.write().replace(16..24, 99) {
            Ok(_) => assert!(map.stats().held_bytes <= budget, "no error, and over the budget"),
            Err(error) => break error,
        }
    };
    let ReplaceCause::Resource(ResourceError::OverBudget { held_bytes, needed_bytes, budget_bytes }) = error.cause else {
        panic!("over the budget, not {error:?}")
    };
    assert_eq!((error.value, budget_bytes), (99, budget));
    assert!(held_bytes <= budget && held_bytes + needed_bytes > budget, "{held_bytes} + {needed_bytes}");
    // The refused edit has changed nothing.
    map.write().validate().expect("valid");
    assert_eq!(pin.iter().count(), 64);
    assert_eq!(map.pin().lookup(16).map(|e| *e.value()), Some(99));
    // Growing in place retires nothing, so it needs no budget.
    map.write().extend_down(32, 28).expect("room");
    drop(pin);
    map.write().replace(16..24, 100).expect("the reader is gone");
}

#[test]
fn an_edit_larger_than_the_budget_is_done_when_nothing_is_held() {
    let map = filled(private().budget_bytes(1), 256);
    assert_eq!(map.write().remove(..).expect("no reader is in the way").len(), 256);
    assert!(map.is_empty());
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std no thread is known to be pinned")]
fn the_waiting_policy_fails_rather_than_wait_for_itself() {
    let map = filled(private().budget_bytes(32 * KIB).policy(BudgetPolicy::Wait), 64);
    let pin = map.pin();
    while map.write().replace(16..24, 1).is_ok() {}
    drop(pin);
    assert_eq!(map.reclaim(), 0);
}

/// Another thread is pinned, so `write` waits until it has left.
#[test]
fn the_waiting_policy_waits_for_the_reader() {
    let map = filled(private().budget_bytes(32 * KIB).policy(BudgetPolicy::Wait), 64);
    let (pinned, over_half) = (Barrier::new(2), Barrier::new(2));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let pin = map.pin();
            pinned.wait();
            over_half.wait();
            over.store(true, Ordering::SeqCst);
            drop(pin);
        });
        pinned.wait();
        while map.stats().held_bytes <= 16 * KIB {
            map.write().replace(16..24, 2).expect("below the half");
        }
        over_half.wait();
        drop(map.write());
        assert!(over.load(Ordering::SeqCst), "the write waited for the unpin");
    });
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std no thread is known to be pinned")]
fn synchronize_refuses_to_wait_for_its_own_thread() {
    let map = filled(private(), 4);
    assert!(map.synchronize().is_ok());
    let pin = map.pin();
    assert!(map.synchronize().is_err());
    drop(pin);
    let mut reader = map.reader();
    assert!(map.synchronize().is_ok(), "a new reader is not pinned");
    assert!(reader.lookup(3).is_some());
    assert!(map.synchronize().is_err());
    reader.unpin();
    assert!(map.synchronize().is_ok());
    assert!(reader.lookup(3).is_some());
    drop(reader);
    assert!(map.synchronize().is_ok());
    let other = filled(private(), 4);
    let _elsewhere = other.pin();
    assert!(map.synchronize().is_ok(), "epochs of its own: a pin of another map is no matter");
}

#[test]
fn synchronize_waits_for_readers_pinned_before_it() {
    let map = filled(private(), 4);
    let (pinned, go) = (Barrier::new(2), Barrier::new(2));
    let left = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let pin = map.pin();
            pinned.wait();
            go.wait();
            left.store(true, Ordering::SeqCst);
            drop(pin);
        });
        pinned.wait();
        go.wait();
        map.synchronize().expect("this thread is not pinned");
        assert!(left.load(Ordering::SeqCst));
    });
}

/// A `Reader` of one map, after its thread has pinned more maps than it keeps registrations for.
#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std no thread is known to be pinned")]
fn synchronize_knows_its_own_reader_among_many_maps() {
    let maps: Vec<RangeMap<u64>> = (0..12).map(|_| filled(private(), 2)).collect();
    let mut reader = maps[0].reader();
    for map in &maps[1..] {
        drop(map.pin());
    }
    assert!(reader.lookup(1).is_some());
    assert!(maps[0].synchronize().is_err(), "it would wait for its own reader");
}

#[test]
fn values_past_their_readers_count_against_no_budget() {
    let map: RangeMap<Box<[u8; 1000]>> = private().budget_bytes(64 << 10).build();
    let mut writer = map.write();
    for _ in 0..if cfg!(miri) { 70 } else { 1000 } {
        writer.insert(0..10, Box::new([0; 1000])).expect("nobody is pinned");
        writer.remove_entry(5).expect("nobody is pinned");
    }
}

/// An edit that fails keeps nothing, and clones no value.
#[test]
fn a_cut_over_the_budget_clones_nothing() {
    let log: Arc<std::sync::Mutex<Vec<ThreadId>>> = Arc::default();
    let map = private().budget_bytes(2048).build();
    let loud = || Box::new(Loud { dropped_on: Arc::clone(&log), drop_panics: false, clone_panics: false });
    map.write().insert(0..1 << 20, loud()).expect("free");
    let pin = map.pin();
    let mut writer = map.write();
    let mut cuts = 0;
    let mut back = loop {
        match writer.replace(1000 + cuts..=1000 + cuts, loud()) {
            Ok(_) => cuts += 2,
            Err(error) => break error.value,
        }
    };
    for _ in 0..20 {
        back = writer.replace(500_000..=500_000, back).map(drop).expect_err("the pin holds the budget").value;
    }
    drop(writer);
    drop(pin);
    let entries = map.len();
    drop((map, back));
    assert_eq!(log.lock().unwrap().len(), entries + 1, "one value an entry, the one handed back, and none made in vain");
}

#[test]
fn a_removed_value_is_dropped_a_few_writes_after_its_readers_left() {
    let log: Arc<std::sync::Mutex<Vec<ThreadId>>> = Arc::default();
    let loud = || Box::new(Loud { dropped_on: Arc::clone(&log), drop_panics: false, clone_panics: false });
    let map = private().build();
    map.write().insert(0..10, loud()).expect("free");
    let pin = map.pin();
    map.write().remove_entry(5).expect("memory");
    drop(pin);
    for i in 1..8u64 {
        map.write().insert(i * 100..i * 100 + 10, loud()).expect("free");
    }
    assert_eq!(log.lock().unwrap().len(), 1);
}

/// A reader repins while the writer frees the node that it was in. In a seeded bug, the fence after crossbeam's repin is missing, and Miri
/// reports a read of freed memory.
#[test]
fn a_reader_that_repins_never_sees_a_node_reused() {
    let map = private().build();
    map.write().insert(0..10, Box::new(0u64)).expect("free");
    thread::scope(|scope| {
        let asks = scope.spawn(|| {
            let mut reader = map.reader();
            let mut newest = 0;
            for _ in 0..FEW / 2 {
                let entry = reader.lookup(5).expect("mapped throughout");
                // Gives the writer time to free nodes that it takes for unused.
                for _ in 0..if cfg!(miri) { 60 } else { 1 } {
                    thread::yield_now();
                }
                let seen = **entry.value();
                assert!(newest <= seen, "a question goes back in time");
                newest = seen;
            }
        });
        for i in 1..FEW as u64 / 2 {
            map.write().replace(0..10, Box::new(i)).expect("the budget is large");
        }
        // Joined here, because a scope may end before a thread has left its garbage with the collector.
        asks.join().expect("no panic");
    });
    assert_eq!(map.reclaim(), 0);
}

#[test]
fn a_writer_may_ask_through_a_pin_and_a_pin_outlives_writes() {
    let map = filled(private(), 8);
    let pin = map.pin();
    let seen = pin.lookup(16).expect("mapped");
    let mut writer = map.write();
    for gone in writer.remove(pin.lookup(16).expect("mapped").span()).expect("memory") {
        assert_eq!((*gone.value(), gone.was_cut()), (1, false));
    }
    assert!(map.try_write().is_none() && map.try_read().is_none());
    drop(writer);
    assert!(pin.lookup(16).is_none(), "a pin shows the present");
    assert_eq!(*seen.value(), 1, "and keeps what it showed");
    let reading = map.read();
    assert!(map.try_write().is_none() && map.try_read().is_some());
    drop(reading);
    assert!(map.try_write().is_some());
}

#[test]
fn every_kind_of_value_comes_back_as_it_went_in() {
    let text = String::from("text");
    let map = private().build_from([(0..1u64, &text)]).expect("sorted");
    assert_eq!(map.pin().lookup(0).map(|e| e.value().as_str()), Some("text"));
    let map = private().build_from([(0..1u64, Inline((1u16, 2u32)))]).expect("sorted");
    assert_eq!(map.pin().lookup(0).map(|e| e.value().0), Some((1, 2)));
    let shared = Arc::new(5);
    let map = private().build_from([(0..10u64, Arc::clone(&shared))]).expect("sorted");
    map.write().remove(4..5).expect("memory");
    assert_eq!(Arc::strong_count(&shared), 3, "cut in two: two clones and ours");
    drop(map);
    assert_eq!(Arc::strong_count(&shared), 1);
}

/// In an address space, `reclaim` drops the payload of an unmapped VMA, but not before its last reader has left.
#[test]
fn an_address_space_lets_go_of_what_is_unmapped() {
    let payload = Arc::new(());
    let mm: Mm<Arc<()>> = Mm::builder().private_epochs().build();
    mm.write().insert(0x10_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ).with_payload(Arc::clone(&payload))).expect("free");
    let pin = mm.pin();
    let seen = pin.lookup(0x10_0000).expect("mapped");
    mm.write().munmap(0x10_0000, PAGE_SIZE).expect("mapped");
    assert!(mm.reclaim() > 0, "the pin holds it back");
    assert!(Arc::ptr_eq(seen.payload(), &payload) && Arc::strong_count(&payload) == 2);
    drop(pin);
    assert_eq!((mm.reclaim(), Arc::strong_count(&payload)), (0, 1));
}
