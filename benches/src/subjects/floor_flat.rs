//! Lower bound: a branchless binary search over one flat array of keys that never changes.

use crate::regions::Region;
use crate::subject::{Index, Iterates, Lookups, Tally};

/// Sorted last addresses, and the starts and values in the same order.
#[derive(Debug)]
pub struct FloorFlat {
    lasts: Box<[u64]>,
    rest: Box<[(u64, u64)]>,
}

impl FloorFlat {
    /// Returns how many last addresses are below the address, by halving steps without a branch.
    #[inline]
    fn rank(&self, address: u64) -> usize {
        let mut base = 0;
        let mut len = self.lasts.len();
        while len > 1 {
            let half = len / 2;
            let probe = base + half;
            base = std::hint::select_unpredictable(self.lasts[probe - 1] < address, probe, base);
            len -= half;
        }
        base + usize::from(self.lasts.get(base).is_some_and(|&last| last < address))
    }
}

impl Index for FloorFlat {
    const NAME: &'static str = "floor-flat";
    type Reader<'i> = &'i Self;

    fn of(regions: &[Region]) -> Self {
        let mut regions = regions.to_vec();
        regions.sort_unstable_by_key(|region| region.last);
        let lasts = regions.iter().map(|region| region.last).collect();
        Self { lasts, rest: regions.iter().map(|region| (region.start, region.value)).collect() }
    }

    fn reader(&self) -> &Self {
        self
    }
}

impl Lookups for &FloorFlat {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let i = self.rank(address);
        let &(start, value) = self.rest.get(i)?;
        (start <= address).then_some(Region { start, last: self.lasts[i], value })
    }
}

impl Iterates for FloorFlat {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (&last, &(start, value)) in self.lasts.iter().zip(&self.rest) {
            tally.note(Some(Region { start, last, value }));
        }
        tally
    }
}
