//! Models of the mm lock. The lock is the real one, and sleeps with the checker's primitives. What it guards is a cell of the checker's, so
//! that a missing ordering is found as well as a missing exclusion. The map itself is empty.
//!
//! Stock loom hides some interleavings of a thread that loads a word and then swaps it (tokio-rs/loom#392), and three threads are explored
//! with a bound on preemptions. So each scenario runs under shuttle, too, and `src/lock/model.rs` explores the protocol exhaustively
//! without loom.

#![allow(unsafe_code, reason = "the lock guards a bare cell")]

use super::{explore, explore_bounded, thread};
use std::sync::Arc;
use vmaple::map::{ReadGuard, WriteGuard};
use vmaple::{Interrupt, RangeMap};

#[cfg(vmaple_loom)]
use loom::{cell::UnsafeCell, sync::atomic::AtomicU64, sync::atomic::Ordering::Relaxed};
#[cfg(vmaple_shuttle)]
use shuttle::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the lock guards. For loom it is plain memory, so loom reports every access that no hold orders. For shuttle it is two halves, which
/// differ while a writer changes them.
struct Guarded {
    #[cfg(vmaple_loom)]
    cell: UnsafeCell<u64>,
    #[cfg(vmaple_shuttle)]
    halves: [AtomicU64; 2],
}

// SAFETY: accessed under the lock only, which the models check.
unsafe impl Sync for Guarded {}
// SAFETY: as above.
unsafe impl Send for Guarded {}

#[cfg(vmaple_loom)]
impl Guarded {
    fn new() -> Self {
        Self { cell: UnsafeCell::new(0) }
    }
    fn read(&self, _: &ReadGuard<'_, u64>) -> u64 {
        // SAFETY: loom checks it.
        self.cell.with(|value| unsafe { *value })
    }
    /// Adds one and returns the previous value.
    fn add(&self, _: &mut WriteGuard<'_, u64>) -> u64 {
        // SAFETY: loom checks it.
        let value = self.cell.with_mut(|value| unsafe { &mut *value });
        *value += 1;
        *value - 1
    }
}

#[cfg(vmaple_shuttle)]
impl Guarded {
    fn new() -> Self {
        Self { halves: [AtomicU64::new(0), AtomicU64::new(0)] }
    }
    fn read(&self, _: &ReadGuard<'_, u64>) -> u64 {
        let [a, b] = &self.halves;
        let read = a.load(Relaxed);
        assert_eq!(read, b.load(Relaxed), "a writer holds the lock together with a reader");
        read
    }
    fn add(&self, _: &mut WriteGuard<'_, u64>) -> u64 {
        let [a, b] = &self.halves;
        let was = a.load(Relaxed);
        a.store(was + 1, Relaxed);
        assert_eq!(b.load(Relaxed), was, "two writers hold the lock");
        b.store(was + 1, Relaxed);
        was
    }
}

struct Shared {
    map: RangeMap<u64>,
    guarded: Guarded,
    interrupt: Interrupt,
}

fn shared() -> Arc<Shared> {
    Arc::new(Shared { map: RangeMap::builder().private_epochs().build(), guarded: Guarded::new(), interrupt: Interrupt::new() })
}

fn beside<T: Send + 'static>(shared: &Arc<Shared>, run: impl FnOnce(&Shared) -> T + Send + 'static) -> thread::JoinHandle<T> {
    let shared = Arc::clone(shared);
    thread::spawn(move || run(&shared))
}

fn read(shared: &Shared) -> u64 {
    shared.guarded.read(&shared.map.read())
}

fn write(shared: &Shared) -> u64 {
    shared.guarded.add(&mut shared.map.write())
}

/// Upgrades, or else drops the read hold, takes the write hold and reads again. Returns what was read, what was found when writing, and
/// whether it upgraded.
fn read_then_write(shared: &Shared) -> (u64, u64, bool) {
    let reader = shared.map.read();
    let read = shared.guarded.read(&reader);
    match reader.try_upgrade() {
        Ok(mut writer) => (read, shared.guarded.add(&mut writer), true),
        Err(reader) => {
            assert_eq!(shared.guarded.read(&reader), read, "the read hold is as it was");
            drop(reader);
            (read, write(shared), false)
        }
    }
}

