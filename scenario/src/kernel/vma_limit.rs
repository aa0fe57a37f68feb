//! The limit on the number of VMAs, which is a setting of the whole system (`vm.max_map_count`) and is not changed. A scenario gets a lower
//! limit in a process that has enough VMAs outside the region to leave only that number. Called by `settings`.

use super::process::KernelSpace;
use super::state::MAP_WINDOW;
use crate::space::Refusal;
use vmaple::PAGE_SIZE;
use vmaple_host::Host;
use vmaple_trace::Extent;

/// The largest limit that is filled with VMAs: more would take too long.
const MOST: u64 = 1 << 18;

impl KernelSpace {
    /// Leaves room for `count` VMAs in the region.
    pub(super) fn leave_room_for(&mut self, count: u64) -> Result<(), Refusal> {
        let limit = Host::probe().max_map_count.ok_or_else(|| Refusal::Lacks("vm.max_map_count".to_owned()))?;
        if limit == count {
            return Ok(());
        }
        if !self.exact()?.is_empty() {
            return Err(Refusal::Host("`set max_map_count` must come before the first area".to_owned()));
        }
        if limit > MOST {
            return Err(Refusal::Lacks(format!("vm.max_map_count of {MOST} or less")));
        }
        let filler = match self.filler {
            Some(filler) => filler,
            None => self.find_place(2 * limit * PAGE_SIZE)?,
        };
        // One VMA, in place of an earlier filler, of what `set mmap_base` filled, or of nothing.
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED;
        let len = filler.end - filler.start;
        self.arrange("room for VMAs", libc::SYS_mmap, [filler.start, len, 0, u64::from(flags.cast_unsigned()), self.page, 0])?;
        self.filler = Some(filler);
        self.survey()?;
        let have = self.outside.len() as u64;
        let missing = limit.checked_sub(count).and_then(|most| most.checked_sub(have));
        let Some(missing) = missing else {
            return Err(Refusal::Host(format!("this system allows {limit} VMAs, and the process has {have} of its own")));
        };
        // A page with other flags amid its neighbours makes two more, one at the end one more.
        let advice = u64::from(libc::MADV_DONTDUMP.cast_unsigned());
        self.each("more VMAs", libc::SYS_madvise, [filler.start + PAGE_SIZE, PAGE_SIZE, advice], 2 * PAGE_SIZE, missing / 2)?;
        if missing % 2 == 1 {
            self.arrange("more VMAs", libc::SYS_madvise, [filler.end - PAGE_SIZE, PAGE_SIZE, advice, 0, 0, 0])?;
        }
        // Together they have the range and the pages of the one VMA, so the survey is still right.
        self.set_limits()
    }

    /// Returns a range outside the region that is free, or that `set mmap_base` filled.
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
