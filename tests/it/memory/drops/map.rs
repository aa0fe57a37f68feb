//! The operations of a map. When a value is dropped, it checks that the lock is free.

use super::ONE_OF;
use super::watch::{Watch, Watched};
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};
use vmaple::map::{ReadGuard, WriteGuard};
use vmaple::{RangeMap, Span};

type Map = RangeMap<Box<Watched>>;
type Writer<'m> = WriteGuard<'m, Box<Watched>>;

/// The number of entries: more than a leaf can hold.
const ENTRIES: u64 = if cfg!(miri) { 12 } else { 40 };

struct Bounds<'w>(u64, u64, &'w Watch);

impl RangeBounds<u64> for Bounds<'_> {
    fn start_bound(&self) -> Bound<&u64> {
        self.2.call();
        Bound::Included(&self.0)
    }

    fn end_bound(&self) -> Bound<&u64> {
        self.2.call();
        Bound::Included(&self.1)
    }
}

/// A part of an iterator. Its drop is among the calls that may panic.
struct Ends(Rc<Watch>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// Returns entries of one address each, which are created when the iterator yields them. The iterator and its drop are among the calls that
/// may panic.
fn entries(watch: &Rc<Watch>, at: &[u64]) -> impl Iterator<Item = (Span, Box<Watched>)> + use<> {
    let (ends, at) = (Ends(Rc::clone(watch)), at.to_vec());
    at.into_iter().map(move |at| {
        let watch = &ends.0;
        watch.call();
        (Span::new(at, at).expect("one address"), Box::new(watch.value(1)))
    })
}

fn splice(writer: &mut Writer<'_>, watch: &Rc<Watch>, range: (u64, u64), at: &[u64]) {
    let before = watch.made.get();
    if let Err(refused) = writer.splice(Bounds(range.0, range.1, watch), entries(watch, at)) {
        watch.keep(watch.made.get() - before, refused);
    }
}

fn put(writer: &mut Writer<'_>, watch: &Rc<Watch>, at: (u64, u64)) {
    if let Err(refused) = writer.insert(Bounds(at.0, at.1, watch), Box::new(watch.value(1))) {
        watch.keep(1, refused);
    }
}

fn replace(writer: &mut Writer<'_>, watch: &Rc<Watch>, at: (u64, u64)) {
    if let Err(refused) = writer.replace(Bounds(at.0, at.1, watch), Box::new(watch.value(1))) {
        watch.keep(1, refused);
    }
}

type Step = fn(&mut Writer<'_>, &Rc<Watch>);

const STEPS: [(&str, Step); 18] = [
    ("insert", |w, watch| put(w, watch, (7, 8))),
    ("insert over what is there", |w, watch| put(w, watch, (7, 22))),
    ("insert of no range", |w, watch| put(w, watch, (8, 7))),
    ("replace", |w, watch| replace(w, watch, (20, 25))),
    ("replace that cuts", |w, watch| replace(w, watch, (22, 23))),
    ("replace of many", |w, watch| replace(w, watch, (22, 333))),
    ("replace of no range", |w, watch| replace(w, watch, (8, 7))),
    ("splice", |w, watch| splice(w, watch, (20, 45), &[20, 22, 24, 26, 40])),
    ("splice that cuts", |w, watch| splice(w, watch, (22, 23), &[22, 23])),
    ("splice of many", |w, watch| splice(w, watch, (22, 333), &[22, 33, 34, 55, 56, 57, 77, 78, 80, 300])),
    ("splice out of order", |w, watch| splice(w, watch, (20, 45), &[20, 22, 21, 30, 40])),
    ("splice outside", |w, watch| splice(w, watch, (20, 45), &[20, 22, 49])),
    ("splice of no range", |w, watch| splice(w, watch, (45, 20), &[20, 22])),
    ("remove", |w, watch| _ = w.remove(Bounds(20, 25, watch))),
    ("remove that cuts", |w, watch| _ = w.remove(Bounds(22, 23, watch))),
    ("remove all", |w, watch| _ = w.remove(Bounds(0, u64::MAX, watch))),
    ("remove_entry", |w, _| _ = w.remove_entry(62)),
    ("dup", |w, watch| _ = w.dup().map(|copy| watch.keep(copy.len(), copy))),
];

fn filled(watch: &Rc<Watch>) -> Rc<Map> {
    let entries = (0..ENTRIES).map(|i| (10 * i..=10 * i + 5, Box::new(watch.value(0))));
    let map = Rc::new(RangeMap::builder().private_epochs().build_from(entries).expect("sorted"));
    let seen: Weak<Map> = Rc::downgrade(&map);
    watch.over(move || seen.upgrade().is_none_or(|map| map.try_write().is_some()));
    map
}

/// Runs the work once. Returns whether the call that was to panic was reached.
fn run_once(name: &str, panic_at: usize, drops_panic: bool, work: impl FnOnce(&Map, &Rc<Watch>)) -> bool {
    let watch = Watch::new();
    let map = filled(&watch);
    watch.panic_at(panic_at, drops_panic);
    let outcome = catch_unwind(AssertUnwindSafe(|| work(&map, &watch)));
    let has_panicked = watch.has_panicked();
    let said = format!("{name}, call {panic_at} panicking, drops panic: {drops_panic}");
    assert!(outcome.is_ok() || has_panicked && panic_at > 0, "{said}: a panic of the library's own");
    map.try_write().expect("the lock is free").validate().expect("the invariants hold");
    map.reclaim();
    assert_eq!(watch.under_the_lock.get(), 0, "{said}: dropped under the lock");
    drop(map);
    assert_eq!(watch.made.get(), watch.dropped.get(), "{said}: made, and dropped");
    watch.end();
    has_panicked
}

fn run_all(name: &str, work: impl Fn(&Map, &Rc<Watch>)) {
    for drops in [false, true] {
        for at in (0..).step_by(ONE_OF.min(17)) {
            if !run_once(name, at, drops, &work) && at > 0 {
                break;
            }
        }
    }
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn no_value_is_dropped_under_the_lock() {
    for (name, step) in STEPS.into_iter().step_by(ONE_OF.min(4)) {
        run_all(name, |map, watch| step(&mut map.write(), watch));
    }
}

/// Values that a write guard removed are dropped when the lock is free, even if the guard becomes a read guard and a write guard again.
#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn no_value_is_dropped_under_the_lock_that_is_passed_on() {
    for (name, step) in STEPS.into_iter().step_by(ONE_OF.min(4)) {
        run_all(name, |map, watch| {
            let mut writer = map.write();
            let outcome = catch_unwind(AssertUnwindSafe(|| step(&mut writer, watch)));
            let reader: ReadGuard<'_, _> = writer.downgrade();
            let mut writer = reader.try_upgrade().unwrap_or_else(|_| unreachable!("nobody else is inside"));
            replace(&mut writer, watch, (70, 75));
            drop(writer.downgrade());
            if let Err(panic) = outcome {
                std::panic::resume_unwind(panic);
            }
        });
    }
}

/// An unfinished copy is dropped when the guard that made it is dropped, also a read guard, beside which there may be others.
#[test]
fn no_value_of_half_a_copy_is_dropped_under_the_lock() {
    run_all("dup under a read guard", |map, watch| {
        let reader = map.read();
        for _ in 0..2 {
            let copy = catch_unwind(AssertUnwindSafe(|| reader.dup().expect("memory")));
            assert_eq!(watch.under_the_lock.get(), 0, "the guard is still there");
            if let Ok(copy) = copy {
                watch.keep(copy.len(), copy);
            }
        }
    });
}
