//! How many nodes an edit copies and leaves behind: one leaf if one is enough, and full nodes where they should be full. No answer depends
//! on it, so no other test would notice.

use vmaple::map::Stats;
use vmaple::{RangeMap, Span};

type Map = RangeMap<u64>;

/// Entry `i` is `[10 i, 10 i + 5)`; the leaves are full.
fn regular(n: u64) -> Map {
    RangeMap::builder().private_epochs().build_from((0..n).map(|i| (10 * i..10 * i + 5, i))).expect("sorted")
}

/// Returns the library's fan-out in this build: how many entries one leaf can hold.
fn fanout() -> u64 {
    (1..=64).rfind(|&n| regular(n).stats().leaf_nodes == 1).expect("one entry is one leaf")
}

/// Returns how many nodes an edit unlinks.
fn retires(map: &Map, edit: impl FnOnce(&Map)) -> u64 {
    let before = map.stats();
    edit(map);
    let after = map.stats();
    map.write().validate().expect("the invariants hold");
    assert_eq!(after.published, before.published + 1, "one splice");
    after.retired_nodes - before.retired_nodes
}

/// Returns the smallest numbers of leaves and of inner nodes that a map of `n` entries needs.
fn fewest(n: u64, fanout: u64) -> (usize, usize) {
    let leaves = n.div_ceil(fanout);
    let (mut inners, mut level) = (0, leaves);
    while level > 1 {
        level = level.div_ceil(fanout);
        inners += level;
    }
    (usize::try_from(leaves).expect("small"), usize::try_from(inners).expect("small"))
}

fn nodes(stats: Stats) -> (usize, usize) {
    (stats.leaf_nodes, stats.inner_nodes)
}

#[test]
fn an_edit_inside_a_leaf_copies_that_leaf() {
    let fanout = fanout();
    let map = regular(fanout * fanout * 2);
    assert_eq!(map.stats().height, 3);
    let middle = 10 * (fanout * fanout / 2 + fanout / 2);
    assert_eq!(retires(&map, |map| _ = map.write().replace(middle..middle + 5, 7).expect("memory")), 1);
    assert_eq!(retires(&map, |map| _ = map.write().remove(middle..middle + 5).expect("memory")), 1, "a leaf that stays full enough");
    assert_eq!(retires(&map, |map| map.write().insert(middle..middle + 5, 8).expect("free")), 1);
    assert_eq!(retires(&map, |map| _ = map.write().extend_up(middle, middle + 7).expect("room")), 1);
    let before = map.stats();
    map.write().extend_down(middle, middle - 2).expect("room");
    let after = map.stats();
    assert_eq!((after.published, after.retired_nodes), (before.published, before.retired_nodes), "in place");
    assert_eq!(after.extended_in_place, before.extended_in_place + 1);
    map.write().validate().expect("the invariants hold");
}

/// At the right edge all keys are the maximum, so no parents are copied.
#[test]
fn an_edit_of_the_last_leaf_copies_that_leaf() {
    let fanout = fanout();
    let n = fanout * fanout * 2 + 1;
    let map = regular(n);
    let end = 10 * n;
    assert_eq!(retires(&map, |map| map.write().insert(end..=end, 7).expect("free")), 1);
    assert_eq!(retires(&map, |map| _ = map.write().replace(end..end + 3, 8).expect("memory")), 1);
    assert_eq!(retires(&map, |map| _ = map.write().remove_entry(end).expect("memory")), 1, "sparse is legal there");
}

/// A leaf with the least number of entries stays; with fewer, it takes in its neighbour, and the parent is copied.
#[test]
fn leaves_are_merged_only_when_they_hold_too_little() {
    let fanout = fanout();
    let least = (fanout / 4).max(2);
    let map = regular(fanout * fanout * 2);
    let first = 10 * fanout * (fanout / 2);
    for i in 0..fanout - least {
        let at = first + 10 * i;
        assert_eq!(retires(&map, |map| _ = map.write().remove_entry(at).expect("memory")), 1, "{i} of {fanout} gone");
    }
    let at = first + 10 * (fanout - 1);
    let before = map.stats().leaf_nodes;
    assert_eq!(retires(&map, |map| _ = map.write().remove_entry(at).expect("memory")), 3, "two leaves and their parent");
    // A full neighbour and the rest of the leaf are more than one leaf can hold.
    assert_eq!(map.stats().leaf_nodes, before - usize::from(least - 1 + fanout <= fanout));
}

/// The first and the last child of a parent take in a sibling, not a leaf of another parent.
#[test]
fn the_first_and_the_last_child_take_in_their_siblings() {
    let fanout = fanout();
    let least = (fanout / 4).max(2);
    for leaf in [fanout, 2 * fanout - 1] {
        let map = regular(fanout * fanout * 3);
        let start = 10 * fanout * leaf;
        let gone = retires(&map, |map| _ = map.write().remove(start..start + 10 * (fanout - least + 1)).expect("memory"));
        assert_eq!(gone, 3, "leaf {leaf}, its sibling and their parent");
    }
}

