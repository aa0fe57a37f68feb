//! One VMA of a layout draft: its span, and either the record that it has in the index or the attributes of a record to come.
//!
//! Called by `draft` and by the operations' files. Nothing here changes the address space.

use super::Record;
use super::later::{Payloads, Slot};
use crate::addr::Span;
use crate::vma::{Owner, Payload, VmaAttrs, VmaDraft, VmaFlags};

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

/// The attributes of a staged VMA.
pub(super) type StagedKind<'g, P> = VmaDraft<Carried<'g, P>>;

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
    /// The same, except that it gets an owner of its private pages, which neighbours that are populated later may share.
    Adopting(&'g Record<P>, Owner),
    /// The operation makes it.
    New(StagedKind<'g, P>),
}

impl<'g, P> StagedVma<'g, P> {
    pub(super) fn attrs(&self) -> &VmaAttrs {
        match &self.origin {
            Origin::Existing(record) | Origin::Adopting(record, _) => record.attrs(),
            Origin::New(kind) => &kind.attrs,
        }
    }

    pub(super) fn flags(&self) -> VmaFlags {
        self.attrs().flags
    }

    pub(super) fn owner(&self) -> Option<Owner> {
        match &self.origin {
            Origin::Existing(record) => record.owner(),
            Origin::Adopting(_, owner) => Some(*owner),
            Origin::New(kind) => kind.owner,
        }
    }

    pub(super) fn payload(&self) -> Carried<'g, P> {
        match self.origin {
            Origin::Existing(record) | Origin::Adopting(record, _) => Carried::OfRecord(record),
            Origin::New(kind) => kind.payload,
        }
    }

    /// Returns the record that it has in the index, if it has one.
    pub(super) fn record(&self) -> Option<&'g Record<P>> {
        match self.origin {
            Origin::Existing(record) | Origin::Adopting(record, _) => Some(record),
            Origin::New(_) => None,
        }
    }

    pub(super) fn kind(&self) -> StagedKind<'g, P> {
        match self.origin {
            Origin::Existing(record) => record.draft_with(Carried::OfRecord(record)),
            Origin::Adopting(record, owner) => VmaDraft { owner: Some(owner), ..record.draft_with(Carried::OfRecord(record)) },
            Origin::New(kind) => kind,
        }
    }
}

impl<'g, P: Payload> StagedVma<'g, P> {
    /// Whether it and adjacent pages of this kind are alike except for their owners and payloads (5.7).
    pub(super) fn is_like(&self, kind: &StagedKind<'g, P>) -> bool {
        *self.attrs() == kind.attrs && !kind.attrs.flags.intersects(VmaFlags::SPECIAL)
    }
}
