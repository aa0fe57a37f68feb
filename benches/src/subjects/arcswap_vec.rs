//! A sorted `Vec` behind `ArcSwap`, which each change copies. Lookups go through `load`, or through a `Cache` that the thread keeps.

use crate::regions::{GapQuestion, Region, highest_gap_by_scan};
use crate::subject::{Changes, Edits, FindsGaps, Grows, Index, Iterates, Lookups, Tally};
use arc_swap::{ArcSwap, Cache};
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

type Shared = ArcSwap<Vec<Region>>;

/// The way to load the pointer.
pub trait Way: Send + Sync + Debug + 'static {
    /// The subject's name.
    const NAME: &'static str;

    /// The handle of a thread.
    type Reader<'i>: Lookups;

    /// Returns a handle for the calling thread.
    fn begin(shared: &Shared) -> Self::Reader<'_>;
}

/// `ArcSwap::load` for each lookup.
#[derive(Debug)]
pub struct Load;

/// `Cache`, which checks whether its copy of the pointer is current.
#[derive(Debug)]
pub struct Cached;

/// The vector, sorted by address.
#[derive(Debug)]
pub struct ArcSwapVec<W> {
    shared: Shared,
    way: PhantomData<W>,
}

#[inline]
fn lookup(regions: &[Region], address: u64) -> Option<Region> {
    let i = regions.partition_point(|region| region.last < address);
    regions.get(i).filter(|region| region.start <= address).copied()
}

impl Way for Load {
    const NAME: &'static str = "arcswap-vec";
    type Reader<'i> = &'i Shared;

    fn begin(shared: &Shared) -> &Shared {
        shared
    }
}

impl Lookups for &Shared {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        lookup(&self.load(), address)
    }
}

impl Way for Cached {
    const NAME: &'static str = "arcswap-vec-cache";
    type Reader<'i> = Cache<&'i Shared, Arc<Vec<Region>>>;

    fn begin(shared: &Shared) -> Self::Reader<'_> {
        Cache::new(shared)
    }
}

impl Lookups for Cache<&Shared, Arc<Vec<Region>>> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        lookup(self.load(), address)
    }
}

impl<W: Way> Index for ArcSwapVec<W> {
    const NAME: &'static str = W::NAME;
    type Reader<'i> = W::Reader<'i>;

    /// Sorted at once, because each insertion would copy all.
    fn of(regions: &[Region]) -> Self {
        let mut regions = regions.to_vec();
        regions.sort_unstable_by_key(|region| region.last);
        Self { shared: ArcSwap::from_pointee(regions), way: PhantomData }
    }

    fn reader(&self) -> W::Reader<'_> {
        W::begin(&self.shared)
    }
}

/// The writer, which copies the vector that it stored last.
#[derive(Debug)]
pub struct Writing<'i>(&'i Shared);

impl Writing<'_> {
    fn change(&self, change: impl FnOnce(&mut Vec<Region>)) {
        let old = self.0.load();
        // With capacity for one more, so that an insertion copies once.
        let mut new = Vec::with_capacity(old.len() + 1);
        new.extend_from_slice(&old);
        change(&mut new);
        self.0.store(Arc::new(new));
    }
}

impl<W: Way> Edits for ArcSwapVec<W> {
    type Writer<'i> = Writing<'i>;

    fn writer(&self) -> Writing<'_> {
        Writing(&self.shared)
    }
}

fn place(regions: &[Region], address: u64) -> usize {
    regions.partition_point(|region| region.last < address)
}

impl Changes for Writing<'_> {
    fn insert(&mut self, region: Region) {
        self.change(|regions| regions.insert(place(regions, region.last), region));
    }

    fn replace(&mut self, region: Region) {
        self.change(|regions| {
            let i = place(regions, region.last);
            regions[i] = region;
        });
    }
}

impl Grows for Writing<'_> {
    fn grow(&mut self, address: u64, start: u64) {
        self.change(|regions| {
            let i = place(regions, address);
            assert!(i == 0 || regions[i - 1].last < start, "a neighbour is in the way");
            regions[i].start = start;
        });
    }
}

impl<W: Way> FindsGaps for ArcSwapVec<W> {
    fn highest_gap(&self, question: GapQuestion) -> Option<u64> {
        let regions = self.shared.load();
        let below = &regions[..place(&regions, question.below)];
        highest_gap_by_scan(question, below.iter().rev().map(|region| (region.start, region.last)))
    }
}

impl<W: Way> Iterates for ArcSwapVec<W> {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for &region in &**self.shared.load() {
            tally.note(Some(region));
        }
        tally
    }
}
