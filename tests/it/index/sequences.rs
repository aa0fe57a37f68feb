//! Random sequences of operations against the sorted list, with `validate` after each.

use crate::support::sorted_list::{Op, Ops, Pair, SIDE, replay};
use quickcheck::{Arbitrary, Gen, QuickCheck};
use vmaple::RangeMap;
use vmaple::map::{GapError, GapQuery, RemoveError};

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let c = |g: &mut Gen| u8::arbitrary(g) % SIDE;
        let near = |g: &mut Gen, a: u8| (a + u8::arbitrary(g) % 6).min(SIDE - 1);
        let a = c(g);
        match u8::arbitrary(g) % 37 {
            0..10 => Self::Insert(a, near(g, a)),
            10..14 => Self::Replace(a, near(g, a)),
            14 => Self::Remove(a, near(g, a)),
            15 => Self::Splice(a, near(g, a), u8::arbitrary(g) % 24, u8::arbitrary(g)),
            16 if bool::arbitrary(g) => Self::Splice(a, c(g), u8::arbitrary(g), u8::arbitrary(g)),
            16 => Self::Remove(a, c(g)),
            17 => Self::Replace(a, c(g)),
            18..20 => Self::RemoveEntry(a),
            20..23 => Self::ExtendDown(a, a.saturating_sub(u8::arbitrary(g) % 8)),
            23..26 => Self::ExtendUp(a, near(g, a)),
            26..28 => Self::Gap(a, c(g), u8::arbitrary(g) % 24, u8::arbitrary(g)),
            28 => Self::Iterate(a, c(g), u8::arbitrary(g)),
            29 => Self::Dup,
            30 => Self::Rebuild,
            31 => Self::Set(a),
            32 => Self::ReplaceEntries(a, near(g, a)),
            33 => Self::SpliceEntries(a, near(g, a)),
            34 => Self::RemoveEntries(a, near(g, a)),
            35 => Self::Segments(a, c(g)),
            _ => Self::Reclaim,
        }
    }
}

impl Arbitrary for Ops {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(Vec::arbitrary(g))
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        Box::new(self.0.shrink().map(Self))
    }
}

#[test]
fn any_sequence_agrees_with_a_sorted_list() {
    let (tests, size) = if cfg!(miri) { (3, 24) } else { (400, 120) };
    QuickCheck::new().rng(Gen::new(size)).tests(tests).quickcheck((|ops: Ops| replay(&ops.0)) as fn(Ops));
}

/// Long runs of operations fill and empty the map, so that the tree grows and shrinks through its heights.
#[test]
fn filling_and_emptying_agrees_with_a_sorted_list() {
    let rounds = if cfg!(miri) { 1 } else { 6 };
    for round in 0..rounds {
        let mut pair = Pair::default();
        let order = |i: u8| match round % 3 {
            0 => i,
            1 => SIDE - 1 - i,
            _ => i.wrapping_mul(77) % SIDE,
        };
        let step = if cfg!(miri) { 9 } else { 1 };
        for i in (0..SIDE).step_by(step) {
            pair.apply(Op::Insert(order(i), order(i)));
        }
        pair.apply(Op::Dup);
        for i in (0..SIDE).step_by(step * 3) {
            pair.apply(if round % 2 == 0 { Op::RemoveEntry(order(i)) } else { Op::Replace(order(i), order(i)) });
        }
        for i in (0..SIDE - 20).step_by(step * 7) {
            pair.apply(Op::Remove(i, i + 17));
        }
        pair.apply(Op::Remove(0, SIDE - 1));
        pair.finish();
    }
}

#[test]
fn bad_ranges_are_errors_and_change_nothing() {
    let map: RangeMap<u64> = RangeMap::builder().private_epochs().build();
    let mut writer = map.write();
    writer.insert(10..20, 1).expect("empty map");
    #[allow(clippy::reversed_empty_ranges, reason = "they are what is refused")]
    for (start, end) in [(5u64, 5u64), (7, 3)] {
        assert_eq!(writer.insert(start..end, 2).expect_err("a bad range").value, 2);
        assert_eq!(writer.replace(start..end, 3).expect_err("a bad range").value, 3);
        assert!(matches!(writer.remove(start..end), Err(RemoveError::Range(_))));
        assert!(writer.range(start..end).is_err() && writer.segments(start..end).is_err() && writer.is_covered(start..end).is_err());
        assert!(matches!(writer.find_gap(&GapQuery::new(1).within(start..end)), Err(GapError::Window(_))));
    }
    assert_eq!(writer.iter().count(), 1);
}
