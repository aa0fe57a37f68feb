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
/// To the flags it adds the `MAY` flags that `mmap` gives, which are the permissions that [`mprotect`](crate::mm::MmWriteGuard::mprotect) may
/// give later: `MAYREAD`, `MAYWRITE` and `MAYEXEC` if there is none of them; `MAYSHARE` to `SHARED`; and `MAYWRITE` to private memory.
/// [`exact_flags`](Self::exact_flags) adds none.
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
    /// Their linear offset is set by [`into_new_vma`](Self::into_new_vma), because it depends on the start.
    pub(crate) attrs: VmaAttrs,
    /// The `MAY` flags in `attrs` that were not given.
    added: VmaFlags,
    /// The offset of the first address, in bytes. `None` is the address itself for anonymous memory, and 0 for an object (5.8).
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
        let added = may_flags_of(flags).difference(flags);
        Self { attrs: VmaAttrs::new(flags.union(added), backing), added, offset, owner: None, payload: () }
    }
}

impl<P> VmaSpec<P> {
    /// Takes the flags as they were given, without further `MAY` flags.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::Prot;
    /// use vmaple::{ErrorCode, Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.insert(0x10_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// writer.mprotect(0x10_0000, 0x1000, Prot::WRITE)?;
    /// writer.insert(0x20_0000, 0x1000, VmaSpec::anonymous(VmaFlags::READ).exact_flags())?;
    /// assert_eq!(writer.lookup(0x20_0000).map(|vma| vma.flags()), Some(VmaFlags::READ));
    /// let refused = writer.mprotect(0x20_0000, 0x1000, Prot::WRITE);
    /// assert_eq!(refused.map_err(|error| error.errno()), Err(13)); // EACCES
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn exact_flags(mut self) -> Self {
        self.attrs.flags = self.attrs.flags.difference(self.added);
        self.added = VmaFlags::empty();
        self
    }

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

    /// Sets the owner of the private pages, some of which belong to a parent, too: the VMA came by a fork and merges less.
    ///
    /// [Rule 5.9](crate::docs::semantics#5-operations).
    pub fn inherited_by(mut self, owner: AnonOwner) -> Self {
        self.owner = Some(Owner { id: owner, inherited: true });
        self
    }

    /// Sets the payload, which the embedder keeps with the VMA. It is cloned if the VMA is split.
    pub fn with_payload<Q>(self, payload: Q) -> VmaSpec<Q> {
        let Self { attrs, added, offset, owner, payload: _ } = self;
        VmaSpec { attrs, added, offset, owner, payload }
    }

    /// Copies all but the payload.
    pub(crate) fn like_with<Q>(&self, payload: Q) -> VmaSpec<Q> {
        let &Self { attrs, added, offset, owner, payload: _ } = self;
        VmaSpec { attrs, added, offset, owner, payload }
    }

    /// Returns the VMA that starts at this address.
    pub(crate) fn into_new_vma(self, start: u64) -> NewVma<P> {
        let Self { attrs, added: _, offset, owner, payload } = self;
        let default = if attrs.backing == Backing::Anonymous { start } else { 0 };
        let linear_offset = offset.unwrap_or(default).wrapping_sub(start);
        NewVma { attrs: VmaAttrs { linear_offset, ..attrs }, owner, payload }
    }
}

/// Returns the `MAY` flags of a mapping that was to have these flags. If there are none, all permissions may be given to it later. A private
/// one may always become writable, and a shared one stays shared.
const fn may_flags_of(flags: VmaFlags) -> VmaFlags {
    let all = VmaFlags::MAYREAD.union(VmaFlags::MAYWRITE).union(VmaFlags::MAYEXEC);
    let access = if flags.intersects(all) { flags.intersection(all) } else { all };
    access.union(if flags.contains(VmaFlags::SHARED) { VmaFlags::MAYSHARE } else { VmaFlags::MAYWRITE })
}