/// Two writers come one after the other.
#[test]
fn writers_exclude_each_other() {
    explore([(0, 1), (1, 0)], || {
        let shared = shared();
        let other = beside(&shared, write);
        let own = write(&shared);
        vec![(own, other.join().expect("it ran to its end"))]
    });
}

/// A reader and a writer: the reader comes before or after.
#[test]
fn a_writer_excludes_a_reader() {
    explore([0, 1], || {
        let shared = shared();
        let reader = beside(&shared, read);
        write(&shared);
        vec![reader.join().expect("it ran to its end")]
    });
}

/// Two writers and a reader wait for one another, and each gets the lock.
#[test]
fn every_waiter_is_served() {
    explore_bounded([0, 1, 2], || {
        let shared = shared();
        let reader = beside(&shared, read);
        let writer = beside(&shared, write);
        write(&shared);
        writer.join().expect("it ran to its end");
        let seen = reader.join().expect("it ran to its end");
        assert_eq!(read(&shared), 2);
        vec![seen]
    });
}

/// An upgrade and a writer: if the upgrade succeeds, what was read is what is found.
#[test]
fn an_upgrade_keeps_what_was_read() {
    // (read, found, upgraded). It fails only because of the writer, and then the lock is handed to the writer first.
    explore([(0, 0, true), (1, 1, true), (0, 1, false)], || {
        let shared = shared();
        let writer = beside(&shared, |shared| _ = write(shared));
        let result = read_then_write(&shared);
        writer.join().expect("it ran to its end");
        assert!(!result.2 || result.0 == result.1, "a writer came between the read hold and the upgrade");
        assert_eq!(read(&shared), 2);
        vec![result]
    });
}

/// Two readers try to upgrade: at most one succeeds, and neither waits for the other.
#[test]
fn two_upgrades_never_both_succeed() {
    // The number of upgrades.
    explore_bounded([0, 1, 2], || {
        let shared = shared();
        let other = beside(&shared, read_then_write);
        let own = read_then_write(&shared);
        let other = other.join().expect("it ran to its end");
        assert_eq!(read(&shared), 2);
        let upgraded = usize::from(own.2) + usize::from(other.2);
        assert!(upgraded < 2 || own.0 != other.0, "both read the same value, and both upgraded");
        vec![upgraded]
    });
}

/// An upgrade, a reader and a waiting writer.
#[test]
fn an_upgrade_beside_a_reader_and_a_writer() {
    explore_bounded([false, true], || {
        let shared = shared();
        let reader = beside(&shared, read);
        let writer = beside(&shared, |shared| _ = write(shared));
        let (read, found, upgraded) = read_then_write(&shared);
        assert!(!upgraded || read == found, "a writer came between the read hold and the upgrade");
        reader.join().expect("it ran to its end");
        writer.join().expect("it ran to its end");
        vec![upgraded]
    });
}

/// A downgrade and a writer: the writer comes before or after both holds, not between them.
#[test]
fn a_downgrade_lets_no_writer_in_between() {
    explore([(0, 1), (1, 2)], || {
        let shared = shared();
        let other = beside(&shared, write);
        let mut writer = shared.map.write();
        let found = shared.guarded.add(&mut writer);
        let reader = writer.downgrade();
        let after = shared.guarded.read(&reader);
        drop(reader);
        other.join().expect("it ran to its end");
        vec![(found, after)]
    });
}

/// A downgrade admits a waiting reader, which finishes while the read hold lasts.
#[test]
fn a_downgrade_admits_waiting_readers() {
    explore([()], || {
        let shared = shared();
        let mut writer = shared.map.write();
        shared.guarded.add(&mut writer);
        let reader = beside(&shared, read);
        let held = writer.downgrade();
        assert_eq!(reader.join().expect("it ran to its end"), 1);
        drop(held);
        vec![()]
    });
}

/// A reader holds the lock, and a writer waits and is interrupted. A second reader, which waited behind the writer, is admitted while the
/// first still holds the lock.
#[test]
fn a_cancelled_writer_admits_the_readers_behind_it() {
    explore_bounded([()], || {
        let shared = shared();
        let held = shared.map.read();
        let writer = beside(&shared, |shared| shared.map.write_interruptible(&shared.interrupt).map(drop).is_err());
        let reader = beside(&shared, read);
        shared.interrupt.raise();
        // Both end while the first hold lasts.
        assert!(writer.join().expect("it ran to its end"), "the writer could not have the lock");
        assert_eq!(reader.join().expect("it ran to its end"), 0);
        // No thread waits any more, so this may upgrade.
        assert!(held.try_upgrade().is_ok());
        vec![()]
    });
}

