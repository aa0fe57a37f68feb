//! `lookup`: addresses that do not depend on each other, so that the processor can overlap the lookups.

use crate::regions::{CHUNK, RegionSet};
use crate::subject::{Index, Lookups, Tally};
use crate::subjects::floor_flat::FloorFlat;
use crate::subjects::floor_pin::FloorPin;
use crate::subjects::floor_stree::FloorStree;
use crate::subjects::vm_memory::VmMemory;
use crate::subjects::{VmapleBatch, VmapleHeld, VmaplePin, VmapleReader, VmapleRests, with_peers};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Round, Workload, chunks};
use std::hint::black_box;
use std::sync::Arc;

pub(super) const WORKLOAD: Workload =
    Workload { name: "lookup", row: "lookup", writer_row: None, threads: 1, measure: Measure::Laps(candidates), left_out: &[] };

fn candidates() -> Vec<Candidate> {
    with_peers!(candidate: [VmaplePin, VmapleReader, VmapleRests, VmapleHeld, VmapleBatch] peers [VmMemory, FloorStree, FloorFlat, FloorPin])
}

fn candidate<I: Index>() -> Candidate {
    Candidate {
        name: I::NAME,
        limit: usize::MAX,
        make: |set| Box::new(Lookup { index: I::of(set.shuffled()), set: Arc::clone(set), round: Round::from(0) }),
    }
}

struct Lookup<I> {
    index: I,
    set: Arc<RegionSet>,
    round: Round,
}

/// Looks up `chunks` chunks of addresses, and returns how many were found.
pub(super) fn ask(reader: &mut impl Lookups, addresses: &[u64], round: &mut Round, chunks: u64) -> u64 {
    let mut hits = 0;
    for _ in 0..chunks {
        let Tally { hits: found, sum } = reader.lookups(round.chunk(addresses));
        hits += found;
        black_box(sum);
    }
    hits
}

/// Looks up `chunks` chunks of addresses and measures the time. Every address must be found.
pub(super) fn ask_timed(reader: &mut impl Lookups, addresses: &[u64], round: &mut Round, chunks: u64) -> Pace {
    let ops = chunks * CHUNK as u64;
    let mut hits = 0;
    let pace = Pace::of(ops, || hits = ask(reader, addresses, round, chunks));
    assert_eq!(hits, ops, "a mapped address was not found, and nobody writes");
    pace
}

impl<I: Index> Bench for Lookup<I> {
    fn lap(&mut self, ops: u64) -> Lap {
        let mut reader = self.index.reader();
        let addresses = self.set.addresses();
        ask(&mut reader, addresses, &mut self.round, chunks(ops / 2));
        ask_timed(&mut reader, addresses, &mut self.round, chunks(ops)).into()
    }
}
