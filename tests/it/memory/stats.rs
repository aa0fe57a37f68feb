//! The figures of an index are exact: bytes, and what is kept for reuse and given back to the system.

use crate::support::OVER_SLOTS;
use std::ops::Range;
use vmaple::map::{ReplaceCause, ResourceError};
use vmaple::{RangeMap, Value};

fn regular(n: u64) -> RangeMap<u64> {
    RangeMap::builder().private_epochs().build_from((0..n).map(|i| (10 * i..10 * i + 5, i))).expect("sorted")
}

/// Free nodes are kept for the next edits, and given back by `reclaim`.
#[test]
#[cfg_attr(any(miri, vmaple_no_pool), ignore = "nothing is kept where a checker watches")]
fn reclaim_gives_free_nodes_back_to_the_system() {
    let map = regular(4000);
    for i in 0..1000 {
        map.write().replace(20..25, i).expect("memory");
    }
    assert!(map.stats().pool_bytes > 0, "{:?}", map.stats());
    map.reclaim();
    assert_eq!(map.stats().pool_bytes, 0);
}

/// Returns a value that is as large as a box on every machine, and owns nothing.
fn as_word(i: u64) -> usize {
    usize::try_from(i).expect("a small number")
}

/// A refused edit reports as needed the bytes that it holds back if it is allowed: its nodes, and its values with what they own.
#[test]
fn a_refused_edit_needs_what_an_allowed_one_holds_back() {
    for (n, range) in [(1, 20..25), (3, 100..130), (21, 150..360)] {
        let (refused, none) = replaces(&range, 1, Box::new);
        let (allowed, held) = replaces(&range, 1 << 20, Box::new);
        let (plain, nodes) = replaces(&range, 1 << 20, as_word);
        assert_eq!((allowed, plain), (Ok(n), Ok(n)));
        assert_eq!(held - nodes, n * (size_of::<Box<u64>>() + size_of::<u64>()), "the values, and what they own");
        let Err(ReplaceCause::Resource(ResourceError::OverBudget { needed_bytes, .. })) = refused else { panic!("{refused:?}") };
        assert_eq!((needed_bytes, none), (held, 0), "{n} values");
    }
}

/// A value counts with what it owns: a box with its content, `None` with nothing. What was added is subtracted later.
#[test]
fn a_value_that_owns_nothing_counts_for_its_word() {
    type Boxed = Option<Box<[u64; 4]>>;
    let word = size_of::<Boxed>();
    for (value, owned) in [((|_| None) as fn(u64) -> Boxed, 0), (|i| Some(Box::new([i; 4])), 32), (|i| (i % 2 == 0).then(Box::default), 16)]
    {
        let (result, held) = replaces(&(100..140), 1 << 20, value);
        let (_, nodes) = replaces(&(100..140), 1 << 20, as_word);
        assert_eq!((result, held - nodes), (Ok(4), 4 * (word + owned)), "{owned} on average");
        let map = RangeMap::builder().private_epochs().build_from((0..40).map(|i| (10 * i..10 * i + 5, value(i)))).expect("sorted");
        let pin = map.pin();
        map.write().remove(100..200).expect("memory");
        map.write().remove(300..320).expect("memory");
        assert!(map.stats().held_bytes > 0);
        drop(pin);
        assert_eq!((map.reclaim(), map.stats().held_values), (0, 0));
    }
}

/// Each map with private epochs has its own: a pin of one holds back nothing of another.
#[test]
fn maps_with_private_epochs_do_not_hold_back_each_others_memory() {
    let maps = [(); 2].map(|()| RangeMap::builder().private_epochs().build_from([(0..5u64, 1u64), (10..15, 2)]).expect("sorted"));
    let pin = maps[0].pin();
    for map in &maps {
        map.write().remove(0..5).expect("memory");
    }
    assert!(maps[0].reclaim() > 0, "the pin holds it back");
    assert_eq!(maps[1].reclaim(), 0, "nobody is pinned here");
    assert!(maps[1].synchronize().is_ok());
    // Without std no thread is known to be pinned, so this would wait forever.
    assert!(!cfg!(feature = "std") || maps[0].synchronize().is_err());
    drop(pin);
}

/// Replaces the entries in a range of a map that holds bytes back already. Returns how many there were, and how many bytes this held back.
fn replaces<V: Value + Clone>(range: &Range<u64>, budget: usize, value: fn(u64) -> V) -> (Result<usize, ReplaceCause>, usize) {
    let builder = RangeMap::builder().private_epochs().budget_bytes(budget);
    let map = builder.build_from((0..40).map(|i| (10 * i..10 * i + 5, value(i)))).expect("sorted");
    let _pin = map.pin();
    map.write().remove_entry(0).expect("removals are never refused");
    let before = map.stats();
    let result = map.write().replace(range.clone(), value(7)).map(|gone| gone.len()).map_err(|error| error.cause);
    (result, map.stats().held_bytes - before.held_bytes)
}

/// How many retired bytes the collector of the build finds worth a grace period, at least and at most.
const BATCH: (usize, usize) = if OVER_SLOTS { (64 << 10, 128 << 10) } else { (8 << 10, 32 << 10) };

/// What waits to be reused is half of the index at a time, within bounds; a few times that is held back at most.
#[test]
#[cfg_attr(miri, ignore = "where a checker watches, each edit looks after what waits")]
fn what_is_held_back_follows_the_size_of_the_index() {
    let most_held = |n: u64| {
        let map = regular(n);
        let held = (0..3000).map(|i| {
            map.write().replace(0..5, i).expect("memory");
            map.stats().held_bytes
        });
        (map.stats().index_bytes, held.max().expect("some"))
    };
    for n in [1, 100, 700, 2000, 10_000] {
        let (index_bytes, held_bytes) = most_held(n);
        let turn = (index_bytes / 2).clamp(BATCH.0, BATCH.1);
        // Over slots a grace period may be over at once, and then the last leaf is retired after the check.
        let least = turn - if OVER_SLOTS { 512 } else { 0 };
        assert!((least..=4 * turn).contains(&held_bytes), "{held_bytes} held back of an index of {index_bytes}");
    }
}

/// Free nodes are kept up to an eighth of the index, or up to what waits to be reused where that is more.
#[test]
#[cfg_attr(any(miri, vmaple_no_pool), ignore = "nothing is kept where a checker watches")]
#[cfg_attr(any(vmaple_slots, not(feature = "std")), ignore = "more would be kept than this retires")]
fn what_is_kept_follows_the_size_of_the_index() {
    for n in [10_000, 60_000] {
        let map = regular(n);
        map.write().remove(5 * n..).expect("memory");
        let kept = (0..300).map(|i| {
            map.write().replace(0..5, i).expect("memory");
            map.stats().pool_bytes
        });
        let (kept, index_bytes) = (kept.max().expect("some"), map.stats().index_bytes);
        let most = (index_bytes / 8).max(2 * (index_bytes / 2).clamp(BATCH.0, BATCH.1));
        assert!((most - 1024..=most).contains(&kept), "{kept} kept beside {index_bytes}");
        // The next edits use the free nodes.
        let pin = map.pin();
        let before = map.stats();
        for i in 0..20 {
            map.write().replace(0..5, i).expect("memory");
        }
        drop(pin);
        let after = map.stats();
        assert_eq!(before.pool_bytes - after.pool_bytes, after.held_bytes - before.held_bytes, "{before:?} {after:?}");
    }
}
