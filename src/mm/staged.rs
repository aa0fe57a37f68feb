//! One VMA of a layout draft: its span, and either the record that it has in the index or the attributes of a record to come.
//!
//! Called by `draft` and by the operations' files. Nothing here changes the address space.

use super::Record;
use super::later::{Payloads, Slot};
use crate::addr::Span;
use crate::vma::{NewVma, Owner, Payload, VmaAttrs, VmaFlags};

/// The payload of a staged VMA: that of a record in the index, or one that the operation made, which [`Payloads`] keeps. Dropping a draft
/// therefore drops no payload. A payload that the operation made belongs to one VMA at most, because its record will take it.
#[derive(Debug)]
pub(super) enum Carried<'g, P> {
    OfRecord(&'g Record<P>),
    Kept(Slot),
}

impl<P> Clone for Carried<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Carried<'_, P> {}

impl<'g, P> Carried<'g, P> {
    /// Returns the payload itself.
    pub(super) fn of<'a>(self, payloads: &'a Payloads<P>) -> &'a P
    where
        'g: 'a,
    {
        match self {
            Self::OfRecord(record) => record.payload(),
            Self::Kept(slot) => payloads.get(slot),
        }
    }
}

/// A staged VMA whose record is still to be made.
pub(super) type NewStaged<'g, P> = NewVma<Carried<'g, P>>;

/// A VMA of a draft.
#[derive(Debug)]
pub(super) struct StagedVma<'g, P> {
    pub(super) span: Span,
    pub(super) origin: Origin<'g, P>,
}

/// Where a staged VMA comes from. One that has its record in the index has the bounds that the index has for it.
#[derive(Debug)]
pub(super) enum Origin<'g, P> {
    /// It is in the index, and stays as it is.
    Existing(&'g Record<P>),
    /// It is in the index, and keeps its record, but gets an owner of its private pages. Neighbours that are populated later may share it.
    Adopting(&'g Record<P>, Owner),
    /// The operation makes it, and it has no record yet.
    New(NewStaged<'g, P>),
}

impl<'g, P> StagedVma<'g, P> {
    #[inline]
    pub(super) fn attrs(&self) -> &VmaAttrs {
        match &self.origin {
            Origin::Existing(record) | Origin::Adopting(record, _) => record.attrs(),
            Origin::New(new_vma) => &new_vma.attrs,
        }
    }

    #[inline]
    pub(super) fn flags(&self) -> VmaFlags {
        self.attrs().flags
    }

    /// Returns the owner of the private pages, if they have one.
    #[inline]
    pub(super) fn owner(&self) -> Option<Owner> {
        match &self.origin {
            Origin::Existing(record) => record.owner(),
            Origin::Adopting(_, owner) => Some(*owner),
            Origin::New(new_vma) => new_vma.owner,
        }
    }

    #[inline]
    pub(super) fn payload(&self) -> Carried<'g, P> {
        match self.origin {
            Origin::Existing(record) | Origin::Adopting(record, _) => Carried::OfRecord(record),
            Origin::New(new_vma) => new_vma.payload,
        }
    }

    /// Returns the record that it has in the index, if it has one.
    #[inline]
    pub(super) fn record(&self) -> Option<&'g Record<P>> {
        match self.origin {
            Origin::Existing(record) | Origin::Adopting(record, _) => Some(record),
            Origin::New(_) => None,
        }
    }

    /// Returns a new VMA with its attributes, owner and payload.
    #[inline]
    pub(super) fn to_new(&self) -> NewStaged<'g, P> {
        match self.origin {
            Origin::Existing(record) => record.new_vma_with(Carried::OfRecord(record)),
            Origin::Adopting(record, owner) => NewVma { owner: Some(owner), ..record.new_vma_with(Carried::OfRecord(record)) },
            Origin::New(new_vma) => new_vma,
        }
    }
}

impl<'g, P: Payload> StagedVma<'g, P> {
    /// Returns whether it may merge with an adjacent new VMA as far as attributes and owners decide (5.7, 5.9).
    #[inline]
    pub(super) fn may_merge_with(&self, new_vma: &NewStaged<'g, P>) -> bool {
        *self.attrs() == new_vma.attrs
            && !new_vma.attrs.flags.intersects(VmaFlags::SPECIAL)
            && Owner::allow_merge(self.owner(), new_vma.owner)
    }
}
