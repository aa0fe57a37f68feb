//! Payloads that look, when they are dropped, whether the mm lock is free: memory is short at each allocation of each operation in turn, and
//! none is dropped under the lock, or lost. The allocator is the binary's own; `main.rs` has it.

use super::allocator::{each_failure, plenty, short};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use vmaple::mm::{LockAll, MapRequest, MmWriteGuard, Payload, Prot, RemapRequest};
use vmaple::{Mm, PAGE_SIZE, VmaFlags, VmaSpec};

const RW: VmaFlags = VmaFlags::READ.union(VmaFlags::WRITE);
/// More than an operation can note without asking for memory, and more than a node of the index holds.
const VMAS: u64 = 20;

thread_local! {
    static SPACE: RefCell<Weak<Mm<Watched>>> = const { RefCell::new(Weak::new()) };
    static LIVING: Cell<i64> = const { Cell::new(0) };
    static UNDER_THE_LOCK: Cell<usize> = const { Cell::new(0) };
}

struct Watched;

impl Watched {
    fn new() -> Self {
        LIVING.set(LIVING.get() + 1);
        Self
    }
}

impl Clone for Watched {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        LIVING.set(LIVING.get() - 1);
        // The question itself may take memory, and is not what is tested.
        let is_held = plenty(|| SPACE.with_borrow(Weak::upgrade).is_some_and(|mm| mm.try_write().is_none()));
        UNDER_THE_LOCK.set(UNDER_THE_LOCK.get() + usize::from(is_held));
    }
}

impl Payload for Watched {
    fn merges_with(&self, _: &Self) -> bool {
        true
    }
}

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

fn spec(flags: VmaFlags) -> VmaSpec<Watched> {
    VmaSpec::anonymous(flags).with_payload(Watched::new())
}

/// VMAs of two pages, every other one writable.
fn filled() -> Rc<Mm<Watched>> {
    let mm = Rc::new(Mm::builder().private_epochs().build());
    for i in 0..VMAS {
        let request = MapRequest::new(2 * PAGE_SIZE, spec(if i % 2 == 0 { RW } else { VmaFlags::READ })).fixed(page(2 * i));
        mm.write().mmap(&request).expect("memory");
    }
    SPACE.set(Rc::downgrade(&mm));
    mm
}

/// Runs an operation with its first allocation failing, then with its second, and so on until it gets through. What it hands back is the
/// caller's: it does not count.
fn fail_each<B>(name: &str, operation: impl Fn(&mut MmWriteGuard<'_, Watched>) -> B) {
    each_failure(|shortage, nth| {
        let mm = filled();
        let mut writer = mm.write();
        let (back, reached) = short(shortage, nth, || operation(&mut writer));
        drop(writer);
        assert_eq!(UNDER_THE_LOCK.get(), 0, "{name}: allocation {nth} failed, and a payload was dropped under the lock");
        drop(mm);
        assert_eq!(LIVING.get(), 0, "{name}: allocation {nth} failed, and payloads were lost");
        drop(back);
        LIVING.set(0);
        assert!(reached || nth > 0, "{name} allocates nothing: the test tests nothing");
        reached
    });
}

#[test]
fn no_payload_is_dropped_under_the_lock_where_memory_is_short() {
    fail_each("insert", |w| {
        let refused = w.insert(page(100), PAGE_SIZE, spec(RW)).err();
        LIVING.set(LIVING.get() - i64::from(refused.is_some()));
        refused
    });
    fail_each("mmap", |w| {
        let request = std::mem::ManuallyDrop::new(MapRequest::new(5 * PAGE_SIZE, spec(VmaFlags::EXEC)).fixed(page(3)));
        LIVING.set(LIVING.get() - 1);
        _ = w.mmap(&request);
    });
    fail_each("munmap that cuts", |w| _ = w.munmap(page(2), PAGE_SIZE));
    fail_each("munmap of many", |w| _ = w.munmap(page(3), 30 * PAGE_SIZE));
    fail_each("mprotect that cuts", |w| _ = w.mprotect(page(3), 30 * PAGE_SIZE, Prot::EXEC));
    fail_each("mprotect that merges", |w| _ = w.mprotect(page(0), 2 * VMAS * PAGE_SIZE, RW.prot()));
    fail_each("mremap of several", |w| {
        _ = w.mremap(&RemapRequest::resize(page(0), 30 * PAGE_SIZE, 30 * PAGE_SIZE).fixed(page(200)));
    });
    fail_each("mlockall", |w| _ = w.mlockall(LockAll::CurrentAndFuture));
    fail_each("a plan that is dropped", |w| drop(w.plan(vmaple::lock::Patience::Never).mprotect(page(1), 20 * PAGE_SIZE, Prot::EXEC)));
    fail_each("fork", |w| {
        let child = w.fork().ok();
        LIVING.set(LIVING.get() - i64::try_from(child.as_ref().map_or(0, Mm::len)).expect("few"));
        child
    });
    fail_each("exit", |w| _ = w.exit());
}
