//! What is asked for: a VMA to be mapped, without its bounds.
//!
//! Called by the embedder, and by `mm`'s `insert` and `mmap`, which turn it into a new VMA when it has a start.

use super::attrs::{NewVma, VmaAttrs};
use super::backing::{Backing, ObjectId};
use super::flags::VmaFlags;
use super::owner::{AnonOwner, Owner};

/// Describes a VMA to be mapped, except for its bounds.
///
/// The bounds are given to [`MmWriteGuard::insert`](crate::mm::MmWriteGuard::insert), or to a [`MapRequest`](crate::mm::MapRequest).
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
    /// The offset in them is set when the VMA has a start: see `offset`.
    pub(crate) attrs: VmaAttrs,
    /// The offset of the first address, in bytes; `None`: the address itself (5.8).
    pub(crate) offset: Option<u64>,
    pub(crate) owner: Option<Owner>,
    pub(crate) payload: P,
}

impl VmaSpec {
    /// Describes anonymous memory. The offsets of private anonymous memory are its addresses.
    pub const fn anonymous(flags: VmaFlags) -> Self {
        Self::of(Backing::Anonymous, None, flags)
    }

    /// Describes shared anonymous memory whose object the embedder names. Its offsets begin at 0.
    ///
    /// A later mapping of the same object is [`of_shared_memory`](Self::of_shared_memory).
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{Backing, MapRequest, ObjectId};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm: Mm = Mm::new();
    /// let at = mm.write().mmap(&MapRequest::new(0x1000, VmaSpec::shared_anonymous(ObjectId::from(5), VmaFlags::READ)))?;
    /// assert_eq!(mm.read().lookup(at).map(|vma| vma.backing()), Some(Backing::SharedMemory(ObjectId::from(5))));
    /// # Ok::<(), vmaple::mm::MmapError>(())
    /// ```
    pub const fn shared_anonymous(object: ObjectId, flags: VmaFlags) -> Self {
        Self::of(Backing::SharedMemory(object), None, flags.union(VmaFlags::SHARED))
    }

    /// Describes pages of an object of shared memory (a file that is in memory alone), from an offset in bytes.
    pub const fn of_shared_memory(object: ObjectId, offset: u64, flags: VmaFlags) -> Self {
        Self::of(Backing::SharedMemory(object), Some(offset), flags)
    }

    /// Describes pages of an object, from an offset in bytes.
    pub const fn of_object(object: ObjectId, offset: u64, flags: VmaFlags) -> Self {
        Self::of(Backing::Object(object), Some(offset), flags)
    }

    const fn of(backing: Backing, offset: Option<u64>, flags: VmaFlags) -> Self {
        Self { attrs: VmaAttrs::new(flags, backing), offset, owner: None, payload: () }
    }
}

impl<P> VmaSpec<P> {
    /// Sets the offset of the VMA's first address, in bytes, as if the VMA had been moved here from there.
    pub fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets the owner of the private pages.
    pub fn owned_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner::of(owner));
        self
    }

    /// Sets the owner of the private pages, some of which belong to a parent, too: the VMA came by a fork and merges less (5.9).
    pub fn inherited_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner { id: owner, inherited: true });
        self
    }

    /// Sets the payload, which the embedder keeps with the VMA. It is cloned if the VMA is split.
    pub fn with_payload<Q>(self, payload: Q) -> VmaSpec<Q> {
        let Self { attrs, offset, owner, payload: _ } = self;
        VmaSpec { attrs, offset, owner, payload }
    }

    /// Copies all but the payload.
    pub(crate) fn like_with<Q>(&self, payload: Q) -> VmaSpec<Q> {
        let &Self { attrs, offset, owner, payload: _ } = self;
        VmaSpec { attrs, offset, owner, payload }
    }

    /// Returns the VMA that starts at this address.
    pub(crate) fn into_new_vma(self, start: u64) -> NewVma<P> {
        let Self { attrs, offset, owner, payload } = self;
        let linear_offset = offset.map_or(0, |offset| offset.wrapping_sub(start));
        NewVma { attrs: VmaAttrs { linear_offset, ..attrs }, owner, payload }
    }
}
