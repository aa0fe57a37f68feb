//! The library's [`Mm`] as the address space that scenarios are executed in. The runner comes in, through [`Space`]; `fault` asks it and
//! `apply` changes it.

use super::area::{Names, Rider, extent_of};
use super::exact::Exact;
use super::layout::{AROUND, FIRST, around, first};
use super::settings::{BRK_START, Settings};
use super::space::{Answer, Failure, Gap, Refusal, Space};
use super::{apply, fault};
use std::collections::BTreeMap;
use std::ops::Bound;
use vmaple::map::GapQuery;
use vmaple::mm::{AnonOwner, KeyRights, MmWriteGuard, ObjectId, ProtectionKey};
use vmaple::{Mm, PAGE_SIZE, RangeMap};
use vmaple_host::Host;
use vmaple_trace::{Access, Area, Context, Extent, Object, Operation, Setting, Side, VmCounts, With};

/// An address space of the library, with what the library need not know.
pub(crate) struct MmSpace {
    pub(crate) mm: Mm<Rider>,
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    /// What the program may do with which protection keys.
    pub(crate) rights: KeyRights,
    /// What the kernel put beyond the end of the address space, by where it ends: in the layout, and nothing that the rules are asked about.
    beyond: BTreeMap<u64, Area>,
    /// What the next operation has beside its arguments.
    pub(super) with: With,
    /// The write sequence from which cycles are counted.
    counted_from: u64,
}

impl MmSpace {
    /// The library's name for an object of the scenario.
    pub(crate) fn number_of(&mut self, object: &Object) -> ObjectId {
        self.names.number_of(object)
    }

    /// The write guard, for a system call of the program.
    pub(crate) fn writer(&self) -> MmWriteGuard<'_, Rider> {
        let mut writer = self.mm.write();
        writer.set_key_rights(self.rights);
        writer
    }

    /// Leaves nothing in a range, whatever is there. No write cycle is counted.
    pub(crate) fn clear(&mut self, start: u64, end: u64) -> Result<(), Failure> {
        self.uncounted(|space| {
            let cleared = space.unbound(|mm| mm.write().munmap(start, end.saturating_sub(start))).map_err(Failure::invalid)?;
            cleared.map(|_| ()).map_err(|error| Failure::new(error.errno(), error))
        })
    }

    /// Something done under the write lock that is no write cycle of the scenario.
    fn uncounted<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.mm.write_sequence();
        let told = act(self);
        self.counted_from = self.counted_from.wrapping_add(self.mm.write_sequence().wrapping_sub(before));
        told
    }

    /// Takes the properties of the whole system that the machine has.
    pub(super) fn adopt(&mut self, host: &Host) -> Result<(), Refusal> {
        self.settings.adopt(host);
        self.mm.set_limits(self.settings.limits()).map_err(senseless)
    }

    /// Something done while no limit binds.
    fn unbound<T>(&self, act: impl FnOnce(&Mm<Rider>) -> T) -> Result<T, Refusal> {
        self.mm.set_limits(Settings::no_limits()).map_err(senseless)?;
        let told = act(&self.mm);
        self.mm.set_limits(self.settings.limits()).map_err(senseless)?;
        Ok(told)
    }

    /// All VMAs, with all flags.
    pub(super) fn exact(&self) -> Vec<Exact> {
        self.mm.read().vmas().map(|vma| Exact::of(vma, self.names.object_of(vma))).collect()
    }

    /// Puts an area in place; what pages of its own it has are of that owner, or of a new one.
    pub(crate) fn place_owned(&mut self, area: &Area, owner: Option<AnonOwner>) -> Result<(), Refusal> {
        let extent = area.extent;
        if let Some(by) = self.first_beyond(extent.start).filter(|by| by.extent.start < extent.end) {
            return Err(Refusal::Area(format!("{} is in the way", by.extent)));
        }
        if extent.end > self.settings.task_size() {
            return self.place_beyond(area);
        }
        self.uncounted(|space| {
            let spec = space.names.spec_of(area, owner);
            let placed =
                |mm: &Mm<Rider>| mm.write().map(extent.start..extent.end, spec).map_err(|error| Refusal::Area(error.cause.to_string()));
            space.unbound(placed)?
        })
    }

    /// What an area beyond the end must be.
    fn place_beyond(&mut self, area: &Area) -> Result<(), Refusal> {
        let end = self.settings.task_size();
        if !matches!(area.object, Object::Special(_)) || area.extent.start < end {
            return Err(Refusal::Area(format!("{} ends beyond {end:#x}, where the address space ends", area.extent)));
        }
        if let Some(at) = [area.extent.start, area.extent.end].into_iter().find(|at| at % PAGE_SIZE != 0) {
            return Err(Refusal::Area(format!("{at:#x} is not at a page's start")));
        }
        self.beyond.insert(area.extent.end, area.clone());
        Ok(())
    }

    /// The first area beyond the end that ends above the address.
    fn first_beyond(&self, addr: u64) -> Option<&Area> {
        self.beyond.range((Bound::Excluded(addr), Bound::Unbounded)).next().map(|(_, area)| area)
    }

    /// The areas that have something in the window, unless they are more than so many: then the first of them.
    fn areas_in(&self, window: Extent, most: usize) -> Vec<Area> {
        let reader = self.mm.read();
        let mut from = window.start;
        let inside = std::iter::from_fn(|| {
            let vma = reader.find(from).filter(|vma| vma.start() < window.end)?;
            from = vma.last().saturating_add(1);
            Some(self.names.area_of(vma))
        });
        let mut areas: Vec<Area> = inside.take(most).collect();
        let beyond = self.beyond.range((Bound::Excluded(window.start), Bound::Unbounded)).map(|(_, area)| area);
        areas.extend(beyond.take_while(|area| area.extent.start < window.end).take(most).cloned());
        // the end may have been set anew since
        areas.sort_by_key(|area| area.extent);
        areas.truncate(most);
        areas
    }

    /// The first area that ends above the address, with what the kernel put beyond the end.
    fn first_above(&self, addr: u64) -> Option<Extent> {
        let inside = self.mm.pin().find(addr).map(|vma| extent_of(vma.span()));
        let beyond = self.first_beyond(addr).map(|area| area.extent);
        inside.into_iter().chain(beyond).min()
    }
}

