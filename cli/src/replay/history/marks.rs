//! Calls that split and merge areas without changing permissions: the advices of `madvise` that areas keep, locks, and seals.

use super::super::layout_model::Bounds;
use super::super::packed::PackedAttrs;
use super::builder::{Builder, EVERYWHERE};
use anyhow::Result;
use vmaple_trace::{Advice, AreaFlags, LockAllFlags, LockFlags, Outcome};

/// The effect of an advice on an area.
enum Mark {
    Set(AreaFlags),
    Clear(AreaFlags),
    /// Replaces the marks in a mask by these.
    Marks(u64, u64),
    Nothing,
}

fn mark(advice: Advice) -> Mark {
    // Linux's numbers; the marks are bits of this program's own
    match advice.number() {
        0 => Mark::Marks(0b11, 0),
        1 => Mark::Marks(0b11, 0b01),
        2 => Mark::Marks(0b11, 0b10),
        10 => Mark::Set(AreaFlags::DONTCOPY),
        11 => Mark::Clear(AreaFlags::DONTCOPY),
        12 => Mark::Marks(0b100, 0b100),
        13 => Mark::Marks(0b100, 0),
        14 => Mark::Marks(0b11000, 0b01000),
        15 => Mark::Marks(0b11000, 0b10000),
        16 => Mark::Marks(0b10_0000, 0b10_0000),
        17 => Mark::Marks(0b10_0000, 0),
        18 => Mark::Marks(0b100_0000, 0b100_0000),
        19 => Mark::Marks(0b100_0000, 0),
        _ => Mark::Nothing,
    }
}

/// The flags of locked memory.
pub(super) const LOCKED_MASK: AreaFlags = AreaFlags::LOCKED.union(AreaFlags::LOCKONFAULT);

fn locked(is_on_fault: bool) -> AreaFlags {
    if is_on_fault { LOCKED_MASK } else { AreaFlags::LOCKED }
}

impl Builder {
    pub(super) fn madvise(&mut self, addr: u64, len: u64, advice: Advice, outcome: Outcome) -> Result<()> {
        // `madvise` continues over holes, marks everything that is mapped, and then fails with ENOMEM
        let extent = match outcome {
            Outcome::Failed(errno) if errno.name() == "ENOMEM" => self.extent(addr, len).unwrap_or_default(),
            Outcome::Failed(_) => None,
            Outcome::Value(_) | Outcome::Unchecked => self.extent(addr, len)?,
        };
        let Some(extent) = extent else { return Ok(()) };
        match mark(advice) {
            Mark::Set(flags) => self.rewrite(extent, |attrs| attrs.set(flags)),
            Mark::Clear(flags) => self.rewrite(extent, |attrs| attrs.clear(flags)),
            Mark::Marks(mask, marks) => self.rewrite(extent, |attrs| attrs.with_marks(mask, marks)),
            Mark::Nothing => Ok(()),
        }
    }

    pub(super) fn mlock(&mut self, addr: u64, len: u64, flags: LockFlags, outcome: Outcome) -> Result<()> {
        let locked = locked(flags.contains(LockFlags::ONFAULT));
        self.lock(addr, len, outcome, |attrs| attrs.clear(LOCKED_MASK).set(locked))
    }

    pub(super) fn munlock(&mut self, addr: u64, len: u64, outcome: Outcome) -> Result<()> {
        self.lock(addr, len, outcome, |attrs| attrs.clear(LOCKED_MASK))
    }

    /// Locks or unlocks a range, rounded out to whole pages. It stops at a hole, and the part before stays changed. Special areas are skipped.
    fn lock(&mut self, addr: u64, len: u64, outcome: Outcome, change: impl Fn(PackedAttrs) -> PackedAttrs) -> Result<()> {
        let page = self.page();
        let start = addr - addr % page;
        // a length that cannot be rounded up wraps around to 0
        let len = len.wrapping_add(addr - start).wrapping_add(page - 1) & !(page - 1);
        let extent = match outcome {
            Outcome::Failed(errno) if errno.name() == "ENOMEM" => {
                let extent = self.extent(start, len).unwrap_or_default();
                extent.and_then(|extent| self.before_hole(extent).filter(|reached| *reached != extent))
            }
            Outcome::Failed(_) => None,
            Outcome::Value(_) | Outcome::Unchecked => self.extent(start, len)?,
        };
        match extent {
            Some(extent) => self.rewrite_ordinary(extent, change),
            None => Ok(()),
        }
    }

    pub(super) fn mseal(&mut self, addr: u64, len: u64, outcome: Outcome) -> Result<()> {
        if matches!(outcome, Outcome::Failed(_)) {
            return Ok(());
        }
        match self.extent(addr, len)? {
            Some(extent) => self.rewrite(extent, |attrs| attrs.set(AreaFlags::SEALED)),
            None => Ok(()),
        }
    }

    pub(super) fn mlockall(&mut self, flags: LockAllFlags, outcome: Outcome) -> Result<()> {
        if matches!(outcome, Outcome::Failed(_)) {
            return Ok(());
        }
        let future = flags.contains(LockAllFlags::FUTURE);
        let locked = locked(flags.contains(LockAllFlags::ONFAULT));
        self.states[self.current].default_flags = if future { locked } else { AreaFlags::EMPTY };
        if flags.contains(LockAllFlags::CURRENT) {
            self.rewrite_ordinary(EVERYWHERE, |attrs| attrs.clear(LOCKED_MASK).set(locked))?;
        }
        Ok(())
    }

    pub(super) fn munlockall(&mut self, outcome: Outcome) -> Result<()> {
        if matches!(outcome, Outcome::Failed(_)) {
            return Ok(());
        }
        self.states[self.current].default_flags = AreaFlags::EMPTY;
        self.rewrite_ordinary(EVERYWHERE, |attrs| attrs.clear(LOCKED_MASK))
    }

    fn rewrite_ordinary(&mut self, extent: Bounds, change: impl Fn(PackedAttrs) -> PackedAttrs) -> Result<()> {
        let areas: Vec<_> = self.model().intersecting(extent).collect();
        for area in areas.into_iter().filter(|area| !area.attrs.is_never_locked()) {
            if !self.is_special(area.attrs) {
                let part = Bounds { start: area.start.max(extent.start), last: area.last.min(extent.last) };
                self.rewrite(part, &change)?;
            }
        }
        Ok(())
    }
}
