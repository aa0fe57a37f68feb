//! The operations of an address space whose growth is measured.

use std::hint::black_box;
use std::io::Cursor;
use std::time::Duration;
use vmaple::map::GapQuery;
use vmaple::mm::{Advice, Limits, LockAll, MapRequest, MmWriteGuard, RemapRequest};
use vmaple::{Access, FaultContext, Interrupt, Mm, PAGE_SIZE, VmaFlags, VmaSpec};
use vmaple_scenario::against_library;
use vmaple_trace::Reader;

/// The start of the first VMA. There is room below it, too.
const BASE: u64 = 1 << 40;
/// The distance from one VMA to the next: two mapped pages and six unmapped ones.
const STEP: u64 = 8 * PAGE_SIZE;
const LEN: u64 = 2 * PAGE_SIZE;
const READ: VmaFlags = VmaFlags::READ;
const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);

/// The number of operations of a lap, each at a VMA chosen at random: as many as fit, and at least one.
const LAP: Duration = Duration::from_millis(5);
/// The number of laps. The shortest counts, because other work of the machine only makes a lap longer.
const LAPS: usize = 5;

/// What an operation touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touches {
    /// One VMA, or a few.
    One,
    /// All VMAs.
    All,
}

impl Touches {
    /// Returns the largest exponents that a curve may have: as a whole, and between two neighbouring sizes, which may be on two sides of a
    /// cache's capacity.
    ///
    /// From 1,000 to 1,000,000 VMAs log n alone is 0.1. Because the layout no longer fits in the caches, a search takes five to twenty times as
    /// long, which is 0.23 to 0.43. An operation on all VMAs, in order, hardly waits for memory at small sizes, and much more from one size on.
    pub(super) fn most(self) -> (f64, f64) {
        match self {
            Self::One => (0.6, 0.8),
            Self::All => (1.4, 2.0),
        }
    }
}

pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) touches: Touches,
    measured: Measured,
}

/// How an operation is measured.
#[derive(Clone, Copy)]
enum Measured {
    /// At a VMA of the scattered layout, which it leaves unchanged. It gets the VMA's address, or that of a free page below it.
    AtOne(fn(&Mm, u64)),
    /// On a layout that is made for it. It returns its time without that of making the layout.
    OnAll(fn(usize) -> Duration),
}

/// The names of all operations.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|operation| operation.name).collect()
}

const fn one(name: &'static str, run: fn(&Mm, u64)) -> Operation {
    Operation { name, touches: Touches::One, measured: Measured::AtOne(run) }
}

const fn all(name: &'static str, run: fn(usize) -> Duration) -> Operation {
    Operation { name, touches: Touches::All, measured: Measured::OnAll(run) }
}

