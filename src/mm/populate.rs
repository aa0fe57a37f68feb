//! Owners of private pages (Linux's `anon_vma`): which VMA gets one, and when. A VMA gets an owner with its first private page, and merges
//! with fewer VMAs from then on (5.9).
//!
//! Called by the embedder's fault handler (`own`), by growth, and by the operations that bring pages in (`populate`).

use super::draft::LayoutDraft;
use super::staged::Origin;
use super::view::MmView;
use super::{MmReadGuard, MmWriteGuard};
use crate::addr::{Access, Span};
use crate::error::ResourceError;
use crate::lock::RawMmLock;
use crate::vma::{AnonOwner, Owner, Payload, VmaAttrs, VmaFlags};

/// The flags that may differ between neighbours that share an owner.
const MAY_DIFFER: VmaFlags = VmaFlags::ACCESS;

/// Returns the owner of a neighbour that a VMA with these attributes may share, so that the two can still merge (5.9).
fn shared_owner(attrs: &VmaAttrs, neighbours: [Option<(&VmaAttrs, Option<Owner>)>; 2]) -> Option<Owner> {
    let is_like = |near: &VmaAttrs| {
        near.backing == attrs.backing
            && near.linear_offset == attrs.linear_offset
            && (near.flags ^ attrs.flags).difference(MAY_DIFFER).is_empty()
    };
    neighbours.into_iter().flatten().filter(|(near, _)| is_like(near)).filter_map(|(_, owner)| owner).find(|owner| !owner.inherited)
}

impl<P> MmView<P> {
    /// Gives the VMA that contains the address an owner, unless it has one. The caller holds the mm lock.
    fn own_at(&self, address: u64) -> Option<AnonOwner> {
        let vma = self.lookup(address).filter(|vma| !vma.flags().contains(VmaFlags::SHARED))?;
        let record = vma.record();
        let owner = record.owner().unwrap_or_else(|| {
            let near = |at: Option<u64>| at.and_then(|at| self.lookup(at)).map(|near| (near.record().attrs(), near.record().owner()));
            let shared = shared_owner(record.attrs(), [near(Some(vma.end())), near(vma.start().checked_sub(1))]);
            record.own(shared.unwrap_or_else(|| Owner::of(AnonOwner::unique())))
        });
        Some(owner.id)
    }
}

impl<P, L: RawMmLock> MmReadGuard<'_, P, L> {
    /// Records that a private page was written at the address: the VMA has an owner from then on.
    ///
    /// [Rule 2.4](crate::docs::semantics#2-growth).
    ///
    /// Returns the owner: the one that the VMA has, or that of a neighbour with which it could merge, or a new one (5.9). Returns `None` if
    /// nothing is mapped there or its pages are shared. The library knows no pages, so the embedder's fault handler calls this when it makes
    /// the first one. Growth does so by itself. On Linux a read that a transparent huge page serves counts as a write.
    pub fn own(&self, address: u64) -> Option<AnonOwner> {
        self.own_at(address)
    }
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Records that a private page was written at the address, as [`MmReadGuard::own`] does.
    pub fn own(&self, address: u64) -> Option<AnonOwner> {
        self.own_at(address)
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Brings in the pages of a range, as if those that are private and writable were written and the others read. Stops at the first VMA
    /// that does not allow the calling thread the access, and returns its span. Skips VMAs that are locked on fault, and those without pages
    /// of their own (5.26).
    pub(super) fn populate(&mut self, range: Span) -> Result<Option<Span>, ResourceError> {
        for i in self.within(range) {
            let flags = self.vmas[i].flags();
            if flags.intersects(VmaFlags::LOCKONFAULT | VmaFlags::IO | VmaFlags::PFNMAP) {
                continue;
            }
            let is_written = flags.contains(VmaFlags::WRITE) && !flags.contains(VmaFlags::SHARED);
            let access = if is_written { Access::Write } else { Access::Read };
            // 8.7: not only the VMA may refuse.
            if !flags.is_accessible() || !self.keyring.allows(flags.pkey(), access) {
                return Ok(Some(self.vmas[i].span));
            }
            if is_written {
                self.own(i)?;
            }
        }
        Ok(None)
    }

    /// Gives VMA `i` an owner, unless it has one.
    pub(super) fn own(&mut self, i: usize) -> Result<(), ResourceError> {
        if self.vmas[i].owner().is_some() {
            return Ok(());
        }
        let span = self.vmas[i].span;
        let near = |at: Option<u64>| at.and_then(|at| self.lookup(at)).map(|i| (self.vmas[i].attrs(), self.vmas[i].owner()));
        let shared = shared_owner(self.vmas[i].attrs(), [near(span.last().checked_add(1)), near(span.start().checked_sub(1))]);
        let owner = shared.unwrap_or_else(|| Owner::of(AnonOwner::unique()));
        let record = match &mut self.vmas[i].origin {
            Origin::New(new_vma) => {
                new_vma.owner = Some(owner);
                return Ok(());
            }
            Origin::Existing(record) | Origin::Adopting(record, _) => *record,
        };
        self.adopt(record, owner)?;
        self.vmas[i].origin = Origin::Adopting(record, owner);
        Ok(())
    }
}
