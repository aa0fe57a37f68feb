//! The limit on the number of VMAs, which is a setting of the whole system (`vm.max_map_count`) and is not changed. A scenario gets a lower
//! limit in a process that has enough VMAs outside the region to leave only that number. Called by `settings`.

use super::process::KernelSpace;
use super::state::MAP_WINDOW;
use crate::space::Refusal;
use vmaple::PAGE_SIZE;
use vmaple_host::Host;
use vmaple_trace::Extent;

/// The most VMAs that are made to fill the limit: more would take too long.
const MOST: u64 = 1 << 18;

impl KernelSpace {
    /// Leaves room for `count` VMAs in the region.
    pub(super) fn leave_room_for(&mut self, count: u64) -> Result<(), Refusal> {
        let limit = Host::probe().max_map_count.ok_or_else(|| Refusal::Lacks("vm.max_map_count".to_owned()))?;
        if limit == count {
            return Ok(());
        }
        if !self.exact()?.is_empty() {
            return Err(Refusal::Host("the number of VMAs is limited before there is one".to_owned()));
        }
        if limit > MOST {
            // it would take too long to make this many VMAs in each process
            return Err(Refusal::Lacks(format!("vm.max_map_count of {MOST} or less")));
        }
        let filler = match self.filler {
            Some(filler) => filler,
            None => self.find_place(2 * limit * PAGE_SIZE)?,
        };
        // One VMA again, or for the first time; where something fills the gaps it takes the place of that.
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        let len = filler.end - filler.start;
        self.arrange("room for VMAs", libc::SYS_mmap, [filler.start, len, 0, u64::from(flags.cast_unsigned()), self.page, 0])?;
        self.filler = Some(filler);
        self.survey()?;
        let have = self.outside.len() as u64;
        let missing = limit.checked_sub(count).and_then(|most| most.checked_sub(have));
        let Some(missing) = missing else {
            return Err(Refusal::Host(format!("{limit} VMAs may be here, and the process has {have} of them for itself")));
        };
        // A page with other flags amid its neighbours makes two more, one at the end one more.
        let advice = u64::from(libc::MADV_DONTDUMP.cast_unsigned());
        self.each("more VMAs", libc::SYS_madvise, [filler.start + PAGE_SIZE, PAGE_SIZE, advice], 2 * PAGE_SIZE, missing / 2)?;
        if missing % 2 == 1 {
            self.arrange("more VMAs", libc::SYS_madvise, [filler.end - PAGE_SIZE, PAGE_SIZE, advice, 0, 0, 0])?;
        }
        // They lie where the one lay, and count as many pages: what was surveyed is so still.
        self.set_limits()
    }

    /// Free room beside the region, or what fills it.
    fn find_place(&self, len: u64) -> Result<Extent, Refusal> {
        let last = self.outside.last().map_or(self.end, |extent| extent.end);
        let starts = self.outside.iter().map(|extent| extent.end);
        let ends = self.outside.iter().skip(1).map(|extent| extent.start).chain([MAP_WINDOW]);
        let gap = starts.zip(ends).filter(|(start, end)| end - start >= len + PAGE_SIZE).map(|(start, _)| start).next();
        let filled = self.filled.iter().find(|extent| extent.end - extent.start >= len + PAGE_SIZE).map(|extent| extent.start);
        let start = filled.or(gap).ok_or_else(|| Refusal::Host(format!("no room for VMAs below {last:#x}")))? + PAGE_SIZE;
        Ok(Extent { start, end: start + len })
    }
}
