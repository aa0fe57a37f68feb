//! The system calls that change a layout, as data: the same lists go to all address spaces, of which the kernel's is one. Workloads make
//! them of a set of regions, `traces` of recordings; subjects make the calls.

use crate::regions::{PAGE, Region, RegionSet};
use fastrand::Rng;

/// Where the regions of a set are: far from all that a process has of its own, so that the kernel can have them there, too.
pub const WINDOW: u64 = 0x1000_0000_0000;

/// Where the heap begins, below the window.
pub const HEAP: u64 = WINDOW - (1 << 30);

/// What pages are good for, by the numbers of Linux's `PROT_` words; and whether they are promised.
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

    /// The access alone.
    #[must_use]
    pub const fn access(self) -> Self {
        Self(self.0 & 7)
    }

    /// With another access.
    #[must_use]
    pub const fn with_access(self, access: Self) -> Self {
        Self(self.0 & !7 | access.0)
    }

    /// Whether these are among them.
    #[must_use]
    pub const fn contains(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }
}

/// What is behind pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Nothing: they are the process's own.
    Anonymous,
    /// An object by its number, from an offset in bytes.
    Private(u32, u64),
    /// The same, written through.
    Shared(u32, u64),
}

/// What is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct What {
    /// What it is good for.
    pub flags: Flags,
    /// What is behind it.
    pub backing: Backing,
}

impl What {
    /// Pages of the process's own.
    #[must_use]
    pub const fn anonymous(flags: Flags) -> Self {
        Self { flags, backing: Backing::Anonymous }
    }
}

/// Where it is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Wherever there is room: the highest below the window's end.
    Anywhere,
    /// There, which is free.
    Near(u64),
    /// There, instead of what is there.
    Fixed(u64),
}

/// A system call that changes a layout. It succeeds, or the list is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `mmap`; returns the address.
    Map(Place, u64, What),
    /// `munmap`: an address, and a length in bytes.
    Unmap(u64, u64),
    /// `mprotect`
    Protect(u64, u64, Flags),
    /// `mremap` from one length to another, in its place or to where it may be.
    Remap(u64, u64, u64, Target),
    /// `brk`; returns the break.
    Brk(u64),
    /// No call: where the heap begins from now on, empty. Part of what is set up.
    Heap(u64),
}

/// Where pages are remapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// They stay.
    Here,
    /// There.
    There(u64),
}

/// What an address space must know before the first call.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the search for room ends, which goes down from here.
    pub top: u64,
    /// The sizes of the objects, by number.
    pub objects: Vec<u64>,
}

impl Setup {
    /// For the regions of a set in the window.
    #[must_use]
    pub fn of(set: &RegionSet) -> Self {
        Self { top: set.ascending().last().map_or(WINDOW, |region| WINDOW + region.last + 1), objects: Vec::new() }
    }
}

/// A region's place in the window: its first address and its bytes.
#[must_use]
pub fn in_window(region: &Region) -> (u64, u64) {
    (WINDOW + region.start, region.last - region.start + 1)
}

/// What a region is: by turns one that can be written to and one that cannot, so that neighbours do not merge.
#[must_use]
pub fn what_is(region: &Region) -> What {
    What::anonymous(if region.value.is_multiple_of(2) { Flags::DATA } else { Flags::READ })
}

/// The calls that map the regions of a set, in random order; and the heap.
pub fn layout(set: &RegionSet) -> impl Iterator<Item = Call> {
    let maps = set.shuffled().iter().map(|region| {
        let (at, len) = in_window(region);
        Call::Map(Place::Fixed(at), len, what_is(region))
    });
    std::iter::once(Call::Heap(HEAP)).chain(maps)
}

/// Lengths to be mapped, below those that are aligned for huge pages.
#[must_use]
pub fn lengths() -> Vec<u64> {
    let mut rng = Rng::with_seed(0x1e4);
    (0..1 << 12).map(|_| rng.u64(1..512) * PAGE).collect()
}

/// Maps into a hole that is named, and unmaps it again, hole by hole. What is mapped merges with no region.
#[must_use]
pub fn pairs_in_holes(set: &RegionSet) -> Vec<Call> {
    let pair = |hole: &Region| {
        let (at, len) = in_window(hole);
        [Call::Map(Place::Near(at), len, What::anonymous(Flags::CODE)), Call::Unmap(at, len)]
    };
    set.holes().iter().flat_map(pair).collect()
}

/// Takes all access to a page in the middle of a region, and gives it back: one becomes three, three become one.
#[must_use]
pub fn splits_and_merges(set: &RegionSet) -> Vec<Call> {
    let pair = |region: &Region| {
        let (at, len) = in_window(region);
        let middle = at + len / PAGE / 2 * PAGE;
        [Call::Protect(middle, PAGE, Flags::NONE), Call::Protect(middle, PAGE, what_is(region).flags)]
    };
    set.shuffled().iter().filter(|region| region.last - region.start >= 3 * PAGE - 1).flat_map(pair).collect()
}

/// The break goes up page by page, and down again.
#[must_use]
pub fn steps_of_the_break() -> Vec<Call> {
    const STEPS: u64 = 64;
    (1..=STEPS).chain((0..STEPS).rev()).map(|pages| Call::Brk(HEAP + pages * PAGE)).collect()
}
