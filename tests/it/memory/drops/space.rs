//! The operations of an address space. When a payload is dropped, it checks that the lock is free. Each operation is committed, abandoned,
//! refused midway, and run with a panic in each call of the embedder's code.

use super::ONE_OF;
use super::watch::{UNSPLITTABLE, Watch, Watched};
use crate::support::address_space::{DOWN, RW, UP, page};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use vmaple::lock::{MmLock, Patience};
use vmaple::mm::{Advice, Limits, LockAll, MapRequest, MmWriteGuard, PartialEffects, Prot, RemapRequest};
use vmaple::{Mm, PAGE_SIZE, VmaFlags, VmaSpec};

type Space = Mm<Watched>;
type Writer<'m> = MmWriteGuard<'m, Watched>;

/// How a plan ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    Abandoned,
}

/// How the guard ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Unlock,
    Downgrade,
    /// The guard is downgraded and upgraded again, and executes more operations.
    DowngradeAndUpgrade,
}

/// An operation on pages. If it makes a payload, the payload is of a given kind.
struct Operation {
    name: &'static str,
    /// Whether it always waits for the readers of VMAs.
    waits: bool,
    run: fn(&mut Writer<'_>, &Rc<Watch>, [u64; 3], Fate, Patience<'_>),
}

fn bytes(pages: u64) -> u64 {
    pages * PAGE_SIZE
}

fn spec(watch: &Rc<Watch>, flags: VmaFlags, kind: u64) -> VmaSpec<Watched> {
    VmaSpec::anonymous(flags).with_payload(watch.value(u8::try_from(kind % 2).expect("small")))
}

/// Returns a request for `len` pages at the page `at`.
fn request(watch: &Rc<Watch>, [at, len, kind]: [u64; 3]) -> MapRequest<Watched> {
    MapRequest::new(bytes(len), spec(watch, RW, kind)).fixed(page(at))
}

macro_rules! operations {
    ($($name:literal: |$w:ident, $watch:ident, $a:ident, $b:ident, $c:ident, $patience:ident| $plan:expr;)*) => {
        [$(Operation {
            name: $name,
            waits: false,
            run: |$w, $watch, [$a, $b, $c], fate, $patience| {
                let _ = ($watch, $a, $b, $c, $patience);
                let plan = $plan;
                match fate {
                    Fate::Committed => _ = plan.commit(),
                    Fate::Abandoned => drop(plan),
                }
            },
        }),*]
    };
}

/// Returns the operations that can be planned. `a` is a page, `b` a number of pages, `c` another page or a choice.
fn planned() -> impl Iterator<Item = Operation> {
    let planned = operations! {
        "mmap": |w, watch, a, b, c, patience| {
            let request = Rc::new(request(watch, [a, b, c]));
            watch.keep(1, Rc::clone(&request));
            w.plan(patience).mmap(&request)
        };
        "munmap": |w, watch, a, b, c, patience| w.plan(patience).munmap(page(a), bytes(b));
        "mprotect": |w, watch, a, b, c, patience| {
            w.plan(patience).mprotect(page(a), bytes(b), if c % 2 == 0 { RW.prot() } else { Prot::READ })
        };
        "mremap": |w, watch, a, b, c, patience| w.plan(patience).mremap(&RemapRequest::resize(page(a), bytes(b), bytes(b + c % 2)).may_move());
        "mremap to": |w, watch, a, b, c, patience| {
            w.plan(patience).mremap(&RemapRequest::resize(page(a), bytes(b), bytes(b)).fixed(page(c)))
        };
        "mremap that leaves": |w, watch, a, b, c, patience| {
            w.plan(patience).mremap(&RemapRequest::dont_unmap(page(a), bytes(b), 0).fixed(page(c)))
        };
        "madvise": |w, watch, a, b, c, patience| {
            w.plan(patience).madvise(page(a), bytes(b), if c % 2 == 0 { Advice::DontFork } else { Advice::DoFork })
        };
        "change_payloads": |w, watch, a, b, c, patience| {
            let change = |was: &Watched| {
                watch.call();
                (was.kind != u8::try_from(c % 2).expect("small")).then(|| watch.value(u8::try_from(c % 2).expect("small")))
            };
            w.plan(patience).change_payloads(page(a), bytes(b), change)
        };
        "mlock": |w, watch, a, b, c, patience| {
            if c % 2 == 0 { w.plan(patience).mlock(page(a), bytes(b)) } else { w.plan(patience).munlock(page(a), bytes(b)) }
        };
        "mlockall": |w, watch, a, b, c, patience| {
            if c % 2 == 0 { w.plan(patience).mlockall(LockAll::CurrentAndFuture) } else { w.plan(patience).munlockall() }
        };
        "mseal": |w, watch, a, b, c, patience| w.plan(patience).mseal(page(a), bytes(b));
    };
    planned.into_iter()
}

