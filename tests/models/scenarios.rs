//! Models of the index. In the drawings a letter is a part of an entry, and `.` is unmapped.

use super::{Crowd, FANOUT, explore_crowds, thread};
use std::sync::Arc;
use vmaple::RangeMap;
use vmaple::map::Entry;

type Map = Arc<RangeMap<u64>>;
/// Start, last, value.
type Flat = (u64, u64, u64);
type Answer = Option<Flat>;

fn flat(entry: Option<Entry<'_, u64>>) -> Answer {
    entry.map(|e| (e.start(), e.last(), *e.value()))
}

/// Returns entry `i` of the regular map: `[10 i, 10 i + 4]`, with the value `i`.
fn nth(i: u64) -> Flat {
    (10 * i, 10 * i + 4, i)
}

/// Makes a map of the first `n` regular entries, in full leaves.
fn regular(n: u64) -> Map {
    Arc::new(RangeMap::builder().private_epochs().build_from((0..n).map(nth).map(|(s, l, v)| (s..=l, v))).expect("sorted"))
}

/// Runs `ask` on each reader of the crowd, `write` on this thread, and the other writers of the crowd. Returns the readers' answers.
fn beside<T: Send + 'static>(
    crowd: Crowd,
    map: &Map,
    ask: impl Fn(&RangeMap<u64>) -> T + Send + Sync + 'static,
    write: impl FnOnce(&RangeMap<u64>),
) -> Vec<T> {
    let ask = Arc::new(ask);
    let readers = (0..crowd.readers).map(|_| {
        let (map, ask) = (Arc::clone(map), Arc::clone(&ask));
        thread::spawn(move || ask(&map))
    });
    let readers: Vec<_> = readers.collect();
    let writers = (0..crowd.writers_elsewhere).map(|writer| {
        let map = Arc::clone(map);
        thread::spawn(move || write_elsewhere(&map, FAR + 1000 * writer))
    });
    let writers: Vec<_> = writers.collect();
    write(map);
    let answers = readers.into_iter().map(|reader| reader.join().expect("the reader ran to its end")).collect();
    for writer in writers {
        writer.join().expect("the writer ran to its end");
    }
    let writer = map.write();
    writer.validate().expect("the invariants hold");
    let far = writer.range(FAR..).expect("a range").filter(|e| e.start() % 1000 == 3).count() as u64;
    assert_eq!(far, crowd.writers_elsewhere, "the last edit of each other writer is there");
    answers
}

/// Addresses that no reader looks at.
const FAR: u64 = 1_000_000_000_000;

/// What another writer does: inserts an entry, replaces it, cuts off its end, and grows it downward.
fn write_elsewhere(map: &RangeMap<u64>, start: u64) {
    map.write().insert(start + 5..start + 20, 5).expect("no other thread writes here");
    map.write().replace(start + 5..start + 20, 6).expect("memory");
    map.write().remove(start + 10..start + 20).expect("memory");
    map.write().extend_down(start + 5, start + 3).expect("room below");
}

/// before  ....AAAA    the reader looks at 7
/// after   ..AAAAAA    one store, in place
#[test]
fn growth_in_place() {
    explore_crowds([None, Some((5, 14, 1))], |crowd| {
        let map = Arc::new(RangeMap::builder().private_epochs().build_from([(10..=14u64, 1u64)]).expect("sorted"));
        beside(
            crowd,
            &map,
            |map| flat(map.pin().lookup(7)),
            |map| {
                map.write().extend_down(12, 5).expect("room below");
            },
        )
    });
}

/// A reader that sees the second growth sees the first one, too: the start is published (O2).
#[test]
fn growth_twice_is_seen_in_order() {
    let (a, b, c) = ((10, 14, 1), (5, 14, 1), (2, 14, 1));
    explore_crowds([(a, a), (a, b), (a, c), (b, b), (b, c), (c, c)], |crowd| {
        let map = Arc::new(RangeMap::builder().private_epochs().build_from([(10..=14u64, 1u64)]).expect("sorted"));
        beside(
            crowd,
            &map,
            |map| {
                let pin = map.pin();
                let ask = || flat(pin.find(12)).expect("mapped throughout");
                (ask(), ask())
            },
            |map| {
                map.write().extend_down(12, 5).expect("room below");
                map.write().extend_down(12, 2).expect("room below");
            },
        )
    });
}

