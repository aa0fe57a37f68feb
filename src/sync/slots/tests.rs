//! What the models do not have: handlers at every point of every operation with a grace period at each, slots that run out, and real
//! threads.

#![allow(unsafe_code, reason = "a fork")]

use super::domain::{Block, Claim, Domain, Grace, SLOTS};
use super::slot::Slot;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

fn claim(domain: &Domain, tag: u64) -> Claim<'_> {
    domain.claim_or_grow(tag, 0).expect("memory")
}

fn started(domain: &Domain) -> Grace {
    let mut grace = Grace::NONE;
    domain.start_grace_period(&mut grace).expect("the kernel executes the barrier");
    grace
}

/// The number of nested pins in a word.
fn pins(slot: &Slot) -> u64 {
    slot.word() & 0xfff
}

#[test]
fn a_grace_period_waits_for_those_that_were_pinned_before_it() {
    let domain = Domain::new();
    let mut none = Grace::NONE;
    assert!(domain.is_over(&mut none), "none was started");
    let (first, second) = (claim(&domain, 1), claim(&domain, 2));
    assert!(domain.is_over(&mut started(&domain)), "all at rest");
    first.slot().pin(first.epoch());
    let mut grace = started(&domain);
    second.slot().pin(second.epoch());
    assert!(!domain.is_over(&mut grace));
    let mut next = started(&domain);
    first.slot().repin(first.epoch());
    assert!(domain.is_over(&mut grace), "the second came after it, and the first came back after it");
    assert!(!domain.is_over(&mut next), "the second came before this one");
    second.slot().unpin();
    assert!(domain.is_over(&mut next) && domain.is_over(&mut next));
    first.slot().unpin();
}

#[test]
fn nested_pins_are_one_pin_until_the_last_ends() {
    let domain = Domain::new();
    let claim = claim(&domain, 1);
    let slot = claim.slot();
    slot.pin(claim.epoch());
    let first = slot.word();
    let mut grace = started(&domain);
    slot.pin(claim.epoch());
    slot.repin(claim.epoch());
    assert_eq!(slot.word(), first + 1, "the epoch of the outer pin stays");
    slot.unpin();
    assert_eq!(slot.word(), first);
    assert!(!domain.is_over(&mut grace) && domain.is_pinned(1));
    slot.unpin();
    assert!(domain.is_over(&mut grace) && !domain.is_pinned(1));
}

#[test]
fn a_slot_that_was_pinned_too_often_stays_pinned() {
    let domain = Domain::new();
    let owner = claim(&domain, 1);
    (0..5000).for_each(|_| owner.slot().pin(owner.epoch()));
    (0..5000).for_each(|_| owner.slot().unpin());
    assert!(pins(owner.slot()) > 0);
    drop(owner);
    assert!(domain.is_pinned(1), "and claimed");
    assert_eq!(claim(&domain, 2).place, 1);
}

#[test]
fn slots_run_out_and_more_are_found() {
    static PROVIDED: Block = Block::new();
    let domain = Domain::new();
    let claims: Vec<_> = (1..=SLOTS as u64).map(|tag| domain.claim(tag, 3).expect("free")).collect();
    assert_eq!(claims.iter().map(|claim| claim.place).take(3).collect::<Vec<_>>(), [3, 4, 5], "from the place to the end");
    assert!(domain.claim(99, 3).is_none(), "all are claimed");
    assert!(domain.provide(&PROVIDED), "the embedder's");
    assert!(!domain.provide(&PROVIDED) && !Domain::new().provide(&PROVIDED), "once in one domain");
    let theirs: Vec<_> = (0..SLOTS as u64).map(|i| domain.claim(100 + i, usize::MAX).expect("free")).collect();
    assert!(domain.claim(99, 0).is_none());
    let allocated = domain.claim_or_grow(200, 5).expect("memory");
    assert_eq!(allocated.place, 2 * SLOTS);
    // Each of them is waited for.
    for claim in claims.iter().chain(&theirs).chain([&allocated]) {
        claim.slot().pin(claim.epoch());
        let mut grace = started(&domain);
        assert!(!domain.is_over(&mut grace), "{}", claim.place);
        claim.slot().unpin();
        assert!(domain.is_over(&mut grace), "{}", claim.place);
    }
    drop(claims);
    assert_eq!(domain.claim(300, SLOTS).expect("free").place, 2 * SLOTS + 1, "from the place to the end");
    assert_eq!(domain.claim(301, 3 * SLOTS).expect("free").place, 0, "then from the beginning");
}

