//! Tests that all subjects give the answers of a plain sorted list, so that what is measured is also right.

use super::floor_flat::FloorFlat;
use super::floor_stree::FloorStree;
use super::locked_faults::LockedFaults;
use super::vm_memory::VmMemory;
use super::vmaple_mm::{MmLock, PerVma, PerVmaReader, Retake, Upgrade, VmapleMm};
use super::{VmapleBatch, VmapleHeld, VmaplePin, VmapleReader, VmapleRests, with_peers};
use crate::regions::{FLOOR, GapQuestion, PAGE, Region, RegionSet};
use crate::subject::{Changes, Edits, Faults, FindsGaps, Grows, Held, Index, Iterates, Lookups, Serves, Tally};

/// Sizes of sets: small ones have a root alone, and the others are several levels high.
const SIZES: [usize; 3] = [16, 257, 5_000];

fn looked_up(regions: &[Region], address: u64) -> Option<Region> {
    regions.iter().find(|region| (region.start..=region.last).contains(&address)).copied()
}

/// The ends of all regions and what is next to them, and an address above all.
fn probes(regions: &[Region]) -> Vec<u64> {
    let step = regions.len().div_ceil(300);
    let around = regions.iter().step_by(step).flat_map(|region| [region.start - 1, region.start, region.last, region.last + 1]);
    around.chain([0, FLOOR, 1 << 50]).collect()
}

fn assert_reads<I: Index>(index: &I, regions: &[Region]) {
    let mut reader = index.reader();
    let addresses = probes(regions);
    let mut expected = Tally::default();
    for &address in &addresses {
        let answer = looked_up(regions, address);
        expected.note(answer);
        assert_eq!(reader.lookup(address), answer, "{} at {address:#x}", I::NAME);
    }
    assert_eq!(reader.lookups(&addresses), expected, "{}", I::NAME);
}

fn reads<I: Index>() -> &'static str {
    for size in SIZES {
        let set = RegionSet::of(size);
        assert_reads(&I::of(set.shuffled()), set.ascending());
    }
    I::NAME
}

fn iterates<I: Iterates>() -> &'static str {
    for size in SIZES {
        let set = RegionSet::of(size);
        let mut expected = Tally::default();
        set.ascending().iter().for_each(|&region| expected.note(Some(region)));
        assert_eq!(I::of(set.shuffled()).tally(), expected, "{}", I::NAME);
    }
    I::NAME
}

fn writes<I: Edits>() -> &'static str
where
    for<'i> I::Writer<'i>: Grows,
{
    for size in SIZES {
        let set = RegionSet::of(size);
        let index = I::of(&[]);
        let mut model = set.ascending().to_vec();
        {
            let mut writer = index.writer();
            set.shuffled().iter().for_each(|&region| writer.insert(region));
            for (i, region) in model.iter_mut().enumerate().step_by(3) {
                region.value = 1_000_000 + i as u64;
                writer.replace(*region);
            }
            for growth in set.growths(PAGE).iter().take(size) {
                let i = model.partition_point(|region| region.last < growth.address);
                model[i].start = growth.start;
                writer.grow(growth.address, growth.start);
            }
        }
        assert_reads(&index, &model);
    }
    I::NAME
}

fn finds_gaps<I: FindsGaps>() {
    for size in SIZES {
        let set = RegionSet::of(size);
        let index = I::of(set.shuffled());
        for &question in set.gap_questions().iter().take(200) {
            let expected = highest_gap(set.ascending(), question);
            assert_eq!(index.highest_gap(question), expected, "{}: {question:x?}", I::NAME);
        }
    }
}

/// Returns the highest gap, found page by page downward from the limit.
fn highest_gap(regions: &[Region], question: GapQuestion) -> Option<u64> {
    let mut start = question.below.checked_sub(question.size)?;
    while start >= FLOOR {
        match regions.iter().find(|region| region.start < start + question.size && start <= region.last) {
            None => return Some(start),
            Some(region) => start = region.start.checked_sub(question.size)?,
        }
    }
    None
}

#[test]
fn lookups_agree() {
    let names = with_peers!(reads: [VmaplePin, VmapleReader, VmapleRests, VmapleHeld, VmapleBatch] peers [VmMemory, FloorStree, FloorFlat]);
    // All except the bare pin, which finds nothing, and the subjects that serve faults, are bare locks, or are whole address spaces.
    let others =
        ["vmaple-per-vma-reader", "vmaple-per-vma", "vmaple-mm-lock", "vmaple-upgrade", "vmaple-retake", "vmaple-lock", "vmaple-lock-raw"];
    let spaces = ["vmaple-mm", "kernel-calls", super::KERNEL_ENTRY];
    let others = [&others[..], &spaces, &[super::LOCK_BASE, "std-rwlock", "floor-pin"]].concat();
    let expected: Vec<&str> = super::NAMES.into_iter().filter(|name| !others.contains(name)).collect();
    assert_eq!(names, expected);
}

#[test]
fn iterations_agree() {
    with_peers!(iterates: [VmapleReader] peers [VmMemory, FloorFlat]);
}

#[test]
fn writes_agree() {
    with_peers!(writes: [VmapleReader] peers []);
}

#[test]
fn gap_searches_agree() {
    finds_gaps::<VmapleReader>();
    finds_gaps::<super::Base>();
    finds_gaps::<super::StdLocked>();
    finds_gaps::<super::locked_rangemap::LockedRangeMap>();
    finds_gaps::<super::ArcSwapVec>();
    finds_gaps::<super::arcswap_imbl::ArcSwapImbl>();
    finds_gaps::<super::skipmap::Skip>();
    finds_gaps::<super::concurrent_map::Concurrent>();
    finds_gaps::<super::left_right::LeftRight>();
}

/// Faults are served: every mapped address is found, a fault in a hole grows a region, and later mappings and unmappings are seen.
fn serves_faults<S: Faults>() -> &'static str {
    for size in SIZES {
        let set = RegionSet::of(size);
        let space = S::of(set.shuffled());
        let mut model = set.ascending().to_vec();
        let mut server = space.server();
        let mut fault = |address: u64| server.fault(address).map(|held| held.region());
        for region in &model {
            assert_eq!(fault(region.last), Some(*region), "{}", S::NAME);
        }
        for growth in set.growths(PAGE).iter().take(size) {
            let i = model.partition_point(|region| region.last < growth.address);
            model[i].start = growth.start;
            assert_eq!(fault(growth.start), Some(model[i]), "{} grows to {:#x}", S::NAME, growth.start);
        }
        let end = model[size - 1].last + 1;
        assert_eq!(fault(end), None, "{}: nothing is above", S::NAME);
        let above = Region { start: end + PAGE, last: end + 2 * PAGE - 1, value: 7 };
        space.map(above);
        assert_eq!(fault(above.start), Some(above), "{}", S::NAME);
        space.unmap(above);
        assert_eq!(fault(above.start), None, "{}", S::NAME);
    }
    S::NAME
}

#[test]
fn faults_agree() {
    serves_faults::<VmapleMm<PerVmaReader>>();
    serves_faults::<VmapleMm<PerVma>>();
    serves_faults::<VmapleMm<MmLock>>();
    serves_faults::<VmapleMm<Upgrade>>();
    serves_faults::<VmapleMm<Retake>>();
    assert_eq!(serves_faults::<LockedFaults<parking_lot::RwLock<_>>>(), super::BASE);
    serves_faults::<LockedFaults<std::sync::RwLock<_>>>();
}
