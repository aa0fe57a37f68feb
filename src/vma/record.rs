//! The record of a VMA: what the index holds for a range. And the two ways in which the embedder sees one, [`Vma`] and [`VmaHandle`].
//!
//! Called by `mm`, which publishes records and finds them. A record's lock word changes at any time; its owner is set once, under the mm
//! lock; nothing else changes after it was published.

use super::attrs::{NewVma, VmaAttrs};
use super::backing::Backing;
use super::flags::VmaFlags;
use super::lock::VmaLock;
use super::owner::{AnonOwner, Owner};
use crate::addr::{PAGE_SIZE, Span};
use crate::sync::{AtomicU64, Ordering, Shared};
use core::fmt;

/// The record of a VMA: what the index holds for its range.
#[derive(Debug)]
#[repr(C)] // the lock first, on one cache line with the count of the `Shared`
pub(crate) struct VmaRecord<P> {
    lock: VmaLock,
    /// [`Owner`] as a word. Set once, under the mm lock.
    owner: AtomicU64,
    attrs: VmaAttrs,
    payload: P,
}

impl<P> VmaRecord<P> {
    /// Creates a record that is attached, and write-locked in the hold of this sequence.
    pub(crate) fn new(new_vma: NewVma<P>, sequence: u64) -> Self {
        let NewVma { attrs, owner, payload } = new_vma;
        Self { lock: VmaLock::new(sequence), owner: AtomicU64::new(Owner::to_bits(owner)), attrs, payload }
    }

    /// Returns a new VMA with the attributes and the owner of this record.
    pub(crate) fn new_vma_with<Q>(&self, payload: Q) -> NewVma<Q> {
        NewVma { attrs: self.attrs, owner: self.owner(), payload }
    }

    /// Returns the payload of a record that was never published.
    pub(crate) fn into_payload(self) -> P {
        self.payload
    }

    /// Returns a child's record (5.28): nothing is locked in memory, the payload is cloned, and private pages that come along have this
    /// owner. It is in no hold, because the child's first hold has another number (3.2).
    #[inline]
    pub(crate) fn inherited(&self, id: AnonOwner) -> Self
    where
        P: Clone,
    {
        let NewVma { attrs, owner, payload } = self.new_vma_with(self.payload.clone());
        let comes_along = owner.is_some() && !attrs.flags.contains(VmaFlags::WIPEONFORK);
        let attrs = VmaAttrs { flags: attrs.flags.difference(VmaFlags::LOCKED_MASK), ..attrs };
        Self::new(NewVma { attrs, owner: comes_along.then_some(Owner { id, inherited: true }), payload }, u64::MAX)
    }

    pub(crate) fn attrs(&self) -> &VmaAttrs {
        &self.attrs
    }

    pub(crate) fn flags(&self) -> VmaFlags {
        self.attrs.flags
    }

    pub(crate) fn owner(&self) -> Option<Owner> {
        // Relaxed: only the number matters; it publishes nothing.
        Owner::from_bits(self.owner.load(Ordering::Relaxed))
    }

    /// Sets the owner of the private pages unless there is one; returns the owner. The caller holds the mm lock.
    pub(crate) fn own(&self, owner: Owner) -> Owner {
        // Relaxed: as in `owner`. Of two concurrent calls the first sets the owner.
        match self.owner.compare_exchange(0, Owner::to_bits(Some(owner)), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => owner,
            Err(bits) => Owner::from_bits(bits).unwrap_or(owner),
        }
    }

    pub(crate) fn lock(&self) -> &VmaLock {
        &self.lock
    }

    pub(crate) fn payload(&self) -> &P {
        &self.payload
    }
}

/// A VMA as it was found: its bounds, its attributes and its payload.
///
/// It borrows the guard, pin or reader through which it was found. Only the guard decides whether the VMA is still like this: under a pin
/// it may have changed since.
pub struct Vma<'g, P = ()> {
    span: Span,
    record: &'g Shared<VmaRecord<P>>,
}

