//! The address space's operations against the model of pages, with operations from the fuzzer's bytes. Everything is compared after each.
//!
//! One byte gives the limits and the policy, then six bytes each operation. `cargo fuzz fmt mm_ops FILE` prints the operations of an input.
#![no_main]

#[path = "../../tests/it/support/page_model/mod.rs"]
mod model;

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use model::{Op, op, run};

/// The most operations. More only fill and empty the few pages again.
const MAX_OPS: usize = 128;

#[derive(Debug)]
struct Input {
    terms: u8,
    ops: Vec<Op>,
}

impl<'a> Arbitrary<'a> for Input {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let terms = u8::arbitrary(bytes)?;
        let mut ops = Vec::new();
        while bytes.len() >= 6 && ops.len() < MAX_OPS {
            ops.push(op(<[u8; 6]>::arbitrary(bytes)?));
        }
        Ok(Self { terms, ops })
    }
}

fuzz_target!(|input: Input| run(input.terms, &input.ops));
