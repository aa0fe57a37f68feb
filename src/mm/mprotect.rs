//! Changing permissions and protection keys: Linux's `mprotect` (5.16) and `pkey_mprotect` (8.3, 8.4), in its order.
//!
//! Called by embedders through the write guard and its planner.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::flag_rules::account_of;
use super::limits::Limits;
use super::pages::{round_up, with_adjacent};
use super::plan::{Plan, Planner};
use super::prot::{ExecAlone, KeyChange, ProtectRequest, Reach};
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, MprotectError};
use crate::key::ProtectionKey;
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Backing, Payload, VmaFlags};

impl<P: Payload, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Changes the permissions of a range, and the protection key if the request says so.
    ///
    /// VMAs are changed in order. At the first that cannot be changed the operation stops, and those before it stay changed, as in Linux. VMAs
    /// are split and merged. A lockless reader sees the whole change or none of it.
    ///
    /// # Errors
    /// [`MprotectError`]: [rules 5.16](crate::docs::semantics#5-operations) and [8.4](crate::docs::semantics#8-protection-keys).
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{MapRequest, Prot};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// // before  rrrr
    /// // after   rw.r
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// writer.mprotect(at + 0x1000, 0x1000, Prot::READ | Prot::WRITE)?;
    /// writer.mprotect(at + 0x2000, 0x1000, Prot::empty())?;
    /// assert_eq!(mm.len(), 4);
    /// writer.mprotect(at, 0x4000, Prot::READ)?;
    /// assert_eq!(mm.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mprotect(&mut self, start: u64, len: u64, request: impl Into<ProtectRequest>) -> Result<(), MprotectError> {
        self.plan(Patience::Forever).mprotect(start, len, request).commit()
    }

    /// Checks the arguments in Linux's order. Returns the range; `None` if it is empty.
    fn check_mprotect(&self, start: u64, len: u64, request: ProtectRequest, limits: &Limits) -> Result<Option<Span>, MprotectError> {
        let unknown = request.unknown.map(|prot| MprotectError::Unknown { prot });
        if let Some(error) = unknown.filter(|_| request.reach == Reach::Both) {
            return Err(error);
        }
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(MprotectError::Unaligned { at: start });
        }
        if len == 0 {
            return Ok(None);
        }
        // Rounding up and the sum may each wrap around.
        let end = start.wrapping_add(round_up(len, PAGE_SIZE));
        if end <= start {
            return Err(MprotectError::Wraps { at: start, len });
        }
        if let Some(error) = unknown {
            return Err(error);
        }
        // 8.4
        match request.key {
            KeyChange::To(key) if !self.mm().state.keys().is_allocated(key, limits) => {
                return Err(MprotectError::Key { key: key.number().into() });
            }
            KeyChange::Unknown(key) => return Err(MprotectError::Key { key }),
            KeyChange::To(_) | KeyChange::Implied(_) => {}
        }
        let Some(first) = self.find(start).filter(|first| first.start() < end) else { return Err(MprotectError::Gap { at: start }) };
        let grows = match request.reach {
            Reach::StackStart => VmaFlags::GROWSDOWN,
            Reach::StackEnd => VmaFlags::GROWSUP,
            Reach::Range | Reach::Both => VmaFlags::empty(),
        };
        if request.reach != Reach::StackStart && first.start() > start {
            return Err(MprotectError::Gap { at: start });
        }
        if !first.flags().contains(grows) {
            return Err(MprotectError::NotGrowing { vma: first.span() });
        }
        Ok(Some(match request.reach {
            Reach::StackStart => Span::from_entry(first.start(), end - 1),
            Reach::StackEnd => Span::from_entry(start, first.last()),
            Reach::Range | Reach::Both => Span::from_entry(start, end - 1),
        }))
    }
}

