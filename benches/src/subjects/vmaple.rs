//! vmaple in five ways: a pin for each lookup, a `Reader` that the thread keeps, one that rests after each lookup, a pin held over a chunk of
//! lookups, and `lookup_many`.

use crate::regions::{FLOOR, GapQuestion, Region};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use std::fmt;
use std::marker::PhantomData;
use vmaple::RangeMap;
use vmaple::map::{BudgetPolicy, Entry, GapQuery, PinGuard, Reader, View};

/// The number of addresses of one `lookup_many`.
const BATCH: usize = 64;

/// A way to look up.
pub trait Door: Send + Sync + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// The handle of a thread.
    type Reader<'m>: Lookups;

    /// Returns a handle for the calling thread.
    fn open(map: &RangeMap<u64>) -> Self::Reader<'_>;
}

/// The index, looked up in one of the ways.
pub struct Vmaple<D> {
    map: RangeMap<u64>,
    door: PhantomData<D>,
}

impl<D> fmt::Debug for Vmaple<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vmaple").field("map", &self.map).finish()
    }
}

#[inline]
fn region(entry: Entry<'_, u64>) -> Region {
    Region { start: entry.start(), last: entry.last(), value: *entry.value() }
}

/// A pin for each lookup.
#[derive(Debug)]
pub struct Pin;

/// See [`Pin`].
#[derive(Debug)]
pub struct Pinning<'m>(&'m RangeMap<u64>);

impl Door for Pin {
    const NAME: &'static str = "vmaple-pin";
    type Reader<'m> = Pinning<'m>;

    fn open(map: &RangeMap<u64>) -> Pinning<'_> {
        Pinning(map)
    }
}

impl Lookups for Pinning<'_> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        self.0.pin().lookup(address).map(region)
    }
}

/// A kept `Reader`, which repins at each lookup.
#[derive(Debug)]
pub struct Kept;

impl Door for Kept {
    const NAME: &'static str = "vmaple-reader";
    type Reader<'m> = Reader<'m, u64>;

    fn open(map: &RangeMap<u64>) -> Reader<'_, u64> {
        map.reader()
    }
}

impl Lookups for Reader<'_, u64> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        Reader::lookup(self, address).map(region)
    }
}

/// The kept `Reader`, which unpins after each lookup.
#[derive(Debug)]
pub struct Rested;

/// See [`Rested`].
#[derive(Debug)]
pub struct Resting<'m>(Reader<'m, u64>);

impl Door for Rested {
    const NAME: &'static str = "vmaple-reader-rests";
    type Reader<'m> = Resting<'m>;

    fn open(map: &RangeMap<u64>) -> Resting<'_> {
        Resting(map.reader())
    }
}

impl Lookups for Resting<'_> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        let found = self.0.lookup(address).map(region);
        self.0.unpin();
        found
    }
}

/// One pin for a chunk of lookups.
#[derive(Debug)]
pub struct Held;

/// See [`Held`].
#[derive(Debug)]
pub struct Holding<'m> {
    map: &'m RangeMap<u64>,
    /// `None` only while the next pin is taken.
    pin: Option<PinGuard<'m, u64>>,
}

impl Door for Held {
    const NAME: &'static str = "vmaple-held";
    type Reader<'m> = Holding<'m>;

    fn open(map: &RangeMap<u64>) -> Holding<'_> {
        Holding { map, pin: Some(map.pin()) }
    }
}

impl Lookups for Holding<'_> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        self.pin.as_ref()?.lookup(address).map(region)
    }

    fn lookups(&mut self, addresses: &[u64]) -> Tally {
        // The old pin ends before the new one begins, because a nested pin would keep the old epoch.
        self.pin = None;
        let view: &View<u64> = self.pin.insert(self.map.pin());
        let mut tally = Tally::default();
        for &address in addresses {
            tally.note(view.lookup(address).map(region));
        }
        tally
    }
}

/// `lookup_many` for chunks of lookups.
#[derive(Debug)]
pub struct Batched;

/// See [`Batched`].
#[derive(Debug)]
pub struct Batching<'m>(Reader<'m, u64>);

impl Door for Batched {
    const NAME: &'static str = "vmaple-batch";
    type Reader<'m> = Batching<'m>;

    fn open(map: &RangeMap<u64>) -> Batching<'_> {
        Batching(map.reader())
    }
}

impl Lookups for Batching<'_> {
    fn lookup(&mut self, address: u64) -> Option<Region> {
        self.0.lookup(address).map(region)
    }

    fn lookups(&mut self, addresses: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for batch in addresses.chunks(BATCH) {
            let mut answers = [None; BATCH];
            let answers = &mut answers[..batch.len()];
            self.0.view().lookup_many(batch, answers);
            for answer in answers {
                tally.note(answer.map(region));
            }
        }
        tally
    }
}

impl<D: Door> Index for Vmaple<D> {
    const NAME: &'static str = D::NAME;
    type Reader<'m> = D::Reader<'m>;

    fn of(regions: &[Region]) -> Self {
        // A pinned reader that does not run must not make a write fail.
        let map = RangeMap::builder().policy(BudgetPolicy::Wait).build();
        let index = Self { map, door: PhantomData };
        let mut writer = index.writer();
        for &region in regions {
            writer.insert(region);
        }
        index
    }

    fn reader(&self) -> D::Reader<'_> {
        D::open(&self.map)
    }

    fn set_up(regions: &[Region]) {
        // The collector keeps the last bags that passed through it, a few KiB per process, so some must have passed before memory is counted.
        let index = Self::of(&regions[..1]);
        for _ in 0..1_000 {
            index.writer().replace(regions[0]);
        }
        index.settle();
    }

    fn settle(&self) {
        self.map.synchronize().expect("this thread is not pinned while memory is counted");
        self.map.reclaim();
    }
}

/// The writer, which takes the lock for each change.
#[derive(Debug)]
pub struct Writing<'m>(&'m RangeMap<u64>);

impl<D: Door> Edits for Vmaple<D> {
    type Writer<'m> = Writing<'m>;

    fn writer(&self) -> Writing<'_> {
        Writing(&self.map)
    }
}

impl Changes for Writing<'_> {
    fn insert(&mut self, region: Region) {
        self.0.write().insert(region.start..=region.last, region.value).expect("the place is free");
    }

    fn replace(&mut self, region: Region) {
        self.0.write().replace(region.start..=region.last, region.value).expect("the range is one");
    }
}

impl Grows for Writing<'_> {
    fn grow(&mut self, address: u64, start: u64) {
        self.0.write().extend_down(address, start).expect("there is room");
    }
}

impl<D: Door> FindsGaps for Vmaple<D> {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let query = GapQuery::new(question.size).within(FLOOR..question.below).highest();
        self.map.write().find_gap(&query).ok().map(|gap| gap.start())
    }
}

impl<D: Door> Iterates for Vmaple<D> {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        // Leaf by leaf.
        self.map.pin().iter().for_each(|entry| tally.note(Some(region(entry))));
        tally
    }
}