/// The handler starts a grace period, asks under a pin, starts another, and leaves the word as it found it. Whatever it interrupts does what
/// it would have done, except that the epoch may be an older one; and what must wait for it waits.
#[test]
fn a_handler_may_interrupt_any_operation_anywhere() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Operation {
        Pin,
        Repin,
        Unpin,
    }
    use Operation::{Pin, Repin, Unpin};
    let mut points = 0;
    // What was pinned before, and whether the epoch has advanced since.
    for (before, advanced) in [(0, false), (1, false), (1, true), (2, false), (2, true)] {
        for operation in [Pin, Repin, Unpin] {
            if (operation, before) == (Unpin, 0) {
                continue;
            }
            for point in 0.. {
                let domain = Domain::new();
                let claim = claim(&domain, 1);
                let slot = claim.slot();
                (0..before).for_each(|_| slot.pin(claim.epoch()));
                if advanced {
                    _ = started(&domain);
                }
                let (old, graces, step) = (slot.word(), Cell::new(None), Cell::new(0));
                let handler = || {
                    if step.replace(step.get() + 1) != point {
                        return;
                    }
                    let found = slot.word();
                    let mut one = started(&domain);
                    assert_eq!(domain.is_over(&mut one), found == 0, "{operation:?} at {point}");
                    slot.pin(claim.epoch());
                    let mut two = started(&domain);
                    assert!(!domain.is_over(&mut two), "the handler is pinned");
                    slot.unpin();
                    assert_eq!(slot.word(), found, "the handler leaves it as it was");
                    assert_eq!(domain.is_over(&mut two), found == 0);
                    graces.set(Some((one, two)));
                };
                match operation {
                    Pin => slot.pin_in_steps(claim.epoch(), handler),
                    Repin => slot.repin_in_steps(claim.epoch(), handler),
                    Unpin => slot.unpin_in_steps(handler),
                }
                let Some((mut one, mut two)) = graces.take() else { break };
                points += 1;
                let expected = match operation {
                    Pin => before + 1,
                    Repin => before.max(1),
                    Unpin => before - 1,
                };
                assert_eq!(pins(slot), expected, "{operation:?} of {before} at {point}");
                if before > 0 && operation != Repin && expected > 0 || before > 1 {
                    assert_eq!(slot.word() >> 12, old >> 12, "the outer pin's epoch stays");
                    assert!(!domain.is_over(&mut two), "it was pinned before");
                }
                // What is pinned now is waited for from now on.
                let mut last = started(&domain);
                assert_eq!(domain.is_over(&mut last), expected == 0);
                (0..expected).for_each(|_| slot.unpin());
                assert_eq!(slot.word(), 0);
                for grace in [&mut one, &mut two, &mut last] {
                    assert!(domain.is_over(grace));
                }
            }
        }
    }
    assert!(points > 50, "{points} points");
}

#[test]
fn no_two_threads_claim_one_slot() {
    let (threads, rounds) = if cfg!(miri) { (3, 20) } else { (SLOTS + 4, 2000) };
    let (domain, taken) = (Domain::new(), [const { AtomicBool::new(false) }; 2 * SLOTS + 8]);
    thread::scope(|scope| {
        for thread in 0..threads {
            let (domain, taken) = (&domain, &taken);
            scope.spawn(move || {
                for _ in 0..rounds {
                    let claim = domain.claim_or_grow(1 + thread as u64, thread).expect("memory");
                    assert!(!taken[claim.place].swap(true, Ordering::Relaxed), "two owners");
                    claim.slot().pin(claim.epoch());
                    claim.slot().unpin();
                    assert_eq!(claim.slot().word(), 0);
                    taken[claim.place].store(false, Ordering::Relaxed);
                }
            });
        }
    });
}

