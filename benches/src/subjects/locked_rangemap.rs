//! rangemap's `RangeMap` under `parking_lot`'s reader-writer lock.

use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use parking_lot::RwLock;
use rangemap::RangeMap;
use std::ops::Range;

/// The map, with half-open ranges. It merges neighbours of equal value, so values differ.
#[derive(Debug, Default)]
pub struct LockedRangeMap(RwLock<RangeMap<u64, u64>>);

/// A handle that takes the lock for each lookup or change.
#[derive(Debug)]
pub struct Handle<'i>(&'i LockedRangeMap);

#[inline]
fn region((range, &value): (&Range<u64>, &u64)) -> Region {
    Region { start: range.start, last: range.end - 1, value }
}

impl Index for LockedRangeMap {
    const NAME: &'static str = "rwlock-rangemap";
    type Reader<'i> = Handle<'i>;

    fn of(regions: &[Region]) -> Self {
        let index = Self::default();
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        index
    }

    fn reader(&self) -> Handle<'_> {
        Handle(self)
    }
}

impl Lookups for Handle<'_> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        self.0.0.read().get_key_value(&address).map(region)
    }
}

impl Edits for LockedRangeMap {
    type Writer<'i> = Handle<'i>;

    fn writer(&self) -> Handle<'_> {
        Handle(self)
    }
}

impl Changes for Handle<'_> {
    fn insert(&mut self, region: Region) {
        self.0.0.write().insert(region.start..region.last + 1, region.value);
    }

    /// `insert` replaces everything in the range.
    fn replace(&mut self, region: Region) {
        self.insert(region);
    }
}

impl Grows for Handle<'_> {
    fn grow(&mut self, address: u64, start: u64) {
        let mut map = self.0.0.write();
        assert!(!map.overlaps(&(start..address)), "a neighbour is in the way");
        let value = *map.get(&address).expect("the region that grows");
        // With equal value, so that it merges with its neighbour.
        map.insert(start..address, value);
    }
}

impl FindsGaps for LockedRangeMap {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let map = self.0.read();
        highest_gap_by_scan(question, map.overlapping(0..question.below).rev().map(region).map(|region| (region.start, region.last)))
    }
}

impl Iterates for LockedRangeMap {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in self.0.read().iter() {
            tally.note(Some(region(entry)));
        }
        tally
    }
}
