//! An address space of the library in which scenarios are executed: its state, and the steps that `model`, `apply` and `fault` share.
//!
//! Called by `model` (the [`Space`](crate::space::Space) of it), `apply`, `low`, and by the program's `replay`.

use crate::area::{Names, Rider, extent_of};
use crate::exact::Exact;
use crate::placement::no_limits;
use crate::settings::Settings;
use crate::space::{Failure, Refusal};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Bound;
use vmaple::mm::{AnonOwner, KeyRights, MmWriteGuard, ObjectId};
use vmaple::{ErrorCode, Mm, PAGE_SIZE};
use vmaple_host::Host;
use vmaple_trace::{Area, Extent, Object, With};

/// An address space of the library, and the properties of a scenario's address space that the library does not know.
#[derive(Debug)]
pub struct MmSpace {
    /// The library's address space.
    pub mm: Mm<Rider>,
    /// The properties that `set` gave it.
    pub settings: Settings,
    /// Its objects and marks: their names in the scenario, their numbers in the library.
    pub names: Names,
    /// The rights of the calling thread to protection keys.
    pub rights: KeyRights,
    /// The kernel's own areas beyond the end of the address space, by their ends. They belong to the layout, and no rule applies to them.
    pub(crate) beyond: BTreeMap<u64, Area>,
    /// What the record `with` gave for the next operation.
    pub(crate) with: With,
    /// The write sequence from which write cycles are counted.
    pub(crate) counted_from: u64,
}

impl MmSpace {
    /// Returns the library's number of an object of the scenario.
    pub fn number_of(&mut self, object: &Object) -> ObjectId {
        self.names.number_of(object)
    }

    /// Write-locks the address space for a system call of the program, with the calling thread's rights to protection keys.
    pub fn writer(&self) -> MmWriteGuard<'_, Rider> {
        let mut writer = self.mm.write();
        writer.set_key_rights(self.rights);
        writer
    }

    /// Unmaps a range, ignoring the limits. Counts no write cycle.
    ///
    /// # Errors
    /// If the library refuses to unmap it.
    pub fn clear(&mut self, start: u64, end: u64) -> Result<(), Failure> {
        self.uncounted(|space| {
            let cleared = space.unbound(|mm| mm.write().munmap(start, end.saturating_sub(start))).map_err(Failure::invalid)?;
            cleared.map_err(|error| Failure::new(error.errno(), error))
        })
    }

    /// Calls `act` and leaves its write cycles uncounted.
    pub(crate) fn uncounted<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.mm.write_sequence();
        let result = act(self);
        self.counted_from = self.counted_from.wrapping_add(self.mm.write_sequence().wrapping_sub(before));
        result
    }

    /// Takes over the machine's properties.
    pub(super) fn adopt(&mut self, host: &Host) -> Result<(), Refusal> {
        self.settings.adopt(host);
        self.mm.set_limits(self.settings.limits()).map_err(invalid_setting)
    }

    /// Calls `act` while no limit applies.
    fn unbound<T>(&self, act: impl FnOnce(&Mm<Rider>) -> T) -> Result<T, Refusal> {
        self.mm.set_limits(no_limits()).map_err(invalid_setting)?;
        let result = act(&self.mm);
        self.mm.set_limits(self.settings.limits()).map_err(invalid_setting)?;
        Ok(result)
    }

    /// Returns all VMAs with all flags.
    pub(super) fn exact(&self) -> Vec<Exact> {
        self.mm.read().iter().map(|vma| Exact::of(vma, self.names.object_of(vma))).collect()
    }

    /// Puts an area in place. If it has pages of its own they belong to `owner`, or to a new owner. Counts no write cycle.
    ///
    /// # Errors
    /// [`Refusal::Area`] if something is mapped there, or the area reaches beyond the end of the address space.
    pub fn place_owned(&mut self, area: &Area, owner: Option<AnonOwner>) -> Result<(), Refusal> {
        let extent = area.extent;
        if let Some(by) = self.first_beyond(extent.start).filter(|by| by.extent.start < extent.end) {
            return Err(Refusal::Area(format!("{} is in the way", by.extent)));
        }
        if extent.end > self.settings.task_size() {
            return self.place_beyond(area);
        }
        self.uncounted(|space| {
            let spec = space.names.spec_of(area, owner);
            let placed = |mm: &Mm<Rider>| {
                mm.write().insert(extent.start, extent.end - extent.start, spec).map_err(|error| Refusal::Area(error.cause.to_string()))
            };
            space.unbound(placed)?
        })
    }

    /// Adds an area beyond the end, which must be the kernel's own and in whole pages.
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

    /// Returns the first area beyond the end that ends above the address.
    pub(crate) fn first_beyond(&self, addr: u64) -> Option<&Area> {
        self.beyond.range((Bound::Excluded(addr), Bound::Unbounded)).next().map(|(_, area)| area)
    }

    /// Returns the areas that overlap the window, at most the first `most`.
    pub(crate) fn areas_in(&self, window: Extent, most: usize) -> Vec<Area> {
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
        // sorted, because the end may have been changed since they were added
        areas.sort_by_key(|area| area.extent);
        areas.truncate(most);
        areas
    }

    /// Returns the first area that ends above the address, the kernel's own beyond the end included.
    pub(crate) fn first_above(&self, addr: u64) -> Option<Extent> {
        let inside = self.mm.pin().find(addr).map(|vma| extent_of(vma.span()));
        let beyond = self.first_beyond(addr).map(|area| area.extent);
        inside.into_iter().chain(beyond).min()
    }
}

/// Returns the refusal of a value that the library rejects: limits, or a heap.
pub(crate) fn invalid_setting(error: impl Display) -> Refusal {
    Refusal::Setting(error.to_string())
}
