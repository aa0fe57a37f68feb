//! The system calls that change a layout, as data. All address spaces, the kernel's included, get the same lists. Workloads make the lists from
//! a set of regions, `histories` makes them from recordings, and subjects make the calls.

use crate::regions::{PAGE, Region, RegionSet};
use fastrand::Rng;

/// The address of the regions of a set: far from a process's own areas, so that the kernel can map them there, too.
pub const WINDOW: u64 = 0x1000_0000_0000;

/// The start of the heap, below the window.
pub const HEAP: u64 = WINDOW - (1 << 30);

/// The access to pages, with the numbers of Linux's `PROT_` constants, and whether they are promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// No access.
    pub const NONE: Self = Self(0);
    /// `r--`
    pub const READ: Self = Self(1);
    /// `rw-`
    pub const DATA: Self = Self(1 | 2);
    /// `r-x`
    pub const CODE: Self = Self(1 | 4);
    /// `MAP_NORESERVE`
    pub const NORESERVE: Self = Self(8);

    /// Returns the access alone.
    #[must_use]
    pub const fn access(self) -> Self {
        Self(self.0 & 7)
    }

    /// Returns the flags with another access.
    #[must_use]
    pub const fn with_access(self, access: Self) -> Self {
        Self(self.0 & !7 | access.0)
    }

    /// Returns whether these are set.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// The backing of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Nothing: private anonymous pages.
    Anonymous,
    /// A private mapping of the object with this number, from an offset in bytes.
    Private(u32, u64),
    /// A shared mapping of the object.
    Shared(u32, u64),
}

/// The contents of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// The access.
    pub flags: Flags,
    /// The backing.
    pub backing: Backing,
}

impl What {
    /// Returns private anonymous pages.
    #[must_use]
    pub const fn anonymous(flags: Flags) -> Self {
        Self { flags, backing: Backing::Anonymous }
    }
}

/// The place of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The highest gap below the window's end.
    Anywhere,
    /// This address, at which nothing is mapped.
    Near(u64),
    /// This address, in place of what is mapped there.
    Fixed(u64),
}

/// A system call that changes a layout. Every call of a list succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `mmap`; returns the address.
    Map(Place, u64, What),
    /// `munmap`: an address, and a length in bytes.
    Unmap(u64, u64),
    /// `mprotect`
    Protect(u64, u64, Flags),
    /// `mremap` from one length to another, in place or to a target.
    Remap(u64, u64, u64, Target),
    /// `brk`; returns the break.
    Brk(u64),
    /// Not a call: the start of a heap that is empty. Part of the preparation.
    Heap(u64),
}

/// The target of an `mremap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The pages stay in place.
    Here,
    /// This address.
    There(u64),
}

/// The properties of an address space before the first call.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The top of searches, which go down from here.
    pub top: u64,
    /// The sizes of the objects, by number.
    pub objects: Vec<u64>,
}

impl Setup {
    /// Returns those for the regions of a set in the window.
    #[must_use]
    pub fn of(set: &RegionSet) -> Self {
        Self { top: set.ascending().last().map_or(WINDOW, |region| WINDOW + region.last + 1), objects: Vec::new() }
    }
}

/// Returns a region's place in the window: its first address and its length in bytes.
#[must_use]
pub fn in_window(region: &Region) -> (u64, u64) {
    (WINDOW + region.start, region.last - region.start + 1)
}

/// Returns the contents of a region. Regions are writable and read-only in turn, so that neighbours do not merge.
#[must_use]
pub fn what_is(region: &Region) -> What {
    What::anonymous(if region.value.is_multiple_of(2) { Flags::DATA } else { Flags::READ })
}

/// Returns the calls that map the regions of a set, in random order, and set up the heap.
pub fn layout(set: &RegionSet) -> impl Iterator<Item = Call> {
    let maps = set.shuffled().iter().map(|region| {
        let (at, len) = in_window(region);
        Call::Map(Place::Fixed(at), len, what_is(region))
    });
    std::iter::once(Call::Heap(HEAP)).chain(maps)
}

/// Returns lengths to map, which are below those that are aligned for huge pages.
#[must_use]
pub fn lengths() -> Vec<u64> {
    let mut rng = Rng::with_seed(0x1e4);
    (0..1 << 12).map(|_| rng.u64(1..512) * PAGE).collect()
}

/// Returns calls that map at the start of each hole and unmap again. The mapping merges with no region.
#[must_use]
pub fn pairs_in_holes(set: &RegionSet) -> Vec<Call> {
    let pair = |hole: &Region| {
        let (at, len) = in_window(hole);
        [Call::Map(Place::Near(at), len, What::anonymous(Flags::CODE)), Call::Unmap(at, len)]
    };
    set.holes().iter().flat_map(pair).collect()
}

/// Returns calls that remove all access to a page in the middle of a region and restore it: one VMA becomes three, and three become one.
#[must_use]
pub fn splits_and_merges(set: &RegionSet) -> Vec<Call> {
    let pair = |region: &Region| {
        let (at, len) = in_window(region);
        let middle = at + len / PAGE / 2 * PAGE;
        [Call::Protect(middle, PAGE, Flags::NONE), Call::Protect(middle, PAGE, what_is(region).flags)]
    };
    set.shuffled().iter().filter(|region| region.last - region.start >= 3 * PAGE - 1).flat_map(pair).collect()
}

/// Returns calls that move the break up page by page, and down again.
#[must_use]
pub fn steps_of_the_break() -> Vec<Call> {
    const STEPS: u64 = 64;
    (1..=STEPS).chain((0..STEPS).rev()).map(|pages| Call::Brk(HEAP + pages * PAGE)).collect()
}
