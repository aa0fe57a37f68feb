//! The address space against the plain model, with mappings, faults, growths and locks from the fuzzer's bytes.
//!
//! Each operation is four bytes: the kind and the context, then the arguments. A failure is printed as a test (`cargo fuzz fmt fault_ops FILE`
//! prints an input that was found before).
#![no_main]

#[path = "../../tests/it/support/fault_model/mod.rs"]
mod fault_model;

use fault_model::{Context, Op, Ops, SIDE, replay};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;

/// The most operations. More take longer and find nothing more, because this many fill and empty the pages several times.
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

/// Decodes an operation. The low five bits choose the verb, the high ones the context.
fn op([verb, page, a, b]: [u8; 4]) -> Op {
    let page = page % SIDE;
    let context = match verb >> 5 {
        0 | 1 => Context::User,
        2 | 3 => Context::Killed,
        _ => Context::NoFixup,
    };
    match verb % 32 {
        0..=6 => Op::Map(page, a % 8, a / 8, b),
        7 | 8 => Op::Unmap(page, a % 8, context),
        9 => Op::Unmap(page, a % 64, context),
        10 | 11 => Op::Down(page, context),
        12 | 13 => Op::Up(page, context),
        14..=16 => Op::Find(page, context),
        17..=19 => Op::Handle(page, a, context),
        20 => Op::ExpandStack(page, context),
        21 => Op::FindExtend(page),
        22 | 23 => Op::Lock(page),
        24 => Op::Unlock(a),
        25 => Op::Read,
        26 => Op::Write,
        27 => Op::Upgrade,
        28 => Op::Downgrade,
        29 => Op::Leave,
        30 => Op::Limit(a, b),
        _ => Op::Speculate,
    }
}

fuzz_target!(|ops: Ops| replay(&ops.0));
