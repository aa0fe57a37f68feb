//! Models of lockless readers and the operations on a layout. Each operation publishes with one store, so a reader sees the layout before
//! or after.
//!
//! Maps are drawn with one letter for each page.

use super::{explore_within, thread};
use std::sync::Arc;
use vmaple::mm::{Advice, Limits, LockAll, LockVmaError, MapRequest, MmWriteGuard, ObjectId, RemapRequest};
use vmaple::{Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

const R: VmaFlags = VmaFlags::READ;
const RW: VmaFlags = R.union(VmaFlags::WRITE);

/// Stands for the heap, which is no object.
const HEAP: VmaFlags = VmaFlags::WRITE;
const MAY: VmaFlags = VmaFlags::MAYREAD.union(VmaFlags::MAYWRITE).union(VmaFlags::MAYEXEC).union(VmaFlags::MAYSHARE);

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

/// Makes the given VMAs: first page, page after the last, flags. Each maps an object of its own, so that none merge and a page that was
/// moved can be identified.
fn mm_of(vmas: &[(u64, u64, VmaFlags)]) -> Arc<Mm> {
    let mut limits = Limits::default();
    limits.huge_page_bytes = 1;
    let mm = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    for &(start, end, flags) in vmas {
        if flags == HEAP {
            mm.write().set_heap(page(start), page(start)).expect("a heap in the address space");
            assert_eq!(mm.write().brk(page(end)), Ok(page(end)));
            continue;
        }
        map(&mut mm.write(), start, end, start, flags);
    }
    Arc::new(mm)
}

fn map(writer: &mut MmWriteGuard<'_>, start: u64, end: u64, object: u64, flags: VmaFlags) {
    let spec = VmaSpec::of_object(ObjectId::new(object).expect("a small number"), 0, flags);
    writer.mmap(&MapRequest::new(page(end) - page(start), spec).fixed(page(start))).expect("memory");
}

/// Returns the object that a page maps and whether it may be written, or `None` if nothing is mapped.
fn look(mm: &Mm, at: u64) -> Option<(u64, bool)> {
    let pin = mm.pin();
    let vma = pin.lookup(page(at))?;
    let vmaple::mm::Backing::Object(object) = vma.backing() else { unreachable!("all are objects") };
    Some((object.number(), vma.flags().contains(VmaFlags::WRITE)))
}

/// Explores readers that call `ask` while a writer runs an operation: the answers are the expected ones, and each of them is seen.
fn beside<T: Ord + Clone + std::fmt::Debug + Send + Sync + 'static>(
    expected: &[T],
    vmas: &'static [(u64, u64, VmaFlags)],
    ask: impl Fn(&Mm) -> T + Copy + Send + Sync + 'static,
    operation: fn(&mut MmWriteGuard<'_>),
) {
    explore_within(Some(3), &expected.iter().cloned().collect(), move || {
        let mm = mm_of(vmas);
        let readers: Vec<_> = (0..if cfg!(vmaple_loom) { 1 } else { 3 })
            .map(|_| {
                let mm = Arc::clone(&mm);
                thread::spawn(move || ask(&mm))
            })
            .collect();
        operation(&mut mm.write());
        mm.write().validate().expect("the invariants hold");
        readers.into_iter().map(|reader| reader.join().expect("it ran to its end")).collect()
    });
}

/// before  AABBCC
/// after   ADDDDC   at no moment is a page unmapped
#[test]
fn a_page_beside_a_fixed_mapping_over_it() {
    beside(&[Some((3, false)), Some((9, false))], &[(1, 3, R), (3, 5, R), (5, 7, R)], |mm| look(mm, 4), |writer| map(writer, 2, 6, 9, R));
}

/// before  .AAA.    the middle becomes writable: three VMAs, then one again
#[test]
fn a_page_beside_a_split_and_a_merge() {
    let there_and_back = |writer: &mut MmWriteGuard<'_>| {
        writer.mprotect(page(2), PAGE_SIZE, RW.prot()).expect("memory");
        writer.mprotect(page(2), PAGE_SIZE, R.prot()).expect("memory");
    };
    let (readable, writable) = (Some((1, false)), Some((1, true)));
    beside(&[readable], &[(1, 4, R)], |mm| look(mm, 1), there_and_back);
    beside(&[readable, writable], &[(1, 4, R)], |mm| look(mm, 2), there_and_back);
    beside(&[readable], &[(1, 4, R)], |mm| look(mm, 3), there_and_back);
}

/// Walks over all VMAs without a lock, and returns their bounds.
fn spans(mm: &Mm) -> Vec<Span> {
    let (pin, mut at, mut met) = (mm.pin(), page(0), Vec::new());
    while let Some(vma) = pin.find(at) {
        met.push(vma.span());
        at = vma.last() + 1;
    }
    met
}

/// Returns the first page of each VMA.
fn walk(mm: &Mm) -> Vec<u64> {
    spans(mm).iter().map(|span| (span.start() - page(0)) / PAGE_SIZE).collect()
}

