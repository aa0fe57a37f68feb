//! Models: one writer beside readers, every interleaving (loom, fan-out 4) or many random ones (shuttle, the real fan-out).
//!
//! ```text
//! RUSTFLAGS="--cfg vmaple_loom"    cargo test --release --test models
//! RUSTFLAGS="--cfg vmaple_shuttle" cargo test --release --test models
//! ```
//! Without one of the two flags there is nothing here. Each scenario says which outcomes may be seen, fails on any other, and fails too
//! unless every one of them *was* seen: a model that explores nothing cannot pass. Each is known to see: `.ci/steps` runs them with
//! bugs seeded on purpose, and expects them to fail.
#![cfg(any(vmaple_loom, vmaple_shuttle))]

mod fault;
mod layout;
mod limits;
mod lock;
mod scenarios;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[cfg(vmaple_loom)]
pub(crate) use loom::thread;
#[cfg(vmaple_shuttle)]
pub(crate) use shuttle::thread;

/// The library's fan-out in this build.
pub(crate) const FANOUT: u64 = if cfg!(vmaple_loom) { 4 } else { 16 };

/// Who is there in an exploration, beside the writer of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// They all ask the same.
    pub(crate) readers: usize,
    /// They wait for the same lock, and write where nobody asks.
    pub(crate) writers_elsewhere: u64,
}

/// loom explores everything, so there are two threads; shuttle has room for more.
const CROWDS: &[Crowd] = if cfg!(vmaple_loom) {
    &[Crowd { readers: 1, writers_elsewhere: 0 }]
} else {
    &[Crowd { readers: 1, writers_elsewhere: 0 }, Crowd { readers: 3, writers_elsewhere: 0 }, Crowd { readers: 3, writers_elsewhere: 2 }]
};

/// Runs a scenario in all interleavings (loom) or in random ones (shuttle), and compares what was seen with what is to be seen.
pub(crate) fn explore<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: impl IntoIterator<Item = T>,
    scenario: impl Fn() -> Vec<T> + Send + Sync + 'static,
) {
    explore_within(None, &expected.into_iter().collect(), scenario);
}

/// The same with each of the crowds.
pub(crate) fn explore_crowds<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: impl IntoIterator<Item = T>,
    scenario: fn(Crowd) -> Vec<T>,
) {
    let expected = expected.into_iter().collect();
    for &crowd in CROWDS {
        explore_within(None, &expected, move || scenario(crowd));
    }
}

/// The same for three threads, which loom explores with three preemptions at most (`VMAPLE_PREEMPTIONS` says otherwise).
pub(crate) fn explore_bounded<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: impl IntoIterator<Item = T>,
    scenario: impl Fn() -> Vec<T> + Send + Sync + 'static,
) {
    explore_within(Some(3), &expected.into_iter().collect(), scenario);
}

fn explore_within<T: Ord + Clone + Debug + Send + Sync + 'static>(
    preemptions: Option<usize>,
    expected: &BTreeSet<T>,
    scenario: impl Fn() -> Vec<T> + Send + Sync + 'static,
) {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let (notes, allowed) = (Arc::clone(&seen), expected.clone());
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    check(preemptions, move || {
        count.fetch_add(1, Ordering::Relaxed);
        for outcome in scenario() {
            assert!(allowed.contains(&outcome), "seen: {outcome:?}, which was true at no moment; allowed: {allowed:?}");
            notes.lock().expect("no panic while noting").insert(outcome);
        }
    });
    println!("{} interleavings", runs.load(Ordering::Relaxed));
    let seen = seen.lock().expect("no panic while noting");
    assert_eq!(*seen, *expected, "not everything that may be seen was seen: the model explores too little");
}

#[cfg(vmaple_loom)]
fn check(preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 100_000;
    builder.preemption_bound = std::env::var("VMAPLE_PREEMPTIONS").ok().and_then(|bound| bound.parse().ok()).or(preemptions);
    builder.check(scenario);
}

#[cfg(vmaple_shuttle)]
fn check(_preemptions: Option<usize>, scenario: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("VMAPLE_SCHEDULES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    // By priorities (PCT): the writer takes many more steps than a reader, and a coin at each would let it hardly ever come first.
    shuttle::check_pct(scenario, schedules, 4);
}
