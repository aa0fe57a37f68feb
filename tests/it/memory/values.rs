//! Each value is dropped once, by a writer, while no lock is held, even if the embedder's code panics.

use super::{FEW, Loud, private};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use vmaple::{RangeMap, Span};

#[test]
fn entries_whose_iterator_panics_are_dropped() {
    let (value, map) = (Arc::new(()), private().build());
    let entries = (0..3u64).map(|i| {
        assert!(i < 2, "on purpose");
        (Span::new(i, i).expect("one address"), Arc::clone(&value))
    });
    catch_unwind(AssertUnwindSafe(|| map.write().splice(0..10, entries).is_ok())).expect_err("the iterator's panic");
    assert_eq!((map.len(), Arc::strong_count(&value)), (0, 1));
}

#[test]
fn a_build_that_is_refused_drops_what_it_was_given() {
    let value = Arc::new(());
    let starts = (0..40u64).chain([3]);
    let refused = private().build_from(starts.map(|start| (start * 16..start * 16 + 8, Arc::clone(&value)))).expect_err("out of order");
    assert_eq!(Arc::strong_count(&value), 2, "the one that is handed back");
    drop(refused);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn a_map_that_goes_drops_what_still_waits() {
    let value = Arc::new(());
    let map = private().build_from((0..40u64).map(|i| (i * 16..i * 16 + 8, Arc::clone(&value)))).expect("sorted");
    let pin = map.pin();
    map.write().remove(0..64).expect("memory");
    map.write().remove(64..128).expect("memory");
    drop(pin);
    assert_eq!(Arc::strong_count(&value), 41, "all wait, or are in the map");
    drop(map);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn values_are_dropped_once_by_writers_never_by_readers() {
    let log = Arc::default();
    let loud = || Box::new(Loud { dropped_on: Arc::clone(&log), drop_panics: false, clone_panics: false });
    let map: RangeMap<Box<Loud>> = private().build();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = crate::support::Ends(&ended);
        let reader = scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                for i in 0..if cfg!(miri) { 4 } else { 64 } {
                    if let Some(entry) = map.pin().lookup(i) {
                        assert!(!entry.value().drop_panics);
                    }
                }
            }
            thread::current().id()
        });
        for i in 0..FEW as u64 {
            map.write().replace(i % 16..i % 16 + 3, loud()).expect("memory");
        }
        ended.store(true, Ordering::Relaxed);
        let reader = reader.join().expect("no panic in the reader");
        assert!(!log.lock().unwrap().contains(&reader), "a reader dropped a value");
    });
    assert_eq!(map.reclaim(), 0);
    let clones_and_values = log.lock().unwrap().len();
    assert!(clones_and_values > 0);
    drop(map);
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn a_panic_in_drop_is_contained_and_counted() {
    let log: Arc<std::sync::Mutex<Vec<ThreadId>>> = Arc::default();
    let map = private().build();
    for i in 0..4u64 {
        let value = Box::new(Loud { dropped_on: Arc::clone(&log), drop_panics: i % 2 == 0, clone_panics: false });
        map.write().insert(i * 10..i * 10 + 5, value).expect("free");
    }
    assert_eq!(map.write().remove(..).expect("memory").len(), 4);
    assert_eq!(map.reclaim(), 0);
    assert_eq!(log.lock().unwrap().len(), 4, "those after the first panic are dropped too");
    assert_eq!(map.stats().drop_panics, 2);
    map.write().validate().expect("valid");
    map.write().insert(0..1, Box::new(Loud { dropped_on: log, drop_panics: false, clone_panics: false })).expect("the lock is free");
}

#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn a_panic_in_clone_changes_nothing() {
    let log: Arc<std::sync::Mutex<Vec<ThreadId>>> = Arc::default();
    let loud = |clone_panics| Box::new(Loud { dropped_on: Arc::clone(&log), drop_panics: false, clone_panics });
    let map = private().build();
    map.write().insert(0..100, loud(true)).expect("free");
    map.write().insert(200..300, loud(false)).expect("free");
    let cut = |how: &dyn Fn()| catch_unwind(AssertUnwindSafe(how)).expect_err("cutting the entry clones its value");
    cut(&|| drop(map.write().remove(40..50)));
    cut(&|| drop(map.write().replace(40..50, loud(false))));
    cut(&|| drop(map.read().dup()));
    map.write().validate().expect("valid");
    let spans: Vec<_> = map.pin().iter().map(|e| (e.start(), e.last())).collect();
    assert_eq!(spans, [(0, 99), (200, 299)]);
    assert_eq!(log.lock().unwrap().len(), 1, "only the value that did not go in was dropped");
    map.write().remove(0..50).expect("one side only: no clone");
    assert_eq!(map.pin().lookup(60).map(|e| e.start()), Some(50));
}

#[test]
fn a_value_may_use_the_map_in_its_drop() {
    struct Chatty(std::sync::Weak<RangeMap<Box<Chatty>>>, Arc<AtomicUsize>);
    impl Drop for Chatty {
        fn drop(&mut self) {
            if let Some(map) = self.0.upgrade() {
                self.1.fetch_add(map.write().iter().count() + 1, Ordering::Relaxed);
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let map = Arc::new(private().build());
    map.write().insert(0..10, Box::new(Chatty(Arc::downgrade(&map), Arc::clone(&dropped)))).expect("free");
    assert_eq!(map.write().remove_entry(5).expect("memory").len(), 1);
    map.reclaim();
    assert_eq!(dropped.load(Ordering::Relaxed), 1, "dropped after the unlock, or this would not return");
}

/// If a clone panics under the write lock, the unwinding guard drops the value that was to be inserted, after the unlock.
#[test]
#[cfg_attr(not(feature = "std"), ignore = "without std a panic in the embedder's code aborts")]
fn a_value_that_did_not_go_in_is_dropped_after_the_unlock() {
    struct Nosy(Arc<RangeMap<Box<Nosy>>>, Arc<AtomicUsize>);
    impl Clone for Nosy {
        fn clone(&self) -> Self {
            panic!("requested to panic in clone")
        }
    }
    impl Drop for Nosy {
        fn drop(&mut self) {
            self.1.fetch_add(usize::from(self.0.try_write().is_some()), Ordering::Relaxed);
        }
    }
    let unlocked = Arc::new(AtomicUsize::new(0));
    let map = Arc::new(private().build());
    let nosy = || Box::new(Nosy(Arc::clone(&map), Arc::clone(&unlocked)));
    map.write().insert(0..100, nosy()).expect("free");
    assert!(catch_unwind(AssertUnwindSafe(|| drop(map.write().replace(40..50, nosy())))).is_err());
    assert_eq!(unlocked.load(Ordering::Relaxed), 1, "the lock was free");
    map.write().remove_entry(0).expect("memory");
    map.reclaim();
    assert_eq!(unlocked.load(Ordering::Relaxed), 2);
}
