//! What a thread does for the first time: no thread has anything to allocate before it may work, look or wait.

use super::allocator::{Shortage, short, with_bytes_left};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use vmaple::map::{BudgetPolicy, GapQuery, ResourceError};
use vmaple::mm::{Limits, MapRequest};
use vmaple::{Access, ErrorCode, FaultContext, Interrupt, Mm, PAGE_SIZE, RangeMap, VmaFlags, VmaSpec};

fn map() -> RangeMap<u64> {
    RangeMap::builder().private_epochs().build_from((0..40u64).map(|i| (10 * i..10 * i + 5, i))).expect("memory")
}

/// Runs on a thread of its own, all of whose allocations fail.
fn on_a_fresh_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    thread::scope(|threads| threads.spawn(|| short(Shortage::Lasting, 0, run).0).join().expect("no panic"))
}

#[test]
fn limits_are_read_and_replaced_without_memory() {
    let mm: Mm = Mm::builder().private_epochs().build();
    let mut fewer = Limits::default();
    fewer.max_map_count = 7;
    on_a_fresh_thread(|| mm.set_limits(fewer.clone())).expect("they mean something");
    assert_eq!(on_a_fresh_thread(|| mm.limits().max_map_count), 7);
    // All operations ask them; this one is refused by them before it needs memory.
    fewer.address_space_bytes = 0;
    mm.set_limits(fewer).expect("they mean something");
    let request = MapRequest::new(PAGE_SIZE, VmaSpec::anonymous(VmaFlags::READ));
    let refused = on_a_fresh_thread(|| mm.write().mmap(&request).map_err(|error| error.errno()));
    assert_eq!(refused, Err(12));
    on_a_fresh_thread(move || drop(mm));
}

/// A way to take the lock; whether it was taken.
type Wait = fn(&RangeMap<u64>, &Interrupt) -> bool;

/// The first wait of a thread, for each mode of the lock, with an interrupt and without, until it is let in or interrupted.
#[test]
fn a_first_wait_needs_no_memory() {
    const WRITES: [Wait; 2] = [
        |map, _| map.write().lookup(3).is_some(),
        |map, interrupt| map.write_interruptible(interrupt).is_ok_and(|writer| writer.lookup(3).is_some()),
    ];
    const READS: [Wait; 2] = [
        |map, _| map.read().lookup(3).is_some(),
        |map, interrupt| map.read_interruptible(interrupt).is_ok_and(|reader| reader.lookup(3).is_some()),
    ];
    let (map, interrupt) = (&map(), &Interrupt::new());
    thread::scope(|threads| {
        let reader = map.read();
        let spawn = |wait: Wait| threads.spawn(move || short(Shortage::Lasting, 0, || wait(map, interrupt)).0);
        let writers = WRITES.map(spawn);
        // While a writer waits no reader is let in, so these wait too.
        while map.try_read().is_some() {
            thread::yield_now();
        }
        let readers = READS.map(spawn);
        for _ in 0..100 {
            thread::yield_now();
        }
        drop(reader);
        for waited in writers.into_iter().chain(readers) {
            assert!(waited.join().expect("no panic"), "it was let in");
        }
    });
    let inside = map.write();
    thread::scope(|threads| {
        let waits = threads.spawn(|| short(Shortage::Lasting, 0, || map.read_interruptible(interrupt).is_err()).0);
        short(Shortage::Lasting, 0, || interrupt.raise());
        assert!(waits.join().expect("no panic"), "interrupted");
    });
    drop(inside);
}

/// A writer's first wait for a VMA's reader, and the reader's wake-up of it.
#[test]
fn a_first_wait_for_a_vma_needs_no_memory() {
    let mm: Mm = Mm::builder().private_epochs().build();
    let stack = VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN);
    mm.write().insert(0x20_0000, 0x1000, stack).expect("memory");
    let held = Barrier::new(2);
    thread::scope(|threads| {
        threads.spawn(|| {
            let vma = mm.lock_vma(0x20_0000).expect("nobody writes");
            held.wait();
            // Until the writer waits: from then on the VMA cannot be locked.
            while mm.lock_vma(0x20_0000).is_ok() {
                thread::yield_now();
            }
            short(Shortage::Lasting, 0, || drop(vma));
        });
        held.wait();
        let grown = on_a_fresh_thread(|| mm.write().expand_down(0x1f_f000).map(|span| span.start()));
        assert_eq!(grown, Ok(0x1f_f000));
    });
}

