//! The index against the sorted list, with operations from the fuzzer's bytes. The invariants are checked after each.
//!
//! Each operation is four bytes: the kind, then the arguments. A failure is printed as a test (`cargo fuzz fmt tree_ops FILE` prints an input
//! that was found before).
#![no_main]

#[allow(dead_code, reason = "what the integration tests alone use of it")]
#[path = "../../tests/it/support/sorted_list.rs"]
mod sorted_list;

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use sorted_list::{Op, Ops, Pair, SIDE};

/// The most operations. More take longer and find nothing more, because this many fill and empty the coordinates several times.
const MAX_OPS: usize = 128;

impl<'a> Arbitrary<'a> for Ops {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut ops = Vec::new();
        while bytes.len() >= 4 && ops.len() < MAX_OPS {
            ops.push(op(<[u8; 4]>::arbitrary(bytes)?));
        }
        Ok(Self(ops))
    }
}

/// Decodes an operation. The low four bits choose the verb, and whether its range is short, because long ranges alone would keep the map small.
fn op([verb, a, b, c]: [u8; 4]) -> Op {
    let a = a % SIDE;
    let near = (a + b % 8).min(SIDE - 1);
    let below = a.saturating_sub(b % 8);
    match verb % 16 {
        0 => Op::Insert(a, b),
        1 | 2 => Op::Insert(a, near),
        3 if verb < 128 => Op::Replace(a, b),
        3 => Op::ReplaceEntries(a, b),
        4 if verb < 128 => Op::Replace(a, near),
        4 => Op::ReplaceEntries(a, near),
        5 if verb < 128 => Op::Splice(a, b, c, verb / 16),
        5 => Op::Remove(a, b),
        6 if verb < 128 => Op::Splice(a, near, c % 24, verb),
        6 => Op::Remove(a, near),
        7 if verb < 128 => Op::RemoveEntry(a),
        7 => Op::Set(a),
        8 => Op::ExtendDown(a, below),
        9 => Op::ExtendDown(a, b),
        10 => Op::ExtendUp(a, near),
        11 => Op::ExtendUp(a, b),
        // The model checks the first and the last 64 places of a hole, which is enough for sizes up to 40.
        12 => Op::Gap(a, b, verb / 16 * 2, c),
        13 if verb < 64 => Op::Iterate(a, b, c),
        13 if verb < 128 => Op::Segments(a, b),
        13 => Op::SpliceEntries(a, near),
        14 if verb < 128 => Op::Dup,
        14 => Op::Rebuild,
        _ if verb < 128 => Op::Reclaim,
        _ => Op::RemoveEntries(a, near),
    }
}

fuzz_target!(|ops: Ops| {
    let mut pair = Pair::default();
    for &op in &ops.0 {
        pair.apply(op);
    }
    pair.finish();
});
