//! What is mapped: the record that the index holds, and what it is made of.

use super::flags::VmaFlags;
use super::kind::{AnonOwner, Kind, Owner};
use super::lock::VmaLock;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::NameError;
use crate::sync::{AtomicU64, Ordering, Shared, unique_numbers};
use core::fmt;
use core::ops::Deref;

/// The name of an object (a file, a device, shared memory) that VMAs map: the embedder's, below 2^63, or one that the library gave to a
/// mapping without a name, from there on.
///
/// # Examples
/// ```
/// use vmaple::mm::ObjectId;
/// let inode = 0x1234_5678_9abc_u64;
/// assert_eq!(ObjectId::new(inode)?.number(), inode);
/// assert_eq!(ObjectId::from(7), ObjectId::new(7)?);
/// assert!(ObjectId::new(1 << 63).is_err());
/// # Ok::<(), vmaple::mm::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(u64);

impl ObjectId {
    /// Where the library's own names begin.
    const OWN: u64 = 1 << 63;

    /// Makes a name of the embedder's.
    ///
    /// # Errors
    /// [`NameError`]: the number is 2^63 or larger.
    pub const fn new(number: u64) -> Result<Self, NameError> {
        if number < Self::OWN { Ok(Self(number)) } else { Err(NameError::new(number, Self::OWN)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl From<u32> for ObjectId {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

/// What is behind a VMA.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backing {
    /// Nothing: its pages are its own.
    #[default]
    Anonymous,
    /// An object: the embedder's, or one that a private mapping of huge pages was given, with the top bit of its name set.
    Object(ObjectId),
    /// The same, of shared memory: its mappings are placed as the system's setting for huge pages of shared memory says
    /// ([`Limits::shared_huge_pages`](crate::mm::Limits::shared_huge_pages)). What a shared anonymous mapping is given has the top bit of its
    /// name set.
    SharedMemory(ObjectId),
}

impl Backing {
    /// An object that nothing else maps, for a mapping with these flags.
    pub(crate) fn unnamed(flags: VmaFlags) -> Self {
        let object = ObjectId(ObjectId::OWN | unique_numbers(1));
        if flags.contains(VmaFlags::SHARED) { Self::SharedMemory(object) } else { Self::Object(object) }
    }
}

/// What is to be mapped. The bounds come with [`MmWriteGuard::map`](crate::mm::MmWriteGuard::map).
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
    /// Of its first address, in bytes; none: the address itself (5.8).
    pub(crate) offset: Option<u64>,
    pub(crate) owner: Option<Owner>,
    pub(crate) payload: P,
}

impl VmaSpec {
    /// Pages of its own. Their offsets are their addresses.
    pub const fn anonymous(flags: VmaFlags) -> Self {
        Self { flags, backing: Backing::Anonymous, offset: None, owner: None, payload: () }
    }

    /// Shared pages of their own, as anonymous memory has them, with the embedder's name for the object that is made for them: its offsets
    /// begin at 0. What maps the same object later on is [`of_shared_memory`](Self::of_shared_memory).
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

    /// Pages of an object of shared memory, from an offset in bytes: of a file that is in memory alone.
    pub const fn of_shared_memory(object: ObjectId, offset: u64, flags: VmaFlags) -> Self {
        Self { flags, backing: Backing::SharedMemory(object), offset: Some(offset), owner: None, payload: () }
    }

    /// Pages of an object, from an offset in bytes.
    pub const fn of_object(object: ObjectId, offset: u64, flags: VmaFlags) -> Self {
        Self { flags, backing: Backing::Object(object), offset: Some(offset), owner: None, payload: () }
    }
}

impl<P> VmaSpec<P> {
    /// What it is where it starts there.
    pub(crate) fn into_kind(self, start: u64) -> Kind<P> {
        let Self { flags, backing, offset, owner, payload } = self;
        let linear_offset = offset.map_or(0, |offset| offset.wrapping_sub(start));
        Kind { flags, backing, linear_offset, owner, payload }
    }

    /// The offset of its first address, in bytes: as if it had been moved here from there.
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Who owns its private pages.
    pub fn owned_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner::of(owner));
        self
    }

    /// Who owns its private pages, some of which are a parent's too: it came by a fork, and merges less (5.9).
    pub fn inherited_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner { id: owner, inherited: true });
        self
    }

    /// The same with another payload, for a copy.
    pub(crate) fn like_with<Q>(&self, payload: Q) -> VmaSpec<Q> {
        let &Self { flags, backing, offset, owner, payload: _ } = self;
        VmaSpec { flags, backing, offset, owner, payload }
    }

    /// What the embedder keeps with it. Cloned where the VMA is split.
    pub fn with_payload<Q>(self, payload: Q) -> VmaSpec<Q> {
        let Self { flags, backing, offset, owner, payload: _ } = self;
        VmaSpec { flags, backing, offset, owner, payload }
    }
}

