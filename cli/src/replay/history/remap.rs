//! `mremap`: shrinks and grows in place, or moves. A move maps the new area before it removes the old one, as in Linux.

use super::super::layout_model::{Bounds, Region};
use super::builder::Builder;
use anyhow::Result;
use vmaple_trace::{Outcome, RemapFlags};

impl Builder {
    pub(super) fn mremap(
        &mut self,
        addr: u64,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
        new_addr: Option<u64>,
        outcome: Outcome,
    ) -> Result<()> {
        let to = match outcome {
            // the kernel checks the arguments and the source before it changes anything
            Outcome::Failed(_) => return Ok(()),
            Outcome::Value(to) => to,
            Outcome::Unchecked => match new_addr.filter(|_| flags.contains(RemapFlags::FIXED)) {
                Some(to) => to,
                None if flags.contains(RemapFlags::MAYMOVE) => {
                    return Err(self.refuse("mremap without an address", "the address that the call returned"));
                }
                None => addr,
            },
        };
        let (old_len, new_len) = self.in_whole_pages(addr, old_len, new_len, flags);
        let (Some(new), true) = (self.extent(to, new_len)?, to.is_multiple_of(self.page())) else {
            return Err(self.refuse(&format!("{new_len:#x} bytes at {to:#x}"), "a mapping of whole pages"));
        };
        match (self.extent(addr, old_len)?, to == addr) {
            (Some(old), true) => self.resize(old, new),
            (old, _) => self.move_to(addr, old, new, flags),
        }
    }

    /// Returns the lengths rounded up to whole huge pages, if the area that is resized, or the last of several, consists of them.
    fn in_whole_pages(&self, addr: u64, old_len: u64, new_len: u64, flags: RemapFlags) -> (u64, u64) {
        let is_move_only = flags.contains(RemapFlags::FIXED) && old_len == new_len;
        let at = if is_move_only { addr.saturating_add(old_len.saturating_sub(1)) } else { addr };
        let Some(page) = self.model().lookup(at).and_then(|area| area.attrs.huge_page()) else { return (old_len, new_len) };
        let end_of = |len: u64| addr.saturating_add(len);
        let whole = |len: u64| end_of(len).checked_next_multiple_of(page).map_or(len, |end| end - addr);
        (whole(old_len), whole(new_len))
    }

    fn resize(&mut self, old: Bounds, new: Bounds) -> Result<()> {
        if new.last < old.last {
            return self.clear(Bounds { start: new.last + 1, last: old.last });
        }
        if new.last == old.last {
            return Ok(());
        }
        match self.model().lookup(old.last) {
            Some(area) => self.lay(Region { start: old.last + 1, last: new.last, attrs: area.attrs }),
            None => Err(self.refuse(&format!("a resized area that ends at {:#x}", old.last), "an area that is mapped")),
        }
    }

    fn move_to(&mut self, addr: u64, old: Option<Bounds>, new: Bounds, flags: RemapFlags) -> Result<()> {
        // a length of 0 maps the same object once more and leaves the old area alone
        let source = old.unwrap_or(Bounds { start: addr, last: addr });
        let common = (new.last - new.start).min(source.last - source.start);
        let kept = Bounds { start: source.start, last: source.start + common };
        let areas: Vec<Region> = self.model().intersecting(kept).collect();
        if areas.is_empty() {
            return Err(self.refuse(&format!("a move from {addr:#x}"), "an area that is mapped"));
        }
        for area in areas {
            let (from, last) = (area.start.max(kept.start), area.last.min(kept.last));
            let at = new.start + (from - kept.start);
            // the last area takes the additional length
            let end = if last == kept.last { new.last } else { new.start + (last - kept.start) };
            // each of several areas replaces what is in its way, and what is under a hole stays
            if flags.contains(RemapFlags::FIXED) {
                self.clear(Bounds { start: at, last: end })?;
            }
            let backing = self.history.backings.moved(area.attrs.backing(), from, at);
            self.lay(Region { start: at, last: end, attrs: area.attrs.with_backing(backing) })?;
        }
        match old {
            Some(old) if !flags.contains(RemapFlags::DONTUNMAP) => self.clear_source(old, new),
            _ => Ok(()),
        }
    }

    /// Removes the old range, except for the part that the recorded new one covers.
    fn clear_source(&mut self, old: Bounds, new: Bounds) -> Result<()> {
        let mut parts = Vec::new();
        if old.last < new.start || new.last < old.start {
            parts.push(old);
        } else {
            if old.start < new.start {
                parts.push(Bounds { start: old.start, last: new.start - 1 });
            }
            if new.last < old.last {
                parts.push(Bounds { start: new.last + 1, last: old.last });
            }
        }
        parts.into_iter().try_for_each(|part| self.clear(part))
    }
}
