//! Pins threads to cores: the measuring thread to the first core that this process may use, and its companion to the second.

use core_affinity::CoreId;
use std::sync::{Barrier, OnceLock};
use std::thread;

/// A thread's part in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The thread that measures.
    Main = 0,
    /// The thread that runs beside it.
    Companion = 1,
}

fn cores() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    // Read once, before any thread is pinned.
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Returns the number of cores that this process may use.
#[must_use]
pub fn count() -> usize {
    cores().len()
}

/// Returns whether each part has a core of its own.
#[must_use]
pub fn are_two() -> bool {
    count() >= 2
}

/// Pins the calling thread to the core of its part, if there are two cores and the system allows it.
pub fn hold(part: Part) {
    if are_two() {
        core_affinity::set_for_current(cores()[part as usize]);
    }
}

/// Runs two functions on two threads, each on its core, and returns their results. Each waits at the barrier once, when it is ready.
///
/// # Panics
/// If the companion panics.
pub fn beside<A, B: Send>(main: impl FnOnce(&Barrier) -> A, companion: impl FnOnce(&Barrier) -> B + Send) -> (A, B) {
    let ready = Barrier::new(2);
    thread::scope(|threads| {
        let companion = threads.spawn(|| {
            hold(Part::Companion);
            companion(&ready)
        });
        let made = main(&ready);
        (made, companion.join().expect("the companion does not panic"))
    })
}
