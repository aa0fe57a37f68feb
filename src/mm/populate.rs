//! Owners of private pages (Linux's `anon_vma`): who gets one, and when. An owner comes with the first private page of a VMA; what has
//! one merges less (5.9).

use super::draft::LayoutDraft;
use super::staged::{Origin, StagedVma};
use super::{MmReadGuard, MmWriteGuard};
use crate::addr::{Access, Span};
use crate::error::ResourceError;
use crate::lock::RawMmLock;
use crate::vma::{AnonOwner, Owner, Payload, Vma, VmaFlags};

/// Flags that may differ between neighbours with one owner.
const MAY_DIFFER: VmaFlags = VmaFlags::ACCESS;

/// What is asked of a VMA whose owner a neighbour may take over.
trait Neighbour {
    fn flags(&self) -> VmaFlags;
    fn is_backed_like(&self, other: &Self) -> bool;
    fn shareable_owner(&self) -> Option<Owner>;
}

impl<P> Neighbour for Vma<'_, P> {
    fn flags(&self) -> VmaFlags {
        self.record().flags()
    }

    fn is_backed_like(&self, other: &Self) -> bool {
        self.backing() == other.backing() && self.linear_offset() == other.linear_offset()
    }

    fn shareable_owner(&self) -> Option<Owner> {
        self.record().owner()
    }
}

/// The owner of a neighbour that the VMA may share: so that the two can still become one.
fn shared_owner<N: Neighbour>(vma: &N, neighbours: [Option<&N>; 2]) -> Option<Owner> {
    neighbours
        .into_iter()
        .flatten()
        .filter(|near| (near.flags() ^ vma.flags()).difference(MAY_DIFFER).is_empty() && vma.is_backed_like(near))
        .find_map(|near| near.shareable_owner().filter(|owner| !owner.inherited))
}

macro_rules! owners {
    () => {
        /// A private page comes into being at the address: the VMA has an owner from then on (2.4), that of a neighbour where the two
        /// could be one (5.9). Says who; none where nothing is mapped there or its pages are shared.
        ///
        /// The library knows no pages, so who handles faults says when the first one is written. Growth does it by itself.
        pub fn own(&self, address: u64) -> Option<AnonOwner> {
            let vma = self.vma(address).filter(|vma| !vma.flags().contains(VmaFlags::SHARED))?;
            let owner = vma.record().owner().unwrap_or_else(|| {
                let next = vma.last().checked_add(1).and_then(|at| self.vma(at));
                let prev = vma.start().checked_sub(1).and_then(|at| self.vma(at));
                vma.record().own(shared_owner(&vma, [next.as_ref(), prev.as_ref()]).unwrap_or_else(|| Owner::of(AnonOwner::unique())))
            });
            Some(owner.id)
        }
    };
}

impl<P, L: RawMmLock> MmReadGuard<'_, P, L> {
    owners!();
}

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    owners!();
}

impl<P> Neighbour for StagedVma<'_, P> {
    fn flags(&self) -> VmaFlags {
        self.flags()
    }

    fn is_backed_like(&self, other: &Self) -> bool {
        self.backing() == other.backing() && self.linear_offset() == other.linear_offset()
    }

    fn shareable_owner(&self) -> Option<Owner> {
        self.owner()
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// The pages of a range are brought in: as if those that are private and writable were written, and the others read. Tells the first VMA
    /// that does not let the calling thread in, where it stops. What is locked when it is touched is passed over, by whatever its pages would be brought in, and what has none of its
    /// own (5.26).
    pub(super) fn populate(&mut self, range: Span) -> Result<Option<Span>, ResourceError> {
        for i in self.within(range) {
            let flags = self.vmas[i].flags();
            if flags.intersects(VmaFlags::LOCKONFAULT | VmaFlags::IO | VmaFlags::PFNMAP) {
                continue;
            }
            let is_written = flags.contains(VmaFlags::WRITE) && !flags.contains(VmaFlags::SHARED);
            let access = if is_written { Access::Write } else { Access::Read };
            // 8.7: not only the VMA may refuse.
            if !flags.is_accessible() || !self.keyring.rights.allows(flags.pkey(), access, self.keyring.keys.execute_only()) {
                return Ok(Some(self.vmas[i].span));
            }
            if is_written {
                self.own(i)?;
            }
        }
        Ok(None)
    }

    /// A private page comes into being in the VMA.
    pub(super) fn own(&mut self, i: usize) -> Result<(), ResourceError> {
        if self.vmas[i].owner().is_some() {
            return Ok(());
        }
        let span = self.vmas[i].span;
        let near = |at: Option<u64>| at.and_then(|at| self.lookup(at)).map(|i| &self.vmas[i]);
        let shared = shared_owner(&self.vmas[i], [near(span.last().checked_add(1)), near(span.start().checked_sub(1))]);
        let owner = shared.unwrap_or_else(|| Owner::of(AnonOwner::unique()));
        let record = match &mut self.vmas[i].origin {
            Origin::New(kind) => {
                kind.owner = Some(owner);
                return Ok(());
            }
            Origin::Existing(record) | Origin::Adopting(record, _) => *record,
        };
        self.adopt(record, owner)?;
        self.vmas[i].origin = Origin::Adopting(record, owner);
        Ok(())
    }
}
