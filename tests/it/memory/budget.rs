//! The budget: while a reader is pinned, edits that insert or replace are refused beyond it; removals are counted, and never refused.

use quickcheck::{Arbitrary, Gen, QuickCheck};
use std::sync::Barrier;
use std::thread;
use vmaple::lock::{InterruptedError, Patience};
use vmaple::map::{BudgetPolicy, RemoveEntryError, RemoveError, ReplaceCause, ResourceError, Stats};
use vmaple::mm::{Advice, MapRequest, MmWriteGuard, Prot, RemapRequest};
use vmaple::{ErrorCode, Interrupt, Mm, PAGE_SIZE, RangeMap, Span, VmaFlags, VmaSpec};

const MANY: u64 = if cfg!(miri) { 60 } else { 1000 };
/// Of the removals, one in this many is made.
const STEP: usize = if cfg!(miri) { 5 } else { 1 };
const EAGAIN: i32 = 11;

fn regular(budget_bytes: usize, entries: u64) -> RangeMap<u64> {
    let builder = RangeMap::builder().private_epochs().budget_bytes(budget_bytes);
    builder.build_from((0..entries).map(|i| (10 * i..10 * i + 6, i))).expect("sorted")
}

fn contents(map: &RangeMap<u64>) -> Vec<(Span, u64)> {
    map.read().iter().map(|entry| (entry.span(), *entry.value())).collect()
}

#[test]
fn removals_are_counted_and_never_refused() {
    const BUDGET: usize = if cfg!(miri) { 1_000 } else { 10_000 };
    let map = regular(BUDGET, 3 * MANY);
    let pin = map.pin();
    let mut held = 0;
    for i in (0..MANY).step_by(STEP) {
        // Removes an entry by its address, one by its range, and the middle of one, whose value is cloned.
        assert_eq!(map.write().remove_entry(30 * i).map(|gone| gone.len()), Ok(1), "removal {i}");
        assert_eq!(map.write().remove(30 * i + 10..30 * i + 20).map(|gone| gone.len()), Ok(1), "removal {i}");
        assert_eq!(map.write().remove(30 * i + 22..30 * i + 24).map(|gone| gone.len()), Ok(1), "removal {i}");
        let now = map.stats().held_bytes;
        assert!(now > held, "what removal {i} retired is not counted");
        held = now;
    }
    assert!(held > BUDGET);
    let all = map.write().splice(.., []).map(|gone| gone.len() as u64).map_err(|error| error.cause);
    assert_eq!(all, Ok(3 * MANY - MANY / STEP as u64), "nothing in place of all");
    assert!(map.is_empty() && pin.iter().next().is_none());
    drop(pin);
    assert_eq!(map.reclaim(), 0);
}

/// While a reader is pinned, an edit larger than the budget is refused, even if nothing is held back yet.
#[test]
fn one_large_edit_is_refused_under_a_pin() {
    const LARGE: u64 = if cfg!(miri) { 200 } else { 100_000 };
    let budget = if cfg!(miri) { 1000 } else { 10_000 };
    let map = regular(budget, LARGE);
    let replace = || map.write().replace(0..10 * LARGE, 7).map(|gone| gone.len() as u64).map_err(|error| (error.value, error.cause));
    let pin = map.pin();
    let Err((7, ReplaceCause::Resource(ResourceError::OverBudget { held_bytes: 0, needed_bytes, budget_bytes }))) = replace() else {
        panic!("a pinned reader would hold all of it back")
    };
    assert!(needed_bytes > budget && budget_bytes == budget);
    assert_eq!((map.stats().held_bytes, map.len() as u64), (0, LARGE), "nothing has changed");
    map.write().validate().expect("the invariants hold");
    let mut reader = map.reader();
    assert!(reader.lookup(0).is_some());
    drop(pin);
    assert!(replace().is_err(), "a `Reader` stays pinned after a lookup");
    reader.unpin();
    assert_eq!(replace(), Ok(LARGE), "nobody is pinned: there is nothing to bound");
    assert_eq!((map.len(), map.reclaim()), (1, 0));
}

/// Threads that have ended left their bags in the collector's queue, because a thread was pinned. When no thread is pinned any more, a
/// large edit succeeds at once.
#[test]
#[cfg_attr(miri, ignore = "hundreds of threads")]
fn a_large_edit_is_not_refused_for_threads_that_ended() {
    const LARGE: u64 = 2_000;
    let map = regular(10_000, LARGE);
    let replace = || map.write().replace(0..10 * LARGE, 7).map(|gone| gone.len() as u64).map_err(|error| error.cause);
    let pin = map.pin();
    for _ in 0..300 {
        thread::scope(|scope| _ = scope.spawn(|| assert!(map.pin().lookup(3).is_some())));
    }
    assert!(matches!(replace(), Err(ReplaceCause::Resource(ResourceError::OverBudget { held_bytes: 0, .. }))));
    drop(pin);
    assert_eq!(replace(), Ok(LARGE));
}

