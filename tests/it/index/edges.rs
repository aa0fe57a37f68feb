//! Replacements and gap searches that end exactly on an edge: of a leaf, of an entry, of the search's window. Kernels had bugs there, whose
//! numbers are those of `docs/semantics.md`.

use vmaple::RangeMap;
use vmaple::map::{GapError, GapQuery};

/// Bug 5 (677f1df179cb): a store over several leaves that ended at the end of a leaf corrupted it. The test stores from each entry to each
/// other, over three leaves and more.
#[test]
fn spanning_stores_that_end_on_leaf_edges() {
    const ENTRIES: u64 = if cfg!(miri) { 20 } else { 70 };
    let filled: RangeMap<u64> =
        RangeMap::builder().private_epochs().build_from((0..ENTRIES).map(|i| (8 * i..8 * i + 8, i))).expect("sorted");
    let list = |map: &RangeMap<u64>| map.read().iter().map(|e| (e.start(), e.last() + 1, *e.value())).collect::<Vec<_>>();
    for first in 0..ENTRIES {
        for last in (first..ENTRIES).step_by(if cfg!(miri) { 5 } else { 1 }) {
            let map = filled.read().dup().expect("memory");
            map.write().replace(8 * first..8 * last + 8, 1_000).expect("memory");
            let untouched = |i: &u64| *i < first || last < *i;
            let mut expected: Vec<_> = (0..ENTRIES).filter(untouched).map(|i| (8 * i, 8 * i + 8, i)).collect();
            expected.push((8 * first, 8 * last + 8, 1_000));
            expected.sort_unstable();
            assert_eq!(list(&map), expected, "{first} to {last}");
            map.write().validate().expect("the invariants hold");
        }
    }
}

/// Bug 6 (bugzilla 216911): a search from above answered below the window's minimum. Bug 8 (c7ef3210f3ab): a window of exactly the size
/// was refused. Bug 7 (0257d9908d38) cannot occur: a search leaves no cursor behind.
#[test]
fn a_gap_search_keeps_to_its_window() {
    // ..AA..AA..AA..AA..
    let map: RangeMap<u64> =
        RangeMap::builder().private_epochs().build_from((0..60u64).map(|i| (4 * i + 2..4 * i + 4, i))).expect("sorted");
    let writer = map.write();
    let gap = |query: GapQuery, low: u64, high: u64| writer.find_gap(&query.within(low..high)).map(|span| span.start());
    for hole in (0..200).step_by(4) {
        for query in [GapQuery::new(2).lowest(), GapQuery::new(2).highest()] {
            assert_eq!(gap(query, hole, hole + 2), Ok(hole), "min and max leave room for it alone");
            assert_eq!(gap(query, hole, hole + 5), Ok(hole));
            assert!(matches!(gap(query, hole + 1, hole + 5), Err(GapError::NotFound { .. })), "half of a hole lies below the minimum");
        }
        assert_eq!(gap(GapQuery::new(1).highest(), hole + 1, hole + 4), Ok(hole + 1), "not below");
    }
}