impl Space for MmSpace {
    fn begin() -> Result<Self, Refusal> {
        let settings = Settings::default();
        let mm = Mm::with(RangeMap::builder(), settings.limits()).map_err(senseless)?;
        mm.write().set_heap(BRK_START, BRK_START).map_err(senseless)?;
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
        self.mm.set_limits(settings.limits()).map_err(senseless)?;
        let heap = match setting {
            Setting::BrkStart(start) => Some((start, start)),
            Setting::Brk(brk) => Some((settings.brk_start(), brk)),
            _ => None,
        };
        if let Some((start, brk)) = heap {
            self.uncounted(|space| space.mm.write().set_heap(start, brk)).map_err(senseless)?;
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
        let done = apply::apply(self, operation);
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
        // a question of its own: that of the index, not the one that `find` asks
        let inside = self.mm.pin().vma(addr).map(|vma| extent_of(vma.span()));
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
        let mut areas: Vec<Area> = reader.vmas().map(|vma| self.names.area_of(vma)).collect();
        areas.extend(self.beyond.values().cloned());
        // the end may have been set anew since
        areas.sort_by_key(|area| area.extent);
        Ok(areas)
    }

    fn count(&self, window: Option<Extent>) -> Result<u64, Refusal> {
        let count = match window {
            Some(window) => self.areas_in(window, usize::MAX).len(),
            None => self.mm.map_count() + self.beyond.len(),
        };
        Ok(count as u64)
    }

    fn around(&self, addr: Option<u64>) -> Result<Vec<String>, Refusal> {
        let Some(addr) = addr else {
            let areas = self.areas_in(Extent { start: 0, end: u64::MAX }, FIRST);
            return Ok(first(&areas, self.mm.map_count() + self.beyond.len()));
        };
        // One area more than is shown on either side, so that it shows that there are more.
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

/// What is set has no sense: limits, or a heap.
fn senseless(error: impl std::fmt::Display) -> Refusal {
    Refusal::Setting(error.to_string())
}