/// before  AA.BB...
/// after   ...BB.AA   the walk comes to the old place first, so it finds A once or twice, and never misses B
#[test]
fn a_walk_beside_a_move() {
    let moved = |writer: &mut MmWriteGuard<'_>| {
        let (from, len, to) = (page(0), page(2) - page(0), page(6));
        writer.mremap(&RemapRequest::resize(from, len, len).fixed(to)).expect("memory");
    };
    beside(&[vec![0, 3], vec![3, 6], vec![0, 3, 6]], &[(0, 2, R), (3, 5, R)], walk, moved);
}

/// One search that covers both places sees the move as one step: the VMA is at the old place or at the new one.
#[test]
fn one_look_beside_a_move() {
    let moved = |writer: &mut MmWriteGuard<'_>| {
        let (from, len, to) = (page(0), page(2) - page(0), page(6));
        writer.mremap(&RemapRequest::resize(from, len, len).fixed(to)).expect("memory");
    };
    let ask = |mm: &Mm| mm.pin().find(page(0)).map(|vma| (vma.start() - page(0)) / PAGE_SIZE);
    beside(&[Some(0), Some(6)], &[(0, 2, R)], ask, moved);
}

/// Locks a VMA, and checks that it does not change.
fn lock(mm: &Mm) -> Result<u64, LockVmaError> {
    let held = mm.lock_vma(page(2))?;
    let (span, flags) = (held.vma().span(), held.vma().flags());
    for _ in 0..2 {
        let pin = mm.pin();
        let now = pin.lookup(page(2)).expect("a locked VMA is mapped");
        assert!(now == held.vma() && held.vma().is_attached(), "it is the VMA that was locked");
        assert_eq!((now.span(), now.flags()), (span, flags));
    }
    Ok((span.start() - page(0)) / PAGE_SIZE)
}

/// A VMA is locked while it is moved: the writer waits for the reader, or the VMA is busy or gone.
#[test]
fn a_locked_vma_beside_its_move() {
    let expected =
        [Ok(1), Err(LockVmaError::Busy { at: page(2) }), Err(LockVmaError::Absent { at: page(2) })].map(|result| format!("{result:?}"));
    beside(
        &expected,
        &[(1, 4, R)],
        |mm| format!("{:?}", lock(mm)),
        |writer| {
            let len = page(3) - page(0);
            writer.mremap(&RemapRequest::resize(page(1), len, len).fixed(page(8))).expect("memory");
        },
    );
}

/// A VMA is locked while its middle is protected: the reader gets the whole VMA, or the middle, or it is busy.
#[test]
fn a_locked_vma_beside_its_split() {
    let expected = [Ok(1), Ok(2), Err(LockVmaError::Busy { at: page(2) })].map(|result| format!("{result:?}"));
    beside(
        &expected,
        &[(1, 4, R)],
        |mm| format!("{:?}", lock(mm)),
        |writer| {
            writer.mprotect(page(2), PAGE_SIZE, RW.prot()).expect("memory");
        },
    );
}

/// An operation: which pages stay mapped, and whether a reader can see page 2 change.
///
/// ```text
/// before  .AAA.HH.    H is the heap
/// ```
type Beside = (&'static [u64], bool, fn(&mut MmWriteGuard<'_>));

const OPERATIONS: [Beside; 8] = [
    (&[1, 3, 5, 6], true, |writer| writer.munmap(page(2), PAGE_SIZE).expect("memory")),
    (&[1, 2, 3, 5], false, |writer| {
        assert_eq!([8, 6].map(|at| writer.brk(page(at))), [Ok(page(8)), Ok(page(6))]);
    }),
    (&[1, 2, 3, 5, 6], true, |writer| writer.madvise(page(2), PAGE_SIZE, Advice::DontFork).expect("memory")),
    (&[1, 2, 3, 5, 6], true, |writer| writer.mlock(page(2), PAGE_SIZE).expect("memory")),
    (&[1, 2, 3, 5, 6], true, |writer| {
        writer.mlockall(LockAll::Current).expect("memory");
        writer.munlock(page(1), PAGE_SIZE).expect("memory");
    }),
    (&[1, 2, 3, 5, 6], true, |writer| writer.mseal(page(2), PAGE_SIZE).expect("memory")),
    (&[1, 2, 3, 5, 6], false, |writer| drop(writer.fork().expect("memory"))),
    (&[], true, |writer| writer.exit().expect("memory")),
];

/// A page that stays mapped is found, and found on a walk; a locked VMA does not change.
#[test]
fn readers_beside_each_operation() {
    for (stays, is_seen, operation) in OPERATIONS {
        let ask = move |mm: &Mm| {
            let (met, pin) = (spans(mm), mm.pin());
            for at in stays.iter().map(|&at| page(at)) {
                assert!(pin.lookup(at).is_some_and(|vma| vma.span().contains(at)), "{at:#x} was not found");
                assert!(met.iter().any(|span| span.contains(at)), "{at:#x} was not met: {met:?}");
            }
            let now = pin.lookup(page(2)).map(|vma| (vma.span().pages(), vma.flags().difference(MAY)));
            drop(pin);
            _ = lock(mm);
            now != Some((3, R))
        };
        let seen = if is_seen { &[false, true][..] } else { &[false] };
        beside(seen, &[(1, 4, R), (5, 7, HEAP)], ask, operation);
    }
}
