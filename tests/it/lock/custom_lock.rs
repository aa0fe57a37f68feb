//! The address space over a lock of the embedder's: the tests of parts 1 and 3 once more, as they are, over `fifo_lock`.
//!
//! The files name their types through `super::mm_lock`, and so are compiled for either lock.

#[path = "../fault/path.rs"]
mod fault;
#[path = "../vma/locks.rs"]
mod vma;

/// The types over the embedder's lock.
mod mm_lock {
    use crate::support::fifo_lock::Fifo;
    pub(crate) use crate::support::fifo_lock::Kill as Interrupt;
    use vmaple::mm::Limits;

    pub(crate) type Mm<P = ()> = vmaple::Mm<P, Fifo>;
    pub(crate) type MmWriteGuard<'m> = vmaple::mm::MmWriteGuard<'m, (), Fifo>;
    pub(crate) type FaultContext<'i> = vmaple::FaultContext<'i, Interrupt>;

    /// An empty address space over it.
    pub(crate) fn mm<P>(limits: Limits) -> Mm<P> {
        vmaple::Mm::builder().private_epochs().lock(Fifo::default()).limits(limits).expect("limits that mean something").build()
    }
}

use mm_lock::{Interrupt, Mm};
use vma::{RW, map_all, page};
use vmaple::mm::Limits;

/// A child has a lock of its own, of the same kind.
#[test]
fn a_child_stands_on_such_a_lock_too() {
    let mm: Mm = mm_lock::mm(Limits::default());
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
