//! Random mappings, faults, growths and locks against the plain model of parts 1 to 3 of `docs/semantics.md`, `support::fault_model`.

use crate::support::fault_model::{Context, Op, Ops, SIDE, replay};
use quickcheck::{Arbitrary, Gen, QuickCheck};

impl Arbitrary for Context {
    fn arbitrary(g: &mut Gen) -> Self {
        *g.choose(&[Self::User, Self::Killed, Self::NoFixup, Self::NoFixup]).expect("four")
    }
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let page = u8::arbitrary(g) % SIDE;
        let context = Context::arbitrary(g);
        match u8::arbitrary(g) % 32 {
            0..7 => Self::Map(page, u8::arbitrary(g) % 6, u8::arbitrary(g), u8::arbitrary(g)),
            7..10 => Self::Unmap(page, u8::arbitrary(g) % 16, context),
            10..12 => Self::Down(page, context),
            12..14 => Self::Up(page, context),
            14..17 => Self::Find(page, context),
            17..20 => Self::Handle(page, u8::arbitrary(g), context),
            20 => Self::ExpandStack(page, context),
            21 => Self::FindExtend(page),
            22..24 => Self::Lock(page),
            24 => Self::Unlock(u8::arbitrary(g)),
            25 => Self::Read,
            26 => Self::Write,
            27 => *g.choose(&[Self::Leave, Self::Upgrade, Self::Downgrade]).expect("three"),
            28 | 29 => Self::Leave,
            30 => Self::Limit(u8::arbitrary(g), u8::arbitrary(g)),
            _ => Self::Speculate,
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
fn everything_against_the_plain_model() {
    let (tests, size) = if cfg!(miri) { (4, 30) } else { (600, 160) };
    QuickCheck::new().rng(Gen::new(size)).tests(tests).quickcheck((|ops: Ops| replay(&ops.0)) as fn(Ops));
}