/// An interrupt and the unlock that hands over to the waiter: it has the lock or it has not, and either way the lock is free in the end.
#[test]
fn an_interrupt_races_with_a_handover() {
    explore_bounded([(false, false), (false, true), (true, false), (true, true)], || {
        let shared = shared();
        let held = shared.map.write();
        let writer = beside(&shared, |shared| shared.map.write_interruptible(&shared.interrupt).is_ok());
        let reader = beside(&shared, |shared| shared.map.read_interruptible(&shared.interrupt).is_ok());
        shared.interrupt.raise();
        drop(held);
        let result = (writer.join().expect("it ran to its end"), reader.join().expect("it ran to its end"));
        assert!(shared.map.try_write().is_some(), "the lock is free");
        vec![result]
    });
}

/// A speculation that validates saw no writer. It reads two words, which the writer changes one after the other under the lock.
fn speculates(change: impl Fn(&Shared, &[AtomicU64; 2]) + Send + Sync + Copy + 'static, expected: &'static [Option<u64>]) {
    explore(expected.iter().copied(), move || {
        let shared = shared();
        let words = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let (changed, theirs) = (Arc::clone(&words), Arc::clone(&shared));
        let writer = thread::spawn(move || change(&theirs, &changed));
        let result = shared.map.speculate().and_then(|speculation| {
            let read = (words[0].load(Relaxed), words[1].load(Relaxed));
            speculation.validate().then_some(read)
        });
        if let Some((a, b)) = result {
            assert_eq!(a, b, "a writer held the lock, and the speculation validates");
        }
        writer.join().expect("it ran to its end");
        assert_eq!(shared.map.write_sequence() % 2, 0, "the sequence ended with the holds");
        vec![result.map(|(a, _)| a)]
    });
}

fn halves(words: &[AtomicU64; 2], value: u64) {
    for word in words {
        word.store(value, Relaxed);
    }
}

#[test]
fn a_speculation_that_validates_saw_no_writer() {
    speculates(
        |shared, words| {
            let _writer = shared.map.write();
            halves(words, 1);
        },
        &[None, Some(0), Some(1)],
    );
}

#[test]
fn a_speculation_sees_an_upgrade() {
    speculates(
        |shared, words| {
            let reader = shared.map.read();
            let _writer = reader.try_upgrade().expect("no other reader, no writer");
            halves(words, 1);
        },
        &[None, Some(0), Some(1)],
    );
}

/// The first hold is downgraded. While it is a read hold a speculation may validate, and a second write hold is detected like the first.
#[test]
fn a_speculation_sees_both_sides_of_a_downgrade() {
    speculates(
        |shared, words| {
            let writer = shared.map.write();
            halves(words, 1);
            let reader = writer.downgrade();
            drop(reader);
            let _writer = shared.map.write();
            halves(words, 2);
        },
        &[None, Some(0), Some(1), Some(2)],
    );
}

/// Four threads use all operations.
#[cfg(vmaple_shuttle)]
#[test]
fn four_threads_mix_all_operations() {
    explore([()], || {
        let shared = shared();
        let others = [0, 1, 2].map(|kind| {
            beside(&shared, move |shared| match kind {
                0 => u64::from(shared.map.write_interruptible(&shared.interrupt).map(|mut writer| shared.guarded.add(&mut writer)).is_ok()),
                1 => {
                    read_then_write(shared);
                    1
                }
                _ => {
                    let mut writer = shared.map.write();
                    let found = shared.guarded.add(&mut writer);
                    let reader = writer.downgrade();
                    assert_eq!(shared.guarded.read(&reader), found + 1, "a writer came between");
                    1
                }
            })
        });
        read(&shared);
        shared.interrupt.raise();
        let wrote = others.map(|other| other.join().expect("it ran to its end")).into_iter().sum::<u64>();
        assert_eq!(read(&shared), wrote);
        vec![()]
    });
}
