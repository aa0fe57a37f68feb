//! The library's [`Mm`] as the address space that scenarios are executed in. The runner comes in, through [`Space`]; `fault` asks it and
//! `apply` changes it.

use super::area::{Names, Rider, extent_of};
use super::exact::Exact;
use super::settings::{BRK_START, Settings};
use super::space::{Answer, Failure, Gap, Refusal, Space};
use super::{apply, fault};
use crate::trace::{Access, Area, Context, Extent, Object, Operation, Setting, Side, VmCounts, With};
use vmaple::{GapQuery, KeyRights, Mm, MmWriteGuard, ObjectId, PAGE_SIZE, ProtectionKey, RangeMap};
use vmaple_host::Host;

/// An address space of the library, with what the library need not know.
pub(crate) struct MmSpace {
    pub(crate) mm: Mm<Rider>,
    pub(crate) settings: Settings,
    pub(crate) names: Names,
    /// What the program may do with which protection keys.
    pub(crate) rights: KeyRights,
    /// What the kernel put beyond the end of the address space: in the layout, and nothing that the rules are asked about.
    beyond: Vec<Area>,
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

    /// What an area beyond the end must be.
    fn place_beyond(&mut self, area: &Area) -> Result<(), Refusal> {
        let end = self.settings.task_size();
        if !matches!(area.object, Object::Special(_)) || area.extent.start < end {
            return Err(Refusal::Area(format!("{} ends beyond {end:#x}, where the address space ends", area.extent)));
        }
        if let Some(at) = [area.extent.start, area.extent.end].into_iter().find(|at| at % PAGE_SIZE != 0) {
            return Err(Refusal::Area(format!("{at:#x} is not at a page's start")));
        }
        let at = self.beyond.partition_point(|other| other.extent.end <= area.extent.start);
        self.beyond.insert(at, area.clone());
        Ok(())
    }

    /// The first area that ends above the address, with what the kernel put beyond the end.
    fn first_above(&self, addr: u64) -> Option<Extent> {
        let inside = self.mm.pin().find(addr).map(|vma| extent_of(vma.span()));
        let beyond = self.beyond.iter().map(|area| area.extent).find(|extent| extent.end > addr);
        inside.into_iter().chain(beyond).min()
    }
}

impl Space for MmSpace {
    fn begin() -> Result<Self, Refusal> {
        let settings = Settings::default();
        let mm = Mm::with(RangeMap::builder(), settings.limits()).map_err(senseless)?;
        mm.write().set_heap(BRK_START, BRK_START).map_err(senseless)?;
        let (names, rights) = (Names::default(), KeyRights::ALL);
        Ok(Self { counted_from: mm.write_sequence(), mm, settings, names, rights, beyond: Vec::new(), with: With::default() })
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
        let extent = area.extent;
        if let Some(by) = self.beyond.iter().find(|by| by.extent.start < extent.end && extent.start < by.extent.end) {
            return Err(Refusal::Area(format!("{} is in the way", by.extent)));
        }
        if extent.end > self.settings.task_size() {
            return self.place_beyond(area);
        }
        self.uncounted(|space| {
            let spec = space.names.spec_of(area);
            let placed = space.unbound(|mm| mm.write().map(extent.start..extent.end, spec))?;
            placed.map_err(|error| Refusal::Area(error.cause.to_string()))
        })
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
        let beyond = self.beyond.iter().map(|area| area.extent).find(|extent| extent.contains(addr));
        Ok(inside.or(beyond).ok_or(None))
    }

    fn find(&self, addr: u64) -> Result<Answer, Refusal> {
        Ok(self.first_above(addr).ok_or(None))
    }

    fn gap(&mut self, gap: &Gap) -> Result<Result<u64, Failure>, Refusal> {
        let query = GapQuery::of_size(gap.len).within(gap.min..=gap.max).aligned_to(gap.align);
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
        areas.extend_from_slice(&self.beyond);
        // the end may have been set anew since
        areas.sort_by_key(|area| area.extent);
        Ok(areas)
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