/// A writer on a thread that the collector does not know yet, beside a reader that holds back what it removes: it is done or it lacks
/// memory. Nothing is recycled meanwhile, and everything afterwards.
#[test]
fn a_writer_short_of_memory_leaves_the_collector_alone() {
    let builder = RangeMap::builder().private_epochs().budget_bytes(4000).policy(BudgetPolicy::Wait);
    let map = builder.build_from((0..400u64).map(|i| (10 * i..10 * i + 5, Box::new(i)))).expect("memory");
    let pin = map.pin();
    for i in 0..100 {
        map.write().remove_entry(10 * i).expect("memory");
    }
    on_a_fresh_thread(|| {
        let mut removed = 100;
        for i in 100..400 {
            // The waiting policy would wait for the pin.
            let mut writer = map.try_write().expect("nobody is inside");
            match writer.remove_entry(10 * i).map(|gone| gone.len()) {
                Ok(gone) => removed += gone,
                Err(error) => assert_eq!(error, ResourceError::OutOfMemory.into()),
            }
        }
        assert!(map.reclaim() > 0 && map.len() == 400 - removed);
        let gap = map.try_write().expect("nobody is inside").find_gap(&GapQuery::new(5).within(0..10));
        assert_eq!(gap.map(|gap| gap.start()), Ok(0));
    });
    map.try_write().expect("nobody is inside").validate().expect("the invariants hold");
    drop(pin);
    // Over half of the budget waits: the next writer looks whether it may come back, which needs memory, too.
    assert_eq!(map.reclaim(), 0);
}

/// Counts those that live.
#[derive(Debug)]
struct Lives<'c>(&'c AtomicUsize);

impl<'c> Lives<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Lives<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Writes that remove while few bytes are left, in steps of 80 bytes. Because what crossbeam takes was asked for before, each write
/// is done or lacks memory, and nothing aborts: on a registered thread, on one that is not, and on one whose registration replaces another
/// collector's.
#[test]
fn a_writer_never_aborts_however_much_memory_is_left() {
    const STEP: usize = if cfg!(miri) { 4000 } else { 80 };
    enum Thread {
        Registered,
        Fresh,
        /// It is registered with as many other collectors as it can be.
        Full,
    }
    for thread in [Thread::Registered, Thread::Fresh, Thread::Full] {
        let mut bytes = 0;
        loop {
            let lives = &AtomicUsize::new(0);
            let map =
                RangeMap::builder().private_epochs().build_from((0..40u64).map(|i| (10 * i..10 * i + 5, Box::new(Lives::new(lives)))));
            let map = &map.expect("memory");
            for i in 0..8 {
                map.write().remove_entry(10 * i).expect("memory");
            }
            let (left, failed) = thread::scope(|threads| {
                let writes = threads.spawn(|| {
                    let others = [(); 8].map(|()| self::map());
                    match thread {
                        Thread::Fresh => {}
                        Thread::Registered => map.register_thread(),
                        Thread::Full => others.iter().for_each(RangeMap::register_thread),
                    }
                    let removed = with_bytes_left(bytes, || {
                        let mut removed = 0;
                        for i in 8..24 {
                            match map.write().remove_entry(10 * i).map(|gone| gone.len()) {
                                Ok(gone) => removed += gone,
                                Err(error) => assert_eq!(error, ResourceError::OutOfMemory.into()),
                            }
                            map.reclaim();
                        }
                        removed
                    });
                    drop(others);
                    removed
                });
                let (removed, failed) = writes.join().expect("no panic");
                (32 - removed, failed)
            });
            map.write().validate().expect("the invariants hold");
            assert_eq!((map.len(), map.reclaim()), (left, 0), "with {bytes} bytes");
            assert_eq!(lives.load(Relaxed), left, "with {bytes} bytes: what was removed is dropped, and nothing else");
            if !failed {
                break;
            }
            bytes += STEP;
        }
        // A grace period of crossbeam's is asked for with 4 KiB of memory; one over slots takes none, so only the index's own lists are left.
        let over_slots = cfg!(any(vmaple_slots, not(feature = "std")));
        assert_eq!(bytes > 4000, !over_slots, "it takes {bytes} bytes");
    }
}

/// A thread that has registered looks, reads and faults without memory, by every path; growth down included.
#[test]
fn a_registered_thread_looks_and_faults_without_memory() {
    let mm: Mm = Mm::builder().private_epochs().build();
    for i in 0..40 {
        let start = 0x100_0000 + i * 0x10_0000;
        let stack = VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN);
        mm.write().insert(start, PAGE_SIZE, stack).expect("memory");
    }
    let calm = &Interrupt::new();
    thread::scope(|threads| {
        let faults = threads.spawn(|| {
            mm.register_thread();
            short(Shortage::Lasting, 0, || {
                let mut found = 0;
                for round in 0..300u64 {
                    let at = 0x100_0000 + round % 40 * 0x10_0000;
                    found += usize::from(mm.pin().lookup(at).is_some());
                    found += usize::from(mm.handle_fault(at, Access::Read, FaultContext::User(calm)).is_ok());
                    found += usize::from(mm.read().lookup(at).is_some());
                }
                let mut reader = mm.reader();
                for round in 0..40u64 {
                    let at = 0x100_0000 + round * 0x10_0000;
                    // The VMA's lock, then a growth, then the mm lock where nothing is.
                    found += usize::from(reader.handle_fault(at, Access::Read, FaultContext::User(calm)).is_ok());
                    found += usize::from(reader.handle_fault(at - PAGE_SIZE, Access::Read, FaultContext::User(calm)).is_ok());
                    found += usize::from(reader.handle_fault(0x1000_0000, Access::Read, FaultContext::User(calm)).is_err());
                }
                found
            })
            .0
        });
        assert_eq!(faults.join().expect("no panic"), 3 * 300 + 3 * 40);
    });
    mm.write().validate().expect("the invariants hold");
}
