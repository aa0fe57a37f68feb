//! The record of a VMA, which the index holds, and the specification that it is made from.
//!
//! Called by `mm`.

use super::backing::{Backing, ObjectId};
use super::flags::VmaFlags;
use super::kind::{AnonOwner, Kind, Owner};
use super::lock::VmaLock;
use crate::addr::{PAGE_SIZE, Span};
use crate::sync::{AtomicU64, Ordering, Shared};
use core::fmt;
use core::ops::Deref;

/// Specifies a mapping, without its bounds, which are arguments of [`MmWriteGuard::map`](crate::mm::MmWriteGuard::map).
///
/// # Examples
/// ```
/// use vmaple::mm::ObjectId;
/// use vmaple::{VmaFlags, VmaSpec};
/// let heap = VmaSpec::anonymous(VmaFlags::READ | VmaFlags::WRITE);
/// let text = VmaSpec::of_object(ObjectId::from(7), 0x2000, VmaFlags::READ | VmaFlags::EXEC).with_payload("libc");
/// # let _ = (heap, text);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct VmaSpec<P = ()> {
    pub(crate) flags: VmaFlags,
    pub(crate) backing: Backing,
    /// The offset of its first address, in bytes. `None`: the address itself (5.8).
    pub(crate) offset: Option<u64>,
    pub(crate) owner: Option<Owner>,
    pub(crate) payload: P,
}

impl VmaSpec {
    /// Specifies anonymous memory. The offset of a page is its address.
    pub const fn anonymous(flags: VmaFlags) -> Self {
        Self { flags, backing: Backing::Anonymous, offset: None, owner: None, payload: () }
    }

    /// Specifies shared anonymous memory, with the embedder's id for the object that is made for it. The object's offsets begin at 0. To
    /// map the same object again, use [`of_shared_memory`](Self::of_shared_memory).
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{Backing, MapRequest, ObjectId};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm: Mm = Mm::new();
    /// let at = mm.write().mmap(&MapRequest::new(0x1000, VmaSpec::shared_anonymous(ObjectId::from(5), VmaFlags::READ)))?;
    /// assert_eq!(mm.read().vma(at).map(|vma| vma.backing()), Some(Backing::SharedMemory(ObjectId::from(5))));
    /// # Ok::<(), vmaple::mm::MmapError>(())
    /// ```
    pub const fn shared_anonymous(object: ObjectId, flags: VmaFlags) -> Self {
        let flags = flags.union(VmaFlags::SHARED);
        Self { flags, backing: Backing::SharedMemory(object), offset: None, owner: None, payload: () }
    }

    /// Specifies a mapping of an object of shared memory (a file that exists only in memory), from an offset in bytes.
    pub const fn of_shared_memory(object: ObjectId, offset: u64, flags: VmaFlags) -> Self {
        Self { flags, backing: Backing::SharedMemory(object), offset: Some(offset), owner: None, payload: () }
    }

    /// Specifies a mapping of an object, from an offset in bytes.
    pub const fn of_object(object: ObjectId, offset: u64, flags: VmaFlags) -> Self {
        Self { flags, backing: Backing::Object(object), offset: Some(offset), owner: None, payload: () }
    }
}

impl<P> VmaSpec<P> {
    /// Returns the attributes of the mapping if it starts at `start`.
    pub(crate) fn into_kind(self, start: u64) -> Kind<P> {
        let Self { flags, backing, offset, owner, payload } = self;
        let linear_offset = offset.map_or(0, |offset| offset.wrapping_sub(start));
        Kind { flags, backing, linear_offset, owner, payload }
    }

    /// Sets the offset of its first address, in bytes. For anonymous memory: as if it had been moved here from that address.
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets the owner of its private pages.
    pub fn owned_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner::of(owner));
        self
    }

    /// Sets the owner of its private pages, inherited in a fork: some of the pages are shared with a parent, so it merges with fewer VMAs
    /// (5.9).
    pub fn inherited_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner { id: owner, inherited: true });
        self
    }

    /// Returns a copy with another payload.
    pub(crate) fn like_with<Q>(&self, payload: Q) -> VmaSpec<Q> {
        let &Self { flags, backing, offset, owner, payload: _ } = self;
        VmaSpec { flags, backing, offset, owner, payload }
    }

    /// Sets the payload, which is what the embedder keeps with the VMA.
    pub fn with_payload<Q>(self, payload: Q) -> VmaSpec<Q> {
        let Self { flags, backing, offset, owner, payload: _ } = self;
        VmaSpec { flags, backing, offset, owner, payload }
    }
}

/// A VMA without its bounds: flags, backing, offset, owner and payload.
///
/// A published record does not change, except for its lock and for the owner of its private pages, which is set once at most.
#[derive(Debug)]
#[repr(C)] // the lock first, on one cache line with the count of the `Shared`
pub struct VmaRecord<P = ()> {
    lock: VmaLock,
    /// An [`Owner`] as a word. Set once, under the mm lock.
    owner: AtomicU64,
    flags: VmaFlags,
    /// Offset minus address, in bytes, wrapping.
    linear_offset: u64,
    backing: Backing,
    payload: P,
}

