//! The traits of subjects, one small trait for each kind of workload. A subject implements the traits that it can, and a workload lists the
//! subjects that have the traits it needs.
//!
//! The rules that make the subjects comparable: every index holds the first address, the last address and an 8-byte value of each region, in
//! the form that suits it best, and a lookup returns all three. If the key can be chosen, it is the *last* address: then one step forward finds
//! the region, which is faster than a step back in all of them, and growth downward changes no key.
//!
//! A subject that serves faults ([`Faults`]) returns a hold instead, and keeps flags by which it checks the access.

use crate::calls::{Call, Setup};
use crate::regions::{GapQuestion, Region};
use std::time::Duration;

/// The sum of many answers, so that the compiler cannot remove a lookup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The number of addresses that were mapped.
    pub hits: u64,
    /// A sum over last addresses and values.
    pub sum: u64,
}

impl Tally {
    /// Adds an answer.
    #[inline]
    pub fn note(&mut self, answer: Option<Region>) {
        if let Some(region) = answer {
            self.hits += 1;
            self.sum = self.sum.wrapping_add(region.last ^ region.value);
        }
    }
}

/// An index that can be filled and looked up.
pub trait Index: Send + Sync + Sized + 'static {
    /// The name in all output.
    const NAME: &'static str;

    /// The handle of a thread that looks up.
    type Reader<'i>: Lookups;

    /// Builds the index of these regions: by single insertions in this order, unless an insertion copies everything.
    fn of(regions: &[Region]) -> Self;

    /// Returns the calling thread's handle.
    fn reader(&self) -> Self::Reader<'_>;

    /// Makes the library allocate what it keeps for a process or a thread, before allocations are counted.
    fn set_up(regions: &[Region]) {
        drop(Self::of(&regions[..1]));
    }

    /// Frees memory that waits to be reclaimed after the filling, before memory is counted.
    fn settle(&self) {}
}

/// Looks up single addresses.
pub trait Lookups {
    /// Returns the region that contains the address.
    fn lookup(&mut self, address: u64) -> Option<Region>;

    /// Looks up a chunk of independent addresses.
    #[inline]
    fn lookups(&mut self, addresses: &[u64]) -> Tally {
        let mut tally = Tally::default();
        for &address in addresses {
            tally.note(self.lookup(address));
        }
        tally
    }
}

/// An index that can be changed while other threads look up.
pub trait Edits: Index {
    /// The handle of the writer. There is one at a time.
    type Writer<'i>: Changes;

    /// Returns the writer's handle.
    fn writer(&self) -> Self::Writer<'_>;
}

/// Changes single regions, each change visible to readers when the call returns.
pub trait Changes {
    /// Inserts a region where there is none.
    fn insert(&mut self, region: Region);

    /// Replaces the region with the same bounds. It counts as a change that may move bounds, so an ordered map without an atomic splice removes
    /// and inserts.
    fn replace(&mut self, region: Region);
}

/// Grows regions downward.
pub trait Grows: Changes {
    /// Grows the region that contains `address` until it starts at `start`, after checking that no neighbour is in the way.
    fn grow(&mut self, address: u64, start: u64);
}

/// Searches for gaps.
pub trait FindsGaps: Index {
    /// Returns the start of the highest gap that ends at or below the limit of the search, if there is one.
    fn highest_gap(&self, question: GapQuestion) -> Option<u64>;
}

/// Iterates over all regions.
pub trait Iterates: Index {
    /// Returns the tally of all regions, in order.
    fn tally(&self) -> Tally;
}

/// An address space whose faults find a region and hold it.
///
/// Every region may be read and written, and grows downward at a fault below it.
pub trait Faults: Send + Sync + Sized + 'static {
    /// The name in all output.
    const NAME: &'static str;

    /// The handle of a thread that faults.
    type Server<'s>: Serves;

    /// Builds the address space of these regions.
    fn of(regions: &[Region]) -> Self;

    /// Returns the handle of the calling thread.
    fn server(&self) -> Self::Server<'_>;

    /// Maps a region where there is nothing.
    fn map(&self, region: Region);

    /// Unmaps a whole region.
    fn unmap(&self, region: Region);
}

/// Serves the faults of one thread.
pub trait Serves {
    /// Serves a write fault: returns a hold on the region that contains the address and allows the access, grown if necessary.
    fn fault(&mut self, address: u64) -> Option<impl Held>;
}

/// A hold on a region, which stays with its bounds.
pub trait Held {
    /// Returns the region.
    fn region(&self) -> Region;

    /// Returns whether the fault left the path that is measured.
    fn is_detour(&self) -> bool {
        false
    }
}

/// An address space whose layout is changed by system calls.
pub trait Space: Send + Sync + Sized + 'static {
    /// The name in all output.
    const NAME: &'static str;

    /// Returns an empty address space.
    fn new(setup: &Setup) -> Self;

    /// Makes a call, and returns its result.
    ///
    /// # Panics
    /// If the call is refused.
    fn call(&self, call: &Call) -> u64;

    /// Frees memory that waits to be reclaimed after the filling, before memory is counted.
    fn settle(&self) {}
}

/// An address space that readers can look up beside the calls.
pub trait Resolves: Space {
    /// Returns whether the address is mapped.
    fn is_mapped(&self, address: u64) -> bool;
}

/// An address space that can be copied whole.
pub trait Forks: Space {
    /// Makes a copy and drops it. Returns the time of making it.
    fn fork(&self) -> Duration;
}
