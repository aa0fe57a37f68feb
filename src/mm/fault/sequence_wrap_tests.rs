//! Tests of an address space whose write sequence is about to wrap around: as a number of 64 bits, and in the bits of it that a VMA's lock keeps
//! (3.12).
//!
//! Compiled for `cargo test` alone. Two billion holds would take too long, so each test sets the sequence to where they would have brought it.

use super::{FaultContext, FaultedVma};
use crate::addr::{Access, PAGE_SIZE};
use crate::error::{ErrorCode, LockVmaError};
use crate::lock::{Interrupt, Patience};
use crate::mm::{Limits, Mm, UpgradePolicy};
use crate::vma::{VmaFlags, VmaSpec};
use std::thread;

const NO_FIXUP: FaultContext<'static> = FaultContext::KernelWithoutFixup;
const DOWN: VmaFlags = VmaFlags::READ.union(VmaFlags::GROWSDOWN);
/// A VMA's lock keeps the low bits of the sequence, which wrap around after this number.
const VMA_WRAP: u64 = 1 << 42;

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

fn stack(sequence: u64, policy: UpgradePolicy) -> Mm {
    let mm =
        Mm::builder().private_epochs().limits(Limits { upgrade: policy, ..Limits::default() }).expect("limits that mean something").build();
    mm.start_sequence_at(sequence);
    mm.write().insert(page(100), PAGE_SIZE, VmaSpec::anonymous(DOWN)).expect("free");
    mm
}

/// Just below where either wraps around.
fn below_the_wraps() -> impl Iterator<Item = u64> {
    [VMA_WRAP, 0, 5 * VMA_WRAP].into_iter().flat_map(|wrap| (0..5).map(move |n| wrap.wrapping_sub(2 * n)))
}

/// Hold by hold across the wrap: the sequence is odd while one lasts; a VMA is busy in the hold that write-locked it, never before and never after; a
/// speculation sees each hold.
#[test]
fn every_hold_across_the_wrap_is_distinguished() {
    for begun in below_the_wraps() {
        let mm = stack(begun, UpgradePolicy::Optimistic);
        for hold in 1..8 {
            let before = begun.wrapping_add(2 * hold);
            assert_eq!(mm.write_sequence(), before);
            let speculation = mm.speculate().expect("no writer is inside");
            let mut writer = mm.write();
            assert_eq!(mm.write_sequence(), before.wrapping_add(1));
            assert!(mm.speculate().is_none() && !speculation.validate());
            assert!(mm.lock_vma(page(100)).is_ok(), "it is not write-locked yet in this hold, {before:#x}");
            writer.expand_down(page(100 - hold)).expect("room below");
            assert_eq!(mm.lock_vma(page(100)).map(drop), Err(LockVmaError::Busy { at: page(100) }), "in the hold of {before:#x}");
            let reader = writer.downgrade();
            let held = mm.lock_vma(page(100)).expect("one step has released it");
            assert_eq!(held.vma().start(), page(100 - hold));
            let again = mm.speculate().expect("downgraded");
            drop((held, reader));
            assert!(again.validate() && !speculation.validate());
        }
        mm.write().validate().expect("the invariants hold");
    }
}

/// Faults and growths of two threads across the wrap.
#[test]
fn faults_across_the_wrap() {
    for policy in [UpgradePolicy::Optimistic, UpgradePolicy::Never] {
        for begun in below_the_wraps() {
            let mm = stack(begun, policy);
            thread::scope(|threads| {
                for offset in 0..2 {
                    let mm = &mm;
                    threads.spawn(move || {
                        let calm = Interrupt::new();
                        for step in 0..if cfg!(miri) { 2 } else { 8 } {
                            let at = page(98 - 2 * step + offset);
                            let held = mm.handle_fault(at, Access::Read, FaultContext::User(&calm)).expect("room below");
                            assert!(held.vma().contains(at) && held.vma().is_attached());
                        }
                    });
                }
            });
            mm.write().validate().expect("the invariants hold");
            assert_eq!(mm.stats().total_pages, if cfg!(miri) { 5 } else { 17 });
        }
    }
}

/// 3.12: a VMA write-locked exactly one wrap ago looks as if it were write-locked now. It is busy wrongly, and the mm lock is the way; never free
/// wrongly, and not for the writer either.
#[test]
fn a_wrapped_write_lock_is_busy_and_the_fault_goes_on() {
    let mm = stack(2, UpgradePolicy::Optimistic);
    assert_eq!(mm.write_sequence(), 4, "mapped, and so write-locked, in the hold of 3");
    mm.start_sequence_at(VMA_WRAP + 2);
    let writer = mm.write();
    assert_eq!(mm.lock_vma(page(100)).map(drop), Err(LockVmaError::Busy { at: page(100) }), "wrongly");
    let reader = writer.downgrade();
    assert!(mm.lock_vma(page(100)).is_ok(), "the next hold, or its end, makes it free again");
    drop(reader);

    // It looks write-locked, and so drained. But there is a reader, from before this hold.
    mm.start_sequence_at(VMA_WRAP + 2);
    let held = mm.lock_vma(page(100)).expect("no writer is inside");
    let mut writer = mm.write();
    let refused = writer.expand_down_with(page(99), Patience::Never);
    assert_eq!(refused.map_err(|error| error.errno()), Err(11), "free wrongly, for the writer");
    assert_eq!(mm.pin().lookup(page(100)).map(|vma| vma.span()), Some(held.vma().span()));
    drop(held);
    writer.expand_down(page(99)).expect("room below");
    drop(writer);
    assert!(matches!(mm.handle_fault(page(99), Access::Read, NO_FIXUP), Ok(FaultedVma::PerVma(_))));
    mm.write().validate().expect("the invariants hold");
}