/// A reader that sees a growth sees what the writer did before it (O2). Only under loom, because shuttle does not model weak memory.
#[cfg(vmaple_loom)]
#[test]
fn what_came_before_a_growth_is_seen_with_it() {
    use loom::sync::atomic::{AtomicU64, Ordering::Relaxed};
    explore_crowds([(false, 0), (false, 1), (true, 1)], |crowd| {
        let map = Arc::new(RangeMap::builder().private_epochs().build_from([(10..=14u64, 1u64)]).expect("sorted"));
        let before = Arc::new(AtomicU64::new(0));
        let (writers, readers) = (Arc::clone(&before), before);
        beside(
            crowd,
            &map,
            move |map| (map.pin().lookup(7).is_some(), readers.load(Relaxed)),
            move |map| {
                let mut writer = map.write();
                // After taking the lock, whose fence would order what came before.
                writers.store(1, Relaxed);
                writer.extend_down(12, 5).expect("room below");
            },
        )
    });
}

/// A leaf below an inner node is replaced with one store: its slot never holds anything else (T4).
#[test]
fn leaf_swap_below_an_inner_node() {
    let i = FANOUT + 1;
    explore_crowds([Some(nth(i)), Some((10 * i, 10 * i + 4, 999))], |crowd| {
        let map = regular(2 * FANOUT);
        let (start, last, _) = nth(FANOUT + 1);
        beside(
            crowd,
            &map,
            move |map| flat(map.pin().lookup(start)),
            move |map| {
                map.write().replace(start..=last, 999).expect("memory");
            },
        )
    });
}

/// Three readers, one with a `Reader`, one with pins and one iterating, while a writer uses all edits.
#[cfg(vmaple_shuttle)]
#[test]
fn several_readers_beside_many_edits() {
    explore_crowds([()], |_| {
        let map = regular(3 * FANOUT);
        let n = 3 * FANOUT;
        let asks = [0, 1, 2].map(|kind| {
            let map = Arc::clone(&map);
            thread::spawn(move || {
                let mut reader = map.reader();
                for i in (0..n).step_by(5) {
                    let stays = 10 * i + 2;
                    let hit = match kind {
                        0 => reader.lookup(stays).map(|e| e.contains(stays)),
                        1 => map.pin().find(stays).map(|e| e.contains(stays)),
                        _ => reader.view().range(stays..).expect("a range").next().map(|e| e.contains(stays)),
                    };
                    assert_eq!(hit, Some(true), "{stays} is mapped throughout");
                }
            })
        });
        for i in (0..n).filter(|i| i % 5 != 0) {
            let (start, last, _) = nth(i);
            let mut writer = map.write();
            match i % 4 {
                0 => _ = writer.remove(start..=last).expect("memory"),
                1 => _ = writer.replace(start..=last, 7).expect("memory"),
                2 => _ = writer.extend_down(start, start - 2).expect("room below"),
                _ => _ = writer.extend_up(start, last + 2).expect("room above"),
            }
        }
        map.reclaim();
        for asked in asks {
            asked.join().expect("the reader ran to its end");
        }
        map.write().validate().expect("the invariants hold");
        vec![()]
    });
}

/// A leaf is replaced: the reader finds the old entry or the new one, and the old leaf stays readable.
#[test]
fn leaf_swap() {
    explore_crowds([Some((10, 14, 1)), Some((10, 14, 9))], |crowd| {
        let map = regular(3);
        beside(
            crowd,
            &map,
            |map| flat(map.pin().lookup(12)),
            |map| {
                map.write().replace(10..=14, 9).expect("memory");
            },
        )
    });
}

/// A reader that repins between two lookups does not go back in time, and visits no recycled node.
#[test]
fn a_kept_reader_repins() {
    let (old, new, last) = (1, 8, 9);
    explore_crowds([(old, old), (old, new), (old, last), (new, new), (new, last), (last, last)], |crowd| {
        let map = regular(2);
        beside(
            crowd,
            &map,
            |map| {
                let mut reader = map.reader();
                let mut ask = || reader.lookup(12).map(|e| *e.value()).expect("mapped throughout");
                (ask(), ask())
            },
            |map| {
                map.write().replace(10..=14, 8).expect("memory");
                map.write().replace(10..=14, 9).expect("memory");
            },
        )
    });
}

/// The root is a full leaf and splits: the tree grows by a level, and no entry is missed meanwhile.
#[test]
fn split_and_root_growth() {
    let new = Some((15, 16, 99));
    explore_crowds([(nth(1), None, nth(FANOUT - 1)), (nth(1), new, nth(FANOUT - 1))], |crowd| {
        let map = regular(FANOUT);
        beside(
            crowd,
            &map,
            |map| {
                let pin = map.pin();
                let there = |i: u64| flat(pin.lookup(10 * i + 2)).expect("mapped throughout");
                let first = there(1);
                let new = flat(pin.lookup(16));
                (first, new, there(FANOUT - 1))
            },
            |map| map.write().insert(15..=16, 99).expect("free"),
        )
    });
}

