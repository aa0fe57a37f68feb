//! Every allocation of every operation fails in turn, alone or with all that come after it: an error, nothing changed, no abort, and a second
//! try succeeds.
//!
//! A binary of its own, because it replaces the allocator by one that fails on request.

mod allocator;
mod layout;
mod payloads;
mod threads;

use allocator::{each_failure, live_bytes, short, with_bytes_left};
use std::fmt::Debug;
use vmaple::map::WriteGuard;
use vmaple::mm::fault::ExpandError;
use vmaple::{Mm, PAGE_SIZE, RangeMap, Span, VmaFlags, VmaSpec};

const ENTRIES: u64 = if cfg!(miri) { 40 } else { 700 };

/// Enough entries to fill more leaves than an edit's lists hold without allocating.
const MANY: u64 = if cfg!(miri) { 60 } else { 600 };

fn filled() -> RangeMap<Box<u64>> {
    RangeMap::builder().private_epochs().build_from((0..ENTRIES).map(|i| (i * 10..i * 10 + 5, Box::new(i)))).expect("memory")
}

fn filled_with_numbers() -> RangeMap<u64> {
    RangeMap::builder().private_epochs().build_from((0..ENTRIES).map(|i| (i * 10..i * 10 + 5, i))).expect("memory")
}

fn contents(map: &RangeMap<Box<u64>>) -> Vec<(u64, u64, u64)> {
    map.read().iter().map(|e| (e.start(), e.last(), **e.value())).collect()
}

