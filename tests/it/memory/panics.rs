//! A panic at every call of the embedder's code, in turn: `Clone`, `Drop`, `Debug`, the iterator and the range of an argument, and code
//! between two edits under a guard. After it, the operation has happened as a whole or not at all, the lock is free, each value is dropped
//! once, and a reader that pins and repins meanwhile has seen no value that was dropped, and has run none of that code.

use crate::support::Ends;
use crate::support::versions::{Edit, Flat};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::{Bound, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use vmaple::RangeMap;
use vmaple::map::GapQuery;

type Map = RangeMap<Box<Value>>;

const ENTRIES: u64 = 40;
/// A number of values that no run exceeds.
const MOST_VALUES: usize = 1000;

/// The embedder's code that the library calls, or that runs under a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Callback {
    Clone,
    Drop,
    Debug,
    IntoIter,
    Next,
    Bounds,
    UnderTheGuard,
}

impl Callback {
    /// The number of kinds.
    const ALL: usize = 7;
}

/// Counts the calls, panics at one of them, and counts the drops of each value.
struct Trap {
    at: usize,
    calls: AtomicUsize,
    sprung: Mutex<Option<Callback>>,
    /// The only thread that may run the embedder's code.
    owner: ThreadId,
    calls_elsewhere: AtomicUsize,
    /// How often each value was dropped.
    drops: Vec<AtomicU8>,
    made: AtomicUsize,
}

/// The payload of the trap's panic; it panics again when it is dropped.
struct Sprung;

impl Drop for Sprung {
    fn drop(&mut self) {
        resume_unwind(Box::new("dropped the payload"));
    }
}

impl Trap {
    fn new(at: usize) -> Arc<Self> {
        let drops = (0..MOST_VALUES).map(|_| AtomicU8::new(0)).collect();
        let (calls, calls_elsewhere, made) = Default::default();
        Arc::new(Self { at, calls, sprung: Mutex::default(), owner: thread::current().id(), calls_elsewhere, drops, made })
    }

    /// Counts a call, and panics if it is the chosen one. The panic hook is not called, because there are many panics.
    fn call(&self, callback: Callback) {
        if thread::current().id() != self.owner {
            self.calls_elsewhere.fetch_add(1, SeqCst);
        }
        if self.calls.fetch_add(1, SeqCst) + 1 == self.at {
            *self.sprung.lock().expect("not poisoned") = Some(callback);
            resume_unwind(Box::new(Sprung));
        }
    }

    fn value(self: &Arc<Self>, number: u64) -> Value {
        Value { number, id: self.made.fetch_add(1, SeqCst), trap: Arc::clone(self) }
    }

    fn bounds(&self, start: u64, last: u64) -> Bounds<'_> {
        Bounds { start, last, trap: self }
    }
}

struct Value {
    number: u64,
    id: usize,
    trap: Arc<Trap>,
}

impl Clone for Value {
    fn clone(&self) -> Self {
        self.trap.call(Callback::Clone);
        self.trap.value(self.number)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.trap.drops[self.id].fetch_add(1, SeqCst);
        self.trap.call(Callback::Drop);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.trap.call(Callback::Debug);
        fmt::Debug::fmt(&self.number, f)
    }
}

struct Bounds<'t> {
    start: u64,
    last: u64,
    trap: &'t Trap,
}

impl RangeBounds<u64> for Bounds<'_> {
    fn start_bound(&self) -> Bound<&u64> {
        self.trap.call(Callback::Bounds);
        Bound::Included(&self.start)
    }

    fn end_bound(&self) -> Bound<&u64> {
        self.trap.call(Callback::Bounds);
        Bound::Included(&self.last)
    }
}

struct Items<'t>(Vec<Flat>, &'t Arc<Trap>);