/// Two leaves become one, and the tree shrinks by a level; an entry that stays is never missed.
#[test]
fn merge_and_root_shrink() {
    let (stays, goes) = (nth(FANOUT), nth(2));
    explore_crowds([(Some(goes), stays), (None, stays)], |crowd| {
        let map = regular(FANOUT + 1);
        beside(
            crowd,
            &map,
            |map| {
                let pin = map.pin();
                (flat(pin.lookup(22)), flat(pin.find(10 * FANOUT - 5)).expect("mapped throughout"))
            },
            |map| {
                map.write().remove(0..10 * FANOUT - 1).expect("memory");
            },
        )
    });
}

/// Three leaves are replaced with one store, so every address stays mapped.
#[test]
fn replace_over_leaves_is_seen_whole() {
    let n = 3 * FANOUT;
    let (a, b) = (nth(1), nth(n - 2));
    let all = (10, 10 * (n - 1) - 1, 77);
    explore_crowds([(a, b), (a, all), (all, all)], |crowd| {
        let map = regular(3 * FANOUT);
        beside(
            crowd,
            &map,
            |map| {
                let pin = map.pin();
                let ask = |address| flat(pin.lookup(address)).expect("mapped throughout");
                (ask(12), ask(10 * (3 * FANOUT - 2) + 2))
            },
            |map| {
                map.write().replace(10..10 * (3 * FANOUT - 1), 77).expect("memory");
            },
        )
    });
}

/// The counterexample that requires T8. `find(157)` is about to enter the inner node B; `L` grows over 157, and then B's first entry is
/// removed:
///
/// before   ..LL.|.FF..GG       find -> F
/// grown    ..LLL|.FF..GG       find -> L
/// removed  ..LLL|.....GG       find -> L; never G
#[test]
fn find_beside_a_boundary_that_moves() {
    let n = FANOUT * FANOUT;
    let (last, first) = (nth(n - 1), nth(n));
    let grown = (last.0, last.1 + 3, last.2);
    explore_crowds([Some(first), Some(grown)], |crowd| {
        let n = FANOUT * FANOUT;
        let map = regular(n + 2 * FANOUT);
        let (left, right) = (nth(n - 1), nth(n));
        beside(
            crowd,
            &map,
            move |map| flat(map.pin().find(left.1 + 3)),
            move |map| {
                map.write().extend_up(left.0, left.1 + 3).expect("room above");
                map.write().remove(right.0..=right.1).expect("memory");
            },
        )
    });
}

/// `prev` must look into the leaf to the left, whose last entry is removed; then the entry to the right grows over the gap.
#[test]
fn prev_over_a_leaf_boundary() {
    let (a, b) = (nth(FANOUT - 1), nth(FANOUT - 2));
    explore_crowds([Some(a), Some(b)], |crowd| {
        let map = regular(2 * FANOUT);
        let (goes, right) = (nth(FANOUT - 1), nth(FANOUT));
        beside(
            crowd,
            &map,
            move |map| flat(map.pin().prev(right.0)),
            move |map| {
                map.write().remove(goes.0..=goes.1).expect("memory");
                map.write().extend_down(right.0, right.0 - 2).expect("room below");
            },
        )
    });
}

/// `prev`, while an entry N is inserted after the answer A, and A grows down only then. So A with its new start is never the answer.
///
/// before   ..AA|..RR    prev -> A
/// inserted ..AA|NNRR    prev -> N
/// grown    .AAA|NNRR    prev -> N
#[test]
fn prev_beside_an_entry_that_comes_and_a_growth() {
    let a = nth(FANOUT - 1);
    let n = (a.1 + 2, a.1 + 3, 9);
    explore_crowds([Some(a), Some(n)], |crowd| {
        let map = regular(2 * FANOUT - 1);
        let (a, right) = (nth(FANOUT - 1), nth(FANOUT));
        beside(
            crowd,
            &map,
            move |map| flat(map.pin().prev(right.0)),
            move |map| {
                map.write().insert(a.1 + 2..=a.1 + 3, 9).expect("free");
                map.write().extend_down(a.0, a.0 - 2).expect("room below");
            },
        )
    });
}

/// `prev`, while the answer and everything after it is removed, and the leaf to the left, which is the last one now, gets another entry.
/// That leaf then covers the address where the answer ended, and has no entry there.
#[test]
fn prev_beside_a_leaf_that_becomes_the_last() {
    let (a, b) = (nth(FANOUT - 1), nth(FANOUT - 2));
    explore_crowds([Some(a), Some(b)], |crowd| {
        let map = regular(2 * FANOUT);
        let (goes, right) = (nth(FANOUT - 1), nth(FANOUT));
        beside(
            crowd,
            &map,
            move |map| flat(map.pin().prev(right.0)),
            move |map| {
                map.write().remove(goes.0..FAR).expect("memory");
                map.write().insert(6..=7, 9).expect("free");
            },
        )
    });
}

