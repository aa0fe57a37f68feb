//! A reader beside a writer in every interleaving, with two sequentially consistent fences. `bash .ci/steps/40-loom.sh` runs these after
//! `tests/models`.
//!
//! A link leads to one of two nodes. The writer sets it from the first to the second, and frees the first after a grace period, by a write
//! to it. loom fails a model in which that write is not ordered after every read of the first node.

#![allow(unsafe_code, reason = "loom's cells")]

use super::super::prim::AtomicU64;
use super::super::seeded::seeded;
use super::domain::{Claim, Domain, Grace, SLOTS};
use core::sync::atomic::Ordering;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use std::collections::BTreeSet;
use std::sync::Mutex;

struct World {
    domain: Domain,
    link: AtomicU64,
    nodes: [UnsafeCell<u64>; 2],
}

impl World {
    fn new() -> Self {
        Self { domain: Domain::new(), link: AtomicU64::new(0), nodes: [UnsafeCell::new(0), UnsafeCell::new(1)] }
    }

    fn claim(&self, tag: u64) -> Claim<'_> {
        self.domain.claim_or_grow(tag, 0).expect("memory")
    }

    /// Reads the node that the link leads to, pinned. Returns its number.
    fn ask(&self) -> u64 {
        let found = self.link.load(Ordering::Acquire);
        let node = &self.nodes[usize::try_from(found).expect("of two")];
        // SAFETY: the writer changes it only after a grace period; loom checks that.
        assert_eq!(node.with(|node| unsafe { *node }), found, "the node was freed");
        found
    }

    /// Unlinks the first node, and frees it if a grace period is over soon. Returns whether it did.
    fn replace(&self) -> bool {
        let mut grace = Grace::NONE;
        if seeded("slots_stamp_before_unlink") {
            self.domain.start_grace_period(&mut grace).expect("fences");
            self.link.store(1, Ordering::Release);
        } else {
            self.link.store(1, Ordering::Release);
            self.domain.start_grace_period(&mut grace).expect("fences");
        }
        let is_over = (0..2).any(|_| self.domain.is_over(&mut grace));
        if is_over {
            // SAFETY: no reader can reach it any more; loom checks that.
            self.nodes[0].with_mut(|node| unsafe { *node = 7 });
        }
        is_over
    }
}

/// Runs a reader beside the writer in every interleaving. Some must let the writer free the node, and others must not.
fn beside_a_writer(set_up: fn(&World), reader: impl Fn(&World) + Send + Sync + 'static) {
    let (freed, reader) = (std::sync::Arc::new(Mutex::new(BTreeSet::new())), std::sync::Arc::new(reader));
    let notes = std::sync::Arc::clone(&freed);
    loom::model(move || {
        let world = Arc::new(World::new());
        set_up(&world);
        let (other, reader) = (Arc::clone(&world), std::sync::Arc::clone(&reader));
        let reading = thread::spawn(move || reader(&other));
        notes.lock().expect("no panic").insert(world.replace());
        reading.join().expect("no panic in a model");
    });
    assert_eq!(freed.lock().expect("no panic").len(), 2, "the node was freed in some interleavings, and not in others");
}

/// Two maps retire through one domain: an epoch above a stamp is from after that stamp's unlinking, whichever writer added to it.
#[test]
fn a_reader_beside_two_writers() {
    let freed = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
    let notes = std::sync::Arc::clone(&freed);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let world = Arc::new(World::new());
        let reader = Arc::clone(&world);
        let reading = thread::spawn(move || asks_pinned(&reader, &reader.claim(1)));
        let second = Arc::clone(&world);
        let retiring = thread::spawn(move || {
            let mut grace = Grace::NONE;
            second.domain.start_grace_period(&mut grace).expect("fences");
        });
        notes.lock().expect("no panic").insert(world.replace());
        reading.join().expect("no panic in a model");
        retiring.join().expect("no panic in a model");
    });
    assert_eq!(freed.lock().expect("no panic").len(), 2, "the node was freed in some interleavings, and not in others");
}

/// Asks under a pin.
fn asks_pinned(world: &World, claim: &Claim<'_>) -> u64 {
    claim.slot().pin(claim.epoch());
    let found = world.ask();
    claim.slot().unpin();
    found
}

#[test]
fn a_reader_pins_twice() {
    beside_a_writer(
        |_| {},
        |world| {
            let claim = world.claim(1);
            let first = asks_pinned(world, &claim);
            assert!(first <= asks_pinned(world, &claim), "an answer goes back in time");
        },
    );
}

#[test]
fn a_reader_repins() {
    beside_a_writer(
        |_| {},
        |world| {
            let claim = world.claim(1);
            for _ in 0..2 {
                claim.slot().repin(claim.epoch());
                world.ask();
            }
            claim.slot().unpin();
        },
    );
}

#[test]
fn an_inner_pin_ends_before_the_outer_one() {
    beside_a_writer(
        |_| {},
        |world| {
            let claim = world.claim(1);
            claim.slot().pin(claim.epoch());
            let first = world.ask();
            let second = asks_pinned(world, &claim);
            assert!(first <= second && second <= world.ask(), "an answer goes back in time");
            claim.slot().unpin();
        },
    );
}

/// The reader's slot is the last of the first block, because the others are claimed.
#[test]
fn a_reader_in_the_last_slot() {
    beside_a_writer(
        |world| (1..SLOTS as u64).for_each(|tag| std::mem::forget(world.claim(tag))),
        |world| {
            let claim = world.claim(9);
            assert_eq!(claim.place, SLOTS - 1);
            asks_pinned(world, &claim);
        },
    );
}

/// The reader appends a block for its slot while the writer looks.
#[test]
fn a_reader_in_a_new_block() {
    beside_a_writer(
        |world| (1..=SLOTS as u64).for_each(|tag| std::mem::forget(world.claim(tag))),
        |world| {
            let claim = world.claim(9);
            assert_eq!(claim.place, SLOTS);
            asks_pinned(world, &claim);
        },
    );
}

/// A slot goes from owner to owner.
#[test]
fn a_slot_is_claimed_again() {
    beside_a_writer(
        |_| {},
        |world| {
            for tag in 1..=2 {
                let claim = world.claim(tag);
                assert_eq!(claim.place, 0);
                asks_pinned(world, &claim);
            }
        },
    );
}

/// A handler interrupts a reader between two steps of its pin or unpin, and asks by the same slot: every point, each in every interleaving.
#[test]
fn a_handler_between_any_two_steps() {
    const STEPS: u32 = 8;
    for point in 0..STEPS {
        beside_a_writer(
            |_| {},
            move |world| {
                let (claim, step) = (world.claim(1), std::cell::Cell::new(0));
                let handler = || {
                    if step.replace(step.get() + 1) == point {
                        asks_pinned(world, &claim);
                    }
                };
                claim.slot().pin_in_steps(claim.epoch(), handler);
                world.ask();
                claim.slot().unpin_in_steps(handler);
                assert_eq!(step.get(), STEPS, "each point was reached");
            },
        );
    }
}
