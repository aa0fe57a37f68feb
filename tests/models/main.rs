//! Models: a writer and readers in every interleaving (loom, fan-out 4), or in many random ones (shuttle, the real fan-out).
//!
//! ```text
//! RUSTFLAGS="--cfg vmaple_loom"    cargo test --release --test models
//! RUSTFLAGS="--cfg vmaple_shuttle" cargo test --release --test models
//! ```
//! Without one of the two flags this is empty. Each scenario names the outcomes that may be seen. It fails on any other, and it fails
//! unless each of them *was* seen, so a model that explores nothing cannot pass. `.ci/steps/42-seeded-bugs.sh` checks that the models fail
//! with seeded bugs.
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

/// The threads of an exploration in addition to the writer of the scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// They all run the scenario's reader.
    pub(crate) readers: usize,
    /// They take the same lock, and write where no reader looks.
    pub(crate) writers_elsewhere: u64,
}

/// loom explores everything, so it has two threads; shuttle has more.
const CROWDS: &[Crowd] = if cfg!(vmaple_loom) {
    &[Crowd { readers: 1, writers_elsewhere: 0 }]
} else {
    &[Crowd { readers: 1, writers_elsewhere: 0 }, Crowd { readers: 3, writers_elsewhere: 0 }, Crowd { readers: 3, writers_elsewhere: 2 }]
};

/// Runs a scenario in all interleavings (loom) or in random ones (shuttle), and compares the outcomes with the expected ones.
pub(crate) fn explore<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: impl IntoIterator<Item = T>,
    scenario: impl Fn() -> Vec<T> + Send + Sync + 'static,
) {
    explore_within(None, &expected.into_iter().collect(), scenario);
}

/// Like [`explore`], with each of the crowds.
pub(crate) fn explore_crowds<T: Ord + Clone + Debug + Send + Sync + 'static>(
    expected: impl IntoIterator<Item = T>,
    scenario: fn(Crowd) -> Vec<T>,
) {
    let expected = expected.into_iter().collect();
    for &crowd in CROWDS {
        explore_within(None, &expected, move || scenario(crowd));
    }
}

/// Like [`explore`], for three threads, which loom explores with at most three preemptions (or as many as `VMAPLE_PREEMPTIONS` says).
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
            assert!(allowed.contains(&outcome), "an outcome that was true at no moment: {outcome:?}; allowed: {allowed:?}");
            notes.lock().expect("not poisoned").insert(outcome);
        }
    });
    println!("{} interleavings", runs.load(Ordering::Relaxed));
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(*seen, *expected, "not every allowed outcome was seen: the model explores too little");
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
    // By priorities (PCT): the writer takes many more steps than a reader, so with a random choice at each step it would hardly ever come
    // first.
    shuttle::check_pct(scenario, schedules, 4);
}
