//! A reader stays pinned during a million replaces: what it holds back is counted, stays within the budget by the chosen policy, delays
//! no lookup, and is freed when the reader has left.

use crate::support::Ends;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use vmaple::RangeMap;
use vmaple::map::{BudgetPolicy, ReplaceCause, ResourceError};

/// Returns the number of replaces: a million in a release build, unless `VMAPLE_REPLACES` is set.
fn replaces() -> u64 {
    let asked = std::env::var("VMAPLE_REPLACES").ok().and_then(|n| n.parse().ok());
    asked.unwrap_or(if cfg!(miri) {
        30
    } else if cfg!(debug_assertions) {
        30_000
    } else {
        1_000_000
    })
}

/// The number of entries. They need more than one leaf, so that there are all kinds of nodes.
const ENTRIES: u64 = if cfg!(miri) { 6 } else { 100 };

/// The budget, which a small part of the replaces uses up.
const BUDGET: usize = if cfg!(miri) { 2 << 10 } else { 1 << 20 };

fn filled(policy: BudgetPolicy, budget_bytes: usize) -> RangeMap<Box<u64>> {
    RangeMap::builder()
        .private_epochs()
        .budget_bytes(budget_bytes)
        .policy(policy)
        .build_from((0..ENTRIES).map(|i| (16 * i..16 * i + 8, Box::new(0))))
        .expect("sorted")
}

/// Replaces the value of entry `n`, modulo their number, by `n`.
fn replace_once(map: &RangeMap<Box<u64>>, n: u64) -> Result<(), ReplaceCause> {
    let start = 16 * (n % ENTRIES);
    map.write().replace(start..start + 8, Box::new(n)).map(drop).map_err(|error| error.cause)
}

/// Checks that all entries are there, and that none has an older value than before.
fn look_around(map: &RangeMap<Box<u64>>, newest: &mut [u64]) {
    let mut reader = map.reader();
    for (i, newest) in newest.iter_mut().enumerate() {
        let seen = **reader.lookup(16 * i as u64 + 3).expect("mapped throughout").value();
        assert!(*newest <= seen, "a question goes back in time");
        *newest = seen;
    }
}

#[test]
fn the_bytes_held_back_are_those_of_what_was_retired() {
    // There is one leaf, so that every replace retires one leaf and one value.
    let entries = 3;
    let map: RangeMap<Box<u64>> =
        RangeMap::builder().private_epochs().build_from((0..entries).map(|i| (16 * i..16 * i + 8, Box::new(i)))).expect("sorted");
    let before = map.stats();
    assert_eq!((before.held_bytes, before.leaf_nodes, before.inner_nodes), (0, 1, 0));
    let pin = map.pin();
    let replaces = if cfg!(miri) { 10 } else { 100 };
    for n in 1..=replaces {
        map.write().replace(16..24, Box::new(n)).expect("the budget is large");
        let held = map.stats();
        let retired = usize::try_from(n).expect("small");
        assert_eq!((held.retired_nodes, held.recycled_nodes, held.held_values), (n, 0, retired));
        // The leaf, the value's word, and what it owns.
        assert_eq!(held.held_bytes, retired * (before.index_bytes + size_of::<Box<u64>>() + 8), "{held:?}");
    }
    drop(pin);
    assert_eq!(map.reclaim(), 0);
    let after = map.stats();
    assert_eq!((after.held_bytes, after.held_values, after.recycled_nodes), (0, 0, after.retired_nodes));
}

#[test]
fn what_a_pinned_reader_holds_back_stops_at_the_budget_and_comes_back() {
    let (map, replaces) = (filled(BudgetPolicy::Fail, BUDGET), replaces());
    let pin = map.pin();
    let (first, mut seen) = (pin.lookup(3).expect("mapped").value(), vec![0; usize::try_from(ENTRIES).expect("small")]);
    let (mut refused, mut most) = (0, 0);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let ends = Ends(&ended);
        // Another reader pins and unpins meanwhile.
        let asking = scope.spawn(|| {
            let mut newest = seen.clone();
            while !ended.load(SeqCst) {
                look_around(&map, &mut newest);
                thread::yield_now();
            }
        });
        for n in 1..=replaces {
            match replace_once(&map, n) {
                Ok(()) => {}
                Err(ReplaceCause::Resource(ResourceError::OverBudget { budget_bytes: BUDGET, .. })) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            let held = map.stats().held_bytes;
            assert!(held <= BUDGET, "{held} bytes held after {n} replaces");
            assert!(held >= most, "something was reused under the pin: {held} bytes after {most}");
            most = held;
        }
        drop(ends);
        asking.join().expect("lookups are unaffected");
    });
    assert!(refused > replaces / 4, "the budget was reached, and then nothing went in: {refused} of {replaces}");
    assert!(most > BUDGET / 8 * 7, "and used: {most}");
    assert_eq!(**first, 0, "what was read is readable still");
    look_around(&map, &mut seen);
    map.write().validate().expect("the invariants hold");
    drop(pin);
    // Each of the next writes recycles a bounded number, and `reclaim` recycles the rest, with what these writes retire.
    (1..=32).for_each(|n| replace_once(&map, replaces + n).expect("the reader has gone"));
    assert!(map.stats().held_bytes < BUDGET / 4, "{:?}", map.stats());
    assert_eq!(map.reclaim(), 0);
    let after = map.stats();
    assert_eq!(after.retired_nodes, after.recycled_nodes);
    assert_eq!(after.held_values, 0);
}

