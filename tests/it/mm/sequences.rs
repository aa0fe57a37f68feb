//! Random sequences of all operations against the model of pages, `support::page_model`.

use crate::support::page_model::{Op, op, run};
use quickcheck::{Arbitrary, Gen, QuickCheck};

/// A sequence of operations, and the limits and policies that it runs with.
#[derive(Clone, Debug)]
struct Run {
    terms: u8,
    ops: Vec<Op>,
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        op([0; 6].map(|_: u8| u8::arbitrary(g)))
    }
}

impl Arbitrary for Run {
    fn arbitrary(g: &mut Gen) -> Self {
        Self { terms: u8::arbitrary(g), ops: Vec::arbitrary(g) }
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let terms = self.terms;
        Box::new(self.ops.shrink().map(move |ops| Self { terms, ops }))
    }
}

/// Checks all of part 5 of `docs/semantics.md`. `VMAPLE_SEQUENCES` is the number of sequences.
#[test]
fn any_sequence_agrees_with_a_model_of_pages() {
    let (tests, size) = if cfg!(miri) { (3, 24) } else { (500, 90) };
    let asked = std::env::var("VMAPLE_SEQUENCES").ok().and_then(|n| n.parse().ok());
    let tests = asked.unwrap_or(tests);
    QuickCheck::new().rng(Gen::new(size)).tests(tests).max_tests(tests).quickcheck((|of: Run| run(of.terms, &of.ops)) as fn(Run));
}

/// Runs the seeds of this model's fuzz target, and what it has found.
#[test]
#[cfg_attr(miri, ignore = "reads files, which Miri keeps from it")]
fn the_seeds_of_the_fuzz_target_agree_with_a_model_of_pages() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/mm_ops");
    for seed in std::fs::read_dir(seeds).expect("seeds") {
        let bytes = std::fs::read(seed.expect("a seed").path()).expect("bytes");
        let (ops, _) = bytes[1..].as_chunks::<6>();
        run(bytes[0], &ops.iter().map(|bytes| op(*bytes)).collect::<Vec<_>>());
    }
}
