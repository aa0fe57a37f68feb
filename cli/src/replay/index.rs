//! The library's index for `replay`: one `RangeMap` for each address space of the trace, with packed attributes as values. Called by
//! `checked` and `speed`; nothing else of `replay` uses the index.

use super::history::{History, Step};
use super::layout_model::{Edit, Region};
use super::packed::PackedAttrs;
use super::query::{GapRequest, Layout};
use anyhow::{Context as _, Result};
use serde::Serialize;
use vmaple::RangeMap;
use vmaple::map::{BudgetPolicy, Entry, GapError, GapQuery, PinGuard, Reader};
use vmaple_trace::Side;

/// The maps of all address spaces.
pub(super) struct Indexes {
    maps: Vec<RangeMap<u64>>,
}

/// A reader's handles, one for each address space.
pub(super) struct Handles<'m> {
    readers: Vec<Reader<'m, u64>>,
}

/// The layout of one address space under one pin.
pub(super) struct Pinned<'m> {
    map: &'m RangeMap<u64>,
    pin: PinGuard<'m, u64>,
}

/// The sums of the maps' statistics.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) entries: usize,
    pub(super) height: usize,
    /// Bytes of all nodes that readers can reach.
    pub(super) index_bytes: usize,
    /// Bytes of nodes that are retired and wait for readers.
    pub(super) held_bytes: usize,
    /// Nodes retired since the start.
    pub(super) retired_nodes: u64,
    /// Retired nodes that were recycled.
    pub(super) recycled_nodes: u64,
    /// Splices that were published.
    pub(super) published: u64,
    /// Areas that grew downwards in place.
    pub(super) extended_in_place: u64,
}

impl Indexes {
    /// Builds every map from its starting layout.
    pub(super) fn of(history: &History) -> Result<Self> {
        // with more readers than processors a reader may keep its pin for long: then the writer waits, and no edit is refused
        let build = |areas: &Vec<Region>| {
            let entries = areas.iter().map(|area| (area.start..=area.last, area.attrs.0));
            let map = RangeMap::builder().policy(BudgetPolicy::Wait).build_from(entries);
            map.map_err(|error| anyhow::anyhow!("{error}")).context("the index refused the starting layout")
        };
        Ok(Self { maps: history.spaces.iter().map(|space| build(&space.start)).collect::<Result<_>>()? })
    }

    /// Makes one edit, under the write lock of its map. Returns the library's error if it refuses.
    pub(super) fn apply(&self, step: &Step) -> Result<(), String> {
        let mut writer = self.maps[step.space as usize].write();
        match step.edit {
            Edit::Insert(area) => writer.insert(area.start..=area.last, area.attrs.0).map_err(|error| error.to_string()),
            Edit::Replace(area) => match writer.replace(area.start..=area.last, area.attrs.0) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            Edit::Remove(range) => match writer.remove(range.start..=range.last) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            Edit::ExtendDown { from, to } => match writer.extend_down(from, to) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
            Edit::ExtendUp { from, to } => match writer.extend_up(from, to) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Returns the handles of one reading thread.
    pub(super) fn handles(&self) -> Handles<'_> {
        Handles { readers: self.maps.iter().map(RangeMap::reader).collect() }
    }

    /// Pins one layout, for queries.
    pub(super) fn pin(&self, space: u32) -> Pinned<'_> {
        let map = &self.maps[space as usize];
        Pinned { map, pin: map.pin() }
    }

    /// Waits until no reader holds what was retired, and recycles it. Returns the bytes that still wait.
    pub(super) fn settle(&self) -> Result<usize> {
        let mut waiting = 0;
        for map in &self.maps {
            map.synchronize().context("this thread still holds a pin")?;
            waiting += map.reclaim();
        }
        Ok(waiting)
    }

    /// Returns the sums of the maps' statistics.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for stats in self.maps.iter().map(RangeMap::stats) {
            totals.entries += stats.entries;
            totals.height = totals.height.max(stats.height);
            totals.index_bytes += stats.index_bytes;
            totals.held_bytes += stats.held_bytes;
            totals.retired_nodes += stats.retired_nodes;
            totals.recycled_nodes += stats.recycled_nodes;
            totals.published += stats.published;
            totals.extended_in_place += stats.extended_in_place;
        }
        totals
    }
}

impl Handles<'_> {
    /// Returns the area that contains the address, without a lock.
    pub(super) fn lookup(&mut self, space: u32, address: u64) -> Option<Region> {
        self.readers[space as usize].lookup(address).map(area)
    }
}

fn area(entry: Entry<'_, u64>) -> Region {
    Region { start: entry.start(), last: entry.last(), attrs: PackedAttrs(*entry.value()) }
}

impl Pinned<'_> {
    /// Returns all areas in ascending order.
    pub(super) fn areas(&self) -> impl Iterator<Item = Region> {
        self.pin.iter().map(area)
    }
}

impl Layout for Pinned<'_> {
    fn lookup(&self, address: u64) -> Option<Region> {
        self.pin.lookup(address).map(area)
    }

    fn find(&self, address: u64) -> Option<Region> {
        self.pin.find(address).map(area)
    }

    fn prev(&self, address: u64) -> Option<Region> {
        self.pin.prev(address).map(area)
    }

    fn gap(&self, request: &GapRequest) -> Result<u64, &'static str> {
        let (min, max) = request.window;
        let query = GapQuery::new(request.len).within(min..=max).aligned_to(request.align);
        let query = match request.side {
            Side::Lowest => query.lowest(),
            Side::Highest => query.highest(),
        };
        match self.map.write().find_gap(&query) {
            Ok(span) => Ok(span.start()),
            Err(GapError::NotFound { .. }) => Err("EBUSY"),
            Err(_) => Err("EINVAL"),
        }
    }
}
