//! How long an operation of an address space waits: for the mm lock, and for the readers of a VMA.
//!
//! Called by `vma::lock` and by the operations of `mm`.

use super::interrupt::Interrupt;

/// How long an operation waits for other threads.
///
/// A thread that waits for its own [`VmaGuard`](crate::mm::VmaGuard) waits forever; in debug builds with the feature `std` it panics
/// instead.
///
/// `I` is the type that interrupts a wait for the mm lock ([`RawMmLock::Interrupt`](super::RawMmLock::Interrupt)).
#[derive(Debug)]
pub enum Patience<'i, I: ?Sized = Interrupt> {
    /// Waits as long as it takes.
    Forever,
    /// Waits until interrupted.
    Interruptible(&'i I),
    /// Does not wait.
    Never,
}

impl<I: ?Sized> Clone for Patience<'_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I: ?Sized> Copy for Patience<'_, I> {}
