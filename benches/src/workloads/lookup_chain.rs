//! `lookup-chain`: each address depends on the last answer, so nothing overlaps.

use crate::regions::{CHUNK, Region, RegionSet};
use crate::subject::{Index, Lookups};
use crate::subjects::floor_flat::FloorFlat;
use crate::subjects::floor_pin::FloorPin;
use crate::subjects::floor_stree::FloorStree;
use crate::subjects::vm_memory::VmMemory;
use crate::subjects::{VmapleHeld, VmaplePin, VmapleReader, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload, chunks};
use std::hint::black_box;
use std::sync::Arc;

pub(super) const WORKLOAD: Workload = Workload {
    name: "lookup-chain",
    row: "lookup-chain",
    writer_row: None,
    threads: 1,
    measure: Measure::Laps(candidates),
    left_out: &[("vmaple-batch", "a question that depends on the last answer cannot be asked together with it")],
};

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmaplePin, VmapleReader, VmapleHeld] peers [VmMemory, FloorStree, FloorFlat, FloorPin])
}

fn candidate<I: Index>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Chain { index: I::of(set.shuffled()), set: Arc::clone(set), round: Round::from(0) }),
    }
}

struct Chain<I> {
    index: I,
    set: Arc<RegionSet>,
    round: Round,
}

fn follow(reader: &mut impl Lookups, addresses: &[u64], round: &mut Round, chunks: u64) {
    let mut answer = Region::default();
    for _ in 0..chunks {
        for &address in round.chunk(addresses) {
            // Neither has the top bit set, which the processor cannot know before it has both.
            let nothing = (answer.last ^ answer.value) >> 63;
            answer = reader.lookup(address + nothing).expect("the address is mapped, and nobody writes");
        }
    }
    black_box(answer);
}

impl<I: Index> Bench for Chain<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let mut reader = self.index.reader();
        let addresses = self.set.addresses();
        follow(&mut reader, addresses, &mut self.round, chunks(ops / 2));
        let chunks = chunks(ops);
        Pace::of(chunks * CHUNK as u64, || follow(&mut reader, addresses, &mut self.round, chunks)).into()
    }
}