/// Readers of every kind on real threads beside a writer that frees each version after a grace period.
#[test]
fn no_reader_finds_a_version_that_was_freed() {
    const VERSIONS: usize = 8;
    let rounds = if cfg!(miri) { 40 } else { 20_000 };
    let (domain, link, ended) = (Domain::new(), AtomicUsize::new(0), AtomicBool::new(false));
    let freed = [const { AtomicBool::new(false) }; VERSIONS];
    let ask = || assert!(!freed[link.load(Ordering::Acquire)].load(Ordering::Relaxed), "it was freed");
    thread::scope(|scope| {
        // One that rests after each question, one that never rests, one that claims a slot for each pin, one that nests.
        for kind in 0..4 {
            let (domain, ended, ask) = (&domain, &ended, &ask);
            scope.spawn(move || {
                let kept = claim(domain, 1 + kind);
                let slot = kept.slot();
                while !ended.load(Ordering::Relaxed) {
                    match kind {
                        0 => {
                            slot.pin(kept.epoch());
                            ask();
                            slot.unpin();
                        }
                        1 => {
                            slot.repin(kept.epoch());
                            ask();
                        }
                        2 => {
                            let own = claim(domain, 9);
                            own.slot().pin(own.epoch());
                            ask();
                            own.slot().unpin();
                        }
                        _ => {
                            slot.pin(kept.epoch());
                            slot.pin(kept.epoch());
                            slot.unpin();
                            ask();
                            slot.unpin();
                        }
                    }
                    if cfg!(miri) {
                        thread::yield_now();
                    }
                }
                if slot.word() != 0 {
                    slot.unpin();
                }
            });
        }
        let mut waiting: Option<(usize, Grace)> = None;
        let mut current = 0;
        for _ in 0..rounds {
            if let Some((old, grace)) = &mut waiting
                && domain.is_over(grace)
            {
                freed[*old].store(true, Ordering::Relaxed);
                waiting = None;
            }
            if waiting.is_none() {
                let next = (current + 1) % VERSIONS;
                freed[next].store(false, Ordering::Relaxed);
                link.store(next, Ordering::Release);
                waiting = Some((current, started(&domain)));
                current = next;
            } else if cfg!(miri) {
                thread::yield_now();
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
}

/// The child of a fork has no other thread, so it need not wait for what they had pinned. Its copy of the kernel's registration is good.
#[test]
#[cfg(all(unix, not(miri)))]
fn a_child_does_not_wait_for_threads_that_are_gone() {
    unsafe extern "C" {
        fn fork() -> i32;
        fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(status: i32) -> !;
    }
    let domain = &Domain::new();
    domain.prepare();
    let (pinned, leave) = (&AtomicBool::new(false), &AtomicBool::new(false));
    thread::scope(|threads| {
        threads.spawn(move || {
            let claim = claim(domain, 2);
            claim.slot().pin(claim.epoch());
            pinned.store(true, Ordering::Release);
            while !leave.load(Ordering::Acquire) {
                thread::yield_now();
            }
            claim.slot().unpin();
        });
        while !pinned.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let mine = claim(domain, 1);
        mine.slot().pin(mine.epoch());
        // SAFETY: the child calls nothing but what is safe in a handler, and exits.
        let child = unsafe { fork() };
        if child == 0 {
            let mut grace = Grace::NONE;
            let started = domain.start_grace_period(&mut grace).is_ok();
            let waits = !domain.is_over(&mut grace);
            // SAFETY: this is the only thread, and what the other one had pinned is not used.
            unsafe { domain.after_fork_in_child(1) };
            let waits_for_mine = !domain.is_over(&mut grace);
            mine.slot().unpin();
            let is_over = domain.is_over(&mut grace) && domain.claim(3, 0).is_some();
            // SAFETY: ends the process.
            unsafe { _exit(i32::from(!(started && waits && waits_for_mine && is_over))) };
        }
        let mut status = -1;
        // SAFETY: waits for the child from above, and writes its status.
        let waited = unsafe { waitpid(child, &raw mut status, 0) };
        leave.store(true, Ordering::Release);
        mine.slot().unpin();
        assert_eq!((waited, status), (child, 0), "the child's grace period ended with its own pin");
    });
}
