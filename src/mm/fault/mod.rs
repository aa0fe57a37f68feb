//! Page faults: from a faulting address to a VMA that cannot change, with stack growth on the way.
//!
//! [`Mm::handle_fault`](crate::Mm::handle_fault) is the whole path. It returns a [`FaultedVma`], or the [`FaultError`] that ends the access. Numbers
//! in parentheses, such as (1.5), are those of the rules in [`docs::semantics`](crate::docs::semantics).

// The fault path (L4): from an address to a VMA that stays, growing a stack on the way. Called by the embedder.
//
// ```text
// handle_fault(address, access, context)
//   │
//   ├─ pin, find, read-lock the VMA ── attached, not write-locked since the search ────┐   per-VMA path: no mm lock
//   │     write-locked since: find again. busy, absent: no proof                       │
//   ▼                                                                                  │
// find_vma_for_fault(address, context)                                                 │
//   1.1  read-lock the mm: try; else wait, if the context may ── no ──► WouldBlock     │
//   1.3  find ── contains the address ─────────────────────────────────────────────────┤   mm lock, read
//   1.4  nothing there that grows down ──► Unmapped                                    │
//   1.5  try_upgrade ── done ────────────────────────────────────┐                     │
//   1.6  else drop, wait for write, if the context may           │                     │
//   1.7  find again ── contains it: downgrade ───────────────────┼─────────────────────┤   found again
//        not growable ──► Unmapped                               │                     │
//   1.8  grow_down ◄─────────────────────────────────────────────┘                     │
//          refused ──► Growth                                                          │
//   1.9  downgrade ────────────────────────────────────────────────────────────────────┤   grown
//                                                                                      ▼
//                                                      access allowed? ──► FaultedVma, or Denied, or DeniedByKey
// ```
// Numbers are those of `docs/semantics.md`. A call that returns an error holds nothing.

mod expand;
mod find;
mod handle;
mod stack;
// The atomics of the checkers live in models alone.
#[cfg(all(test, not(any(vmaple_loom, vmaple_shuttle))))]
mod sequence_wrap_tests;

pub use handle::FaultedVma;

pub use crate::error::{ExpandError, FaultError, SegvCode, Signal};

use crate::lock::Interrupt;
use crate::lock::Patience;

/// Where a fault comes from, which determines how long it may wait.
///
/// `I` is what interrupts a wait for the mm lock ([`RawMmLock::Interrupt`](crate::lock::RawMmLock::Interrupt)).
#[derive(Debug)]
pub enum FaultContext<'i, I: ?Sized = Interrupt> {
    /// From user mode: waits until the interrupt is raised.
    User(&'i I),
    /// From the kernel, at an instruction that has a fixup: waits until the interrupt is raised.
    KernelWithFixup(&'i I),
    /// From the kernel, at an instruction that has no fixup: never waits, because it may hold the lock that it would wait for.
    KernelWithoutFixup,
}

impl<I: ?Sized> Clone for FaultContext<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: ?Sized> Copy for FaultContext<'_, I> {}

impl<'i, I: ?Sized> FaultContext<'i, I> {
    /// Returns how long the fault may wait.
    #[must_use]
    pub fn patience(self) -> Patience<'i, I> {
        match self {
            Self::User(interrupt) | Self::KernelWithFixup(interrupt) => Patience::Interruptible(interrupt),
            Self::KernelWithoutFixup => Patience::Never,
        }
    }
}
