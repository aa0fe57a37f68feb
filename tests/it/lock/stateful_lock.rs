//! An embedder's lock that has state and no default: under a map and its copies, and under an address space and its child.

use crate::support::each_lock::RaiseOnDrop;
use std::sync::{Arc, Mutex};
use std::thread;
use vmaple::lock::{InterruptedError, MmLock, Patience, RawMmLock, WaitError};
use vmaple::mm::fault::ExpandError;
use vmaple::{ErrorCode, Interrupt, Mm, RangeMap, VmaFlags, VmaSpec};

/// The calls that take a lock, by name, in order.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<&'static str>>>);

impl Calls {
    fn note(&self, call: &'static str) {
        self.0.lock().expect("nobody panics under it").push(call);
    }

    /// Returns the calls since the last time.
    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics under it"))
    }

    fn until(&self, call: &str) {
        while !self.0.lock().expect("nobody panics under it").contains(&call) {
            thread::yield_now();
        }
    }
}

/// The default lock. It notes the calls that take it.
struct Listening {
    lock: MmLock,
    calls: Calls,
}

impl Listening {
    fn heard_by(calls: &Calls) -> Self {
        Self { lock: MmLock::new(), calls: calls.clone() }
    }
}

#[allow(unsafe_code, reason = "an unsafe trait")]
// SAFETY: every promise is the default lock's.
unsafe impl RawMmLock for Listening {
    type Interrupt = Interrupt;

    fn read(&self) {
        self.calls.note("read");
        self.lock.read();
    }
    fn try_read(&self) -> bool {
        self.calls.note("try_read");
        self.lock.try_read()
    }
    fn read_interruptible(&self, interrupt: &Interrupt) -> Result<(), InterruptedError> {
        self.calls.note("read_interruptible");
        self.lock.read_interruptible(interrupt)
    }
    fn write(&self) {
        self.calls.note("write");
        self.lock.write();
    }
    fn try_write(&self) -> bool {
        self.calls.note("try_write");
        self.lock.try_write()
    }
    fn write_interruptible(&self, interrupt: &Interrupt) -> Result<(), InterruptedError> {
        self.calls.note("write_interruptible");
        self.lock.write_interruptible(interrupt)
    }
    fn is_raised(interrupt: &Interrupt) -> bool {
        MmLock::is_raised(interrupt)
    }
    unsafe fn unlock_read(&self) {
        // SAFETY: by the caller's promise.
        unsafe { self.lock.unlock_read() }
    }
    unsafe fn unlock_write(&self) {
        // SAFETY: by the caller's promise.
        unsafe { self.lock.unlock_write() }
    }
    unsafe fn downgrade(&self) {
        // SAFETY: by the caller's promise.
        unsafe { self.lock.downgrade() }
    }
    unsafe fn try_upgrade(&self) -> bool {
        self.calls.note("try_upgrade");
        // SAFETY: by the caller's promise.
        unsafe { self.lock.try_upgrade() }
    }
}

fn map(calls: &Calls) -> RangeMap<u64, Listening> {
    let builder = RangeMap::builder().private_epochs().lock(Listening::heard_by(calls));
    builder.build_from([(10..20u64, 1u64), (30..40, 2)]).expect("sorted")
}

/// In debug and release builds the calls are the same: first an attempt that does not wait, and then, if it fails, a wait.
#[test]
fn a_hold_is_tried_for_and_then_waited_for() {
    let (calls, interrupt) = (Calls::default(), Interrupt::new());
    let map = map(&calls);
    drop(map.read());
    drop(map.read_interruptible(&interrupt).expect("free"));
    assert_eq!(calls.take(), ["try_read", "try_read"]);
    drop(map.write());
    drop(map.write_interruptible(&interrupt).expect("free"));
    assert_eq!(calls.take(), ["try_write", "try_write"]);
    assert!(map.try_read().is_some() && map.try_write().is_some());
    assert_eq!(calls.take(), ["try_read", "try_write"]);

    thread::scope(|threads| {
        for (wait, tried, waited) in [
            (0, "try_read", "read"),
            (1, "try_write", "write"),
            (2, "try_read", "read_interruptible"),
            (3, "try_write", "write_interruptible"),
        ] {
            let held = map.write();
            calls.take();
            let waits = threads.spawn({
                let (map, interrupt) = (&map, &interrupt);
                move || match wait {
                    0 => drop(map.read()),
                    1 => drop(map.write()),
                    2 => drop(map.read_interruptible(interrupt).expect("not interrupted")),
                    _ => drop(map.write_interruptible(interrupt).expect("not interrupted")),
                }
            });
            calls.until(waited);
            drop(held);
            waits.join().expect("no panic");
            assert_eq!(calls.take(), [tried, waited]);
        }
    });
}

