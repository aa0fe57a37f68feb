//! The address space over a lock of the embedder's: the tests of parts 1 and 3 once more, as they are, over [`fifo::Fifo`].
//!
//! The files name their types through `super::mm_lock`, and so are compiled for either lock.

#[path = "../fault.rs"]
mod fault;
mod fifo;
#[path = "../vma.rs"]
mod vma;

/// The types over the embedder's lock.
mod mm_lock {
    use super::fifo::Fifo;
    pub(crate) use super::fifo::Kill as Interrupt;
    use vmaple::map::Builder;
    use vmaple::mm::Limits;

    pub(crate) type Mm<P = ()> = vmaple::Mm<P, Fifo>;
    pub(crate) type MmWriteGuard<'m> = vmaple::mm::MmWriteGuard<'m, (), Fifo>;
    pub(crate) type FaultContext<'i> = vmaple::FaultContext<'i, Interrupt>;

    /// An empty address space over it.
    pub(crate) fn mm<P>(map: Builder, limits: Limits) -> Mm<P> {
        vmaple::Mm::with(map, limits).expect("limits that mean something").with_lock(Fifo::default())
    }
}

use mm_lock::{Interrupt, Mm};
use vma::{RW, map_all, page};
use vmaple::lock::Patience;
use vmaple::mm::{Limits, LockVmaError};
use vmaple::{RangeMap, VmaFlags, VmaSpec};

/// A child has a lock of its own, of the same kind.
#[test]
fn a_child_stands_on_such_a_lock_too() {
    let mm: Mm = mm_lock::mm(RangeMap::builder().private_epochs(), Limits::default());
    map_all(&mm, &[(0, 2, RW)]);
    let mut writer = mm.write();
    let child: Mm = writer.fork().expect("memory");
    let inside = child.write();
    drop(writer);
    assert!(mm.try_write().is_some() && child.try_read().is_none());
    drop(inside);
    let killed = Interrupt::new();
    assert!(child.handle_fault(page(1), vmaple::Access::Write, mm_lock::FaultContext::User(&killed)).is_ok());
}

/// Another lock under an address space that has a past: what was marked in it is marked no more, and the sequence goes on, past a hold
/// whose guard was forgotten.
#[test]
fn a_lock_is_put_under_an_address_space_with_a_past() {
    let past = vmaple::Mm::with(RangeMap::builder().private_epochs(), Limits::default()).expect("limits that mean something");
    for n in 0..4 {
        past.write().map(page(4 * n)..page(4 * n + 1), VmaSpec::anonymous(RW)).expect("free");
    }
    let mut writer = past.write();
    writer.map(page(20)..page(21), VmaSpec::anonymous(VmaFlags::READ)).expect("free");
    std::mem::forget(writer);
    assert_eq!(past.write_sequence(), 9);
    let mm: Mm = past.with_lock(fifo::Fifo::default());
    assert_eq!((mm.write_sequence(), mm.map_count(), mm.stats().total_pages), (10, 5, 5));
    let mut writer = mm.try_write().expect("nobody holds this lock");
    for n in 0..6 {
        let (at, mapped) = (page(4 * n), n != 4);
        assert_eq!(mm.lock_vma(at).map(drop), if mapped { Ok(()) } else { Err(LockVmaError::Absent) }, "page {}", 4 * n);
    }
    let plan = writer.plan_munmap(page(0), page(1) - page(0), Patience::Unless(&Interrupt::new())).commit();
    assert_eq!((plan, mm.lock_vma(page(4)).is_ok()), (Ok(0), true));
    writer.validate().expect("the invariants hold");
}
