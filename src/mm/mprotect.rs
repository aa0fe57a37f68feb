//! Changing what may be done: Linux's `mprotect` (5.16), in its order.

use super::MmWriteGuard;
use super::draft::{Gaps, LayoutDraft, SplitLimit};
use super::flag_rules::account_of;
use super::limits::Limits;
use super::pages::{round_up, with_adjacent};
use super::pkey_mprotect::{Change, ExecAlone, KeyChange};
use super::plan::Plan;
use crate::addr::{PAGE_SIZE, Span};
use crate::error::{LayoutError, MprotectError};
use crate::key::ProtectionKey;
use crate::lock::{Patience, RawMmLock};
use crate::vma::{Backing, Payload, VmaFlags};

/// What may be asked for.
const PROTECTION: VmaFlags = VmaFlags::ACCESS.union(VmaFlags::GROWSDOWN).union(VmaFlags::GROWSUP);

impl<'m, P: Payload, L: RawMmLock> MmWriteGuard<'m, P, L> {
    /// Changes what may be done to the pages of a range: `READ`, `WRITE`, `EXEC` as in `access`, and no others. Tells 0.
    ///
    /// With `GROWSDOWN` the range begins where the first VMA in it does, with `GROWSUP` it ends where that one does (`PROT_GROWSDOWN`).
    /// VMA by VMA, in order; it stops at the first that cannot be changed, and those before it stay changed, as in Linux. VMAs are split
    /// and merged; all of it is one change to readers.
    ///
    /// # Errors
    /// [`MprotectError`]: rule 5.16.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::MapRequest;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// // before  rrrr
    /// // after   rw.r
    /// let mm: Mm = Mm::new();
    /// let mut writer = mm.write();
    /// let at = writer.mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ)))?;
    /// writer.mprotect(at + 0x1000, 0x1000, VmaFlags::READ | VmaFlags::WRITE)?;
    /// writer.mprotect(at + 0x2000, 0x1000, VmaFlags::empty())?;
    /// assert_eq!(mm.len(), 4);
    /// writer.mprotect(at, 0x4000, VmaFlags::READ)?;
    /// assert_eq!(mm.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mprotect(&mut self, start: u64, len: u64, access: VmaFlags) -> Result<u64, MprotectError> {
        self.plan_mprotect(start, len, access, Patience::Forever).commit()
    }

    /// The same, planned.
    pub fn plan_mprotect(
        &mut self,
        start: u64,
        len: u64,
        access: VmaFlags,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MprotectError, L> {
        self.plan_protect(start, len, access, KeyChange::IMPLIED, patience)
    }

    /// `mprotect` and `pkey_mprotect`.
    pub(super) fn plan_protect(
        &mut self,
        start: u64,
        len: u64,
        access: VmaFlags,
        KeyChange(key): KeyChange,
        patience: Patience<'_, L::Interrupt>,
    ) -> Plan<'_, 'm, P, MprotectError, L> {
        let limits = self.mm().limits_now();
        let span = match self.check_mprotect(start, len, access, key, &limits) {
            Ok(Some(span)) => span,
            Ok(None) => return self.nothing(Ok(0)),
            Err(error) => return self.nothing(Err(error)),
        };
        let protection = (access.intersection(VmaFlags::ACCESS), key);
        self.plan(with_adjacent(span), &limits, patience, |draft| draft.protect(span, protection, &limits))
    }

    /// The range; none where it is empty.
    fn check_mprotect(&self, start: u64, len: u64, access: VmaFlags, key: Change, limits: &Limits) -> Result<Option<Span>, MprotectError> {
        let grows = access.intersection(VmaFlags::GROWSDOWN | VmaFlags::GROWSUP);
        if grows == VmaFlags::GROWSDOWN | VmaFlags::GROWSUP {
            return Err(MprotectError::BothWays);
        }
        if !start.is_multiple_of(PAGE_SIZE) {
            return Err(MprotectError::Unaligned { at: start });
        }
        if len == 0 {
            return Ok(None);
        }
        // In whole pages; both may come round.
        let end = start.wrapping_add(round_up(len, PAGE_SIZE));
        if end <= start {
            return Err(MprotectError::Wraps { at: start, len });
        }
        if !PROTECTION.contains(access) {
            return Err(MprotectError::Protection { bits: access.bits() });
        }
        // 8.4
        match key {
            Change::To(key) if !self.mm().state.keys().is_allocated(key, limits) => {
                return Err(MprotectError::Key { key: key.number().into() });
            }
            Change::Unknown(key) => return Err(MprotectError::Key { key }),
            Change::To(_) | Change::Implied(_) => {}
        }
        let Some(first) = self.find(start).filter(|first| first.start() < end) else { return Err(MprotectError::Gap { at: start }) };
        if !grows.contains(VmaFlags::GROWSDOWN) && first.start() > start {
            return Err(MprotectError::Gap { at: start });
        }
        if !first.flags().contains(grows) {
            return Err(MprotectError::NotGrowing { vma: first.span() });
        }
        Ok(Some(match grows {
            VmaFlags::GROWSDOWN => Span::from_entry(first.start(), end - 1),
            VmaFlags::GROWSUP => Span::from_entry(start, first.last()),
            _ => Span::from_entry(start, end - 1),
        }))
    }
}

