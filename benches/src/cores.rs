//! Which thread runs on which core: the measuring thread on the first that this process may use, its companion on the second.

use core_affinity::CoreId;
use std::sync::{Barrier, OnceLock};
use std::thread;

/// A thread's part in a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The one that measures.
    Main = 0,
    /// The one that runs beside it.
    Companion = 1,
}

fn cores() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    // Asked once, before any thread is held to one core.
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// How many cores this process may use.
#[must_use]
pub fn count() -> usize {
    cores().len()
}

/// Whether each part has a core of its own.
#[must_use]
pub fn are_two() -> bool {
    count() >= 2
}

/// Holds the calling thread to the core of its part, where there are two and the system allows it.
pub fn hold(part: Part) {
    if are_two() {
        core_affinity::set_for_current(cores()[part as usize]);
    }
}

/// Runs two things beside each other, each on its core, and gives back what they made. Each waits at the barrier once when it is ready.
///
/// # Panics
/// If the companion does.
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