/// An edit, or a reader that is pinned or unpinned.
#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(u8),
    Replace(u8, u8),
    Splice(u8, u8),
    ExtendUp(u8, u8),
    Remove(u8, u8),
    RemoveEntry(u8),
    Pin,
    Unpin,
}

impl Arbitrary for Op {
    fn arbitrary(g: &mut Gen) -> Self {
        let (at, len) = (u8::arbitrary(g), u8::arbitrary(g) % 24);
        match u8::arbitrary(g) % 16 {
            0..3 => Self::Insert(at),
            3..6 => Self::Replace(at, len),
            6..8 => Self::Splice(at, len),
            8 => Self::ExtendUp(at, len),
            9..11 => Self::Remove(at, len),
            11..14 => Self::RemoveEntry(at),
            14 => Self::Pin,
            _ => Self::Unpin,
        }
    }
}

impl Op {
    /// Executes the edit. Returns an error only if it was refused for the budget.
    fn on(self, map: &RangeMap<u64>) -> Result<(), ResourceError> {
        let span = |at: u8, len: u8| 10 * u64::from(at)..10 * u64::from(at) + 10 * u64::from(len) + 6;
        let mut writer = map.write();
        match self {
            Self::Insert(at) => writer.insert(span(at, 0), 1).or_else(|error| match error.cause {
                vmaple::map::InsertCause::Resource(error) => Err(error),
                _ => Ok(()),
            }),
            Self::ExtendUp(at, len) => writer.extend_up(span(at, len).start, span(at, len).end).map(drop).or_else(|error| match error {
                vmaple::map::ExtendError::Resource(error) => Err(error),
                _ => Ok(()),
            }),
            Self::Replace(at, len) => writer.replace(span(at, len), 2).map(drop).map_err(|error| match error.cause {
                ReplaceCause::Resource(error) => error,
                other => panic!("{other}"),
            }),
            Self::Splice(at, len) => {
                let entries = span(at, len).step_by(10).map(|start| (Span::new(start, start + 2).expect("three addresses"), 3));
                writer.splice(span(at, len), entries).map(drop).map_err(|error| match error.cause {
                    vmaple::map::SpliceCause::Resource(error) => error,
                    other => panic!("{other}"),
                })
            }
            Self::Remove(at, len) => writer.remove(span(at, len).start + 2..span(at, len).end).map(drop).map_err(|error| match error {
                RemoveError::Resource(error) => error,
                other => panic!("{other}"),
            }),
            Self::RemoveEntry(at) => writer.remove_entry(span(at, 0).start).map(drop).map_err(|error| match error {
                RemoveEntryError::Resource(error) => error,
                other => panic!("{other}"),
            }),
            Self::Pin | Self::Unpin => Ok(()),
        }
    }

    fn removes(self) -> bool {
        matches!(self, Self::Remove(..) | Self::RemoveEntry(_))
    }
}

/// Returns how many bytes the edit retires, from a map without a budget that had the same edits, and is pinned throughout.
fn bytes_of(edit: Op, before: &[Op], entries: u64) -> usize {
    let map = regular(usize::MAX, entries);
    let _pin = map.pin();
    for op in before {
        op.on(&map).expect("no budget");
    }
    let held = map.stats().held_bytes;
    edit.on(&map).expect("no budget");
    map.stats().held_bytes - held
}

/// Compares a map with a model that only counts: it holds retired bytes back while a reader is pinned, and none otherwise.
fn counts(ops: &[Op]) {
    const BUDGET: usize = 6_000;
    const ENTRIES: u64 = 200;
    let map = regular(BUDGET, ENTRIES);
    let (mut pin, mut held, mut done) = (None, 0, Vec::new());
    for &op in ops {
        match op {
            Op::Pin => pin = pin.or_else(|| Some(map.pin())),
            Op::Unpin => pin = None,
            edit => {
                let before = contents(&map);
                let result = edit.on(&map);
                let needed = bytes_of(edit, &done, ENTRIES);
                let fits = held + needed <= BUDGET || needed == 0 || pin.is_none() || edit.removes();
                if fits {
                    assert_eq!(result, Ok(()), "{edit:?} needs {needed} beside {held}");
                    done.push(edit);
                    held += needed;
                } else {
                    let refused = ResourceError::OverBudget { held_bytes: held, needed_bytes: needed, budget_bytes: BUDGET };
                    assert_eq!(result, Err(refused), "{edit:?}");
                    assert!(contents(&map) == before, "{edit:?} was refused, and something changed");
                }
            }
        }
        if pin.is_none() {
            held = map.reclaim();
            assert_eq!(held, 0, "nobody is pinned");
        }
        let Stats { held_bytes, .. } = map.stats();
        assert_eq!(held_bytes, held, "after {op:?}");
    }
}

#[test]
fn any_sequence_agrees_with_plain_counting() {
    let (tests, size) = if cfg!(miri) { (1, 12) } else { (60, 60) };
    QuickCheck::new().rng(Gen::new(size)).tests(tests).quickcheck((|ops: Vec<Op>| counts(&ops)) as fn(Vec<Op>));
}

