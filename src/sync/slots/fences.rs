//! The two fences: a light one for readers and a heavy one for writers.
//!
//! Called by `slot` (light), `domain` (heavy) and `collector` (registration).
//!
//! # What they guarantee
//! A reader stores to its slot, executes a light fence, and loads the links of the index. A writer stores a link, executes a heavy fence,
//! and loads the slots. Then at least one of them sees the other's store: the reader loads the new link, or the writer loads what the
//! reader stored, or something that was stored to the slot later.
//!
//! With two sequentially consistent fences this is a rule of the memory model: one of the two fences comes first in their order, and what
//! was stored before it is seen after the other. So it is built under the checkers, under Miri, and wherever `membarrier` is missing.
//!
//! # The asymmetric pair
//! On Linux the light fence orders only the compiler, and the heavy one is `membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)`: the kernel
//! executes a full barrier on each processor that runs a thread of the process, between the beginning and the end of the call. A thread
//! that does not run executes one when it is switched out or in. So each thread executes a full barrier at one point of its program during
//! the call. The memory model of Rust does not have this; the argument is about instructions.
//!
//! The compiler fence keeps the reader's store before its loads in the order of the instructions. Let `p` be the point at which the reader
//! executes the kernel's barrier. An interrupt comes between two instructions, so there are two cases:
//!
//! * **The store to the slot is before `p`.** The barrier completes the store before the call returns, and the writer loads the slot after
//!   that. It sees this store, or a later one to the same slot.
//! * **The store is after `p`.** So are the loads that follow it. The writer stored the link before the call, and the kernel begins the
//!   call with a full barrier, so the link was visible before `p`. The reader loads the new link.
//!
//! What the reader read from *other* threads before `p`, such as the link to a block of slots that another thread appended, is visible to
//! the writer after the call, too, because full barriers are cumulative.
//!
//! The end of a pin needs no fence: it is a Release store, and the writer that loads it with Acquire sees the reader's accesses as done.
//!
//! # Which pair is used
//! [`register`] decides once for the process. The state goes from `UNKNOWN` to `EXPEDITED` or to `FENCES`, and never changes again. A
//! reader may load any earlier state: then its fence is stronger than it needs to be. A writer never uses the state `UNKNOWN`, because
//! [`heavy`] registers first. So no light fence is a mere compiler fence while a writer relies on sequentially consistent fences. A child
//! of `fork` inherits the registration together with the state.
//!
//! If the kernel refuses the call after it accepted the registration (a filter of system calls that was installed later), [`heavy`] fails.
//! The writer then starts no grace period, and what it retired waits.

use super::super::prim::fence;
use super::super::seeded::seeded;
use super::membarrier;
use crate::error::ResourceError;
use core::sync::atomic::{AtomicU8, Ordering, compiler_fence};

/// Nobody has asked the kernel yet.
const UNKNOWN: u8 = 0;
/// The asymmetric pair.
const EXPEDITED: u8 = 1;
/// Two sequentially consistent fences.
const FENCES: u8 = 2;

/// The state of the process. On lines of its own, because every pin loads it.
#[repr(align(128))]
struct State(AtomicU8);

static STATE: State = State(AtomicU8::new(UNKNOWN));

/// Whether this build may use the asymmetric pair. Neither the checkers nor Miri know the kernel's barrier.
const MAY_BE_EXPEDITED: bool = membarrier::IS_KNOWN && !cfg!(any(vmaple_loom, vmaple_shuttle, miri));

/// Returns whether the asymmetric pair is in use.
#[inline]
pub(super) fn is_expedited() -> bool {
    // Relaxed: see the head of this file; a reader that loads an earlier state has a stronger fence.
    MAY_BE_EXPEDITED && STATE.0.load(Ordering::Relaxed) == EXPEDITED
}