/// Runs an edit with its first allocation failing, then with its second, and so on until it gets through.
fn fail_each<T, E: Debug>(name: &str, edit: impl Fn(&mut WriteGuard<'_, Box<u64>>) -> Result<T, E>) {
    each_failure(|shortage, nth| {
        let map = filled();
        let before = contents(&map);
        let mut writer = map.write();
        let (failed, reached) = short(shortage, nth, || edit(&mut writer).is_err());
        writer.validate().expect("the invariants hold");
        drop(writer);
        if !reached {
            assert!(!failed, "{name}: nothing failed, and it failed");
            assert!(nth > 0, "{name} allocates nothing: the test tests nothing");
            return false;
        }
        assert!(failed, "{name}: allocation {nth} failed unnoticed");
        assert_eq!(contents(&map), before, "{name}: allocation {nth} failed and something changed");
        drop(edit(&mut map.write()).expect("a second try succeeds"));
        map.write().validate().expect("the invariants hold");
        true
    });
}

#[test]
fn every_allocation_of_every_edit_may_fail() {
    let value = || Box::new(1);
    // The boxes that the edits themselves make come from before the counting.
    let spare = std::cell::RefCell::new((0..80_000).map(|_| value()).collect::<Vec<_>>());
    let spare = || spare.borrow_mut().pop().expect("enough of them");
    let end = ENTRIES * 10;
    fail_each("insert", |w| w.insert(7..9, spare()).map_err(drop));
    fail_each("insert at the end", |w| w.insert(end + 5..=u64::MAX, spare()).map_err(drop));
    fail_each("insert over a leaf's end", |w| w.insert(165..170, spare()).map_err(drop));
    let each = |range: std::ops::Range<u64>| range.map(|at| (Span::new(at, at).expect("one address"), spare()));
    fail_each("splice of a few", |w| w.splice(100..110, each(100..110)).map(drop).map_err(|error| error.cause));
    fail_each("splice of many", |w| w.splice(100..200, each(100..200)).map(drop).map_err(|error| error.cause));
    fail_each("splice_entries", |w| w.splice_entries(100..200, each(100..200)).map(drop).map_err(|error| error.cause));
    fail_each("set", |w| w.set(32, spare()).map(drop).map_err(|error| error.cause));
    fail_each("replace_entries", |w| w.replace_entries(100..300, spare()).map(drop).map_err(|error| error.cause));
    fail_each("remove_entries", |w| w.remove_entries(10..end / 2).map(drop));
    fail_each("remove_entry", |w| w.remove_entry(20).map(drop));
    fail_each("remove over leaves", |w| w.remove(10..end / 2).map(drop));
    fail_each("remove all", |w| w.remove(..).map(drop));
    fail_each("extend_up", |w| w.extend_up(30, 37));
    fail_each("extend_up over a leaf's end", |w| w.extend_up(150, 157));
}

/// Clones are the embedder's: `Box` aborts where its clone has no memory. So what may clone is tried with values that need none.
#[test]
fn every_allocation_of_an_edit_that_cuts_may_fail() {
    each_failure(|shortage, nth| {
        let map = filled_with_numbers();
        let list = |map: &RangeMap<u64>| map.read().iter().map(|e| (e.start(), e.last(), *e.value())).collect::<Vec<_>>();
        let before = list(&map);
        let mut writer = map.write();
        let (failed, reached) =
            short(shortage, nth, || writer.replace(22..23, 7).is_err() || writer.replace(301..end_of(ENTRIES / 2), 8).is_err());
        writer.validate().expect("the invariants hold");
        drop(writer);
        assert_eq!(failed, reached, "allocation {nth}");
        if !reached {
            assert!(nth > 0, "nothing was allocated: the test tests nothing");
            return false;
        }
        let after = list(&map);
        assert!(after == before || after.len() == before.len() + 2, "the first replace whole or not at all");
        true
    });
}

/// What does not go in comes back, all of it and in order, and that needs no memory either.
#[test]
fn every_allocation_of_a_splice_of_hundreds_may_fail() {
    each_failure(|shortage, nth| {
        let map = filled_with_numbers();
        // From the middle of a parent on.
        let first = ENTRIES / 5 * 10;
        let range = first..first + MANY;
        let fresh = range.clone().map(|at| (Span::new(at, at).expect("one address"), at));
        let mut writer = map.write();
        let before = writer.iter().count();
        #[allow(clippy::result_large_err, reason = "what comes back is looked at")]
        let (result, reached) = short(shortage, nth, || writer.splice(range.clone(), fresh.clone()).map(drop));
        writer.validate().expect("the invariants hold");
        assert_eq!(result.is_err(), reached, "allocation {nth}");
        let Err(refused) = result else {
            assert!(nth > 14, "as many nodes as that");
            return false;
        };
        assert!(refused.value.eq(fresh), "allocation {nth} failed and not all came back");
        assert_eq!(writer.iter().count(), before, "allocation {nth} failed and something changed");
        true
    });
}

/// 2.4: growth up allocates, and lacks memory or is done; growth down allocates nothing.
#[test]
fn every_allocation_of_a_growth_may_fail() {
    let page = |n: u64| 0x10_0000 + n * PAGE_SIZE;
    let stack = |way: VmaFlags| VmaSpec::anonymous(VmaFlags::READ | way);
    each_failure(|shortage, nth| {
        let mm = Mm::builder().private_epochs().build();
        let mut writer = mm.write();
        for i in 0..ENTRIES {
            writer
                .insert(page(600 * i), PAGE_SIZE, stack(if i % 2 == 0 { VmaFlags::GROWSUP } else { VmaFlags::GROWSDOWN }))
                .expect("memory");
        }
        drop(writer);
        let mut writer = mm.write();
        let ((down, up), reached) =
            short(shortage, nth, || (writer.expand_down(page(600 * 15 - 20)), writer.expand_up(page(600 * 14 + 20))));
        writer.validate().expect("the invariants and the accounts hold");
        assert_eq!(down.map(|span| span.pages()), Ok(21));
        if !reached {
            assert!(nth > 0 && up.is_ok(), "nothing was allocated: the test tests nothing");
            return false;
        }
        assert!(matches!(up, Err(ExpandError::Resource(_))), "{up:?}");
        assert_eq!(writer.expand_up(page(600 * 14 + 20)).map(|span| span.pages()), Ok(21));
        true
    });
}

fn end_of(entries: u64) -> u64 {
    entries * 10 + 3
}

#[test]
fn every_allocation_of_a_build_and_a_dup_may_fail() {
    each_failure(|shortage, nth| {
        let entries: Vec<_> = (0..ENTRIES).map(|i| (i * 10..i * 10 + 5, i)).collect();
        let (built, reached) = short(shortage, nth, || RangeMap::builder().build_from(entries));
        assert_eq!(built.is_err(), reached, "allocation {nth}");
        reached
    });
    // Private epochs are crossbeam's, which aborts where an allocation fails that was not asked for before.
    let built_with = |bytes| {
        let entries: Vec<_> = (0..ENTRIES).map(|i| (i * 10..i * 10 + 5, i)).collect();
        let (built, failed) = with_bytes_left(bytes, || RangeMap::builder().private_epochs().build_from(entries));
        assert_eq!(built.is_err(), failed, "{bytes} bytes");
        failed
    };
    assert!((0..).step_by(if cfg!(miri) { 1_000 } else { 40 }).take_while(|&bytes| built_with(bytes)).count() > 10);
    let map = filled_with_numbers();
    each_failure(|shortage, nth| {
        let reading = map.read();
        let (copy, reached) = short(shortage, nth, || reading.dup());
        assert_eq!(copy.is_err(), reached, "allocation {nth} of dup");
        if let Ok(copy) = copy {
            assert_eq!(copy.len(), map.len());
            copy.write().validate().expect("the invariants hold");
        }
        reached
    });
}

/// Each copy that fails is kept until the unlock, and they are dropped one after the other.
#[test]
fn any_number_of_copies_may_fail_under_one_guard() {
    const COPIES: usize = if cfg!(miri) { 50 } else { 50_000 };
    let map = RangeMap::builder().private_epochs().build_from([(0..5u64, 7u64)]).expect("memory");
    // What a thread has for its locks is there from here on.
    drop(map.read());
    let before = live_bytes();
    let reading = map.read();
    for _ in 0..COPIES {
        // The second allocation is of the copy itself.
        let (copy, reached) = short(allocator::Shortage::Once, 1, || reading.dup().is_ok());
        assert!(reached && !copy);
    }
    assert!(live_bytes() > before, "they are kept");
    drop(reading);
    assert_eq!(live_bytes(), before);
}

/// What a failed edit had built goes back.
#[test]
fn edits_that_fail_keep_no_memory() {
    let map = RangeMap::builder()
        .private_epochs()
        .budget_bytes(8 << 10)
        .build_from((0..ENTRIES).map(|i| (i * 10..i * 10 + 5, i)))
        .expect("memory");
    let pin = map.pin();
    let fails = |n: u64| map.write().replace(n % ENTRIES * 10..n % ENTRIES * 10 + 5, n).is_err();
    // Until the budget is used up, and what is kept for the next edits is there.
    let enough = (0..ENTRIES).filter(|&n| fails(n)).count();
    assert!(enough > 100, "the reader holds back more than the budget allows");
    let before = live_bytes();
    assert!((0..ENTRIES).all(fails));
    assert_eq!(live_bytes(), before);
    drop(pin);
}

/// A reader was away for long: the lists of what it held back are large then, and not kept.
#[test]
#[cfg_attr(miri, ignore = "thousands of edits")]
fn large_lists_are_given_back() {
    let map = filled_with_numbers();
    let replace = |n: u64| _ = map.write().replace(n % ENTRIES * 10..n % ENTRIES * 10 + 5, n).expect("the budget is large");
    let away = |edits: u64| {
        let pin = map.pin();
        (0..edits).for_each(replace);
        drop(pin);
    };
    away(1);
    map.reclaim();
    let least = live_bytes();
    let more = || live_bytes() - least;
    for edits in [3_000, 20_000] {
        away(edits);
        map.reclaim();
        assert!(more() < 16 << 10, "{} bytes after {edits} edits and a reclaim", more());
    }
    away(20_000);
    (0..1000).for_each(replace);
    let stats = map.stats();
    let kept = isize::try_from(stats.pool_bytes + stats.held_bytes).expect("not much");
    assert!(more() - kept < 64 << 10, "{} bytes, {kept} of them nodes", more());
}

/// A map that goes frees its nodes, those that still wait or are kept for the next edit among them.
#[test]
fn a_map_that_goes_keeps_no_memory() {
    let map = || RangeMap::builder().build_from((0..ENTRIES).map(|i| (i * 10..i * 10 + 5, i))).expect("memory");
    let replace = |map: &RangeMap<u64>, n: u64| {
        map.write().replace(n % ENTRIES * 10..n % ENTRIES * 10 + 5, n).expect("the budget is large");
    };
    let some_wait = || {
        let map = map();
        let pin = map.pin();
        (0..100).for_each(|n| replace(&map, n));
        assert!(map.stats().held_bytes > 10 << 10);
        drop(pin);
    };
    let some_are_kept = || {
        let map = map();
        let kept = (0..1000).find(|&n| {
            replace(&map, n);
            map.stats().pool_bytes > 2 << 10
        });
        assert!(cfg!(any(miri, vmaple_no_pool)) || kept.is_some(), "none are kept, and no checker watches");
    };
    for come_and_go in [&some_wait as &dyn Fn(), &some_are_kept] {
        come_and_go();
        let before = live_bytes();
        (0..20).for_each(|_| come_and_go());
        let more = live_bytes() - before;
        assert!(more < 20 << 10, "{more} bytes of 20 maps");
    }
}
