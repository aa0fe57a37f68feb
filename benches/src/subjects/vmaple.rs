//! vmaple through its four doors: a fresh pin for each question, the `Reader` that a thread keeps, a pin held over a chunk, and chunks
//! of questions asked together.

use crate::regions::{FLOOR, GapQuestion, Region};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use std::fmt;
use std::marker::PhantomData;
use vmaple::RangeMap;
use vmaple::map::{BudgetPolicy, Entry, GapQuery, PinGuard, Reader, View};

/// How many questions go into one `lookup_many`.
const BATCH: usize = 64;

/// A door to the readers' side.
pub trait Door: Send + Sync + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// A thread that stands at it.
    type Reader<'m>: Lookups;

    /// Goes there.
    fn open(map: &RangeMap<u64>) -> Self::Reader<'_>;
}

/// The library behind one of its doors.
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

/// A fresh pin for each question.
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

/// The kept `Reader`, which repins at each question.
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

/// One pin over a chunk of questions.
#[derive(Debug)]
pub struct Held;

/// See [`Held`].
#[derive(Debug)]
pub struct Holding<'m> {
    map: &'m RangeMap<u64>,
    /// None only while the next one is taken.
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
        // The old pin ends before the new one begins: nested, the new one would not move on to the present epoch.
        self.pin = None;
        let view: &View<u64> = self.pin.insert(self.map.pin());
        let mut tally = Tally::default();
        for &address in addresses {
            tally.note(view.lookup(address).map(region));
        }
        tally
    }
}

/// Chunks of questions asked together.
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
        // A reader that the system takes off its core while it is pinned must not fail the writer.
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
        // The collector keeps the last of the bags that went through it, a few KiB a process: some must have gone through.
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

/// The writer: the lock is taken for each change.
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
