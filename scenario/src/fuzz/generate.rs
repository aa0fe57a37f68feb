//! Random operations, with emphasis on edges: a few pages in two places that are a guard gap apart, ranges that begin and end where VMAs
//! do, a few objects mapped at offsets that fit or nearly fit, and limits close to what is in use. Called by `fuzz`, with the current
//! layout.

use super::entropy::Entropy;
use super::step::{BASE, Follow, HEAP, LOW, Step};
use crate::exact::Exact;
use crate::kernel::KernelSpace;
use crate::mm_space::MmSpace;
use crate::placement::task_size;
use crate::space::Space as _;
use std::ops::Range;
use vmaple::{PAGE_SIZE, VmaFlags};
use vmaple_host::{Host, Need};
use vmaple_trace::{
    Access, Advice, Capabilities, Extent, Limit, LockAllFlags, LockFlags, MapFlags, Name, Object, Offset, Operation, Prot, RemapFlags,
    Resource, Setting,
};

/// The place for mappings of whole huge pages, below both other places: its start, and its length in huge pages.
const HUGE: u64 = LOW - 0x110_0000;
const HUGE_PLACE: u64 = 5;
const HUGE_PAGE: u64 = 2 << 20;

/// How many huge pages one process may have mapped, and the offsets at which it maps an object of huge pages. The processes of a sequence
/// together use no more than `step::HUGE_POOL`, copies included.
const HUGE_PAGES: u64 = 3;
const HUGE_OFFSETS: [u64; 4] = [0, 0, HUGE_PAGE, PAGE_SIZE];

/// The length in pages of each of the two places for ordinary mappings, and how many pages above the lower one the upper one begins: a guard
/// gap and a few more.
const PLACE: u64 = 36;
const UPPER: u64 = 256 + 10;

/// The page below the base, which stays mapped.
const BARRIER: u64 = BASE - PAGE_SIZE;

/// The longest range. It is short enough that searches find room below the base. A search that finds none would go upward from another base,
/// where the process has its own areas.
const WIDEST: u64 = 0x12_0000;

/// The longest range from one VMA to another.
const WIDEST_BETWEEN: u64 = HUGE_PLACE * HUGE_PAGE;

/// Distances from the offset that would continue a neighbour of the same object. The last ones are beyond the length of any file, or make
/// offsets wrap around. (An offset between the end of the object and these is not used: a page beyond the end cannot be accessed, and the
/// library does not know how long objects are.)
const ODD_OFFSETS: [u64; 7] = [PAGE_SIZE, 0x10_0000, 1, 0x800, 0x7fff_ffff_ffff_f000, 0x8000_0000_0000_0000, 0xffff_ffff_ffff_f000];

/// One in this many sequences has a low limit on VMAs.
const FEW: u64 = 24;

/// Makes the steps of one sequence.
#[derive(Debug)]
pub(super) struct Generator<C> {
    entropy: C,
    /// How many forks there may still be.
    forks: u32,
}

impl<C: Entropy> Generator<C> {
    pub(super) fn new(entropy: C) -> Self {
        Self { entropy, forks: 3 }
    }

    /// Returns whether no choices are left, so that the sequence ends.
    pub(super) fn is_spent(&self) -> bool {
        self.entropy.is_spent()
    }

    /// Returns the first steps of a sequence. They map the page below the base, so that no area of the scenario is a neighbour of an area above
    /// it. In a few sequences they also limit the number of VMAs, which takes as long as all other steps.
    pub(super) fn scene(&mut self) -> Vec<Step> {
        let is_few = self.entropy.below(FEW) == FEW - 1;
        let few = is_few.then(|| Step::Set(Setting::MaxMapCount(self.within(2..16))));
        let flags = MapFlags::SHARED.union(MapFlags::ANONYMOUS).union(MapFlags::FIXED);
        let (prot, object, offset) = (Prot::EMPTY, Object::Anon, Offset::Default);
        few.into_iter().chain([Step::Do(Operation::Mmap { addr: BARRIER, len: PAGE_SIZE, prot, flags, object, offset })]).collect()
    }

