//! Readers on other threads during every operation: they find every page that is mapped throughout, they see the old or the new mapping of
//! pages that are replaced or moved, and a VMA that they lock does not change.
//!
//! ```text
//! page    0...4.......12......20......28......36
//! always      SS              SS                    its flags change, and with them its VMAs
//! fixed               FFFF                          mapped again and again
//! moved                               M<------>M    alone from page 28 on
//! ```

use crate::support::Ends;
use crate::support::address_space::{RW, bytes, page};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use vmaple::mm::{Advice, Backing, Limits, LockAll, MapRequest, MmWriteGuard, ObjectId, Prot, RemapRequest};
use vmaple::{Mm, PAGE_SIZE, VmaFlags, VmaSpec};

const ALWAYS: [u64; 4] = [4, 5, 20, 21];
const FIXED: [u64; 4] = [12, 13, 14, 15];
const MOVED: [u64; 2] = [28, 36];

fn map(writer: &mut MmWriteGuard<'_>, at: u64, len: u64, object: u64, flags: VmaFlags) {
    let spec = VmaSpec::of_object(ObjectId::new(object).expect("a small number"), 0, flags);
    writer.mmap(&MapRequest::new(bytes(len), spec).fixed(page(at))).expect("memory");
}

/// Executes every operation whose effect can be undone.
fn write(mm: &Mm, round: u64) {
    let mut writer = mm.write();
    let steady = page(if round.is_multiple_of(2) { 4 } else { 20 });
    let [low, high] = MOVED;
    let (from, to) = if round.is_multiple_of(2) { (low, high) } else { (high, low) };
    map(&mut writer, 12, 4, 2 + round % 2, VmaFlags::READ);
    map(&mut writer, 13, 2, 4 + round % 2, RW);
    writer.mprotect(steady, bytes(1), RW.prot()).expect("memory");
    writer.mlock(steady, bytes(2)).expect("memory");
    map(&mut writer, 6, 2, 9, RW);
    drop(writer);
    let mut writer = mm.write();
    writer.mremap(&RemapRequest::resize(page(from), bytes(2), bytes(2)).fixed(page(to))).expect("memory");
    writer.madvise(steady, bytes(2), Advice::DontDump).expect("memory");
    writer.mremap(&RemapRequest::resize(page(6), bytes(2), bytes(1))).expect("memory");
    writer.mremap(&RemapRequest::resize(page(6), bytes(1), bytes(3))).expect("memory");
    writer.munmap(page(6), bytes(3)).expect("memory");
    writer.brk(page(1) + round % 2 * bytes(1)).expect("room");
    drop(writer);
    let mut writer = mm.write();
    writer.munlock(steady, bytes(2)).expect("memory");
    writer.madvise(steady, bytes(2), Advice::DoDump).expect("memory");
    writer.mprotect(steady, bytes(2), Prot::READ).expect("memory");
    writer.mlockall(LockAll::Current).expect("memory");
    writer.munlockall().expect("memory");
    assert_eq!(writer.fork().expect("memory").len(), mm.len());
}

/// Checks every range once.
fn read(mm: &Mm, round: usize) {
    let pin = mm.pin();
    for at in ALWAYS.into_iter().chain(FIXED) {
        let vma = pin.lookup(page(at)).unwrap_or_else(|| panic!("page {at} is mapped at every moment"));
        assert!(vma.span().contains(page(at)));
        let Backing::Object(object) = vma.backing() else { panic!("page {at} is of an object") };
        let object = object.number();
        assert!(if FIXED.contains(&at) { (2..6).contains(&object) } else { object == 1 }, "page {at} shows object {object}");
    }
    // Nothing else is above page 22, so one search covers both places.
    let moved = pin.find(page(MOVED[0])).expect("it is at the one place or at the other");
    assert!(MOVED.contains(&((moved.start() - page(0)) / PAGE_SIZE)) && moved.last() + 1 - moved.start() == bytes(2), "{moved:?}");
    // A walk from VMA to VMA finds no hole in these runs.
    for run in [4..6, 12..16, 20..22] {
        let mut at = page(run.start);
        while at < page(run.end) {
            let vma = pin.find(at).filter(|vma| vma.start() <= at).unwrap_or_else(|| panic!("a hole at {at:#x}"));
            at = vma.last() + 1;
        }
    }
    drop(pin);
    lock(mm, page(ALWAYS[round % 4]));
}

