//! The attributes of a VMA, without its bounds, its lock, its owner and its payload.
//!
//! Called by `spec` (what is asked for), `record` (what is published) and `mm`'s drafts: each contains one [`VmaAttrs`].

use super::backing::Backing;
use super::flags::VmaFlags;
use super::owner::Owner;

/// The attributes that two VMAs must have in common to merge (5.7). Owners and payloads are compared by rules of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VmaAttrs {
    pub(crate) flags: VmaFlags,
    pub(crate) backing: Backing,
    /// Offset in the backing minus address, in bytes, wrapping: the same for each address of the VMA.
    pub(crate) linear_offset: u64,
}

impl VmaAttrs {
    /// Returns attributes whose offsets equal the addresses (5.8).
    pub(crate) const fn new(flags: VmaFlags, backing: Backing) -> Self {
        Self { flags, backing, linear_offset: 0 }
    }

    /// Returns the offset in the backing, in bytes, of an address of the VMA.
    pub(crate) fn offset_of(&self, address: u64) -> u64 {
        address.wrapping_add(self.linear_offset)
    }
}

/// A VMA that has no record yet. Its bounds are kept beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewVma<P> {
    pub(crate) attrs: VmaAttrs,
    pub(crate) owner: Option<Owner>,
    pub(crate) payload: P,
}

impl<P> NewVma<P> {
    /// Replaces the payload.
    pub(crate) fn with_payload<Q>(self, payload: Q) -> NewVma<Q> {
        let Self { attrs, owner, payload: _ } = self;
        NewVma { attrs, owner, payload }
    }
}
