//! How long a thread waits for a lock: for the mm lock, and for the readers of a VMA.
//!
//! Called by `vma`, `mm` and `mm::fault`.

use super::Interrupt;
#[cfg(doc)]
use super::RawMmLock;

/// How long an operation is ready to wait for others.
///
/// A thread that would wait for its own [`VmaGuard`](crate::mm::VmaGuard) waits forever; in debug builds it panics instead.
///
/// `I` is what interrupts a wait for the mm lock ([`RawMmLock::Interrupt`]).
#[derive(Debug)]
pub enum Patience<'i, I: ?Sized = Interrupt> {
    /// Until they have left.
    Forever,
    /// The same, unless interrupted.
    Unless(&'i I),
    /// Not at all.
    Never,
}

impl<I: ?Sized> Clone for Patience<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: ?Sized> Copy for Patience<'_, I> {}
