//! What a subject can do: one small trait for each kind of workload. The subjects implement what they can, the workloads ask for what
//! they need, and the pairs that do not match are left out.
//!
//! The rules that make the subjects comparable: every index holds first address, last address and an 8-byte value of each region, in
//! whatever form suits it best, and a lookup answers with all three. Where the key is free it is the *last* address: then one step
//! forward finds the region, which all of them do faster than a step back, and growth downward changes no key.
//!
//! What serves faults is another matter ([`Faults`]): there the answer is a hold, and each subject keeps flags to judge the access by.

use crate::calls::{Call, Setup};
use crate::regions::{GapQuestion, Region};
use std::time::Duration;

/// The sum of many answers, so that each is made use of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many addresses were found mapped.
    pub hits: u64,
    /// A sum over last addresses and values.
    pub sum: u64,
}

impl Tally {
    /// Counts an answer.
    #[inline]
    pub fn note(&mut self, answer: Option<Region>) {
        if let Some(region) = answer {
            self.hits += 1;
            self.sum = self.sum.wrapping_add(region.last ^ region.value);
        }
    }
}

/// An index that can be filled and asked.
pub trait Index: Send + Sync + Sized + 'static {
    /// The name in all output.
    const NAME: &'static str;

    /// A thread's way to ask.
    type Reader<'i>: Lookups;

    /// The index of these regions: put in one by one in this order, where one insertion does not copy everything.
    fn of(regions: &[Region]) -> Self;

    /// The calling thread's way to ask.
    fn reader(&self) -> Self::Reader<'_>;

    /// Has the library set up what it keeps for a process or a thread, before memory is counted.
    fn set_up(regions: &[Region]) {
        drop(Self::of(&regions[..1]));
    }

    /// Lets go of memory that is only kept for a while (garbage of the filling), before memory is counted.
    fn settle(&self) {}
}

/// Asks for single addresses.
pub trait Lookups {
    /// The region that contains the address.
    fn lookup(&mut self, address: u64) -> Option<Region>;

    /// Asks for a chunk of independent addresses.
    #[inline]
    fn lookups(&mut self, addresses: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for &address in addresses {
            tally.note(self.lookup(address));
        }
        tally
    }
}

/// An index that can be changed while others ask.
pub trait Edits: Index {
    /// The writer's way to change it. One at a time.
    type Writer<'i>: Changes;

    /// The writer's way to change it.
    fn writer(&self) -> Self::Writer<'_>;
}

/// Changes single regions, each change visible to readers when the call returns.
pub trait Changes {
    /// Adds a region where there is none.
    fn insert(&mut self, region: Region);

    /// Puts a new region in the place of the one with the same bounds. Taken for a change that may move bounds: an ordered map
    /// without an atomic splice has to remove and insert.
    fn replace(&mut self, region: Region);
}

/// Grows regions downward.
pub trait Grows: Changes {
    /// Grows the region that contains `address` until it starts at `start`, after a look whether a neighbour is in the way.
    fn grow(&mut self, address: u64, start: u64);
}

/// Searches unmapped room.
pub trait FindsGaps: Index {
    /// The start of the highest room that ends at or below the question's limit, if there is any.
    fn highest_gap(&self, question: GapQuestion) -> Option<u64>;
}

/// Goes through all regions.
pub trait Iterates: Index {
    /// The tally of all regions, in order.
    fn tally(&self) -> Tally;
}

/// An address space whose faults find a region and hold it.
///
/// Every region may be read and written, and may grow downward where a fault is below it.
pub trait Faults: Send + Sync + Sized + 'static {
    /// The name in all output.
    const NAME: &'static str;

    /// A thread's way to have faults served.
    type Server<'s>: Serves;

    /// The address space of these regions.
    fn of(regions: &[Region]) -> Self;

    /// The calling thread's way to have faults served.
    fn server(&self) -> Self::Server<'_>;

    /// Maps a region where there is nothing.
    fn map(&self, region: Region);

    /// Unmaps a whole region.
    fn unmap(&self, region: Region);
}

/// Serves the faults of one thread.
pub trait Serves {
    /// Serves a write fault: the region that contains the address and allows it, grown if it must be. It stays while the answer lives.
    fn fault(&mut self, address: u64) -> Option<impl Held>;
}

/// A region that stays, with its bounds.
pub trait Held {
    /// Which.
    fn region(&self) -> Region;

    /// Whether the fault could not keep to the path that is measured, and took another.
    fn is_detour(&self) -> bool {
        false
    }
}

/// An address space whose layout is changed by calls, as a process changes its own.
pub trait Space: Send + Sync + Sized + 'static {
    /// The name in all output.
    const NAME: &'static str;

    /// An empty one.
    fn new(setup: &Setup) -> Self;

    /// Makes a call, and returns its result.
    ///
    /// # Panics
    /// If it is refused.
    fn call(&self, call: &Call) -> u64;

    /// Lets go of memory that is only kept for a while (garbage of the filling), before memory is counted.
    fn settle(&self) {}
}

/// One that readers can ask beside.
pub trait Resolves: Space {
    /// Whether the address is mapped.
    fn is_mapped(&self, address: u64) -> bool;
}

/// One that can be copied whole.
pub trait Forks: Space {
    /// Makes a copy and drops it. Returns how long making it took.
    fn fork(&self) -> Duration;
}