pub(super) const ALL: &[Operation] = &[
    one("find", |mm, at| _ = black_box(mm.pin().find(at - PAGE_SIZE).map(|vma| vma.start()))),
    one("fault", |mm, at| drop(mm.handle_fault(at, Access::Read, FaultContext::KernelWithoutFixup).expect("it is mapped"))),
    one("lock_find", |mm, at| drop(mm.lock_find(at - PAGE_SIZE, vmaple::lock::Patience::Forever).expect("it waits"))),
    one("gap search", |mm, _| _ = black_box(mm.write().find_gap(&GapQuery::new(STEP).within(BASE..).lowest()).expect("beyond all"))),
    one("mmap anywhere, munmap", |mm, _| {
        let mut writer = mm.write();
        let at = writer.mmap(&MapRequest::new(STEP, VmaSpec::anonymous(RW))).expect("below all");
        writer.munmap(at, STEP).expect("memory");
    }),
    one("mmap fixed, munmap", |mm, at| {
        map(&mut mm.write(), at - 2 * PAGE_SIZE, PAGE_SIZE, RW);
        mm.write().munmap(at - 2 * PAGE_SIZE, PAGE_SIZE).expect("memory");
    }),
    one("munmap of a part, mmap over it", |mm, at| {
        mm.write().munmap(at, PAGE_SIZE).expect("memory");
        map(&mut mm.write(), at, PAGE_SIZE, RW);
    }),
    one("mprotect that splits, that merges", |mm, at| {
        mm.write().mprotect(at, PAGE_SIZE, READ.prot()).expect("memory");
        mm.write().mprotect(at, PAGE_SIZE, RW.prot()).expect("memory");
    }),
    one("mremap that grows, that shrinks", |mm, at| {
        mm.write().mremap(&RemapRequest::resize(at, LEN, LEN + PAGE_SIZE)).expect("room");
        mm.write().mremap(&RemapRequest::resize(at, LEN + PAGE_SIZE, LEN)).expect("memory");
    }),
    one("mremap to the next hole, back", |mm, at| {
        move_to(mm, at, at + 3 * PAGE_SIZE);
        move_to(mm, at + 3 * PAGE_SIZE, at);
    }),
    one("brk up, down", |mm, _| {
        let heap = mm.program_break();
        mm.write().brk(heap + PAGE_SIZE).expect("room");
        mm.write().brk(heap).expect("memory");
    }),
    one("madvise, undone", |mm, at| {
        mm.write().madvise(at, LEN, Advice::DontDump).expect("memory");
        mm.write().madvise(at, LEN, Advice::DoDump).expect("memory");
    }),
    one("mlock, munlock", |mm, at| {
        mm.write().mlock(at, LEN).expect("no limit");
        mm.write().munlock(at, LEN).expect("memory");
    }),
    one("stack mapped, grown, unmapped", |mm, at| {
        map(&mut mm.write(), at - 2 * PAGE_SIZE, PAGE_SIZE, RW | VmaFlags::GROWSDOWN);
        let killed = Interrupt::new();
        drop(mm.handle_fault(at - 4 * PAGE_SIZE, Access::Write, FaultContext::User(&killed)).expect("room"));
        mm.write().munmap(at - 4 * PAGE_SIZE, 3 * PAGE_SIZE).expect("memory");
    }),
    Operation { name: "write after a large drop", touches: Touches::One, measured: Measured::OnAll(after_a_drop) },
    all("mmap of each", |n| timed(|| scattered(n)).1),
    all("munmap of each", |n| {
        let mm = scattered(n);
        timed(|| addresses(n).for_each(|at| mm.write().munmap(at, LEN).expect("memory"))).1
    }),
    all("munmap of all", |n| on(&scattered(n), |writer| writer.munmap(BASE, end(n) - BASE).expect("memory"))),
    all("mprotect of all, which merge", |n| {
        let mm = adjacent(n);
        let took = on(&mm, |writer| writer.mprotect(BASE, n as u64 * PAGE_SIZE, RW.prot()).expect("memory"));
        assert_eq!(mm.len(), 1, "they merge");
        took
    }),
    all("mremap across all", |n| {
        let mm = scattered(n);
        on(&mm, |writer| _ = writer.mremap(&RemapRequest::resize(BASE, LEN, LEN).fixed(end(n))).expect("room"))
    }),
    all("madvise of all", |n| on(&adjacent(n), |writer| writer.madvise(BASE, n as u64 * PAGE_SIZE, Advice::DontDump).expect("memory"))),
    all("mlock of all", |n| on(&adjacent(n), |writer| writer.mlock(BASE, n as u64 * PAGE_SIZE).expect("no limit"))),
    all("munlock of all", |n| {
        let mm = adjacent(n);
        mm.write().mlock(BASE, n as u64 * PAGE_SIZE).expect("no limit");
        on(&mm, |writer| writer.munlock(BASE, n as u64 * PAGE_SIZE).expect("memory"))
    }),
    all("mlockall", |n| on(&scattered(n), |writer| writer.mlockall(LockAll::Current).expect("no limit"))),
    all("munlockall", |n| {
        let mm = scattered(n);
        mm.write().mlockall(LockAll::Current).expect("no limit");
        on(&mm, |writer| writer.munlockall().expect("memory"))
    }),
    all("mseal of all", |n| on(&adjacent(n), |writer| writer.mseal(BASE, n as u64 * PAGE_SIZE).expect("memory"))),
    all("fork", |n| {
        let mm = scattered(n);
        let mut writer = mm.write();
        let (child, took) = timed(|| writer.fork().expect("memory"));
        assert_eq!(child.len(), n);
        took
    }),
    all("exit", |n| on(&scattered(n), |writer| writer.exit().expect("memory"))),
    all("end of the address space", |n| {
        let mm = scattered(n);
        timed(|| drop(mm)).1
    }),
    all("all VMAs, in order", |n| on(&scattered(n), |writer| assert_eq!(writer.iter().count(), n))),
    all("validate", |n| on(&scattered(n), |writer| writer.validate().expect("the invariants hold"))),
    all("areas and `count` lines of a scenario", count_lines),
];

