//! `BTreeMap` under a reader-writer lock: `parking_lot`'s (the base of all ratios) and std's.

use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Deref, DerefMut};

/// Start and value, by last address.
pub(super) type Map = BTreeMap<u64, (u64, u64)>;

/// Returns the region that contains the address.
#[inline]
pub(super) fn lookup(map: &Map, address: u64) -> Option<Region> {
    let (&last, &(start, value)) = map.range(address..).next()?;
    (start <= address).then_some(Region { start, last, value })
}

/// A reader-writer lock around the map.
pub trait Lock: Send + Sync + Debug + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// Puts a map under the lock.
    fn around(map: Map) -> Self;

    /// Takes the lock for reading.
    fn read(&self) -> impl Deref<Target = Map>;

    /// Takes the lock for writing.
    fn write(&self) -> impl DerefMut<Target = Map>;
}

impl Lock for parking_lot::RwLock<Map> {
    const NAME: &'static str = "parking-lot-rwlock-btreemap";

    fn around(map: Map) -> Self {
        Self::new(map)
    }

    #[inline]
    fn read(&self) -> impl Deref<Target = Map> {
        Self::read(self)
    }

    #[inline]
    fn write(&self) -> impl DerefMut<Target = Map> {
        Self::write(self)
    }
}

impl Lock for std::sync::RwLock<Map> {
    const NAME: &'static str = "std-rwlock-btreemap";

    fn around(map: Map) -> Self {
        Self::new(map)
    }

    #[inline]
    fn read(&self) -> impl Deref<Target = Map> {
        Self::read(self).expect("nobody panicked in it")
    }

    #[inline]
    fn write(&self) -> impl DerefMut<Target = Map> {
        Self::write(self).expect("nobody panicked in it")
    }
}

/// The map under a lock.
#[derive(Debug)]
pub struct LockedBTreeMap<L>(L);

/// A handle that takes the lock for each lookup or change.
#[derive(Debug)]
pub struct Handle<'i, L>(&'i L);

impl<L: Lock> Index for LockedBTreeMap<L> {
    const NAME: &'static str = L::NAME;
    type Reader<'i> = Handle<'i, L>;

    fn of(regions: &[Region]) -> Self {
        let index = Self(L::around(Map::new()));
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        index
    }

    fn reader(&self) -> Handle<'_, L> {
        Handle(&self.0)
    }
}

impl<L: Lock> Lookups for Handle<'_, L> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        lookup(&self.0.read(), address)
    }
}

impl<L: Lock> Edits for LockedBTreeMap<L> {
    type Writer<'i> = Handle<'i, L>;

    fn writer(&self) -> Handle<'_, L> {
        self.reader()
    }
}

impl<L: Lock> Changes for Handle<'_, L> {
    fn insert(&mut self, region: Region) {
        self.0.write().insert(region.last, (region.start, region.value));
    }

    fn replace(&mut self, region: Region) {
        let mut map = self.0.write();
        map.remove(&region.last);
        map.insert(region.last, (region.start, region.value));
    }
}

impl<L: Lock> Grows for Handle<'_, L> {
    fn grow(&mut self, address: u64, start: u64) {
        let mut map = self.0.write();
        let below = map.range(..address).next_back().map(|(&last, _)| last);
        assert!(below.is_none_or(|last| last < start), "a neighbour is in the way");
        let (_, entry) = map.range_mut(address..).next().expect("the region that grows");
        entry.0 = start;
    }
}

impl<L: Lock> FindsGaps for LockedBTreeMap<L> {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let map = self.0.read();
        highest_gap_by_scan(question, map.range(..question.below).rev().map(|(&last, &(start, _))| (start, last)))
    }
}

impl<L: Lock> Iterates for LockedBTreeMap<L> {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (&last, &(start, value)) in &*self.0.read() {
            tally.note(Some(Region { start, last, value }));
        }
        tally
    }
}