impl<'g, P> Vma<'g, P> {
    pub(crate) fn new(span: Span, record: &'g Shared<VmaRecord<P>>) -> Self {
        Self { span, record }
    }

    pub(crate) fn record(&self) -> &'g Shared<VmaRecord<P>> {
        self.record
    }

    /// Returns the bounds.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns the first address.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.span.start()
    }

    /// Returns the last address.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.span.last()
    }

    /// Returns the first address above the VMA.
    #[must_use]
    pub fn end(&self) -> u64 {
        // No overflow: the last address of a VMA is below the task size.
        self.span.last() + 1
    }

    /// Returns whether the VMA contains an address.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        self.span.contains(address)
    }

    /// Returns the flags.
    #[must_use]
    pub fn flags(&self) -> VmaFlags {
        self.record.attrs.flags
    }

    /// Returns what the VMA maps.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.record.attrs.backing
    }

    /// Returns the owner of the private pages; `None` until the first of them is written.
    #[must_use]
    pub fn anon_owner(&self) -> Option<AnonOwner> {
        self.record.owner().map(|owner| owner.id)
    }

    /// Returns offset minus address, in bytes, wrapping: the same for each address of the VMA, also after it was split or has grown.
    #[must_use]
    pub fn linear_offset(&self) -> u64 {
        self.record.attrs.linear_offset
    }

    /// Returns the offset in the backing, in bytes, of an address of the VMA.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> u64 {
        self.record.attrs.offset_of(address)
    }

    /// Returns the offset in the backing, in pages, of an address of the VMA: Linux's `pgoff`.
    #[must_use]
    pub fn page_offset_of(&self, address: u64) -> u64 {
        self.offset_of(address) / PAGE_SIZE
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &'g P {
        &self.record.payload
    }

    /// Returns whether the VMA is still in the address space, as [`VmaHandle::is_attached`] does.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.record.lock.is_detached()
    }

    /// Returns a handle, which may be kept beyond the guard.
    #[must_use]
    pub fn handle(&self) -> VmaHandle<P> {
        VmaHandle(Shared::clone(self.record))
    }
}

impl<P> Clone for Vma<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Vma<'_, P> {}

/// Two are equal if they are the same VMA with the same bounds.
impl<P> PartialEq for Vma<'_, P> {
    fn eq(&self, other: &Self) -> bool {
        self.span == other.span && Shared::ptr_eq(self.record, other.record)
    }
}

impl<P> Eq for Vma<'_, P> {}

impl<P> fmt::Debug for Vma<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vma").field("span", &self.span).field("flags", &self.flags()).finish_non_exhaustive()
    }
}

/// Identifies a VMA and keeps its payload, for as long as the caller likes.
///
/// Two handles are equal if they are of the same VMA. Every operation that changes a VMA puts another one in its place, except growth, which
/// keeps it. A handle is not a lock: the VMA may be gone.
pub struct VmaHandle<P = ()>(Shared<VmaRecord<P>>);

impl<P> VmaHandle<P> {
    /// Returns whether the VMA is still in the address space.
    ///
    /// `false` is final, and is what every handle returns when the address space has ended. `true` may be out of date, unless the caller
    /// holds a lock.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.0.lock.is_detached()
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &P {
        &self.0.payload
    }
}

impl<P> Clone for VmaHandle<P> {
    fn clone(&self) -> Self {
        Self(Shared::clone(&self.0))
    }
}

impl<P> PartialEq for VmaHandle<P> {
    fn eq(&self, other: &Self) -> bool {
        Shared::ptr_eq(&self.0, &other.0)
    }
}

impl<P> Eq for VmaHandle<P> {}

impl<P> fmt::Debug for VmaHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmaHandle").field("is_attached", &self.is_attached()).finish_non_exhaustive()
    }
}
