//! scc's `TreeIndex`. A replace is a remove and an insert: in between a mapped address looks unmapped.

use crate::regions::Region;
use crate::subject::{Changes, Edits, Grows, Index, Iterates, Lookups, Tally};
use scc::{Guard, TreeIndex};

/// Start and value, by last address.
type Map = TreeIndex<u64, (u64, u64)>;

/// The index.
#[derive(Debug, Default)]
pub struct SccTreeIndex(Map);

impl Index for SccTreeIndex {
    const NAME: &'static str = "scc-treeindex";
    type Reader<'i> = &'i Map;

    fn of(regions: &[Region]) -> Self {
        let index = Self::default();
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        index
    }

    fn reader(&self) -> &Map {
        &self.0
    }
}

impl Lookups for &Map {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let guard = Guard::new();
        let (&last, &(start, value)) = self.range(address.., &guard).next()?;
        (start <= address).then_some(Region { start, last, value })
    }
}

impl Edits for SccTreeIndex {
    type Writer<'i> = &'i Map;

    fn writer(&self) -> &Map {
        &self.0
    }
}

impl Changes for &Map {
    fn insert(&mut self, region: Region) {
        self.insert_sync(region.last, (region.start, region.value)).expect("the place is free");
    }

    fn replace(&mut self, region: Region) {
        self.remove_sync(&region.last);
        self.insert(region);
    }
}

impl Grows for &Map {
    fn grow(&mut self, address: u64, start: u64) {
        // The first region that ends at or above the new start must be this region. (A step back may walk from the end of the map.)
        let old = self.lookup(address).expect("the region that grows");
        let first = self.range(start.., &Guard::new()).next().map(|(&last, _)| last);
        assert_eq!(first, Some(old.last), "a neighbour is in the way");
        self.replace(Region { start, ..old });
    }
}

impl Iterates for SccTreeIndex {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (&last, &(start, value)) in self.0.iter(&Guard::new()) {
            tally.note(Some(Region { start, last, value }));
        }
        tally
    }
}
