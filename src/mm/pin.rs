//! The two ways to read an `Mm` without a lock: a pin, and the reader that a thread keeps.
//!
//! Called by the embedder, through `Mm::pin` and `Mm::reader`. They are to an address space what `PinGuard` and `Reader` are to a map.

use super::view::MmView;
use super::{Mm, Record};
use crate::lock::{MmLock, RawMmLock};
use crate::map::{PinGuard, Reader};
use crate::vma::Vma;
use core::fmt;
use core::ops::Deref;

/// Keeps what is read through it readable. It is not a lock: the layout may change meanwhile.
///
/// Derefs to [`MmView`]. It is bound to its thread.
#[must_use = "the pin ends when it is dropped"]
pub struct MmPin<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    pin: PinGuard<'m, Record<P>>,
}

impl<'m, P, L: RawMmLock> MmPin<'m, P, L> {
    #[inline]
    pub(super) fn new(mm: &'m Mm<P, L>, pin: PinGuard<'m, Record<P>>) -> Self {
        Self { mm, pin }
    }

    /// Returns the address space.
    #[must_use]
    pub fn mm(&self) -> &'m Mm<P, L> {
        self.mm
    }
}

impl<P, L: RawMmLock> Deref for MmPin<'_, P, L> {
    type Target = MmView<P>;

    #[inline]
    fn deref(&self) -> &MmView<P> {
        MmView::of(&self.pin)
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmPin<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmPin").finish_non_exhaustive()
    }
}

/// A handle that a thread keeps: each call pins the thread again, which costs less than [`Mm::pin`].
///
/// It is for threads that fault often, such as vCPUs and pagers. Between calls the thread stays pinned. So a thread that goes idle, or waits
/// for the page that a fault brings in, must call [`unpin`](Self::unpin), because writers cannot reuse memory meanwhile. It is bound to its
/// thread.
///
/// # Examples
/// ```
/// use vmaple::{Access, FaultContext, Interrupt, Mm, VmaFlags, VmaSpec};
/// let mm = Mm::new();
/// mm.write().insert(0x10_0000, 0x4_0000, VmaSpec::anonymous(VmaFlags::READ))?;
/// let killed = Interrupt::new();
/// let mut reader = mm.reader();
/// for page in 0..64 {
///     let found = reader.handle_fault(0x10_0000 + page * 0x1000, Access::Read, FaultContext::User(&killed))?;
///     assert_eq!(found.vma().start(), 0x10_0000);
/// }
/// reader.unpin();
/// assert_eq!(mm.stats().fault_paths.per_vma, 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MmReader<'m, P = (), L: RawMmLock = MmLock> {
    mm: &'m Mm<P, L>,
    reader: Reader<'m, Record<P>>,
}

impl<'m, P, L: RawMmLock> MmReader<'m, P, L> {
    pub(super) fn new(mm: &'m Mm<P, L>, reader: Reader<'m, Record<P>>) -> Self {
        Self { mm, reader }
    }

    /// Returns the address space.
    #[must_use]
    pub fn mm(&self) -> &'m Mm<P, L> {
        self.mm
    }

    /// Pins the thread again and returns the view, for several calls under one pin.
    #[inline]
    pub fn view(&mut self) -> &MmView<P> {
        MmView::of(self.reader.view())
    }

    /// Returns the VMA that contains the address. See [`MmView::lookup`].
    #[inline]
    #[must_use]
    pub fn lookup(&mut self, address: u64) -> Option<Vma<'_, P>> {
        self.view().lookup(address)
    }

    /// Returns the VMA that contains the address, or else the first one above it. See [`MmView::find`].
    #[inline]
    #[must_use]
    pub fn find(&mut self, address: u64) -> Option<Vma<'_, P>> {
        self.view().find(address)
    }

    /// Returns the first VMA that starts after the address. See [`MmView::next`].
    #[must_use]
    pub fn next(&mut self, address: u64) -> Option<Vma<'_, P>> {
        self.view().next(address)
    }

    /// Returns the last VMA that lies wholly below the address. See [`MmView::prev`].
    #[must_use]
    pub fn prev(&mut self, address: u64) -> Option<Vma<'_, P>> {
        self.view().prev(address)
    }

    /// Ends the pin until the next call.
    pub fn unpin(&mut self) {
        self.reader.unpin();
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmReader<'_, P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmReader").finish_non_exhaustive()
    }
}
