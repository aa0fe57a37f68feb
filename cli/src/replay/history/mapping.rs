//! `mmap` and `munmap`: where the recording says, not where a rule would put it.

use super::super::coverage::Area;
use super::super::word::Word;
use super::builder::Builder;
use crate::trace::{AreaFlags, MapFlags, Object, Offset, Outcome, Overcommit, Perm, Prot};
use anyhow::{Result, bail};

/// What a huge page is where the flags do not say.
const HUGE_PAGE: u64 = 2 << 20;

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
            // what was there before a failed call is put back
            Outcome::Failed(_) => return Ok(()),
            Outcome::Value(start) => start,
            Outcome::Unchecked if fixed => addr,
            Outcome::Unchecked => return Err(self.refuse("mmap without an address", "the address that the call returned")),
        };
        let page = if flags.contains(MapFlags::HUGETLB) { huge_page(flags) } else { self.page() };
        let extent = match len.checked_next_multiple_of(page) {
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
        let word = Word::new(perm(prot, flags), self.states[self.current].default_flags, backing);
        let word = word.with_key(self.keys().of_new(prot));
        let word = if flags.contains(MapFlags::GROWSDOWN) { word.set(AreaFlags::GROWSDOWN) } else { word };
        let word = if flags.contains(MapFlags::LOCKED) { word.set(AreaFlags::LOCKED) } else { word };
        let is_unpromised = flags.contains(MapFlags::NORESERVE)
            && (flags.contains(MapFlags::HUGETLB) || self.states[self.current].settings.overcommit != Overcommit::Never);
        let word = if is_unpromised { word.set(AreaFlags::NORESERVE) } else { word };
        self.lay(Area { start: extent.start, last: extent.last, word })
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

/// Bytes of the huge pages that a mapping is made of.
pub(in crate::replay) fn huge_page(flags: MapFlags) -> u64 {
    // the size of huge pages is a power of two that stands above bit 26
    match flags.bits() >> 26 {
        0 => HUGE_PAGE,
        power => 1 << power.min(40),
    }
}

/// The permissions of a new area.
fn perm(prot: Prot, flags: MapFlags) -> Perm {
    let shared = if flags.is_shared() { Perm::SHARED } else { Perm::NONE };
    super::protect::letters(prot).union(shared)
}
