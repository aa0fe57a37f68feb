//! `lock`: the cost of taking the lock, in four ways by one thread, and by two threads that only write. The lock protects nothing, so the number
//! of regions makes no difference, and the rows stop at a thousand.

use crate::cores;
use crate::subjects::locks::{Guarded, Lock, Raw, Retaken};
use crate::workload::{Bench, Candidate, Lap, Measure, Pace, Workload};
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) const READ: Workload =
    Workload { name: "lock", row: "lock-read", writer_row: None, threads: 1, measure: Measure::Laps(reads), left_out: &[] };

pub(super) const WRITE: Workload = Workload { row: "lock-write", measure: Measure::Laps(writes), ..READ };

pub(super) const UPGRADE: Workload = Workload {
    row: "lock-upgrade",
    measure: Measure::Laps(upgrades),
    left_out: &[("std-rwlock's upgrade", "it has none: the lock is released and taken again")],
    ..READ
};

pub(super) const DOWNGRADE: Workload = Workload { row: "lock-downgrade", measure: Measure::Laps(downgrades), ..READ };

/// The worst case for a lock that is handed over.
pub(super) const WRITE_2: Workload = Workload { row: "lock-write-2", threads: 2, measure: Measure::Laps(writes_of_two), ..READ };

/// The most regions to measure with: more would only repeat the rows.
const LIMIT: usize = 1_000;

/// Lists the locks with a method of each. The method is given by name, so that the call can be inlined.
macro_rules! with_locks {
    ($bench:ident, $once:ident: $($lock:ty),*) => {
        vec![$(Candidate {
            name: <$lock as Lock>::NAME,
            limit: LIMIT,
            make: |_| Box::new($bench { lock: <$lock>::default(), once: <$lock as Lock>::$once }),
        }),*]
    };
}

type ParkingLot = parking_lot::RwLock<()>;
type Std = std::sync::RwLock<()>;

fn reads() -> Vec<Candidate> {
    with_locks!(Uncontended, read: Guarded, Raw, ParkingLot, Std)
}

fn writes() -> Vec<Candidate> {
    with_locks!(Uncontended, write: Guarded, Raw, ParkingLot, Std)
}

fn upgrades() -> Vec<Candidate> {
    with_locks!(Uncontended, read_then_write: Guarded, Retaken, Raw, ParkingLot, Std)
}

fn downgrades() -> Vec<Candidate> {
    with_locks!(Uncontended, write_then_read: Guarded, Raw, ParkingLot, Std)
}

fn writes_of_two() -> Vec<Candidate> {
    with_locks!(Contended, write: Guarded, Raw, ParkingLot, Std)
}

struct Uncontended<L, F> {
    lock: L,
    once: F,
}

impl<L: Lock, F: Fn(&L)> Uncontended<L, F> {
    fn run(&self, ops: u64) {
        for _ in 0..ops {
            (self.once)(&self.lock);
        }
    }
}

impl<L: Lock, F: Fn(&L)> Bench for Uncontended<L, F> {
    fn lap(&mut self, ops: u64) -> Lap {
        self.run(ops / 2);
        Pace::of(ops, || self.run(ops)).into()
    }
}

struct Contended<L, F> {
    lock: L,
    once: F,
}

impl<L: Lock, F: Fn(&L) + Sync> Bench for Contended<L, F> {
    fn lap(&mut self, ops: u64) -> Lap {
        let stop = AtomicBool::new(false);
        let (pace, ()) = cores::beside(
            |ready| {
                ready.wait();
                let pace = Pace::of(ops, || (0..ops).for_each(|_| (self.once)(&self.lock)));
                // Relaxed, here and below: it publishes nothing.
                stop.store(true, Ordering::Relaxed);
                pace
            },
            |ready| {
                ready.wait();
                while !stop.load(Ordering::Relaxed) {
                    (self.once)(&self.lock);
                }
            },
        );
        pace.into()
    }
}
