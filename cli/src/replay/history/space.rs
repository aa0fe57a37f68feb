//! Records of whole address spaces: the starting areas, growth without a call, `fork` and `as`, `exit` and `reset`.

use super::super::layout_model::{Bounds, Edit, Region};
use super::super::limits;
use super::super::packed::PackedAttrs;
use super::builder::{Builder, EVERYWHERE};
use super::marks::LOCKED_MASK;
use super::state::State;
use anyhow::{Result, bail};
use vmaple_trace::{AreaFlags, ForkOutcome, Name, Offset};

impl Builder {
    /// Puts an area in place unchanged. Before the first edit it belongs to the starting layout.
    pub(super) fn area(&mut self, area: &vmaple_trace::Area) -> Result<()> {
        let extent = Bounds { start: area.extent.start, last: area.extent.last() };
        if let Some(there) = self.model().intersecting(extent).next() {
            let read = super::super::query::range(extent);
            let there = super::super::query::range(Bounds { start: there.start, last: there.last });
            bail!("read the area {read}, expected one that does not lie over {there}");
        }
        let offset = match area.offset {
            Offset::Bytes(bytes) => bytes,
            Offset::Default => 0,
        };
        let backing = self.history.backings.number(&area.object, extent.start, offset)?;
        let placed = Region { start: extent.start, last: extent.last, attrs: PackedAttrs::new(area.perm, area.flags, backing) };
        if self.current == 0 && self.history.steps.is_empty() {
            self.states[0].model.apply(&Edit::Insert(placed));
            return Ok(());
        }
        self.edit(Edit::Insert(placed))
    }

    /// Grows an area to the recorded range.
    pub(super) fn grew(&mut self, extent: vmaple_trace::Extent) -> Result<()> {
        self.counted("grew")?;
        let (start, last) = (extent.start, extent.last());
        let Some(lowest) = self.model().intersecting(Bounds { start, last }).next() else {
            let read = super::super::query::range(Bounds { start, last });
            return Err(self.refuse(&format!("grew to {read}"), "a range that ends in the area that grew"));
        };
        if start < lowest.start {
            self.edit(Edit::ExtendDown { from: lowest.start, to: start })?;
        }
        let highest = self.model().intersecting(Bounds { start, last }).last();
        match highest {
            Some(highest) if highest.last < last => self.edit(Edit::ExtendUp { from: highest.last, to: last }),
            _ => Ok(()),
        }
    }

    /// Keeps the layout of the child until its first operation.
    pub(super) fn fork(&mut self, outcome: ForkOutcome) -> Result<()> {
        self.counted("fork")?;
        let ForkOutcome::Child(name) = outcome else { return Ok(()) };
        let parent = &self.states[self.current];
        let mut child = State { settings: parent.settings, brk: parent.brk, keys: parent.keys, ..State::default() };
        for area in parent.model.areas().filter(|area| !area.attrs.has(AreaFlags::DONTCOPY)) {
            child.model.apply(&Edit::Insert(Region { attrs: area.attrs.clear(LOCKED_MASK), ..area }));
        }
        // a recording continues with the parent: each child has a trace of its own, and no `as` follows
        let waiting: usize = self.unborn.values().map(|child| child.model.len() + 1).sum();
        if waiting + child.model.len() < limits::UNBORN_AREAS {
            self.unborn.insert(name, child);
        }
        Ok(())
    }

    /// Makes another address space current.
    pub(super) fn switch(&mut self, name: Name) -> Result<()> {
        if let Some(child) = self.unborn.remove(&name) {
            let areas: Vec<Region> = child.model.areas().collect();
            self.begin(State { model: super::super::layout_model::LayoutModel::default(), ..child })?;
            self.names.insert(name, self.current);
            return areas.into_iter().try_for_each(|area| self.edit(Edit::Insert(area)));
        }
        let main = (name.bytes() == b"main" && !self.names.contains_key(&name)).then_some(0);
        match self.names.get(&name).copied().or(main) {
            Some(space) => {
                self.current = space;
                Ok(())
            }
            None => Err(self.refuse(&format!("as {name}"), "`main` or the child of a fork above")),
        }
    }

    pub(super) fn exit(&mut self) -> Result<()> {
        self.counted("exit")?;
        self.clear(EVERYWHERE)
    }

    /// Begins an empty address space with all defaults.
    pub(super) fn reset(&mut self) -> Result<()> {
        self.unborn.clear();
        self.names.clear();
        self.window = EVERYWHERE;
        self.begin(State::default())?;
        if let Some(main) = Name::new(b"main") {
            self.names.insert(main, self.current);
        }
        Ok(())
    }

    fn begin(&mut self, state: State) -> Result<()> {
        if self.states.len() == limits::SPACES {
            bail!("read more than {} address spaces, expected at most that", limits::SPACES);
        }
        self.current = self.states.len();
        self.states.push(state);
        Ok(())
    }
}