/// In an address space, operations that only unmap are never refused for the budget, and the others are.
#[test]
fn what_only_unmaps_is_never_refused() {
    const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
    let page = |n: u64| 0x10_0000 + n * PAGE_SIZE;
    let mm: Mm = Mm::builder().private_epochs().budget_bytes(1000).build();
    let mut writer = mm.write();
    for i in 0..2 * MANY {
        let flags = if i % 2 == 0 { RW } else { VmaFlags::READ };
        writer.mmap(&MapRequest::new(4 * PAGE_SIZE, VmaSpec::anonymous(flags)).fixed(page(4 * i))).expect("nobody is pinned");
    }
    writer.set_heap(page(8 * MANY + 8), page(8 * MANY + 8)).expect("a heap in the address space");
    writer.plan(Patience::Never).brk(page(8 * MANY + 16)).commit().expect("nobody is pinned");
    drop(writer);
    mm.reclaim();
    let _pin = mm.pin();
    let refused = |name: &str, result: Result<u64, i32>, mm: &Mm| {
        assert_eq!(result, Err(EAGAIN), "{name} replaces, and the pin holds back what it retires");
        mm.write().validate().expect("the invariants hold");
    };
    let grow = |name, operation: &dyn Fn(&mut MmWriteGuard<'_>) -> Result<u64, i32>| {
        let before: Vec<_> = mm.read().iter().map(|vma| (vma.span(), vma.flags())).collect();
        // Until the budget is used up.
        let result = operation(&mut mm.write());
        refused(name, result, &mm);
        assert_eq!(mm.read().iter().map(|vma| (vma.span(), vma.flags())).collect::<Vec<_>>(), before, "{name}");
    };
    // Each retires a node or two, until no more fit into the budget.
    while mm.write().mprotect(page(1), PAGE_SIZE, Prot::EXEC).is_ok() && mm.write().mprotect(page(1), PAGE_SIZE, RW.prot()).is_ok() {}
    grow("mmap over", &|w| w.mmap(&MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(VmaFlags::EXEC)).fixed(page(9))).map_err(|e| e.errno()));
    grow("mprotect", &|w| w.mprotect(page(9), PAGE_SIZE, Prot::EXEC).map(|()| 0).map_err(|e| e.errno()));
    grow("madvise", &|w| w.madvise(page(9), PAGE_SIZE, Advice::DontFork).map(|()| 0).map_err(|e| e.errno()));
    grow("mlock", &|w| w.mlock(page(9), PAGE_SIZE).map(|()| 0).map_err(|e| e.errno()));
    grow("a move", &|w| w.mremap(&RemapRequest::resize(page(8), PAGE_SIZE, PAGE_SIZE).fixed(page(16 * MANY))).map_err(|e| e.errno()));
    for i in (0..MANY).step_by(STEP) {
        // VMAs have four pages. Unmaps the first page of one, and a page in the middle of the next, which splits it.
        mm.write().munmap(page(8 * i), PAGE_SIZE).expect("removals are never refused");
        mm.write().munmap(page(8 * i + 5), PAGE_SIZE).expect("removals are never refused");
    }
    mm.write().mremap(&RemapRequest::resize(page(6), 2 * PAGE_SIZE, PAGE_SIZE)).expect("it shrinks");
    mm.write().plan(Patience::Never).brk(page(8 * MANY + 9)).commit().expect("it shrinks");
    mm.write().exit().expect("all goes");
    mm.write().validate().expect("the invariants hold");
    assert_eq!(mm.len(), 0);
}

/// With the waiting policy, an interrupt ends a wait for the budget. If the readers have left, there is no wait.
#[test]
fn what_needs_no_wait_for_the_budget_is_not_interrupted() {
    let budget = if cfg!(miri) { 4 << 10 } else { 32 << 10 };
    let builder = RangeMap::builder().private_epochs().budget_bytes(budget).policy(BudgetPolicy::Wait);
    let map = builder.build_from((0..40u64).map(|i| (10 * i..10 * i + 6, i))).expect("sorted");
    let interrupt = Interrupt::new();
    let over_half = || {
        while map.stats().held_bytes <= budget / 2 {
            map.write().replace(20..26, 1).expect("below the half");
        }
    };
    interrupt.raise();
    let pin = map.pin();
    over_half();
    drop(pin);
    map.write_interruptible(&interrupt).expect("all readers have left").replace(20..26, 2).expect("they have");

    // Another thread is pinned, so the writer would have to wait.
    let (pinned, refused) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|threads| {
        threads.spawn(|| {
            let pin = map.pin();
            pinned.wait();
            refused.wait();
            drop(pin);
        });
        pinned.wait();
        over_half();
        assert_eq!(map.write_interruptible(&interrupt).map(drop), Err(InterruptedError::new()));
        assert!(map.try_write().is_some(), "nothing is held");
        refused.wait();
    });
    drop(map.write_interruptible(&interrupt).expect("they have left again"));
}
