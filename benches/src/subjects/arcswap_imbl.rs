//! imbl's persistent `OrdMap` behind `ArcSwap`: a change copies a path and stores the new root.

use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use arc_swap::ArcSwap;
use imbl::OrdMap;
use std::sync::Arc;

/// Start and value, by last address.
type Map = OrdMap<u64, (u64, u64)>;

/// The pointer to the map.
#[derive(Debug)]
pub struct ArcSwapImbl(ArcSwap<Map>);

/// A handle that loads the pointer for each lookup or change.
#[derive(Debug)]
pub struct Handle<'i>(&'i ArcSwap<Map>);

impl Index for ArcSwapImbl {
    const NAME: &'static str = "arcswap-imbl";
    type Reader<'i> = Handle<'i>;

    fn of(regions: &[Region]) -> Self {
        let index = Self(ArcSwap::from_pointee(Map::new()));
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        index
    }

    fn reader(&self) -> Handle<'_> {
        Handle(&self.0)
    }
}

impl Lookups for Handle<'_> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let map = self.0.load();
        let (&last, &(start, value)) = map.get_next(&address)?;
        (start <= address).then_some(Region { start, last, value })
    }
}

impl Edits for ArcSwapImbl {
    type Writer<'i> = Handle<'i>;

    fn writer(&self) -> Handle<'_> {
        self.reader()
    }
}

impl Handle<'_> {
    fn change(&self, change: impl FnOnce(&mut Map)) {
        let mut map = Map::clone(&self.0.load());
        change(&mut map);
        self.0.store(Arc::new(map));
    }
}

impl Changes for Handle<'_> {
    fn insert(&mut self, region: Region) {
        self.change(|map| {
            map.insert(region.last, (region.start, region.value));
        });
    }

    fn replace(&mut self, region: Region) {
        self.change(|map| {
            map.remove(&region.last);
            map.insert(region.last, (region.start, region.value));
        });
    }
}

impl Grows for Handle<'_> {
    fn grow(&mut self, address: u64, start: u64) {
        self.change(|map| {
            let below = map.range(..address).next_back().map(|(&last, _)| last);
            assert!(below.is_none_or(|last| last < start), "a neighbour is in the way");
            let (_, entry) = map.get_next_mut(&address).expect("the region that grows");
            entry.0 = start;
        });
    }
}

impl FindsGaps for ArcSwapImbl {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let map = self.0.load();
        highest_gap_by_scan(question, map.range(..question.below).rev().map(|(&last, &(start, _))| (start, last)))
    }
}

impl Iterates for ArcSwapImbl {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (&last, &(start, value)) in &**self.0.load() {
            tally.note(Some(Region { start, last, value }));
        }
        tally
    }
}