/// Measures all operations, in order.
pub(super) fn measure_all(n: usize) -> impl Iterator<Item = Option<Duration>> {
    let shared = scattered(n);
    ALL.iter().map(move |operation| match operation.measured {
        Measured::AtOne(run) => (0..LAPS).map(|lap| lap_at_one(&shared, n, lap as u64, run)).min(),
        // A long operation is hardly disturbed.
        Measured::OnAll(run) => (0..if n <= 100_000 { LAPS } else { 2 }).map(|_| run(n)).min(),
    })
}

fn lap_at_one(mm: &Mm, n: usize, lap: u64, run: fn(&Mm, u64)) -> Duration {
    let mut random = fastrand::Rng::with_seed(lap);
    let mut address = || BASE + random.u64(1..n as u64 - 1) * STEP;
    // Once without measuring, because a write may do work that earlier writes left.
    run(mm, address());
    let (mut done, mut took) = (0, Duration::ZERO);
    while took < LAP {
        let at: [u64; 16] = std::array::from_fn(|_| address());
        took += timed(|| at.into_iter().for_each(|at| run(mm, at))).1;
        done += 16;
    }
    took / done
}

/// Returns an empty address space without limits. Searches begin at the end of the layout, in which no hole fits.
fn empty(n: usize) -> Mm {
    let mut limits = Limits::default();
    (limits.max_map_count, limits.locked_bytes) = (usize::MAX, u64::MAX);
    (limits.mmap_base, limits.stack_guard_gap_pages) = (end(n), 0);
    let mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    mm.write().set_heap(1 << 30, 1 << 30).expect("inside the address space");
    mm
}

fn map(writer: &mut MmWriteGuard<'_>, at: u64, len: u64, flags: VmaFlags) {
    writer.mmap(&MapRequest::new(len, VmaSpec::anonymous(flags)).fixed(at)).expect("memory");
}

fn addresses(n: usize) -> impl Iterator<Item = u64> {
    (0..n as u64).map(|i| BASE + i * STEP)
}

fn end(n: usize) -> u64 {
    BASE + n as u64 * STEP
}

/// Returns an address space of `n` VMAs with holes between them.
fn scattered(n: usize) -> Mm {
    let mm = empty(n);
    addresses(n).for_each(|at| map(&mut mm.write(), at, LEN, RW));
    mm
}

/// Returns an address space of `n` VMAs of one page each, without holes, in which neighbours have different permissions.
fn adjacent(n: usize) -> Mm {
    let mm = empty(n);
    for i in 0..n as u64 {
        map(&mut mm.write(), BASE + i * PAGE_SIZE, PAGE_SIZE, if i % 2 == 0 { READ } else { RW });
    }
    mm
}

/// Moves one VMA.
fn move_to(mm: &Mm, from: u64, to: u64) {
    mm.write().mremap(&RemapRequest::resize(from, LEN, LEN).fixed(to)).expect("room");
}

fn on(mm: &Mm, run: impl FnOnce(&mut MmWriteGuard<'_>)) -> Duration {
    let mut writer = mm.write();
    timed(|| run(&mut writer)).1
}

/// Returns the time of the slowest write after all VMAs were unmapped beside a pinned reader that has left. It must not depend on the number
/// of VMAs.
fn after_a_drop(n: usize) -> Duration {
    let mm = scattered(n);
    let pin = mm.pin();
    mm.write().munmap(BASE, end(n) - BASE).expect("memory");
    drop(pin);
    let writes = (0..256).map(|i| timed(|| map(&mut mm.write(), BASE + i * STEP, LEN, RW)).1);
    writes.max().unwrap_or_default()
}

/// Returns a scenario that puts `n` areas in place and counts the areas after each.
fn count_lines(n: usize) -> Duration {
    use std::fmt::Write as _;
    let mut text = "vmaple-trace 1\n".to_owned();
    for (at, i) in addresses(n).zip(1..) {
        writeln!(text, "area {at:x}-{:x} rw-p - anon -\ncount {i}", at + LEN).expect("it is a string");
    }
    let reader = Reader::new("growth", Cursor::new(text.into_bytes()));
    let (broken, took) = timed(|| against_library(reader, &mut std::io::sink()).expect("it can be executed"));
    assert_eq!(broken, 0);
    took
}

/// Measures the processor time of a function. No measured operation waits, and other programs do not count.
fn timed<T>(run: impl FnOnce() -> T) -> (T, Duration) {
    let begin = of_this_thread();
    let result = run();
    (result, of_this_thread().saturating_sub(begin))
}

#[allow(unsafe_code, reason = "a system call")]
fn of_this_thread() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0, "every thread has such a clock");
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