impl<P: Payload> LayoutDraft<'_, P> {
    fn protect(&mut self, span: Span, protection: (VmaFlags, Change), limits: &Limits) -> Result<u64, MprotectError> {
        let gap = self.each_part(span, Gaps::Stop, |draft, i, part| draft.protect_one(i, part, protection, limits))?;
        gap.map_or(Ok(0), |at| Err(MprotectError::Gap { at }))
    }

    fn protect_one(&mut self, i: usize, part: Span, protection: (VmaFlags, Change), limits: &Limits) -> Result<(), MprotectError> {
        let old = self.vmas[i].flags();
        let (access, change) = protection;
        // The execute-only key is allocated here: before it is asked whether this VMA may be changed, and not before there is one.
        let key = self.key_of(old, access, change, limits);
        let mut new = old.difference(VmaFlags::ACCESS).union(access).with_pkey(key);
        if let Some(access) = new.beyond_may() {
            return Err(MprotectError::Denied { vma: self.vmas[i].span, access });
        }
        // Before it is asked whether anything changes.
        self.check_sealed(i)?;
        if new == old {
            return Ok(());
        }
        let pages = part.pages();
        if new.contains(VmaFlags::WRITE) {
            // Only what becomes data is held against the limits.
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
            // No page was ever written: nothing is promised any more.
            new.remove(VmaFlags::ACCOUNT);
        }
        self.change(part, SplitLimit::of(limits), |kind| kind.attrs.flags = new)?;
        let was = old.intersection(VmaFlags::LOCKED | VmaFlags::SHARED | VmaFlags::WRITE);
        if was == VmaFlags::LOCKED && new.contains(VmaFlags::WRITE) {
            // What is locked, and becomes writable, is brought in at once.
            self.populate(part).map_err(LayoutError::from)?;
        }
        Ok(())
    }

    /// 8.2, 8.3: the protection key of a VMA that had these flags and gets this access.
    fn key_of(&mut self, old: VmaFlags, access: VmaFlags, change: Change, limits: &Limits) -> ProtectionKey {
        let exec_alone = match change {
            _ if limits.protection_keys == 0 => return ProtectionKey::ZERO,
            Change::To(key) => return key,
            Change::Implied(exec_alone) if access == VmaFlags::EXEC => exec_alone,
            _ => ExecAlone::Readable,
        };
        if exec_alone == ExecAlone::Unreadable {
            // Without one that is free the VMA keeps its key.
            return self.keyring.request_execute_only(limits).unwrap_or(old.pkey());
        }
        let was_execute_only = old.is_exec_alone() && self.keyring.keys.execute_only() == Some(old.pkey());
        if was_execute_only { ProtectionKey::ZERO } else { old.pkey() }
    }
}