/// Returns the operations that cannot be planned.
fn direct() -> impl Iterator<Item = Operation> {
    fn operation(name: &'static str, run: fn(&mut Writer<'_>, &Rc<Watch>, [u64; 3], Fate, Patience<'_>)) -> Operation {
        Operation { name, waits: name == "exit", run }
    }
    [
        operation("insert", |w, watch, [a, b, c], _, _| {
            if let Err(refused) = w.insert(page(a), bytes(b), spec(watch, RW, c)) {
                watch.keep(1, refused);
            }
        }),
        operation("expand_down", |w, _, [a, ..], _, patience| _ = w.expand_down_with(page(a), patience)),
        operation("expand_up", |w, _, [a, ..], _, patience| _ = w.expand_up_with(page(a), patience)),
        operation("own", |w, _, [a, ..], _, _| _ = w.own(page(a))),
        operation("fork", |w, watch, _, _, patience| {
            if let Ok(child) = w.fork_with_lock(MmLock::new(), patience) {
                watch.keep(child.len(), child);
            }
        }),
        operation("exit", |w, _, _, _, _| _ = w.exit()),
    ]
    .into_iter()
}

/// Returns an address space with VMAs of several flags, lengths and kinds of payload. Some touch, and some of those are alike.
fn filled(watch: &Rc<Watch>, change: impl FnOnce(&mut Limits)) -> Rc<Space> {
    let mut limits = Limits::default();
    limits.stack_guard_gap_pages = 2;
    limits.locked_bytes = u64::MAX;
    change(&mut limits);
    let mm = Rc::new(Mm::builder().private_epochs().limits(limits).expect("limits").build());
    let seen: Weak<Space> = Rc::downgrade(&mm);
    watch.over(move || seen.upgrade().is_none_or(|mm| mm.try_write().is_some()));
    let vmas = [
        (2, RW, 3, 0),
        (5, RW, 2, 1),
        (7, VmaFlags::READ, 3, 1),
        (12, RW, 4, UNSPLITTABLE),
        (16, RW | VmaFlags::SHARED, 2, 0),
        (18, RW, 4, 0),
        (30, DOWN, 3, 0),
        (34, UP, 3, 1),
        (50, RW, 8, 0),
    ];
    for (at, flags, pages, kind) in vmas {
        let request = MapRequest::new(bytes(pages), VmaSpec::anonymous(flags).with_payload(watch.value(kind))).fixed(page(at));
        mm.write().mmap(&request).expect("it is free");
    }
    mm.write().own(page(50));
    mm
}

/// One way to run an operation.
#[derive(Clone, Copy, Debug)]
struct Way {
    fate: Fate,
    end: End,
    /// A reader holds the VMA at page 5, and no operation waits for it.
    is_busy: bool,
    /// The limits are low.
    is_tight: bool,
    partial: PartialEffects,
}

fn ways() -> Vec<Way> {
    let mut ways = Vec::new();
    for fate in [Fate::Committed, Fate::Abandoned] {
        for end in [End::Unlock, End::Downgrade, End::DowngradeAndUpgrade] {
            for (is_busy, is_tight) in [(false, false), (true, false), (false, true)] {
                for partial in [PartialEffects::AsLinux, PartialEffects::Never] {
                    ways.push(Way { fate, end, is_busy, is_tight, partial });
                }
            }
        }
    }
    ways
}