/// What a range is mapped to. Once published it does not change, but for its lock, and for the owner of its private pages, who may come
/// once.
#[derive(Debug)]
#[repr(C)] // the lock first: beside the count of the `Shared`, on the line that a fault writes to anyway
pub struct VmaRecord<P = ()> {
    lock: VmaLock,
    /// [`Owner`] as a word. Set once, under the mm lock.
    owner: AtomicU64,
    flags: VmaFlags,
    /// Offset minus address, in bytes, wrapping.
    linear_offset: u64,
    backing: Backing,
    payload: P,
}

impl<P> VmaRecord<P> {
    /// A record, attached and write-locked in the hold of this sequence.
    pub(crate) fn new(kind: Kind<P>, sequence: u64) -> Self {
        let Kind { flags, backing, linear_offset, owner, payload } = kind;
        Self { lock: VmaLock::new(sequence), owner: AtomicU64::new(Owner::word(owner)), flags, linear_offset, backing, payload }
    }

    /// What it was made of, for a record that was never published.
    pub(crate) fn into_spec(self, start: u64) -> VmaSpec<P> {
        let (offset, owner) = (Some(self.offset_of(start)), self.owner());
        let Self { lock: _, owner: _, flags, linear_offset: _, backing, payload } = self;
        VmaSpec { flags, backing, offset, owner, payload }
    }

    /// What it is, with another payload.
    pub(crate) fn kind_with<Q>(&self, payload: Q) -> Kind<Q> {
        let &Self { lock: _, owner: _, flags, linear_offset, backing, payload: _ } = self;
        Kind { flags, backing, linear_offset, owner: self.owner(), payload }
    }

    /// Its payload, for a record that was never published.
    pub(crate) fn into_payload(self) -> P {
        self.payload
    }

    /// What a child has of it (5.28), its payload cloned: nothing is locked in memory, and private pages that come along have this owner. In
    /// no hold: the child's first has another number (3.2).
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
        // Relaxed: a name; nothing is reached through it.
        Owner::of_word(self.owner.load(Ordering::Relaxed))
    }

    /// Gives its private pages an owner, unless they have one; tells who it is then. Under the mm lock.
    pub(crate) fn own(&self, owner: Owner) -> Owner {
        // Relaxed: as above. Of two that come at once the first is it.
        match self.owner.compare_exchange(0, Owner::word(Some(owner)), Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => owner,
            Err(word) => Owner::of_word(word).unwrap_or(owner),
        }
    }

    pub(crate) fn lock(&self) -> &VmaLock {
        &self.lock
    }

    /// Returns whether it is in the index still. Once it is not, it never will be again, and it is not when its address space has ended.
    /// That it is may be untrue the next moment, unless the caller holds a lock.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !self.lock.is_detached()
    }

    /// Its flags.
    #[must_use]
    pub fn flags(&self) -> VmaFlags {
        self.flags
    }

    /// What is behind it.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }

    /// Who owns its private pages.
    #[must_use]
    pub fn anon_owner(&self) -> Option<AnonOwner> {
        self.owner().map(|owner| owner.id)
    }

    /// Offset minus address, in bytes, wrapping: the same for each of its addresses, also after it was split or has grown.
    #[must_use]
    pub fn linear_offset(&self) -> u64 {
        self.linear_offset
    }

    /// The offset in what backs it, in bytes, of one of its addresses.
    #[must_use]
    pub fn offset_of(&self, address: u64) -> u64 {
        address.wrapping_add(self.linear_offset)
    }

    /// The same in pages: Linux's `pgoff`.
    #[must_use]
    pub fn page_offset_of(&self, address: u64) -> u64 {
        self.offset_of(address) / PAGE_SIZE
    }

    /// What the embedder keeps with it.
    #[must_use]
    pub fn payload(&self) -> &P {
        &self.payload
    }
}

/// A VMA: its bounds, which are the index's, and its record. Derefs to the record.
pub struct Vma<'g, P = ()> {
    span: Span,
    record: &'g Shared<VmaRecord<P>>,
}

impl<'g, P> Vma<'g, P> {
    pub(crate) fn new(span: Span, record: &'g Shared<VmaRecord<P>>) -> Self {
        Self { span, record }
    }

    /// Its first and its last address.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Its first address.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.span.start()
    }

    /// Its last address.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.span.last()
    }

    /// Its record, to be kept. A record alone says nothing of the present.
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