impl<'w, 'm, P: Payload, L: RawMmLock> Planner<'w, 'm, P, L> {
    /// Plans [`MmWriteGuard::mprotect`].
    pub fn mprotect(self, start: u64, len: u64, request: impl Into<ProtectRequest>) -> Plan<'w, 'm, P, Result<(), MprotectError>, L> {
        let (request, limits) = (request.into(), self.guard.mm().limits());
        let span = match self.guard.check_mprotect(start, len, request, &limits) {
            Ok(Some(span)) => span,
            Ok(None) => return self.nothing(Ok(())),
            Err(error) => return self.nothing(Err(error)),
        };
        self.draft(with_adjacent(span), &limits, |draft| draft.protect(span, request, &limits))
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    /// Changes the permissions of a range, VMA by VMA, up to the first gap (5.16).
    fn protect(&mut self, span: Span, request: ProtectRequest, limits: &Limits) -> Result<(), MprotectError> {
        let gap = self.each_part(span, Gaps::Stop, |draft, i, part| draft.protect_one(i, part, request, limits))?;
        gap.map_or(Ok(()), |at| Err(MprotectError::Gap { at }))
    }

    /// Changes the permissions of a part of one VMA.
    fn protect_one(&mut self, i: usize, part: Span, request: ProtectRequest, limits: &Limits) -> Result<(), MprotectError> {
        let old = self.vmas[i].flags();
        let access = VmaFlags::from(request.prot);
        // The execute-only key is allocated here: after the VMA was found, and before it is checked whether the VMA may change.
        let key = self.key_of(old, access, request.key, limits);
        let mut new = old.difference(VmaFlags::ACCESS).union(access).with_pkey(key);
        if let Some(access) = new.beyond_may() {
            return Err(MprotectError::Denied { vma: self.vmas[i].span, access });
        }
        // Checked even if nothing would change.
        self.check_sealed(i)?;
        if new == old {
            return Ok(());
        }
        let pages = part.pages();
        if new.contains(VmaFlags::WRITE) {
            // Only pages that become data are limited.
            if let Err(limit) = self.sums.check_room(limits, new, pages)
                && self.sums.check_room(limits, old, pages).is_ok()
            {
                return Err(LayoutError::Limit(limit).into());
            }
            let was_counted = VmaFlags::ACCOUNT | VmaFlags::WRITE | VmaFlags::HUGETLB | VmaFlags::SHARED | VmaFlags::NORESERVE;
            if !old.intersects(was_counted) {
                new |= account_of(new);
                self.sums.check_commit(limits, new, pages).map_err(LayoutError::from)?;
            }
        } else if old.contains(VmaFlags::ACCOUNT) && self.vmas[i].attrs().backing == Backing::Anonymous && self.vmas[i].owner().is_none() {
            // No page was ever written, so none is accounted any more.
            new.remove(VmaFlags::ACCOUNT);
        }
        self.change(part, SplitLimit::of(limits), |new_vma| new_vma.attrs.flags = new)?;
        let was = old.intersection(VmaFlags::LOCKED | VmaFlags::SHARED | VmaFlags::WRITE);
        if was == VmaFlags::LOCKED && new.contains(VmaFlags::WRITE) {
            // Locked pages that become writable are populated at once.
            self.populate(part).map_err(LayoutError::from)?;
        }
        Ok(())
    }

    /// Returns the protection key of a VMA that had these flags and gets these permissions (8.2, 8.3).
    fn key_of(&mut self, old: VmaFlags, access: VmaFlags, change: KeyChange, limits: &Limits) -> ProtectionKey {
        let exec_alone = match change {
            _ if limits.protection_keys == 0 => return ProtectionKey::ZERO,
            KeyChange::To(key) => return key,
            KeyChange::Implied(exec_alone) if access == VmaFlags::EXEC => exec_alone,
            _ => ExecAlone::Readable,
        };
        if exec_alone == ExecAlone::Unreadable {
            // If no key is free the VMA keeps its own.
            return self.keyring.request_execute_only(limits).unwrap_or(old.pkey());
        }
        let was_execute_only = old.is_exec_alone() && self.keyring.keys.execute_only() == Some(old.pkey());
        if was_execute_only { ProtectionKey::ZERO } else { old.pkey() }
    }
}
