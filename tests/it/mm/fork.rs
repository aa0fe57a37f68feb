//! `fork`: what it locks before it copies.

use crate::support::address_space::{RW, mm_of, page};
use vmaple::lock::{MmLock, Patience};
use vmaple::mm::ForkError;

/// 6.16, 3.13: a fork waits for a VMA's readers before it copies the VMA.
#[test]
fn fork_write_locks_before_it_copies() {
    let mm = mm_of(&[(0, 2, RW), (4, 6, RW)]);
    let faulting = mm.lock_vma(page(4)).expect("nobody else is there");
    let result = mm.try_write().expect("free").fork_with_lock(MmLock::new(), Patience::Never).map(|_| ());
    assert!(matches!(result, Err(ForkError::Wait(_))), "{result:?}");
    drop(faulting);
    let mut writer = mm.write();
    let child = writer.fork().expect("memory");
    assert_eq!(mm.lock_vma(page(4)).map(|_| ()), Err(vmaple::mm::LockVmaError::Busy { at: page(4) }), "all are locked until the hold ends");
    drop(writer);
    assert!(child.lock_vma(page(4)).is_ok() && mm.lock_vma(page(4)).is_ok());
}