/// If one entry is left of all that a parent held, it joins the leaf to the left, which has another parent.
#[test]
fn what_is_left_of_a_parent_joins_the_one_before() {
    let fanout = fanout();
    let n = fanout * fanout;
    let map = regular(n * 3);
    // The range ends at the end of the last entry. With one byte more, the next parent would be in the edit.
    map.write().remove(10 * n + 10..=10 * (2 * n - 1) + 4).expect("memory");
    map.write().validate().expect("the invariants hold");
    let starts: Vec<u64> = map.pin().iter().map(|e| e.start() / 10).collect();
    assert!(starts.into_iter().eq((0..=n).chain(2 * n..3 * n)));
}

#[test]
fn a_tree_that_shrinks_to_one_leaf_retires_what_it_was() {
    let map = regular(fanout() * 3);
    let (leaves, inners) = nodes(map.stats());
    assert_eq!(retires(&map, |map| _ = map.write().remove(10..).expect("memory")), (leaves + inners) as u64);
    assert_eq!((nodes(map.stats()), map.stats().height), ((1, 0), 1));
}

/// One level higher: a parent with the least number of children stays.
#[test]
fn parents_are_merged_only_when_they_hold_too_little() {
    let fanout = fanout();
    let least = (fanout / 4).max(2);
    let map = regular(fanout * fanout * 3);
    let first = 10 * fanout * fanout;
    let inners = map.stats().inner_nodes;
    // Removes the children of the middle parent from the first on, with their entries, until `least` are left.
    for child in 0..fanout - least {
        let start = first + 10 * fanout * child;
        let gone = retires(&map, |map| _ = map.write().remove(start..start + 10 * (fanout - 1) + 5).expect("memory"));
        assert!(gone <= 3, "the leaf, its parent, and perhaps a neighbour: {gone}");
        assert_eq!(map.stats().inner_nodes, inners, "{child} of {fanout} gone");
    }
    let start = first + 10 * fanout * (fanout - least);
    let gone = retires(&map, |map| _ = map.write().remove(start..start + 10 * (fanout - 1) + 5).expect("memory"));
    assert!(gone >= 4, "two parents and theirs: {gone}");
}

/// Puts a small entry into the hole behind entry `i`.
fn squeeze(map: &Map, i: u64) {
    map.write().insert(10 * i + 6..10 * i + 8, 7).expect("free");
}

/// Returns a map whose last parent has three full leaves, of which only the third is on the right edge, and the number of its first entry.
fn three_full_leaves() -> (Map, u64) {
    let fanout = fanout();
    (regular(fanout * fanout + 3 * fanout), fanout * fanout)
}

#[test]
fn a_leaf_that_overflows_beside_full_ones_makes_three_of_two() {
    let fanout = fanout();
    let (map, first) = three_full_leaves();
    let before = map.stats();
    assert_eq!(retires(&map, |map| squeeze(map, first + fanout / 2)), 3, "two leaves and their parent");
    assert_eq!(nodes(map.stats()), (before.leaf_nodes + 1, before.inner_nodes));
    // The entries are shared evenly: each leaf takes as many more as it has room for, without another leaf.
    let each = (2 * fanout + 1) / 3;
    for i in 0..fanout - each {
        for third in 0..3 {
            assert_eq!(retires(&map, |map| squeeze(map, first + third * each + i - u64::from(third == 2))), 1);
        }
    }
    assert_eq!(map.stats().leaf_nodes, before.leaf_nodes + 1);
}

#[test]
fn a_leaf_that_overflows_beside_one_with_room_shares_with_it() {
    let fanout = fanout();
    for neighbour in [0, 2] {
        let (map, first) = three_full_leaves();
        // The neighbour keeps the least number of entries.
        for i in (fanout / 4).max(2)..fanout {
            let at = 10 * (first + neighbour * fanout + i - 1);
            map.write().remove(at..at + 5).expect("memory");
        }
        let before = map.stats();
        assert_eq!(retires(&map, |map| squeeze(map, first + fanout + fanout / 2)), 3, "two leaves and their parent");
        assert_eq!(nodes(map.stats()), (before.leaf_nodes, before.inner_nodes), "neighbour {neighbour}");
    }
}