impl<'t> IntoIterator for Items<'t> {
    type Item = (Bounds<'t>, Box<Value>);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 't>;

    fn into_iter(self) -> Self::IntoIter {
        let Self(entries, trap) = self;
        trap.call(Callback::IntoIter);
        Box::new(entries.into_iter().map(move |(start, last, number)| {
            trap.call(Callback::Next);
            (trap.bounds(start, last), Box::new(trap.value(number)))
        }))
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Edit(Edit),
    Dup,
    Build,
    BuildUnsorted,
    FindGap,
    Range,
    Show,
    Reclaim,
}

/// Returns each operation, with edits beside an entry, inside one, over the ends of two, and over leaves.
fn steps() -> Vec<Step> {
    let n = 10 * ENTRIES;
    let edits = [
        Edit::Insert(7, 8),
        Edit::Insert(0, n), // occupied
        Edit::Replace(22, 23),
        Edit::Remove(12, 13),
        Edit::Replace(34, 41),
        Edit::Remove(44, 51),
        Edit::ExtendDown(60, 57),
        Edit::ExtendDown(60, 3), // blocked
        Edit::ExtendUp(60, 67),
        Edit::ExtendUp(60, n), // blocked
        Edit::Replace(n / 4 + 2, n / 2 + 2),
        Edit::Set(n / 4 + 3),
        Edit::ReplaceEntries(n / 4 + 2, n / 2 + 2),
        Edit::ReplaceEntries(n / 4 + 3, n / 4 + 4), // would cut
        Edit::RemoveEntry(62),
        Edit::Remove(n / 2 + 3, n),
        Edit::Insert(n, n + 3),
    ];
    let others = [Step::Build, Step::BuildUnsorted, Step::FindGap, Step::Range, Step::Show, Step::Dup, Step::Reclaim];
    let last = [Step::Edit(Edit::Remove(0, u64::MAX)), Step::Reclaim, Step::Edit(Edit::Insert(5, 9))];
    edits.into_iter().map(Step::Edit).chain(others).chain(last).collect()
}

fn contents(map: &Map) -> Vec<Flat> {
    map.read().iter().map(|e| (e.start(), e.last(), e.value().number)).collect()
}

fn first() -> Vec<Flat> {
    (0..ENTRIES).map(|i| (10 * i, 10 * i + 5, 1000 + i)).collect()
}

/// Runs a step. A copy or another map that it makes is compared and dropped. The trap may panic anywhere in it.
fn run(step: Step, number: u64, map: &Map, state: &[Flat], trap: &Arc<Trap>) {
    let edit = |edit| {
        let mut writer = map.write();
        match edit {
            Edit::Insert(start, last) => drop(writer.insert(trap.bounds(start, last), Box::new(trap.value(number)))),
            Edit::Set(at) => drop(writer.set(at, Box::new(trap.value(number)))),
            Edit::ReplaceEntries(start, last) => drop(writer.replace_entries(trap.bounds(start, last), Box::new(trap.value(number)))),
            Edit::Replace(start, last) => _ = writer.replace(trap.bounds(start, last), Box::new(trap.value(number))).expect("memory"),
            Edit::Remove(start, last) => _ = writer.remove(trap.bounds(start, last)).expect("memory"),
            Edit::RemoveEntry(at) => _ = writer.remove_entry(at).expect("memory"),
            Edit::ExtendDown(at, start) => _ = writer.extend_down(at, start),
            Edit::ExtendUp(at, last) => _ = writer.extend_up(at, last),
        }
        trap.call(Callback::UnderTheGuard);
    };
    match step {
        Step::Edit(what) => edit(what),
        Step::Dup => {
            let reading = map.read();
            let copy = reading.dup().expect("memory");
            assert_eq!(contents(&copy), state);
            copy.write().validate().expect("the invariants hold");
        }
        Step::Build => {
            let some: Vec<Flat> = first().into_iter().take(6).collect();
            let built = RangeMap::builder().private_epochs().build_from(Items(some.clone(), trap)).expect("sorted");
            assert_eq!(contents(&built), some);
        }
        Step::BuildUnsorted => {
            let items = Items(vec![(0, 5, 1), (7, 8, 2), (8, 9, 3)], trap);
            let refused = RangeMap::builder().private_epochs().build_from(items).expect_err("not sorted");
            assert_eq!(refused.value.as_ref().map(|value| value.number), Some(3));
        }
        Step::FindGap => _ = map.write().find_gap(&GapQuery::new(2).within(trap.bounds(3, 90))),
        Step::Range => {
            assert!(map.pin().range(trap.bounds(0, 90)).expect("a range").next().is_some());
            assert!(map.reader().cursor(trap.bounds(0, 90)).expect("a range").next().is_some());
        }
        Step::Show => assert!(format!("{:?}", map.pin().iter().collect::<Vec<_>>()).contains("Entry")),
        Step::Reclaim => _ = map.reclaim(),
    }
}

/// Looks up and repins until the end, and checks that no value that it sees was dropped.
fn read_until(ended: &AtomicBool, map: &Map, trap: &Trap) {
    let mut reader = map.reader();
    while !ended.load(SeqCst) {
        for address in (0..10 * ENTRIES).step_by(7) {
            let lives = |id: usize| assert_eq!(trap.drops[id].load(SeqCst), 0, "a reader sees a value that was dropped");
            if let Some(entry) = map.pin().find(address) {
                lives(entry.value().id);
            }
            if let Some(entry) = reader.lookup(address) {
                lives(entry.value().id);
            }
        }
        reader.unpin();
        thread::yield_now();
    }
}

/// Runs all steps with a panic at one call. Returns the kind of that call, or `None` if there were fewer calls.
fn go_through(at: usize) -> Option<Callback> {
    let trap = Trap::new(at);
    let map: Map = RangeMap::builder()
        .private_epochs()
        .build_from(first().into_iter().map(|(start, last, number)| (start..=last, Box::new(trap.value(number)))))
        .expect("sorted");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&ended, &map, &trap));
        let ends = Ends(&ended);
        let mut state = first();
        for (number, step) in steps().into_iter().enumerate() {
            let number = number as u64;
            let outcome = catch_unwind(AssertUnwindSafe(|| run(step, number, &map, &state, &trap)));
            let before = state.clone();
            if let Step::Edit(edit) = step {
                edit.model(&mut state, number);
            }
            map.try_write().expect("the lock is free").validate().expect("the invariants hold");
            let now = contents(&map);
            match outcome {
                Ok(()) => assert_eq!(now, state, "{step:?} with call {at} panicking"),
                Err(payload) => {
                    let Ok(payload) = payload.downcast::<Sprung>() else { panic!("{step:?}: not the trap's panic, call {at}") };
                    std::mem::forget(payload);
                    assert!(now == before || now == state, "{step:?} happened in part, with call {at} panicking: {now:?}");
                    state = now;
                }
            }
        }
        drop(ends);
        reader.join().expect("the reader sees no panic");
    });
    assert!(map.stats().drop_panics <= 1);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(map)));
    assert!(dropped.is_ok(), "the map's own drop contains the panics of values");
    assert_eq!(trap.calls_elsewhere.load(SeqCst), 0, "a reader ran the embedder's code");
    for (id, drops) in trap.drops[..trap.made.load(SeqCst)].iter().enumerate() {
        assert_eq!(drops.load(SeqCst), 1, "value {id} was dropped so often, with call {at} panicking");
    }
    *trap.sprung.lock().expect("not poisoned")
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn a_panic_at_every_call_of_the_embedders_code() {
    let mut seen = BTreeSet::new();
    for at in 1.. {
        match go_through(at) {
            Some(callback) => _ = seen.insert(callback),
            None => break,
        }
    }
    assert_eq!(seen.len(), Callback::ALL, "only {seen:?} panicked");
}