    /// Returns the next step, for the present layout.
    pub(super) fn step(&mut self, space: &MmSpace) -> Step {
        match self.entropy.below(1000) {
            0..230 => self.mmap(space),
            230..300 => {
                let (addr, len) = self.range(space);
                Step::Do(Operation::Munmap { addr, len })
            }
            300..345 => self.key_operation(space),
            345..450 => {
                let (addr, len) = self.range(space);
                let grows = self.one_in(16).then(|| *self.of(&[Prot::GROWSDOWN, Prot::GROWSDOWN, Prot::GROWSUP]));
                let prot = grows.map_or(self.prot(), |grows| self.prot().union(grows));
                Step::Do(Operation::Mprotect { addr, len, prot })
            }
            450..600 => self.mremap(space),
            600..650 => self.brk(space),
            650..750 => {
                let (addr, len) = self.range(space);
                Step::Do(Operation::Madvise { addr, len, advice: self.advice() })
            }
            750..785 => {
                let (addr, len) = self.range(space);
                let flags = if self.one_in(2) { LockFlags::ONFAULT } else { LockFlags::EMPTY };
                Step::Do(if self.one_in(2) { Operation::Mlock2 { addr, len, flags } } else { Operation::Mlock { addr, len } })
            }
            785..810 => {
                let (addr, len) = self.range(space);
                Step::Do(Operation::Munlock { addr, len })
            }
            810..814 => {
                let words = [LockAllFlags::CURRENT, LockAllFlags::FUTURE, LockAllFlags::ONFAULT];
                let flags =
                    words.into_iter().fold(LockAllFlags::EMPTY, |flags, word| if self.one_in(2) { flags.union(word) } else { flags });
                Step::Do(Operation::Mlockall { flags })
            }
            814..818 => Step::Do(Operation::Munlockall),
            818..826 => {
                let (addr, len) = self.range(space);
                Step::Do(Operation::Mseal { addr, len: if self.one_in(4) { len } else { PAGE_SIZE } })
            }
            826..960 => {
                let addr = self.address(space) + self.entropy.below(PAGE_SIZE);
                Step::Touch(addr, if self.one_in(4) { Access::Read } else { Access::Write })
            }
            960..994 => Step::Set(self.setting(space)),
            _ if self.forks > 0 => {
                self.forks -= 1;
                Step::Fork(if self.one_in(2) { Follow::Child } else { Follow::Parent })
            }
            _ => self.mmap(space),
        }
    }

    /// Returns an operation on protection keys, or an `mmap` if the machine has none, because then all would be refused.
    fn key_operation(&mut self, space: &MmSpace) -> Step {
        if !Host::probe().has(Need::Keys) {
            return self.mmap(space);
        }
        let allocated: Vec<i32> = (0..16).filter(|key| space.mm.allocated_keys() >> key & 1 == 1).collect();
        let is_first = allocated.len() == 1;
        let known = *self.of(&allocated);
        let key = if self.one_in(5) { *self.of(&[-1, 1, 2, 9, 15, 16, -2]) } else { known };
        Step::Do(match self.entropy.below(16) {
            0..3 => Operation::PkeyAlloc { flags: u64::from(self.one_in(30)), rights: *self.of(&[0, 0, 0, 1, 2, 3, 4]) },
            _ if is_first => Operation::PkeyAlloc { flags: 0, rights: self.entropy.below(4) },
            // Key 0 is not freed, because the memory of the process that makes the calls has it.
            3..6 if key != 0 => Operation::PkeyFree { key },
            _ => {
                let (addr, len) = self.range(space);
                Operation::PkeyMprotect { addr, len, prot: self.prot(), key }
            }
        })
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.entropy.below(n) == 0
    }

    fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.entropy.below(range.end - range.start)
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.entropy.below(len as u64)).unwrap_or(0)
    }

    fn of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[self.index(items.len())]
    }

    /// Returns the start of a page in one of the two places.
    fn page(&mut self) -> u64 {
        let place = if self.one_in(4) { UPPER } else { 0 };
        LOW + (place + self.entropy.below(PLACE)) * PAGE_SIZE
    }

    /// Returns the start of a page: at or near an edge of a VMA, or anywhere in the two places.
    fn address(&mut self, space: &MmSpace) -> u64 {
        let areas = space.exact();
        if areas.len() < 2 || self.one_in(4) {
            return self.page();
        }
        let area = areas[self.index(areas.len() - 1)].extent;
        let edge = if self.one_in(2) { area.start } else { area.end };
        let near = *self.of(&[0, 0, 0, 0, 1, -1, 2, -2]) * PAGE_SIZE.cast_signed();
        edge.saturating_add_signed(near).clamp(0x1_0000, BARRIER - PAGE_SIZE)
    }

    /// Returns a length that does not reach the barrier, or one that wraps around.
    fn len(&mut self, from: u64) -> u64 {
        let room = BARRIER.saturating_sub(from).max(PAGE_SIZE);
        let bytes = match self.entropy.below(100) {
            0..70 => self.within(1..5) * PAGE_SIZE,
            70..88 => self.within(1..24) * PAGE_SIZE,
            88..92 => self.entropy.below(300) * PAGE_SIZE,
            92..97 => self.entropy.below(6 * PAGE_SIZE),
            97 => 0,
            98 => return u64::MAX - self.entropy.below(3 * PAGE_SIZE),
            _ => return u64::MAX - from + self.entropy.below(2),
        };
        bytes.min(room).min(WIDEST)
    }

    /// Returns a range: from any address, or from one edge of a VMA to another.
    fn range(&mut self, space: &MmSpace) -> (u64, u64) {
        let start = self.address(space);
        if self.one_in(3) {
            let end = self.address(space);
            let (start, end) = (start.min(end), start.max(end));
            if end > start && end - start <= WIDEST_BETWEEN {
                return (start, end - start);
            }
        }
        let unaligned = if self.one_in(40) { self.within(1..PAGE_SIZE) } else { 0 };
        (start + unaligned, self.len(start + unaligned))
    }

    /// Returns a range of whole huge pages, or one that nearly is.
    fn huge_range(&mut self) -> (u64, u64) {
        let odd = if self.one_in(6) { *self.of(&[PAGE_SIZE, HUGE_PAGE - PAGE_SIZE, 1]) } else { 0 };
        let start = HUGE + self.entropy.below(HUGE_PLACE) * HUGE_PAGE + if self.one_in(3) { odd } else { 0 };
        (start, self.within(1..3) * HUGE_PAGE - odd)
    }

    fn prot(&mut self) -> Prot {
        let (r, w, x) = (Prot::READ, Prot::WRITE, Prot::EXEC);
        *self.of(&[
            r.union(w),
            r.union(w),
            r.union(w),
            r.union(w),
            r,
            r,
            Prot::EMPTY,
            Prot::EMPTY,
            r.union(x),
            r.union(w).union(x),
            w,
            x,
            x.union(Prot::SEM),
        ])
    }

    fn advice(&mut self) -> Advice {
        loop {
            let number = *self.of(&[0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
            if let Some(advice) = Advice::from_number(number) {
                return advice;
            }
        }
    }

    fn mmap(&mut self, space: &MmSpace) -> Step {
        let is_large = self.one_in(7);
        let (mut addr, mut len) = match self.entropy.below(5) {
            _ if is_large => self.huge_range(),
            0 => self.range(space),
            _ => (self.page(), 0),
        };
        if len == 0 {
            len = self.len(addr);
        }
        let mut flags = match self.entropy.below(40) {
            0..27 => MapFlags::PRIVATE,
            27..36 => MapFlags::SHARED,
            36 => MapFlags::SHARED_VALIDATE,
            37..39 => MapFlags::DROPPABLE,
            _ => MapFlags::EMPTY,
        };
        match self.entropy.below(20) {
            0..11 => flags = flags.union(MapFlags::FIXED),
            11..14 => flags = flags.union(MapFlags::FIXED_NOREPLACE),
            14..18 => {}
            _ => addr = 0,
        }
        for (flag, n) in [
            (MapFlags::GROWSDOWN, 10),
            (MapFlags::LOCKED, 24),
            (MapFlags::NORESERVE, 14),
            (MapFlags::POPULATE, 14),
            (MapFlags::NONBLOCK, 60),
            (MapFlags::STACK, 60),
            (MapFlags::LOW_32BIT, 30),
            (MapFlags::ABOVE4G, 30),
            (MapFlags::DENYWRITE, 60),
            (MapFlags::EXECUTABLE, 60),
            (MapFlags::SYNC, 60),
        ] {
            if self.one_in(n) {
                flags = flags.union(flag);
            }
        }
        if self.one_in(if is_large { 2 } else { 60 }) {
            let sized = [MapFlags::HUGETLB, MapFlags::HUGETLB, MapFlags::of_huge_pages(HUGE_PAGE), MapFlags::of_huge_pages(16 << 20)];
            flags = flags.union(if self.one_in(3) { *self.of(&sized) } else { MapFlags::HUGETLB });
        }
        if self.one_in(100) {
            let (end, window) = (task_size(Host::probe()), space.mm.limits().map_window);
            (addr, len) = *self.of(&[
                (0x1000, PAGE_SIZE),
                (0xf000, PAGE_SIZE),
                (end, PAGE_SIZE),
                (end - PAGE_SIZE, 2 * PAGE_SIZE),
                (LOW, end),
                (LOW, end + PAGE_SIZE),
                (0xffff_ffff_ffff_f000, PAGE_SIZE),
                (1, 1),
                (end + PAGE_SIZE, PAGE_SIZE),
                (end - PAGE_SIZE, 4 * PAGE_SIZE),
                (0xffff_ffff_ffe0_0000, PAGE_SIZE),
                (0x7fff_f000, PAGE_SIZE),
                (0x7fff_f000, 2 * PAGE_SIZE),
                (0x6000_0000, HUGE_PAGE),
                (0x6000_0000, HUGE_PAGE + PAGE_SIZE),
            ]);
            // With a hint there the kernel would search beyond the base, among the process's own areas.
            if addr >= window && end > window {
                flags = flags.union(MapFlags::FIXED);
            }
        }
        let reaches_barrier = addr < BASE && addr.saturating_add(len).saturating_add(HUGE_PAGE) > BARRIER && len < BASE;
        if flags.contains(MapFlags::HUGETLB) && (reaches_barrier || !Self::has_huge_pages_for(space, len)) {
            flags = flags.without_huge_pages();
        }
        let object = match self.entropy.below(10) {
            0 | 1 => Name::new(b"a").map(Object::File),
            2 => Name::new(b"b").map(Object::Shm),
            _ => None,
        };
        let (object, offset) = if let Some(object) = object {
            // Mostly the offset that continues a neighbour of the same object.
            let linear = (addr & !(PAGE_SIZE - 1)).wrapping_sub(LOW);
            let odd = if self.one_in(8) { *self.of(&ODD_OFFSETS) } else { 0 };
            let offset = match (LOW..BASE).contains(&addr) {
                _ if flags.contains(MapFlags::HUGETLB) => *self.of(&HUGE_OFFSETS),
                true => linear.wrapping_add(odd),
                false => odd,
            };
            (object, Offset::Bytes(offset))
        } else {
            flags = flags.union(MapFlags::ANONYMOUS);
            (Object::Anon, if self.one_in(60) { Offset::Bytes(*self.of(&[PAGE_SIZE, 1, HUGE_PAGE])) } else { Offset::Default })
        };
        let prot = self.prot();
        // The object of anonymous huge pages is as long as the mapping. A mapping that is not writable does not extend it, so with an offset
        // it would reach beyond the end.
        let is_beyond = flags.contains(MapFlags::HUGETLB) && object == Object::Anon && !prot.contains(Prot::WRITE);
        let offset = if is_beyond { Offset::Default } else { offset };
        Step::Do(Operation::Mmap { addr, len, prot, flags, object, offset })
    }

    /// Returns whether there are enough huge pages for another mapping. The library does not know the system's pool.
    fn has_huge_pages_for(space: &MmSpace, len: u64) -> bool {
        let asked = len.div_ceil(HUGE_PAGE);
        let there: u64 =
            space.exact().iter().filter(|vma| vma.flags.contains(VmaFlags::HUGETLB)).map(|vma| vma.extent.len_bytes() / HUGE_PAGE).sum();
        asked == 0 || there.saturating_add(asked) <= HUGE_PAGES || len > 1 << 40
    }

    fn mremap(&mut self, space: &MmSpace) -> Step {
        if self.one_in(16) {
            return self.grow_locked(space);
        }
        let (addr, old_len) = self.range(space);
        let new_len = match self.entropy.below(10) {
            0..4 => old_len,
            4..6 => old_len.saturating_sub(self.within(1..3) * PAGE_SIZE),
            6..9 => old_len.saturating_add(self.within(1..4) * PAGE_SIZE),
            _ => self.len(addr),
        };
        let old_len = if self.one_in(30) { 0 } else { old_len };
        let (maymove, fixed, dontunmap) = (RemapFlags::MAYMOVE, RemapFlags::FIXED, RemapFlags::DONTUNMAP);
        let flags = match self.entropy.below(20) {
            0..4 => RemapFlags::EMPTY,
            4..8 => maymove,
            8..14 => maymove.union(fixed),
            14..16 => maymove.union(dontunmap),
            16..19 => maymove.union(fixed).union(dontunmap),
            _ => *self.of(&[fixed, dontunmap]),
        };
        let mut to = if self.one_in(3) { self.address(space) } else { self.page() };
        if self.one_in(60) {
            to += 1;
        }
        let (mut old_len, mut new_len) = (old_len, new_len);
        // The target must not replace the barrier.
        if to.saturating_add(new_len) > BARRIER && new_len < BASE {
            (to, old_len, new_len) = (LOW, PAGE_SIZE, PAGE_SIZE);
        }
        // The object of shared memory without a name keeps the length of its mapping. A page beyond its end cannot be accessed, and the library
        // does not know how long objects are.
        let source = space.exact().into_iter().find(|vma| vma.extent.contains(addr));
        // a length that wraps around when it is rounded up counts as 0
        let is_longer = new_len > old_len.checked_next_multiple_of(PAGE_SIZE).unwrap_or(0);
        if is_longer && source.is_some_and(|vma| vma.flags.contains(VmaFlags::SHARED) && vma.object.is_none()) {
            return self.mmap(space);
        }
        let source = Extent { start: addr, end: addr.saturating_add(old_len) };
        // The kernel rounds both ends up to whole huge pages. They must not reach the barrier.
        let is_huge = |vma: &Exact| vma.flags.contains(VmaFlags::HUGETLB) && vma.extent.overlaps(source);
        let reaches = |from: u64, len: u64| len < BASE && from.saturating_add(len).next_multiple_of(HUGE_PAGE) > BARRIER;
        if (reaches(addr, old_len) || reaches(to, new_len)) && space.exact().iter().any(is_huge) {
            return self.mmap(space);
        }
        // If a part of a private mapping of huge pages is moved, Linux keeps a page forever.
        let target = Extent { start: to, end: to.saturating_add(new_len).saturating_add(HUGE_PAGE) };
        if space.exact().iter().any(|vma| is_kept(vma) && is_torn(vma.extent, source, target)) {
            return self.mmap(space);
        }
        // Linux counts locked pages twice that it moves without unmapping them, and its count stays wrong.
        let is_locked = space.exact().iter().any(|vma| vma.flags.contains(VmaFlags::LOCKED));
        if flags.contains(dontunmap) && is_locked {
            return self.mmap(space);
        }
        let has_target = flags.contains(fixed) || flags.contains(dontunmap);
        Step::Do(Operation::Mremap { addr, old_len, new_len, flags, new_addr: has_target.then_some(to) })
    }

    /// Returns an `mremap` that makes a locked VMA longer, near the limit on locked memory, or an `mlock` if nothing is locked.
    fn grow_locked(&mut self, space: &MmSpace) -> Step {
        let is_locked = |vma: &Exact| vma.flags.contains(VmaFlags::LOCKED) && !vma.flags.contains(VmaFlags::SHARED);
        let locked: Vec<Extent> = space.exact().iter().filter(|vma| is_locked(vma)).map(|vma| vma.extent).collect();
        if locked.is_empty() {
            let (addr, len) = self.range(space);
            return Step::Do(Operation::Mlock { addr, len });
        }
        let Extent { start: addr, end } = *self.of(&locked);
        let old_len = end - addr;
        let new_len = (old_len + self.within(1..24) * PAGE_SIZE).min(WIDEST);
        let flags = if self.one_in(2) { RemapFlags::EMPTY } else { RemapFlags::MAYMOVE };
        Step::Do(Operation::Mremap { addr, old_len, new_len, flags, new_addr: None })
    }

    fn brk(&mut self, space: &MmSpace) -> Step {
        let now = space.mm.program_break();
        let addr = match self.entropy.below(12) {
            0..5 => now + self.entropy.below(4) * PAGE_SIZE,
            5..7 => now + self.entropy.below(3 * PAGE_SIZE),
            7..10 => now.saturating_sub(self.entropy.below(4) * PAGE_SIZE),
            10 => HEAP + self.entropy.below(40) * PAGE_SIZE,
            _ => *self.of(&[0, HEAP - 1, HEAP, HEAP + 1]),
        };
        Step::Do(Operation::Brk { addr: addr.min(BARRIER - 2 * PAGE_SIZE) })
    }

    /// Returns a limit that is close to what is in use, or capabilities.
    fn setting(&mut self, space: &MmSpace) -> Setting {
        let counts = space.vm().unwrap_or_default();
        let unlimited = self.one_in(3);
        let (resource, now) = match self.entropy.below(11) {
            0..2 => (Resource::As, counts.total.unwrap_or(0)),
            2..4 => (Resource::Data, counts.data.unwrap_or(0)),
            4..6 => (Resource::Memlock, counts.locked.unwrap_or(0)),
            6..8 => (Resource::Stack, 4),
            _ => {
                let asked = *self.of(&[
                    Capabilities::EMPTY,
                    Capabilities::EMPTY,
                    Capabilities::IPC_LOCK,
                    Capabilities::SYS_RAWIO,
                    Capabilities::ALL,
                ]);
                return Setting::Capabilities(Capabilities::from_bits(asked.bits() & KernelSpace::permitted().bits()).0);
            }
        };
        if unlimited && resource == Resource::Memlock {
            // usually the hard limit of an ordinary process
            return Setting::Limit(resource, Limit::Bytes(8 << 20));
        }
        if unlimited {
            return Setting::Limit(resource, Limit::Unlimited);
        }
        let odd = if self.one_in(4) { self.entropy.below(PAGE_SIZE) } else { 0 };
        let pages = if resource == Resource::Memlock && self.one_in(6) { 0 } else { now + self.within(1..20) };
        Setting::Limit(resource, Limit::Bytes(pages * PAGE_SIZE + odd))
    }
}

/// Returns whether the system reserves huge pages for the VMA.
fn is_kept(vma: &Exact) -> bool {
    vma.flags.contains(VmaFlags::HUGETLB) && !vma.flags.intersects(VmaFlags::SHARED | VmaFlags::NORESERVE)
}

/// Returns whether a move takes only a part of a VMA.
fn is_torn(vma: Extent, source: Extent, target: Extent) -> bool {
    vma.overlaps(source) && (source.start > vma.start || source.end < vma.end || vma.overlaps(target))
}