#[test]
fn a_map_stands_on_the_embedders_lock() {
    let (calls, others) = (Calls::default(), Calls::default());
    let map = map(&calls);
    let mut writer = map.read().try_upgrade().unwrap_or_else(|_| panic!("alone"));
    writer.insert(50..60, 3).expect("free");
    let reader = writer.downgrade();
    assert!(map.try_write().is_none());
    assert_eq!((reader.iter().count(), map.write_sequence()), (3, 2));
    let copy: RangeMap<u64, Listening> = reader.dup_with_lock(Listening::heard_by(&others)).expect("memory");
    drop(reader);
    assert_eq!(calls.take(), ["try_read", "try_upgrade", "try_write"]);
    let mut writer = copy.write();
    assert_eq!(writer.lookup(55).map(|entry| *entry.value()), Some(3));
    writer.insert(70..80, 4).expect("free");
    let again: RangeMap<u64> = writer.dup_with_lock(MmLock::new()).expect("memory");
    assert_eq!((again.len(), map.len(), map.try_write().is_some(), again.try_write().is_some()), (4, 3, true, true));
    assert!(copy.try_read().is_none(), "its writer is inside still");
    drop(writer);
    assert_eq!((calls.take(), others.take()), (vec!["try_write"], vec!["try_write", "try_read"]), "each has its own");
}

/// A child uses the lock that it is given, of any kind, and not its parent's.
#[test]
fn a_child_stands_on_the_lock_that_it_is_given() {
    let (calls, others, interrupt) = (Calls::default(), Calls::default(), Interrupt::new());
    let mm = Mm::builder().private_epochs().lock(Listening::heard_by(&calls)).build();
    mm.write().insert(0x80_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN)).expect("free");
    let mut writer = mm.write();
    let child: Mm<(), Listening> = writer.fork_with_lock(Listening::heard_by(&others), Patience::Forever).expect("memory");
    assert_eq!(calls.take(), ["try_write", "try_write"]);
    assert_eq!(child.write().expand_down(0x7f_f000).map(|span| span.start()), Ok(0x7f_f000), "though its parent is locked");
    let plain: Mm = child.write().fork_with_lock(MmLock::new(), Patience::Interruptible(&interrupt)).expect("memory");
    assert_eq!((calls.take(), others.take()), (vec![], vec!["try_write", "try_write"]));
    let start = |vma: Option<vmaple::mm::Vma<'_>>| vma.map(|vma| vma.start());
    let starts = [start(writer.lookup(0x80_0000)), start(child.read().lookup(0x80_0000)), start(plain.read().lookup(0x80_0000))];
    assert_eq!(starts, [Some(0x80_0000), Some(0x7f_f000), Some(0x7f_f000)]);
    // 3.13 is true of such a child, too: the fork waits for readers of the parent's VMA.
    drop(writer);
    let held = mm.lock_vma(0x80_0000).expect("free");
    let refused = mm.write().fork_with_lock(MmLock::new(), Patience::Never).map(|_| ());
    assert_eq!(refused.map_err(|error| error.errno()), Err(11));
    drop(held);
}

/// If a lock has no way to sleep until the readers of a VMA leave, a writer polls for that and for the interrupt.
#[test]
fn an_address_space_on_it_polls_for_the_readers_of_a_vma() {
    let (mm, interrupt) = (Mm::builder().private_epochs().lock(Listening::heard_by(&Calls::default())).build(), Interrupt::new());
    mm.write().insert(0x80_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ | VmaFlags::GROWSDOWN)).expect("free");
    thread::scope(|threads| {
        let grow = |to: u64| {
            let (mm, interrupt) = (&mm, &interrupt);
            threads.spawn(move || mm.write().expand_down_with(to, Patience::Interruptible(interrupt)).map(|span| span.start()))
        };
        let _raise = RaiseOnDrop(&interrupt);
        let held = mm.lock_vma(0x80_0000).expect("free");
        let grows = grow(0x7f_f000);
        while mm.lock_vma(0x80_0000).is_ok() {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(grows.join().expect("no panic"), Ok(0x7f_f000));

        let held = mm.lock_vma(0x80_0000).expect("the hold has ended");
        let killed = grow(0x7f_e000);
        while mm.lock_vma(0x80_0000).is_ok() {
            thread::yield_now();
        }
        interrupt.raise_from_signal();
        assert_eq!(killed.join().expect("no panic"), Err(ExpandError::Wait(WaitError::Interrupted)));
        assert!(mm.lock_vma(0x80_0000).is_ok(), "beside the first, which is inside still");
        drop(held);
    });
}