/// Checks that a VMA does not change while it is locked.
fn lock(mm: &Mm, at: u64) {
    if let Ok(held) = mm.lock_vma(at) {
        for _ in 0..8 {
            let pin = mm.pin();
            let now = pin.lookup(at).expect("a VMA that is locked is mapped");
            assert_eq!(now, held.vma(), "a VMA that is locked changed");
        }
    }
}

/// Runs two readers, each with a state of its own, until the writer's rounds are over.
fn beside<S: Default>(mm: &Mm, rounds: u64, write: impl Fn(&Mm, u64), read: impl Fn(&Mm, usize, &mut S) + Sync) {
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&ended);
        for reader in 0..2 {
            let (ended, read) = (&ended, &read);
            scope.spawn(move || {
                let mut seen = S::default();
                for round in reader.. {
                    read(mm, round, &mut seen);
                    if ended.load(Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        (0..rounds).for_each(|round| write(mm, round));
    });
    mm.write().validate().expect("the invariants hold");
}

fn empty() -> Mm {
    let mut limits = Limits::default();
    limits.locked_bytes = u64::MAX;
    Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build()
}

/// `mseal` and `exit` cannot be undone. In each life of the address space, memory is mapped, sealed in part, and unmapped by `exit`; the
/// next life has other objects. Readers see the lives in their order, each whole until it ends, and a sealed page stays sealed.
///
/// ```text
/// page    0...4.......12......20
/// life        AAAA            BB      A is mapped first; page 5 is sealed; `exit` unmaps all in one step
/// ```
#[test]
#[cfg_attr(miri, ignore = "it takes Miri minutes; loom and shuttle have models of both")]
fn readers_beside_mseal_and_exit() {
    let live = |mm: &Mm, life| {
        let mut writer = mm.write();
        map(&mut writer, 4, 4, life, RW);
        map(&mut writer, 20, 2, life, RW);
        drop(writer);
        mm.write().mseal(page(5), bytes(1)).expect("it is mapped");
        mm.write().exit().expect("memory");
    };
    let look = |mm: &Mm, round: usize, seen: &mut [(u64, bool); 3]| {
        let pin = mm.pin();
        // In the reverse order of mapping: a reader that sees the last VMA then sees the first, of this life or a later one, or nothing.
        let mut last = 0;
        for (seen, at) in seen.iter_mut().zip([20, 5, 4]) {
            let Some(vma) = pin.lookup(page(at)) else { continue };
            let Backing::Object(life) = vma.backing() else { panic!("page {at} is of an object") };
            let life = life.number();
            let now = (life, vma.flags().contains(VmaFlags::SEALED));
            assert!(now >= *seen && life >= last, "page {at} shows {now:?} after {seen:?}, and of life {last}");
            assert!(at == 5 || !now.1, "page {at} is sealed");
            (*seen, last) = (now, life);
        }
        drop(pin);
        lock(mm, page([4, 5, 20][round % 3]));
    };
    beside(&empty(), 2000, live, look);
}

#[test]
#[cfg_attr(miri, ignore = "it takes Miri minutes; loom and shuttle have models of all of them")]
fn readers_beside_every_operation() {
    let mm = empty();
    let mut writer = mm.write();
    writer.set_heap(page(1), page(1)).expect("a heap in the address space");
    map(&mut writer, 4, 2, 1, VmaFlags::READ);
    map(&mut writer, 20, 2, 1, VmaFlags::READ);
    map(&mut writer, 12, 4, 2, VmaFlags::READ);
    map(&mut writer, MOVED[0], 2, 7, RW);
    drop(writer);
    // After two rounds the layout is the one before them.
    beside(&mm, 800, write, |mm, round, (): &mut ()| read(mm, round));
}
