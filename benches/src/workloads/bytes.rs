//! `bytes`: the bytes per region that an index allocates, after random and after ascending insertions. It also counts the allocations of a
//! steady load of replaces and of growths.

use super::fill::limit;
use super::mixed::replace_next;
use super::spaces::filled;
use crate::allocator;
use crate::regions::{PAGE, Region, RegionSet};
use crate::subject::{Edits, Grows, Index, Space};
use crate::subjects::floor_flat::FloorFlat;
use crate::subjects::floor_stree::FloorStree;
use crate::subjects::locked_space::LockedSpace;
use crate::subjects::vm_memory::VmMemory;
use crate::subjects::vmaple_space::VmapleSpace;
use crate::subjects::{VmapleReader, with_peers};
use crate::workload::{Measure, NO_WRITER, Round, Scale, Workload};
use std::thread;

pub(super) const RANDOM: Workload =
    Workload { name: "bytes", row: "bytes", writer_row: None, threads: 1, measure: Measure::Bytes(random), left_out: &[] };

pub(super) const ASCENDING: Workload = Workload { row: "bytes-ascending", measure: Measure::Bytes(ascending), ..RANDOM };

/// The sum of the index, the records of the VMAs and the rest of the address space.
pub(super) const OF_SPACES: Workload = Workload { row: "bytes-vma", measure: Measure::Bytes(of_spaces), ..RANDOM };

pub(super) const ALLOCATIONS: Workload =
    Workload { row: "allocations-replace", measure: Measure::Allocations(replacing), left_out: NO_WRITER, ..RANDOM };

pub(super) const ALLOCATIONS_GROW: Workload =
    Workload { row: "allocations-expand", measure: Measure::Allocations(growing), left_out: NO_WRITER, ..RANDOM };

/// The number of changes after which a load is steady, and the number of changes that are counted then.
const STEADY: u32 = 10_000;

fn random() -> Vec<Scale> {
    with_peers!(random_scale: [VmapleReader] peers [VmMemory, FloorStree, FloorFlat])
}

fn ascending() -> Vec<Scale> {
    with_peers!(ascending_scale: [VmapleReader] peers [VmMemory, FloorStree, FloorFlat])
}

fn of_spaces() -> Vec<Scale> {
    vec![space_scale::<VmapleSpace>(), space_scale::<LockedSpace>()]
}

fn replacing() -> Vec<Scale> {
    with_peers!(replacing_scale: [VmapleReader] peers [])
}

fn growing() -> Vec<Scale> {
    with_peers!(growing_scale: [VmapleReader] peers [])
}

fn random_scale<I: Index>() -> Scale {
    Scale { name: I::NAME, limit: usize::MAX, weigh: |set| bytes::<I>(set.shuffled()) }
}

fn ascending_scale<I: Index>() -> Scale {
    Scale { name: I::NAME, limit: usize::MAX, weigh: |set| bytes::<I>(set.ascending()) }
}

#[allow(clippy::cast_precision_loss, reason = "regions are far below 2^52")]
fn space_scale<S: Space>() -> Scale {
    let weigh = |set: &RegionSet| kept(|| (), || Box::new(settled::<S>(set))) / set.count() as f64;
    Scale { name: S::NAME, limit: usize::MAX, weigh }
}

fn settled<S: Space>(set: &RegionSet) -> S {
    let space = filled::<S>(set);
    space.settle();
    space
}

/// Runs on a new thread, because some subjects keep a thread's old nodes for its next index, and would allocate nothing.
#[allow(clippy::cast_precision_loss, reason = "bytes of an index are far below 2^52")]
fn kept<T>(set_up: impl FnOnce() + Send, make: impl FnOnce() -> T + Send) -> f64 {
    let weigh = || {
        set_up();
        let (made, taken) = allocator::count(make);
        drop(made);
        taken.bytes
    };
    thread::scope(|threads| threads.spawn(weigh).join().expect("it does not panic")) as f64
}

#[allow(clippy::cast_precision_loss, reason = "regions are far below 2^52")]
fn bytes<I: Index>(regions: &[Region]) -> f64 {
    let make = || {
        let index = I::of(regions);
        index.settle();
        index
    };
    kept(|| I::set_up(regions), make) / regions.len() as f64
}

fn replacing_scale<I: Edits>() -> Scale {
    let weigh = |set: &RegionSet| {
        let index = I::of(set.shuffled());
        let mut writer = index.writer();
        let (mut round, mut fresh) = (Round::from(0), 0);
        calls_a_change(|| replace_next(&mut writer, set.shuffled(), &mut round, &mut fresh))
    };
    Scale { name: I::NAME, limit: limit::<I>(), weigh }
}

fn growing_scale<I: Edits>() -> Scale
where
    for<'i> I::Writer<'i>: Grows,
{
    let weigh = |set: &RegionSet| {
        // Small steps if there are few gaps.
        let step = if set.count() < 1_000 { 16 } else { PAGE };
        let growths = set.growths(step);
        let index = I::of(set.shuffled());
        let mut writer = index.writer();
        let mut growths = growths.iter();
        calls_a_change(|| {
            let growth = growths.next().expect("more growths than a steady load needs");
            writer.grow(growth.address, growth.start);
        })
    };
    Scale { name: I::NAME, limit: limit::<I>(), weigh }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a lap are far below 2^52")]
fn calls_a_change(mut change: impl FnMut()) -> f64 {
    for _ in 0..STEADY {
        change();
    }
    let ((), taken) = allocator::count(|| (0..STEADY).for_each(|_| change()));
    taken.calls as f64 / f64::from(STEADY)
}