/// Chooses the pair, if that has not happened yet. It may take milliseconds, once in the life of a process.
pub(super) fn register() {
    if !MAY_BE_EXPEDITED || STATE.0.load(Ordering::Relaxed) != UNKNOWN {
        return;
    }
    let state = if membarrier::register() { EXPEDITED } else { FENCES };
    // Relaxed: the kernel's registration has taken effect in all threads. If another thread was first, its choice stands.
    _ = STATE.0.compare_exchange(UNKNOWN, state, Ordering::Relaxed, Ordering::Relaxed);
}

/// The reader's fence, between its store to a slot and its loads of links.
#[inline(always)]
#[allow(clippy::inline_always, reason = "usually no instruction but a load and a branch")]
pub(super) fn light() {
    if !seeded("slots_without_light_fence") {
        execute_light();
    }
}

#[inline(always)]
#[allow(clippy::inline_always, reason = "as above")]
fn execute_light() {
    if is_expedited() {
        // Pairs with the kernel's barrier in `heavy`; see the head of this file.
        compiler_fence(Ordering::SeqCst);
    } else {
        // SeqCst: pairs with the fence in `heavy`.
        fence(Ordering::SeqCst);
    }
}

/// The writer's fence, between its store of a link and its loads of slots.
///
/// # Errors
/// [`ResourceError::OutOfMemory`] if the kernel refuses. Nothing is ordered then.
pub(super) fn heavy() -> Result<(), ResourceError> {
    if seeded("slots_without_heavy_fence") { Ok(()) } else { execute_heavy() }
}

fn execute_heavy() -> Result<(), ResourceError> {
    register();
    if is_expedited() {
        return if membarrier::on_all_processors() { Ok(()) } else { Err(ResourceError::OutOfMemory) };
    }
    // SeqCst: pairs with the fence in `light`.
    fence(Ordering::SeqCst);
    Ok(())
}

#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use std::thread;

    /// Words on lines of their own.
    #[repr(align(128))]
    struct Word(AtomicU64);

    /// Store buffering, by brute force: each round, both threads store to a word of their own and load the other's. At least one of them sees
    /// the other's store. Without the heavy fence both miss it in some of the rounds, on any processor with a store buffer.
    #[test]
    fn at_least_one_side_sees_the_other() {
        let rounds = if cfg!(miri) { 20 } else { 50_000u64 };
        let [mine, theirs, turn, back] = &[const { Word(AtomicU64::new(0)) }; 4];
        // Each thread spins until both are there, a bounded time: if the other is not running, it yields.
        let meet = |word: &Word, round: u64| {
            for spins in 0u32.. {
                if word.0.load(Ordering::Acquire) >= round {
                    break;
                }
                if spins % 1024 == 1023 || cfg!(miri) {
                    thread::yield_now();
                }
                core::hint::spin_loop();
            }
        };
        register();
        // Chosen before the rounds, because even to ask takes longer than a store waits in its buffer.
        let heavy: fn() -> Result<(), ResourceError> = if seeded("slots_without_heavy_fence") { || Ok(()) } else { execute_heavy };
        let (read, wrote) = thread::scope(|threads| {
            let reader = threads.spawn(|| {
                let mut saw = Vec::new();
                for round in 1..=rounds {
                    turn.0.store(round, Ordering::Release);
                    meet(back, round);
                    mine.0.store(round, Ordering::Relaxed);
                    execute_light();
                    saw.push(theirs.0.load(Ordering::Relaxed) >= round);
                }
                saw
            });
            let mut saw = Vec::new();
            for round in 1..=rounds {
                back.0.store(round, Ordering::Release);
                meet(turn, round);
                theirs.0.store(round, Ordering::Relaxed);
                heavy().expect("the kernel executes the barrier");
                saw.push(mine.0.load(Ordering::Relaxed) >= round);
            }
            (reader.join().expect("no panic"), saw)
        });
        let missed = read.iter().zip(&wrote).filter(|(read, wrote)| !**read && !**wrote).count();
        assert_eq!(missed, 0, "rounds of {rounds} in which neither saw the other");
    }
}