/// `next` of an address in a leaf's last entry E. E is cut, and only then the entry after it is replaced, so the replacement is never the
/// answer.
#[test]
fn next_over_a_leaf_boundary() {
    let after = nth(FANOUT);
    let e = nth(FANOUT - 1);
    let cut = (e.0 + 3, e.1, e.2);
    explore_crowds([Some(after), Some(cut)], |crowd| {
        let map = regular(2 * FANOUT);
        let (e, after) = (nth(FANOUT - 1), nth(FANOUT));
        beside(
            crowd,
            &map,
            move |map| flat(map.pin().next(e.0)),
            move |map| {
                map.write().remove(e.0 + 2..e.0 + 3).expect("memory");
                map.write().replace(after.0..=after.1, 99).expect("memory");
            },
        )
    });
}

/// An iteration while the leaf that it is about to enter changes: the entries come in order, and one that stays is never missed.
#[test]
fn iteration_misses_nothing_that_stays() {
    explore_crowds([0, 1, 2], |crowd| {
        let map = regular(FANOUT + 2);
        let answers = beside(
            crowd,
            &map,
            |map| {
                let pin = map.pin();
                let all: Vec<Flat> = pin.iter().map(|e| (e.start(), e.last(), *e.value())).collect();
                let back: Vec<Flat> = pin.iter().rev().map(|e| (e.start(), e.last(), *e.value())).collect();
                (all, back)
            },
            |map| {
                map.write().remove(10..=14).expect("memory");
                map.write().extend_up(10 * FANOUT, 10 * FANOUT + 7).expect("room above");
            },
        );
        let seen_going = |(all, mut back): (Vec<Flat>, Vec<Flat>)| {
            back.reverse();
            for way in [&all, &back] {
                assert!(way.windows(2).all(|w| w[0].1 < w[1].0), "in order, none twice: {way:?}");
                for stays in (0..FANOUT + 2).filter(|&i| i != 1) {
                    assert!(way.iter().any(|e| e.0 <= 10 * stays && 10 * stays + 4 <= e.1), "{stays} was missed: {way:?}");
                }
            }
            // In how many of the two directions the removed entry was seen.
            [&all, &back].iter().filter(|way| way.contains(&nth(1))).count()
        };
        answers.into_iter().map(seen_going).collect()
    });
}

/// A batch of lookups descends level by level while the root is replaced.
#[test]
fn lookup_many_beside_root_growth() {
    explore_crowds([None, Some(99)], |crowd| {
        let map = regular(FANOUT);
        beside(
            crowd,
            &map,
            |map| {
                let pin = map.pin();
                let mut answers = [None; 3];
                pin.lookup_many(&[12, 16, 2], &mut answers);
                assert!(answers[0].is_some() && answers[2].is_some(), "mapped throughout");
                answers[1].map(|e| *e.value())
            },
            |map| map.write().insert(15..=16, 99).expect("free"),
        )
    });
}

/// A value with a destructor is removed while a reader uses it: it is dropped once, after the reader has unpinned.
#[test]
fn a_removed_value_outlives_its_readers() {
    explore_crowds([None, Some(7)], |crowd| {
        let map: Arc<RangeMap<Box<u64>>> = Arc::new(RangeMap::builder().private_epochs().build());
        map.write().insert(0..10, Box::new(7)).expect("empty");
        let readers = (0..crowd.readers).map(|_| {
            let map = Arc::clone(&map);
            thread::spawn(move || {
                let pin = map.pin();
                let value = pin.lookup(5).map(|e| e.value());
                thread::yield_now();
                value.map(|value| **value)
            })
        });
        let readers: Vec<_> = readers.collect();
        map.write().remove(0..10).expect("memory");
        map.reclaim();
        readers.into_iter().map(|reader| reader.join().expect("the reader ran to its end")).collect()
    });
}

/// `synchronize` returns when the readers that were pinned before it have unpinned; then no reader can reach the removed value.
#[test]
fn synchronize_waits_for_the_readers_before_it() {
    explore_crowds([None, Some(1)], |crowd| {
        let map = regular(3);
        beside(
            crowd,
            &map,
            |map| flat(map.pin().lookup(12)).map(|e| e.2),
            move |map| {
                map.write().remove(10..=14).expect("memory");
                map.synchronize().expect("this thread is not pinned");
                let held = map.reclaim();
                // Later readers may still use what other writers removed since.
                assert!(held == 0 || crowd.writers_elsewhere > 0, "no reader can reach what was removed");
            },
        )
    });
}
