//! left-right over two `BTreeMap`s: readers have one, the writer changes the other, and each change is published at once.

use super::locked_btreemap::{Map, lookup};
use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use left_right::{Absorb, ReadHandle, ReadHandleFactory, WriteHandle};
use parking_lot::{Mutex, MutexGuard};
use std::fmt;

/// One of the two maps.
#[derive(Clone, Debug, Default)]
pub struct Side(Map);

/// A change, which is applied to both maps in turn.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// Insert a region where there is none.
    Insert(Region),
    /// Replace the region with the same bounds.
    Replace(Region),
    /// Grow the region that contains an address downward.
    Grow {
        /// An address in the region.
        address: u64,
        /// The new start.
        start: u64,
    },
}

impl Absorb<Change> for Side {
    fn absorb_first(&mut self, change: &mut Change, _: &Self) {
        match *change {
            Change::Insert(region) => {
                self.0.insert(region.last, (region.start, region.value));
            }
            Change::Replace(region) => {
                self.0.remove(&region.last);
                self.0.insert(region.last, (region.start, region.value));
            }
            Change::Grow { address, start } => {
                let below = self.0.range(..address).next_back().map(|(&last, _)| last);
                assert!(below.is_none_or(|last| last < start), "a neighbour is in the way");
                let (_, entry) = self.0.range_mut(address..).next().expect("the region that grows");
                entry.0 = start;
            }
        }
    }

    fn sync_with(&mut self, first: &Self) {
        *self = first.clone();
    }
}

/// The two maps.
pub struct LeftRight {
    writer: Mutex<WriteHandle<Side, Change>>,
    readers: ReadHandleFactory<Side>,
}

impl fmt::Debug for LeftRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeftRight").finish_non_exhaustive()
    }
}

impl Index for LeftRight {
    const NAME: &'static str = "left-right";
    type Reader<'i> = ReadHandle<Side>;

    fn of(regions: &[Region]) -> Self {
        let (mut writer, reader) = left_right::new::<Side, Change>();
        // Published once, because the first publication copies one map to the other.
        writer.publish();
        let index = Self { writer: Mutex::new(writer), readers: reader.factory() };
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        drop(writer);
        index
    }

    fn reader(&self) -> ReadHandle<Side> {
        self.readers.handle()
    }
}

impl Lookups for ReadHandle<Side> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        lookup(&self.enter()?.0, address)
    }
}

/// The write handle, taken once.
pub struct Writing<'i>(MutexGuard<'i, WriteHandle<Side, Change>>);

impl fmt::Debug for Writing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}

impl Edits for LeftRight {
    type Writer<'i> = Writing<'i>;

    fn writer(&self) -> Writing<'_> {
        Writing(self.writer.lock())
    }
}

impl Changes for Writing<'_> {
    fn insert(&mut self, region: Region) {
        self.0.append(Change::Insert(region)).publish();
    }

    fn replace(&mut self, region: Region) {
        self.0.append(Change::Replace(region)).publish();
    }
}

impl Grows for Writing<'_> {
    fn grow(&mut self, address: u64, start: u64) {
        self.0.append(Change::Grow { address, start }).publish();
    }
}

impl FindsGaps for LeftRight {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let writer = self.writer.lock();
        let side = writer.enter()?;
        highest_gap_by_scan(question, side.0.range(..question.below).rev().map(|(&last, &(start, _))| (start, last)))
    }
}

impl Iterates for LeftRight {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let reader = self.reader();
        if let Some(side) = reader.enter() {
            for (&last, &(start, value)) in &side.0 {
                tally.note(Some(Region { start, last, value }));
            }
        }
        tally
    }
}
