//! crossbeam's `SkipMap`. A replace is a remove and an insert: in between a mapped address looks unmapped.

use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use crossbeam_skiplist::SkipMap;
use crossbeam_skiplist::map::Entry;
use std::fmt;
use std::ops::Bound;

/// Start and value, by last address.
type Map = SkipMap<u64, (u64, u64)>;

/// The map.
#[derive(Default)]
pub struct Skip(Map);

impl fmt::Debug for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Skip").field(&self.0.len()).finish()
    }
}

#[inline]
fn region(entry: &Entry<'_, u64, (u64, u64)>) -> Region {
    let &(start, value) = entry.value();
    Region { start, last: *entry.key(), value }
}

impl Index for Skip {
    const NAME: &'static str = "skipmap";
    type Reader<'i> = &'i Map;

    fn of(regions: &[Region]) -> Self {
        let index = Self::default();
        let mut writer = index.writer();
        for &region in regions {
            Changes::insert(&mut writer, region);
        }
        index
    }

    fn reader(&self) -> &Map {
        &self.0
    }

    fn settle(&self) {
        for _ in 0..8 {
            crossbeam_epoch::pin().flush();
        }
    }
}

impl Lookups for &Map {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let entry = self.lower_bound(Bound::Included(&address))?;
        Some(region(&entry)).filter(|region| region.start <= address)
    }
}

impl Edits for Skip {
    type Writer<'i> = &'i Map;

    fn writer(&self) -> &Map {
        &self.0
    }
}

impl Changes for &Map {
    fn insert(&mut self, region: Region) {
        Map::insert(self, region.last, (region.start, region.value));
    }

    fn replace(&mut self, region: Region) {
        Map::remove(self, &region.last);
        self.insert(region);
    }
}

impl Grows for &Map {
    fn grow(&mut self, address: u64, start: u64) {
        let below = self.upper_bound(Bound::Excluded(&address)).map(|entry| *entry.key());
        assert!(below.is_none_or(|last| last < start), "a neighbour is in the way");
        let old = self.lower_bound(Bound::Included(&address)).expect("the region that grows");
        let grown = Region { start, ..region(&old) };
        old.remove();
        self.insert(grown);
    }
}

impl FindsGaps for Skip {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let descending = self.0.range(..question.below).rev();
        highest_gap_by_scan(question, descending.map(|entry| (entry.value().0, *entry.key())))
    }
}

impl Iterates for Skip {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in &self.0 {
            tally.note(Some(region(&entry)));
        }
        tally
    }
}