/// Runs an operation once. Returns whether the call that was to panic was reached.
fn run_once(operation: &Operation, pages: [u64; 3], way: Way, panic_at: usize, drops_panic: bool) -> bool {
    if operation.waits && way.is_busy {
        return false; // for this very thread
    }
    let watch = Watch::new();
    let mm = filled(&watch, |limits| limits.policy.partial = way.partial);
    if way.is_tight {
        let mut limits = mm.limits();
        limits.max_map_count = mm.len() + 1;
        limits.commit_bytes = bytes(30);
        mm.set_limits(limits).expect("limits");
    }
    let said = format!("{} of {pages:?}, {way:?}, call {panic_at} panicking, drops panic: {drops_panic}", operation.name);
    let reader = way.is_busy.then(|| mm.lock_vma(page(5)).expect("mapped"));
    watch.panic_at(panic_at, drops_panic);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut writer = mm.write();
        (operation.run)(&mut writer, &watch, pages, way.fate, Patience::Never);
        if way.end == End::Unlock {
            return;
        }
        let reader = writer.downgrade();
        if way.end == End::DowngradeAndUpgrade {
            let mut writer = reader.try_upgrade().unwrap_or_else(|_| unreachable!("nobody else is inside"));
            (operation.run)(&mut writer, &watch, [50, 3, 60], way.fate, Patience::Never);
            drop(writer.downgrade());
        }
    }));
    let has_panicked = watch.has_panicked();
    drop(reader);
    assert_eq!(watch.under_the_lock.get(), 0, "{said}: dropped under the lock");
    assert!(outcome.is_ok() || has_panicked && panic_at > 0, "{said}: a panic of the library's own");
    mm.try_write().expect("the lock is free").validate().expect("the invariants hold");
    mm.reclaim();
    assert_eq!(watch.under_the_lock.get(), 0, "{said}: dropped under the lock, afterwards");
    drop(mm);
    assert_eq!(watch.made.get(), watch.dropped.get(), "{said}: made, and dropped");
    watch.end();
    has_panicked
}

/// The pages on which operations run: inside a VMA, over several, over a gap.
const PLACES: [[u64; 3]; 6] = [[3, 1, 60], [2, 6, 61], [6, 5, 70], [13, 2, 61], [17, 20, 70], [48, 12, 80]];

#[test]
fn no_payload_is_dropped_under_the_lock() {
    let mut nth = 0;
    for operation in planned().chain(direct()) {
        for way in ways() {
            for pages in PLACES {
                nth += 1;
                if usize::is_multiple_of(nth, ONE_OF) {
                    run_once(&operation, pages, way, 0, false);
                }
            }
        }
    }
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn no_payload_is_dropped_under_the_lock_even_if_code_panics() {
    let (mut nth, mut most) = (0, 0);
    for operation in planned().chain(direct()) {
        let is_short = |way: &Way| way.end == End::Unlock && way.is_tight == (way.partial == PartialEffects::AsLinux);
        for way in ways().into_iter().filter(is_short) {
            for pages in PLACES {
                for drops in [false, true] {
                    nth += 1;
                    if !usize::is_multiple_of(nth, ONE_OF) {
                        continue;
                    }
                    let mut calls = 1;
                    while run_once(&operation, pages, way, calls, drops) {
                        calls += ONE_OF.min(7);
                    }
                    most = most.max(calls);
                }
            }
        }
    }
    assert!(most > 20 || cfg!(miri), "the operations call the embedder: {most}");
}

/// Runs several random operations under one guard, each of which ends in a random way.
#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn no_payload_is_dropped_under_the_lock_in_any_sequence() {
    let mut seed = 1_u64;
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let operations: Vec<_> = planned().chain(direct()).collect();
    let ways = ways();
    for round in 0..if cfg!(miri) { 4 } else { 2000 } {
        let watch = Watch::new();
        let way = ways[usize::try_from(next(ways.len() as u64)).expect("small")];
        let mm = filled(&watch, |limits| limits.policy.partial = way.partial);
        watch.panic_at(usize::try_from(next(60)).expect("small"), next(2) == 0);
        let mut named = Vec::new();
        for _ in 0..=next(4) {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let mut writer = mm.write();
                for _ in 0..=next(4) {
                    let operation = &operations[usize::try_from(next(operations.len() as u64)).expect("small")];
                    let pages = [next(64), next(12) + 1, next(90)];
                    let fate = if next(3) == 0 { Fate::Abandoned } else { Fate::Committed };
                    named.push((operation.name, pages, fate));
                    (operation.run)(&mut writer, &watch, pages, fate, Patience::Forever);
                }
                if next(2) == 0 {
                    drop(writer.downgrade());
                }
            }));
            // If the operation panics, unwinding drops its guard.
            drop(outcome);
        }
        assert_eq!(watch.under_the_lock.get(), 0, "round {round}: {named:?}");
        watch.panic_at(0, false);
        mm.try_write().expect("the lock is free").validate().expect("the invariants hold");
        drop(mm);
        assert_eq!(watch.made.get(), watch.dropped.get(), "round {round}: made, and dropped: {named:?}");
        watch.end();
    }
}
