//! `mmap` and `munmap`. A mapping is put at its recorded address.

use super::super::layout_model::Region;
use super::super::packed::PackedAttrs;
use super::builder::Builder;
use anyhow::{Result, bail};
use vmaple_trace::{AreaFlags, MapFlags, Object, Offset, Outcome, Overcommit, Perm, Prot};

impl Builder {
    #[allow(clippy::too_many_arguments, reason = "they are the arguments of the call, in its order, and its outcome")]
    pub(super) fn mmap(
        &mut self,
        addr: u64,
        len: u64,
        prot: Prot,
        flags: MapFlags,
        object: &Object,
        offset: Offset,
        outcome: Outcome,
    ) -> Result<()> {
        let fixed = flags.contains(MapFlags::FIXED) || flags.contains(MapFlags::FIXED_NOREPLACE);
        let start = match outcome {
            // the kernel restores what was there before a failed call
            Outcome::Failed(_) => return Ok(()),
            Outcome::Value(start) => start,
            Outcome::Unchecked if fixed => addr,
            Outcome::Unchecked => return Err(self.refuse("mmap without an address", "the address that the call returned")),
        };
        let settings = self.states[self.current].settings;
        let huge = flags.contains(MapFlags::HUGETLB).then(|| flags.huge_page_bytes().unwrap_or(settings.huge_page));
        let extent = match len.checked_next_multiple_of(huge.unwrap_or(self.page())) {
            Some(len) => self.extent(start, len)?,
            None => bail!("read {len:#x} bytes to map, expected a length that can be rounded up to pages"),
        };
        let Some(extent) = extent.filter(|_| start.is_multiple_of(self.page())) else {
            return Err(self.refuse(&format!("{len:#x} bytes at {start:#x}"), "a mapping of whole pages"));
        };
        let offset = match offset {
            Offset::Bytes(bytes) => bytes,
            Offset::Default => 0,
        };
        let backing = self.history.backings.number(object, start, offset)?;
        let is_droppable = flags.is_droppable();
        let locked = if huge.is_some() || is_droppable { AreaFlags::EMPTY } else { self.states[self.current].default_flags };
        let attrs = PackedAttrs::new(perm(prot, flags), locked, backing).with_huge_pages(huge);
        let attrs = if is_droppable { attrs.droppable() } else { attrs };
        let attrs = attrs.with_key(self.keys().of_new(prot));
        let attrs = if flags.contains(MapFlags::GROWSDOWN) { attrs.set(AreaFlags::GROWSDOWN) } else { attrs };
        let attrs = if flags.contains(MapFlags::LOCKED) && huge.is_none() { attrs.set(AreaFlags::LOCKED) } else { attrs };
        let is_unpromised =
            flags.contains(MapFlags::NORESERVE) && (huge.is_some() || settings.overcommit != Overcommit::Never) || is_droppable;
        let attrs = if is_unpromised { attrs.set(AreaFlags::NORESERVE) } else { attrs };
        self.lay(Region { start: extent.start, last: extent.last, attrs })
    }

    pub(super) fn munmap(&mut self, addr: u64, len: u64, outcome: Outcome) -> Result<()> {
        // a munmap that fails loses nothing
        if matches!(outcome, Outcome::Failed(_)) {
            return Ok(());
        }
        match self.extent(addr, len)? {
            Some(extent) => self.clear(extent),
            None => Ok(()),
        }
    }
}

/// The permissions of a new area.
fn perm(prot: Prot, flags: MapFlags) -> Perm {
    let shared = if flags.is_shared() { Perm::SHARED } else { Perm::NONE };
    super::protect::letters(prot).union(shared)
}