impl<P> VmaRecord<P> {
    /// Makes a record that is attached, and write-locked in the hold of this number.
    pub(crate) fn new(kind: Kind<P>, sequence: u64) -> Self {
        let Kind { flags, backing, linear_offset, owner, payload } = kind;
        Self { lock: VmaLock::new(sequence), owner: AtomicU64::new(Owner::to_bits(owner)), flags, linear_offset, backing, payload }
    }

    /// Returns the specification of a record that was never published.
    pub(crate) fn into_spec(self, start: u64) -> VmaSpec<P> {
        let (offset, owner) = (Some(self.offset_of(start)), self.owner());
        let Self { lock: _, owner: _, flags, linear_offset: _, backing, payload } = self;
        VmaSpec { flags, backing, offset, owner, payload }
    }

    /// Returns its attributes with another payload.
    pub(crate) fn kind_with<Q>(&self, payload: Q) -> Kind<Q> {
        let &Self { lock: _, owner: _, flags, linear_offset, backing, payload: _ } = self;
        Kind { flags, backing, linear_offset, owner: self.owner(), payload }
    }

    /// Returns the payload of a record that was never published.
    pub(crate) fn into_payload(self) -> P {
        self.payload
    }

    /// Returns a child's copy of it (5.28): not locked in memory, and with `id` as the owner of the private pages that the child shares. It
    /// is not write-locked, because the child's first hold has another number (3.2).
    #[inline]
    pub(crate) fn inherited(&self, id: AnonOwner) -> Self
    where
        P: Clone,
    {
        let comes_along = self.owner().is_some() && !self.flags.contains(VmaFlags::WIPEONFORK);
        let owner = comes_along.then_some(Owner { id, inherited: true });
        Self::new(Kind { flags: self.flags.difference(VmaFlags::LOCKED_MASK), owner, ..self.kind_with(self.payload.clone()) }, u64::MAX)
    }

    pub(crate) fn owner(&self) -> Option<Owner> {
        // Relaxed: only the number matters; it publishes nothing.
        Owner::from_bits(self.owner.load(Ordering::Relaxed))
    }

    /// Sets the owner of its private pages unless they have one, and returns the owner that they have then. Called under the mm lock.
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

    /// Returns whether it is in the index. Once it is not, it never will be again. False after its address space was dropped.
    ///
    /// A result of true may be out of date at once, unless the caller holds a lock.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.lock.is_detached()
    }

    /// Returns the flags.
    #[must_use]
    pub fn flags(&self) -> VmaFlags {
        self.flags
    }

    /// Returns what it maps.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// Returns the owner of its private pages, or `None` if they have none yet.
    #[must_use]
    pub fn anon_owner(&self) -> Option<AnonOwner> {
        self.owner().map(|owner| owner.id)
    }

    /// Returns the offset minus the address, in bytes, wrapping. It is the same for each of its addresses, also after a split or a growth.
    #[must_use]
    pub fn linear_offset(&self) -> u64 {
        self.linear_offset
    }

    /// Returns the offset of one of its addresses in what it maps, in bytes.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> u64 {
        address.wrapping_add(self.linear_offset)
    }

    /// Returns the offset of one of its addresses in what it maps, in pages: Linux's `pgoff`.
    #[must_use]
    pub fn page_offset_of(&self, address: u64) -> u64 {
        self.offset_of(address) / PAGE_SIZE
    }

    /// Returns the payload, which is what the embedder keeps with the VMA.
    #[must_use]
    pub fn payload(&self) -> &P {
        &self.payload
    }
}

/// A VMA: its bounds, from the index, and its record. Derefs to the record.
pub struct Vma<'g, P = ()> {
    span: Span,
    record: &'g Shared<VmaRecord<P>>,
}

impl<'g, P> Vma<'g, P> {
    pub(crate) fn new(span: Span, record: &'g Shared<VmaRecord<P>>) -> Self {
        Self { span, record }
    }

    /// Returns its first and its last address.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Returns its first address.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.span.start()
    }

    /// Returns its last address.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.span.last()
    }

    /// Returns its record, which the caller may clone and keep. A kept record says nothing about the present layout.
    #[must_use]
    pub fn record(&self) -> &'g Shared<VmaRecord<P>> {
        self.record
    }
}

impl<P> Clone for Vma<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Vma<'_, P> {}

impl<P> Deref for Vma<'_, P> {
    type Target = VmaRecord<P>;

    fn deref(&self) -> &VmaRecord<P> {
        self.record
    }
}

impl<P> fmt::Debug for Vma<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vma").field("span", &self.span).field("flags", &self.flags).finish_non_exhaustive()
    }
}
