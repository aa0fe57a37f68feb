//! concurrent-map's `ConcurrentMap`. A replace is a remove and an insert: in between a mapped address looks unmapped.
//!
//! It is `Send` and not `Sync`, so each thread has a clone. The map in the index is used only for cloning.

use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use concurrent_map::ConcurrentMap;
use parking_lot::Mutex;

/// Start and value, by last address.
type Map = ConcurrentMap<u64, (u64, u64)>;

/// The map that threads clone.
#[derive(Debug)]
pub struct Concurrent(Mutex<Map>);

impl Concurrent {
    fn handle(&self) -> Map {
        self.0.lock().clone()
    }
}

impl Index for Concurrent {
    const NAME: &'static str = "concurrent-map";
    type Reader<'i> = Map;

    fn of(regions: &[Region]) -> Self {
        let mut map = Map::new();
        for &region in regions {
            Changes::insert(&mut map, region);
        }
        Self(Mutex::new(map))
    }

    fn reader(&self) -> Map {
        self.handle()
    }
}

impl Lookups for Map {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let (last, (start, value)) = self.get_gte(&address)?;
        (start <= address).then_some(Region { start, last, value })
    }
}

impl Edits for Concurrent {
    type Writer<'i> = Map;

    fn writer(&self) -> Map {
        self.handle()
    }
}

impl Changes for Map {
    fn insert(&mut self, region: Region) {
        Map::insert(self, region.last, (region.start, region.value));
    }

    fn replace(&mut self, region: Region) {
        Map::remove(self, &region.last);
        Changes::insert(self, region);
    }
}

impl Grows for Map {
    fn grow(&mut self, address: u64, start: u64) {
        let below = self.get_lt(&address).map(|(last, _)| last);
        assert!(below.is_none_or(|last| last < start), "a neighbour is in the way");
        let old = self.lookup(address).expect("the region that grows");
        self.replace(Region { start, ..old });
    }
}

impl FindsGaps for Concurrent {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let map = self.0.lock();
        highest_gap_by_scan(question, map.range(..question.below).rev().map(|(last, (start, _))| (start, last)))
    }
}

impl Iterates for Concurrent {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (last, (start, value)) in self.0.lock().iter() {
            tally.note(Some(Region { start, last, value }));
        }
        tally
    }
}
