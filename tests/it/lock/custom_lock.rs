//! An embedder's lock under an address space. The tests of faults and VMAs run over it as well: `support::each_lock`.

use crate::support::address_space::{RW, page};
use crate::support::each_lock::TestLock;
use crate::support::fifo_lock::{Fifo, Kill};
use vmaple::{Access, FaultContext};

/// A child has a lock of its own, of the same kind.
#[test]
fn a_child_stands_on_such_a_lock_too() {
    let mm = Fifo::mm_of(&[(0, 2, RW)]);
    let mut writer = mm.write();
    let child = writer.fork().expect("memory");
    let inside = child.write();
    drop(writer);
    assert!(mm.try_write().is_some() && child.try_read().is_none());
    drop(inside);
    let killed = Kill::default();
    assert!(child.handle_fault(page(1), Access::Write, FaultContext::User(&killed)).is_ok());
}
