//! The address space's operations against the model of pages, with operations that the fuzzer invents; everything is compared after each.
//!
//! The fuzzer's bytes are one for the limits and the policy, then six for each operation. `cargo fuzz fmt mm_ops FILE` prints what an input
//! stands for.
#![no_main]

#[path = "../../tests/it/support/page_model/mod.rs"]
mod model;

use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use model::{Op, op, run};

/// More than this fills and empties the few pages again and again.
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