/// Too full to share in two, not full enough for three: of the leaf next to it that holds least. (At fan-out 4 nothing is.)
#[test]
fn a_leaf_that_overflows_between_is_cut_in_halves() {
    let fanout = fanout();
    let (for_two, for_three) = (2 * fanout - fanout / 4, 2 * fanout - 1);
    for (total, neighbours) in (for_two + 1..for_three).flat_map(|total| [(total, &[0, 2][..]), (total, &[0]), (total, &[2])]) {
        let (map, first) = three_full_leaves();
        for neighbour in neighbours {
            for i in total - (fanout + 1)..fanout {
                let at = 10 * (first + neighbour * fanout + i - 1);
                map.write().remove(at..at + 5).expect("memory");
            }
        }
        let before = map.stats();
        assert_eq!(retires(&map, |map| squeeze(map, first + fanout + fanout / 2)), 2, "the leaf and its parent: {total} {neighbours:?}");
        assert_eq!(nodes(map.stats()), (before.leaf_nodes + 1, before.inner_nodes));
        // The parts are equal: each takes as many more as it has room for.
        for i in 0..fanout / 2 - 2 {
            assert_eq!(retires(&map, |map| squeeze(map, first + fanout + i)), 1);
            assert_eq!(retires(&map, |map| squeeze(map, first + 2 * fanout - 2 - i)), 1);
        }
    }
}

/// Up to what two leaves hold with room for a while, and from what is on its way to three on; of all that lies between, see above.
#[test]
fn how_full_two_leaves_are_decides_whether_they_share() {
    let fanout = fanout();
    let (least, for_two, for_three) = ((fanout / 4).max(2), 2 * fanout - fanout / 4, 2 * fanout - 1);
    for total in fanout + 1 + least..=2 * fanout + 1 {
        let (map, first) = three_full_leaves();
        for neighbour in [0, 2] {
            for i in total - (fanout + 1)..fanout {
                let at = 10 * (first + neighbour * fanout + i - 1);
                map.write().remove(at..at + 5).expect("memory");
            }
        }
        let before = map.stats().leaf_nodes;
        let (gone, leaves) = if total <= for_two || total >= for_three { (3, total.div_ceil(fanout) - 2) } else { (2, 1) };
        assert_eq!(retires(&map, |map| squeeze(map, first + fanout + fanout / 2)), gone, "{total} of {}", 2 * fanout);
        assert_eq!(map.stats().leaf_nodes, before + usize::try_from(leaves).expect("small"), "{total} of {}", 2 * fanout);
    }
}

/// If a leaf's entries are replaced by as many others, they fit, and its neighbours do not change.
#[test]
fn a_leaf_exchanged_for_one_as_full_shares_with_nobody() {
    let fanout = fanout();
    let (map, first) = three_full_leaves();
    let at = first + fanout;
    let others = (at..at + fanout).map(|i| (Span::new(10 * i, 10 * i + 3).expect("in order"), 7));
    let gone = retires(&map, |map| _ = map.write().splice(10 * at..10 * (at + fanout) - 5, others.collect::<Vec<_>>()).expect("memory"));
    assert_eq!(gone, 2, "the leaf, and its parent, whose key is another");
}

#[test]
fn ascending_inserts_fill_every_node() {
    let fanout = fanout();
    let map: Map = RangeMap::builder().private_epochs().build();
    for i in 0..fanout * fanout * 3 {
        map.write().insert(10 * i..10 * i + 5, i).expect("free");
        assert_eq!(map.stats().leaf_nodes, fewest(i + 1, fanout).0, "after {} entries", i + 1);
    }
    map.write().validate().expect("the invariants hold");
    assert_eq!(nodes(map.stats()), fewest(fanout * fanout * 3, fanout));
}

/// With descending inserts, the lowest node of a level gets the new entries: a split leaves it the least number, and gives the rest to the
/// other node.
#[test]
fn descending_inserts_leave_full_nodes_behind() {
    let fanout = fanout();
    let map: Map = RangeMap::builder().private_epochs().build();
    let n = fanout * fanout * 3;
    for i in (0..n).rev() {
        map.write().insert(10 * i..10 * i + 5, i).expect("free");
    }
    map.write().validate().expect("the invariants hold");
    let behind = fanout + 1 - (fanout / 4).max(2);
    let (stats, (leaves, inners)) = (map.stats(), fewest(n, behind));
    assert!(stats.leaf_nodes <= leaves + 1 && stats.inner_nodes <= inners, "{stats:?}; {leaves} leaves, {inners} inner nodes would do");
}

#[test]
fn an_edit_that_empties_the_map_leaves_no_node() {
    let map = regular(fanout() * 5);
    map.write().remove(..).expect("memory");
    let empty = map.stats();
    assert_eq!((empty.entries, empty.height, nodes(empty), empty.index_bytes), (0, 0, (0, 0), 0));
    assert_eq!(map.reclaim(), 0);
    assert_eq!(map.stats().retired_nodes, map.stats().recycled_nodes);
}
