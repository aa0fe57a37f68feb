//! vm-memory's `GuestMemoryAtomic`, for lookups only, because a change copies and sorts everything.

use crate::regions::Region;
use crate::subject::{Index, Iterates, Lookups, Tally};
use vm_memory::bitmap::BS;
use vm_memory::{
    GuestAddress, GuestAddressSpace, GuestMemoryAtomic, GuestMemoryBackend, GuestMemoryRegion, GuestMemoryRegionBytes,
    GuestRegionCollection, GuestUsize,
};

/// A region of guest memory without a mapping, because a process may not have a million mappings.
#[derive(Debug)]
pub struct Window(Region);

impl GuestMemoryRegion for Window {
    type B = ();

    fn len(&self) -> GuestUsize {
        self.0.last - self.0.start + 1
    }

    fn start_addr(&self) -> GuestAddress {
        GuestAddress(self.0.start)
    }

    fn last_addr(&self) -> GuestAddress {
        GuestAddress(self.0.last)
    }

    fn bitmap(&self) -> BS<'_, ()> {}
}

impl GuestMemoryRegionBytes for Window {}

type Collection = GuestRegionCollection<Window>;

/// The pointer to the guest's memory.
#[derive(Debug)]
pub struct VmMemory(GuestMemoryAtomic<Collection>);

impl Index for VmMemory {
    const NAME: &'static str = "vm-memory";
    type Reader<'i> = &'i GuestMemoryAtomic<Collection>;

    /// Sorted at once, because each insertion would copy all.
    fn of(regions: &[Region]) -> Self {
        let mut regions = regions.to_vec();
        regions.sort_unstable_by_key(|region| region.start);
        let windows = regions.into_iter().map(Window).collect();
        Self(GuestMemoryAtomic::new(Collection::from_regions(windows).expect("sorted and disjoint, and at least one")))
    }

    fn reader(&self) -> Self::Reader<'_> {
        &self.0
    }
}

impl Lookups for &GuestMemoryAtomic<Collection> {
    #[inline]
    fn lookup(&mut self, address: u64) -> Option<Region> {
        self.memory().find_region(GuestAddress(address)).map(|window| window.0)
    }
}

impl Iterates for VmMemory {
    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for window in self.0.memory().iter() {
            tally.note(Some(window.0));
        }
        tally
    }
}