#[test]
fn reclaim_brings_back_what_a_pinned_reader_held() {
    let map = filled(BudgetPolicy::Fail, BUDGET);
    let pin = map.pin();
    let mut n = 0;
    while replace_once(&map, n).is_ok() {
        assert!(map.stats().held_bytes <= BUDGET, "no error, and over the budget");
        n += 1;
    }
    let held = map.stats().held_bytes;
    assert_eq!(map.reclaim(), held, "nothing comes back under the pin");
    drop(pin);
    assert_eq!(map.reclaim(), 0);
    assert_eq!(map.stats().held_bytes, 0);
}

/// Short-lived `Reader`s beside a pinned thread leave nothing behind that a later grace period would have to wait for.
#[test]
fn readers_that_come_and_go_beside_a_pinned_one_delay_nothing() {
    let map = filled(BudgetPolicy::Fail, BUDGET);
    let pin = map.pin();
    replace_once(&map, 1).expect("the budget is large");
    for _ in 0..if cfg!(miri) { 5 } else { 2000 } {
        assert!(map.reader().lookup(3).is_some());
    }
    for n in 2..10 {
        replace_once(&map, n).expect("the budget is large");
    }
    drop(pin);
    assert_eq!(map.reclaim(), 0, "nobody is pinned");
}

/// Threads look up once and end, beside one that stays pinned. Each leaves an empty bag in the collector's queue, and what is retired
/// afterwards waits behind all of them. Once no thread is pinned, one `reclaim` is still enough.
#[test]
#[cfg_attr(miri, ignore = "hundreds of threads")]
fn threads_that_come_and_go_beside_a_pinned_one_delay_no_reclaim() {
    let map = filled(BudgetPolicy::Fail, BUDGET);
    let pin = map.pin();
    // The first grace period starts at once, ahead of the bags; the others start when it is over, behind the bags.
    for n in 1..10 {
        replace_once(&map, n).expect("the budget is large");
    }
    for _ in 0..600 {
        thread::scope(|scope| {
            let asked = scope.spawn(|| map.pin().lookup(3).is_some());
            assert!(asked.join().expect("a lookup"));
        });
    }
    drop(pin);
    assert_eq!(map.reclaim(), 0, "nobody is pinned");
}

/// A reader stays pinned until half of the budget is held, again and again. The writer waits each time, and all replaces succeed.
#[test]
fn the_waiting_policy_lets_a_million_replaces_through() {
    let (map, replaces) = (filled(BudgetPolicy::Wait, BUDGET), replaces());
    let (ended, pinned) = (AtomicBool::new(false), Barrier::new(2));
    let mut seen = vec![0; usize::try_from(ENTRIES).expect("small")];
    let stays = thread::scope(|scope| {
        let staying = scope.spawn(|| {
            let mut stays = 0;
            while !ended.load(SeqCst) {
                let pin = map.pin();
                if stays == 0 {
                    pinned.wait();
                }
                let before = pin.lookup(3).expect("mapped throughout").value();
                let number = **before;
                while map.stats().held_bytes <= BUDGET / 2 && !ended.load(SeqCst) {
                    thread::yield_now();
                }
                look_around(&map, &mut seen);
                assert_eq!(**before, number, "what was read is readable still");
                stays += 1;
            }
            stays
        });
        let ends = Ends(&ended);
        pinned.wait();
        for n in 1..=replaces {
            let went = replace_once(&map, n);
            let held = map.stats().held_bytes;
            went.expect("the write waited");
            assert!(held <= BUDGET, "{held} bytes held after {n} replaces");
        }
        drop(ends);
        staying.join().expect("lookups are unaffected")
    });
    assert!(stays >= 2, "the writer had to wait for {stays} stays");
    assert_eq!(map.reclaim(), 0);
    map.write().validate().expect("the invariants hold");
}
