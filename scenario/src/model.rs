//! The library's address space as a [`Space`] for the runner. `fault` handles its faults, `apply` performs its system calls.
//!
//! Called by `runner` and `diff`, through [`Space`].

use crate::apply::apply;
use crate::area::{Names, extent_of};
use crate::fault;
use crate::layout::{AROUND, FIRST, around, first};
use crate::mm_space::{MmSpace, invalid_setting};
use crate::settings::{BRK_START, Settings};
use crate::space::{Answer, Failure, Gap, Refusal, Space};
use std::collections::BTreeMap;
use vmaple::map::GapQuery;
use vmaple::mm::{KeyRights, ProtectionKey};
use vmaple::{ErrorCode, Mm};
use vmaple_trace::{Access, Area, Context, Extent, Operation, Setting, Side, VmCounts, With};

impl Space for MmSpace {
    fn begin() -> Result<Self, Refusal> {
        let settings = Settings::default();
        let mm = Mm::builder().limits(settings.limits()).map_err(invalid_setting)?.build();
        mm.write().set_heap(BRK_START, BRK_START).map_err(invalid_setting)?;
        let (names, rights) = (Names::default(), KeyRights::ALL);
        Ok(Self { counted_from: mm.write_sequence(), mm, settings, names, rights, beyond: BTreeMap::new(), with: With::default() })
    }

    fn set(&mut self, setting: Setting) -> Result<(), Refusal> {
        let mut settings = self.settings.clone();
        settings.set(setting)?;
        let end = settings.task_size();
        if let Some(vma) = self.mm.read().find(end) {
            return Err(Refusal::Setting(format!("{} is mapped beyond {end:#x}, where the address space is to end", vma.span())));
        }
        self.mm.set_limits(settings.limits()).map_err(invalid_setting)?;
        let heap = match setting {
            Setting::BrkStart(start) => Some((start, start)),
            Setting::Brk(brk) => Some((settings.brk_start(), brk)),
            _ => None,
        };
        if let Some((start, brk)) = heap {
            self.uncounted(|space| space.mm.write().set_heap(start, brk)).map_err(invalid_setting)?;
        }
        self.uncounted(|MmSpace { mm, .. }| {
            let (allocated, execute_only) = (mm.allocated_keys(), mm.execute_only_key());
            match setting {
                Setting::PkeysAllocated(keys) => mm.write().set_protection_keys(keys, execute_only),
                Setting::PkeyExecuteOnly(key) => mm.write().set_protection_keys(allocated, key.and_then(ProtectionKey::new)),
                _ => {}
            }
        });
        self.settings = settings;
        Ok(())
    }

    fn place(&mut self, area: &Area) -> Result<(), Refusal> {
        self.place_owned(area, None)
    }

    fn note(&mut self, with: &With) -> Result<(), Refusal> {
        self.with = with.clone();
        Ok(())
    }

    fn apply(&mut self, operation: &Operation) -> Result<Result<u64, Failure>, Refusal> {
        let done = apply(self, operation);
        self.with = With::default();
        done
    }

    fn own(&mut self, extent: Extent) -> Result<(), Refusal> {
        let reader = self.mm.read();
        let mut at = extent.start;
        while let Some(vma) = reader.find(at).filter(|vma| vma.start() < extent.end) {
            reader.own(vma.start());
            at = vma.last().saturating_add(1);
        }
        Ok(())
    }

    fn fault(&mut self, addr: u64, access: Access, context: Context) -> Result<Answer, Refusal> {
        Ok(fault::handle(&self.mm, addr, access, self.rights, context))
    }

    fn grow(&mut self, to: Extent) -> Result<Answer, Refusal> {
        Ok(fault::grow(&self.mm, to))
    }

    fn lookup(&self, addr: u64) -> Result<Answer, Refusal> {
        // the index's own `lookup`, so that it is tested, and not only `find`
        let inside = self.mm.pin().lookup(addr).map(|vma| extent_of(vma.span()));
        let beyond = self.first_beyond(addr).map(|area| area.extent).filter(|extent| extent.contains(addr));
        Ok(inside.or(beyond).ok_or(None))
    }

    fn find(&self, addr: u64) -> Result<Answer, Refusal> {
        Ok(self.first_above(addr).ok_or(None))
    }

    fn gap(&mut self, gap: &Gap) -> Result<Result<u64, Failure>, Refusal> {
        let query = GapQuery::new(gap.len).within(gap.min..=gap.max).aligned_to(gap.align);
        let query = match gap.side {
            Side::Lowest => query.lowest(),
            Side::Highest => query.highest(),
        };
        Ok(self.uncounted(|space| {
            let found = space.mm.write().find_gap(&query);
            found.map(|room| room.start()).map_err(|error| Failure::new(error.errno(), error))
        }))
    }

    fn layout(&self) -> Result<Vec<Area>, Refusal> {
        let reader = self.mm.read();
        let mut areas: Vec<Area> = reader.iter().map(|vma| self.names.area_of(vma)).collect();
        areas.extend(self.beyond.values().cloned());
        // sorted, because the end may have been changed since they were added
        areas.sort_by_key(|area| area.extent);
        Ok(areas)
    }

    fn count(&self, window: Option<Extent>) -> Result<u64, Refusal> {
        let count = match window {
            Some(window) => self.areas_in(window, usize::MAX).len(),
            None => self.mm.len() + self.beyond.len(),
        };
        Ok(count as u64)
    }

    fn around(&self, addr: Option<u64>) -> Result<Vec<String>, Refusal> {
        let Some(addr) = addr else {
            let areas = self.areas_in(Extent { start: 0, end: u64::MAX }, FIRST);
            return Ok(first(&areas, self.mm.len() + self.beyond.len()));
        };
        // one area more than is shown on either side, so that the lines say that there are more
        let mut low = addr;
        for _ in 0..=AROUND {
            let below = self.mm.read().prev(low).map(|vma| vma.start());
            let beyond = self.beyond.range(..=low).next_back().map(|(_, area)| area.extent.start);
            low = below.max(beyond).unwrap_or(low);
        }
        let areas = self.areas_in(Extent { start: low, end: u64::MAX }, 3 * (AROUND + 1));
        Ok(around(&areas, Some(addr)))
    }

    fn vm(&self) -> Result<VmCounts, Refusal> {
        let stats = self.mm.stats();
        Ok(VmCounts {
            total: Some(stats.total_pages),
            locked: Some(stats.locked_pages),
            data: Some(stats.data_pages),
            stack: Some(stats.stack_pages),
            exec: Some(stats.exec_pages),
        })
    }

    fn write_cycles(&mut self) -> Result<u64, Refusal> {
        let now = self.mm.write_sequence();
        let cycles = now.wrapping_sub(self.counted_from) / 2;
        self.counted_from = now;
        Ok(cycles)
    }

    fn fork(&mut self) -> Result<Result<Self, Failure>, Refusal> {
        let child = match self.mm.write().fork() {
            Ok(mm) => mm,
            Err(error) => return Ok(Err(Failure::new(error.errno(), error))),
        };
        let (settings, names, beyond) = (self.settings.clone(), self.names.clone(), self.beyond.clone());
        Ok(Ok(Self {
            counted_from: child.write_sequence(),
            mm: child,
            settings,
            names,
            rights: self.rights,
            beyond,
            with: With::default(),
        }))
    }

    fn verdict(&self) -> Result<(), Failure> {
        self.mm.write().validate().map_err(Failure::invalid)
    }
}
