//! The sets of regions, which resemble a process's map. Every subject of a run gets the same set. Called by the workloads for their streams of
//! addresses and edits.
//!
//! Each stream is read from front to back, so that a workload measures the index and not random access to a table.

use fastrand::Rng;
use std::sync::OnceLock;

/// The number of addresses in a chunk. It is large, so that work once per chunk does not count.
pub const CHUNK: usize = 256;

/// The bytes of a page.
pub const PAGE: u64 = 4096;

/// The start of the first gap. Gap searches do not look lower.
pub const FLOOR: u64 = 16 * PAGE;

/// The largest region, and the largest gap, in pages.
const MOST_PAGES: u64 = 512;

/// One region, with an 8-byte value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// The first address.
    pub start: u64,
    /// The last address, included.
    pub last: u64,
    /// Stands for a pointer to the owner's record. Below 2^63.
    pub value: u64,
}

/// One region grown downward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// The start of the region before.
    pub address: u64,
    /// The start of the region afterwards.
    pub start: u64,
}

/// One search for a gap: the highest one that ends below an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GapQuestion {
    /// The length in bytes.
    pub size: u64,
    /// The gap must end at or below this address, at which a region starts.
    pub below: u64,
}

/// A set of regions: 1 to 512 pages each, half of the neighbours adjacent, the others 1 to 512 pages apart.
#[derive(Debug)]
pub struct RegionSet {
    sorted: Vec<Region>,
    shuffled: Vec<Region>,
    addresses: OnceLock<Vec<u64>>,
}

impl RegionSet {
    /// Makes the set of this size, which is always the same.
    #[must_use]
    pub fn of(count: usize) -> Self {
        let mut rng = Rng::with_seed(0x5eed ^ count as u64);
        let mut at = FLOOR;
        let sorted: Vec<Region> = (1..=count as u64)
            .map(|value| {
                let gap = if rng.bool() { 0 } else { rng.u64(1..=MOST_PAGES) };
                let start = at + gap * PAGE;
                at = start + rng.u64(1..=MOST_PAGES) * PAGE;
                Region { start, last: at - 1, value }
            })
            .collect();
        let mut shuffled = sorted.clone();
        rng.shuffle(&mut shuffled);
        Self { sorted, shuffled, addresses: OnceLock::new() }
    }

    /// Returns the number of regions.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Returns the regions in the order of addresses.
    #[must_use]
    pub fn ascending(&self) -> &[Region] {
        &self.sorted
    }

    /// Returns the regions in random order, in which indices are filled and regions are replaced.
    #[must_use]
    pub fn shuffled(&self) -> &[Region] {
        &self.shuffled
    }

    /// Returns random mapped addresses of random regions. There are enough that no branch predictor learns them and that all of a large index is
    /// visited. Their number is a multiple of the chunk's.
    #[must_use]
    pub fn addresses(&self) -> &[u64] {
        self.addresses.get_or_init(|| {
            let mut rng = Rng::with_seed(0xadd7 ^ self.count() as u64);
            let count = (2 * self.count()).clamp(1 << 16, 1 << 21).next_multiple_of(CHUNK);
            (0..count)
                .map(|_| {
                    let region = &self.sorted[rng.usize(..self.count())];
                    rng.u64(region.start..=region.last)
                })
                .collect()
        })
    }

    /// Returns the gaps between the regions, in random order, with values that no region has: room for mappings at addresses that are not looked up.
    #[must_use]
    pub fn holes(&self) -> Vec<Region> {
        let ends = std::iter::once(FLOOR).chain(self.sorted.iter().map(|region| region.last + 1));
        let gaps = ends.zip(&self.sorted).filter(|(end, region)| *end < region.start);
        let mut holes: Vec<Region> =
            gaps.zip(self.count() as u64 + 1..).map(|((start, region), value)| Region { start, last: region.start - 1, value }).collect();
        Rng::with_seed(0x401e).shuffle(&mut holes);
        holes
    }

    /// Returns growths downward by `step` bytes, in turn for all regions with room below them, in random order, until no room is left or there
    /// are enough. They can be made once, in this order, on the set as it was filled.
    #[must_use]
    pub fn growths(&self, step: u64) -> Vec<Growth> {
        let enough = (2 * self.count()).clamp(1 << 16, 1 << 20);
        let floors = self.sorted.iter().scan(FLOOR, |end, region| Some(std::mem::replace(end, region.last + 1)));
        let mut room: Vec<(u64, u64)> = self.sorted.iter().map(|region| region.start).zip(floors).collect();
        Rng::with_seed(0x960).shuffle(&mut room);
        let mut growths = Vec::new();
        while growths.len() < enough {
            room.retain(|(start, floor)| start - floor >= step);
            if room.is_empty() {
                break;
            }
            for (start, _) in &mut room {
                growths.push(Growth { address: *start, start: *start - step });
                *start -= step;
            }
        }
        growths
    }

    /// Returns searches for 1 to 512 pages below random regions.
    #[must_use]
    pub fn gap_questions(&self) -> Vec<GapQuestion> {
        let mut rng = Rng::with_seed(0x9a9);
        let size = |rng: &mut Rng| rng.u64(1..=MOST_PAGES) * PAGE;
        let count = self.count().clamp(1 << 14, 1 << 18);
        (0..count).map(|_| GapQuestion { size: size(&mut rng), below: self.sorted[rng.usize(..self.count())].start }).collect()
    }
}

/// Returns the start of the highest gap for a search, from the bounds of the regions that end below its limit, in descending order. An index
/// without gap summaries searches like this.
pub fn highest_gap_by_scan(question: GapQuestion, descending: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
    let mut end = question.below;
    for (start, last) in descending {
        if end - (last + 1) >= question.size {
            return Some(end - question.size);
        }
        end = start;
    }
    (end - FLOOR >= question.size).then(|| end - question.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_disjoint_and_half_of_them_adjacent() {
        let set = RegionSet::of(10_000);
        let adjacent = set.ascending().windows(2).filter(|pair| pair[0].last + 1 == pair[1].start).count();
        assert!((4_500..5_500).contains(&adjacent), "{adjacent}");
        assert!(set.ascending().windows(2).all(|pair| pair[0].last < pair[1].start));
        assert!(set.ascending().iter().all(|region| (1..=MOST_PAGES * PAGE).contains(&(region.last - region.start + 1))));
    }

    #[test]
    fn addresses_are_mapped() {
        let set = RegionSet::of(200);
        let mapped = |address: &u64| set.ascending().iter().any(|region| (region.start..=region.last).contains(address));
        assert!(set.addresses().iter().all(mapped));
    }

    #[test]
    fn holes_and_regions_fill_everything() {
        let set = RegionSet::of(200);
        let mut all = [set.ascending(), &set.holes()].concat();
        all.sort_by_key(|region| region.start);
        assert_eq!(all[0].start, FLOOR);
        assert!(all.windows(2).all(|pair| pair[0].last + 1 == pair[1].start && pair[0].value != pair[1].value));
    }

    #[test]
    fn growths_stay_in_their_gaps() {
        let set = RegionSet::of(50);
        let mut regions = set.ascending().to_vec();
        for growth in set.growths(PAGE) {
            let i = regions.iter().position(|region| region.start == growth.address).expect("the region that grows");
            regions[i].start = growth.start;
            assert!(i == 0 || regions[i - 1].last < growth.start);
            assert!(growth.start >= FLOOR);
        }
    }
}
