//! What everyone who reads an `Mm` may ask: one implementation for the pin, the reader and both guards.
//!
//! Called by `pin` and `guard`, whose types deref to [`MmView`], and by the fault path. It wraps the index's view and adds no state.

#![allow(unsafe_code, reason = "a reference to the index's view becomes one to its transparent wrapper")]

use super::Record;
use crate::addr::Span;
use crate::error::RangeError;
use crate::tree::{self, Entry, Iter, View};
use crate::vma::Vma;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::RangeBounds;

/// The VMAs of an address space, as a guard, a pin or a reader shows them.
///
/// What the answers promise depends on what it was reached through:
///
/// | through | promise |
/// |---|---|
/// | [`MmReadGuard`](crate::mm::MmReadGuard), [`MmWriteGuard`](crate::mm::MmWriteGuard) | All answers are of one layout, which stays as it is while the guard is only read. |
/// | [`MmPin`](crate::mm::MmPin), [`MmReader`](crate::mm::MmReader) | Each answer was true at one moment of its call. It is not a snapshot: two calls, and two steps of an iteration, may see two layouts. What was returned stays readable. |
///
/// # Concurrency
/// Takes no lock and writes nothing. [`map::View`](crate::map::View) says which methods are wait-free.
///
/// # Examples
/// ```
/// use vmaple::{Mm, Span, VmaFlags, VmaSpec};
/// let mm: Mm = Mm::new();
/// for start in [0x10_0000, 0x20_0000] {
///     mm.write().insert(start, 0x2000, VmaSpec::anonymous(VmaFlags::READ))?;
/// }
/// let pin = mm.pin();
/// assert!(pin.lookup(0x10_1fff).is_some() && pin.lookup(0x10_2000).is_none());
/// assert_eq!(pin.find(0x10_2000).map(|vma| vma.start()), Some(0x20_0000));
/// assert_eq!(pin.iter().map(|vma| vma.start()).collect::<Vec<_>>(), [0x10_0000, 0x20_0000]);
/// assert_eq!(pin.gaps(0x10_0000..0x20_2000)?.collect::<Vec<_>>(), [Span::new(0x10_2000, 0x1f_ffff)?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(transparent)]
pub struct MmView<P = ()> {
    entries: View<Record<P>>,
}

impl<P> MmView<P> {
    /// Returns the view of an address space whose index has this view.
    #[inline]
    pub(super) fn of(entries: &View<Record<P>>) -> &Self {
        // SAFETY: `MmView` is `View<Record<P>>`, transparently.
        unsafe { &*core::ptr::from_ref(entries).cast::<Self>() }
    }

    /// Returns the index's view, for operations that need entries.
    #[inline]
    pub(super) fn entries(&self) -> &View<Record<P>> {
        &self.entries
    }

    /// Returns the VMA that contains the address, or `None` if there is none.
    #[inline]
    #[must_use]
    pub fn lookup(&self, address: u64) -> Option<Vma<'_, P>> {
        self.entries.lookup(address).map(vma_of)
    }

    /// Returns the VMA that contains the address, or else the first one above it. `None` if there is neither.
    #[inline]
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Vma<'_, P>> {
        self.entries.find(address).map(vma_of)
    }

    /// Returns the first VMA that starts after the address, or `None` if there is none.
    #[must_use]
    pub fn next(&self, address: u64) -> Option<Vma<'_, P>> {
        self.entries.next(address).map(vma_of)
    }

    /// Returns the last VMA that lies wholly below the address, or `None` if there is none.
    #[must_use]
    pub fn prev(&self, address: u64) -> Option<Vma<'_, P>> {
        self.entries.prev(address).map(vma_of)
    }

    /// Returns an iterator over all VMAs in order.
    pub fn iter(&self) -> VmaIter<'_, P> {
        VmaIter { entries: self.entries.iter() }
    }

    /// Returns an iterator over the VMAs that share an address with the range, in order and whole.
    ///
    /// # Concurrency
    /// Addresses come in order and none twice, and an address that stays mapped throughout is not missed. Under a pin a VMA that has grown
    /// since the iteration began may be cut to what was not reported yet.
    ///
    /// # Errors
    /// [`RangeError`]: the range holds no address.
    pub fn range(&self, range: impl RangeBounds<u64>) -> Result<VmaIter<'_, P>, RangeError> {
        Ok(VmaIter { entries: self.entries.range(range)? })
    }

    /// Returns an iterator over the unmapped ranges within a range, in order.
    ///
    /// # Concurrency
    /// Under a guard nothing is mapped in a gap while the guard is only read. Under a pin each address of a gap was unmapped at some moment
    /// since the iteration began; the whole gap may never have been unmapped at once.
    ///
    /// # Errors
    /// [`RangeError`]: the range holds no address.
    pub fn gaps(&self, range: impl RangeBounds<u64>) -> Result<Gaps<'_, P>, RangeError> {
        Ok(Gaps { gaps: self.entries.gaps(range)? })
    }
}

/// Returns the VMA of an entry of the index.
pub(super) fn vma_of<P>(entry: Entry<'_, Record<P>>) -> Vma<'_, P> {
    Vma::new(entry.span(), entry.value())
}

impl<P> fmt::Debug for MmView<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmView").finish_non_exhaustive()
    }
}

impl<'g, P> IntoIterator for &'g MmView<P> {
    type Item = Vma<'g, P>;
    type IntoIter = VmaIter<'g, P>;

    fn into_iter(self) -> VmaIter<'g, P> {
        self.iter()
    }
}

/// An iterator over VMAs. Created by [`MmView::iter`] and [`MmView::range`].
#[must_use = "iterators do nothing unless they are advanced"]
pub struct VmaIter<'g, P = ()> {
    entries: Iter<'g, Record<P>>,
}

impl<'g, P> Iterator for VmaIter<'g, P> {
    type Item = Vma<'g, P>;

    #[inline]
    fn next(&mut self) -> Option<Vma<'g, P>> {
        self.entries.next().map(vma_of)
    }

    #[inline]
    fn fold<B, F: FnMut(B, Vma<'g, P>) -> B>(self, init: B, mut f: F) -> B {
        self.entries.fold(init, |folded, entry| f(folded, vma_of(entry)))
    }
}

impl<P> DoubleEndedIterator for VmaIter<'_, P> {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.entries.next_back().map(vma_of)
    }
}

impl<P> FusedIterator for VmaIter<'_, P> {}

impl<P> Clone for VmaIter<'_, P> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone() }
    }
}

impl<P> fmt::Debug for VmaIter<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VmaIter").field(&self.entries).finish()
    }
}

/// An iterator over the unmapped ranges within a range. Created by [`MmView::gaps`].
#[must_use = "iterators do nothing unless they are advanced"]
pub struct Gaps<'g, P = ()> {
    gaps: tree::Gaps<'g, Record<P>>,
}

impl<P> Iterator for Gaps<'_, P> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        self.gaps.next()
    }
}

impl<P> FusedIterator for Gaps<'_, P> {}

impl<P> Clone for Gaps<'_, P> {
    fn clone(&self) -> Self {
        Self { gaps: self.gaps.clone() }
    }
}

impl<P> fmt::Debug for Gaps<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gaps").field(&self.gaps).finish()
    }
}
