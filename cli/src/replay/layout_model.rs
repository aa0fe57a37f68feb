//! The plain model of a layout: which addresses are mapped, and with which attributes, in a `BTreeMap`. Called by `history`, which builds
//! the edits with it and checks the recorded blocks against it, and by `lifetimes`, which runs it once more.

use super::packed::PackedAttrs;
use std::collections::BTreeMap;

/// One mapped area: both addresses belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: u64,
    pub(super) last: u64,
    pub(super) attrs: PackedAttrs,
}

/// A range of addresses, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) start: u64,
    pub(super) last: u64,
}

/// One change to a layout: one call of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Inserts an area in a free range.
    Insert(Region),
    /// Replaces everything in the area's range by it.
    Replace(Region),
    /// Removes everything in a range.
    Remove(Bounds),
    /// Grows the area that starts at `from` downward, so that it starts at `to`. Nothing is mapped between them.
    ExtendDown { from: u64, to: u64 },
    /// Grows the area whose last byte is `from` upward, so that its last byte is `to`. Nothing is mapped between them.
    ExtendUp { from: u64, to: u64 },
}

/// The effect of an edit: the areas that were removed and added, and the ranges that became mapped and unmapped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Edited {
    pub(super) died: Vec<Region>,
    pub(super) born: Vec<Region>,
    pub(super) mapped: Vec<Bounds>,
    pub(super) unmapped: Vec<Bounds>,
}

/// A layout.
#[derive(Clone, Debug, Default)]
pub(super) struct LayoutModel {
    /// By start: the last byte, and the attrs.
    areas: BTreeMap<u64, (u64, PackedAttrs)>,
}

impl LayoutModel {
    /// Returns the areas in ascending order.
    pub(super) fn areas(&self) -> impl Iterator<Item = Region> {
        self.areas.iter().map(|(start, (last, attrs))| Region { start: *start, last: *last, attrs: *attrs })
    }

    /// Returns the number of areas.
    pub(super) fn len(&self) -> usize {
        self.areas.len()
    }

    /// Returns the area that contains the address.
    pub(super) fn lookup(&self, address: u64) -> Option<Region> {
        let (start, (last, attrs)) = self.areas.range(..=address).next_back()?;
        (*last >= address).then_some(Region { start: *start, last: *last, attrs: *attrs })
    }

    /// Returns the first area that contains the address or starts above it.
    pub(super) fn find(&self, address: u64) -> Option<Region> {
        let above = || self.areas.range(address..).next();
        self.lookup(address).or_else(|| above().map(|(start, (last, attrs))| Region { start: *start, last: *last, attrs: *attrs }))
    }

    /// Returns the last area that ends below the address.
    pub(super) fn prev(&self, address: u64) -> Option<Region> {
        let below = self.areas.range(..address).rev().take(2);
        let mut areas = below.map(|(start, (last, attrs))| Region { start: *start, last: *last, attrs: *attrs });
        areas.find(|area| area.last < address)
    }

    /// Returns the areas that overlap the range, whole, in ascending order.
    pub(super) fn intersecting(&self, range: Bounds) -> impl Iterator<Item = Region> {
        let from = self.lookup(range.start).map_or(range.start, |area| area.start);
        let areas = self.areas.range(from..=range.last);
        areas.map(|(start, (last, attrs))| Region { start: *start, last: *last, attrs: *attrs })
    }

    /// Returns the unmapped parts of a range.
    pub(super) fn holes(&self, range: Bounds) -> Vec<Bounds> {
        let mut holes = Vec::new();
        let mut from = Some(range.start);
        for area in self.intersecting(range) {
            if let Some(start) = from.filter(|start| *start < area.start) {
                holes.push(Bounds { start, last: area.start - 1 });
            }
            from = area.last.checked_add(1);
        }
        if let Some(start) = from.filter(|start| *start <= range.last) {
            holes.push(Bounds { start, last: range.last });
        }
        holes
    }

    /// Applies an edit, as far as it fits the layout. The index refuses an edit that does not fit, which is reported as a difference.
    pub(super) fn apply(&mut self, edit: &Edit) -> Edited {
        match *edit {
            Edit::Insert(area) | Edit::Replace(area) => self.replace(area),
            Edit::Remove(range) => self.cut(range),
            Edit::ExtendDown { from, to } => {
                let room = Bounds { start: to, last: from.saturating_sub(1) };
                self.stretch(from, room, |area| Region { start: to, ..area })
            }
            Edit::ExtendUp { from, to } => {
                let room = Bounds { start: from.saturating_add(1), last: to };
                self.stretch(from, room, |area| Region { last: to, ..area })
            }
        }
    }

    fn replace(&mut self, area: Region) -> Edited {
        let range = Bounds { start: area.start, last: area.last };
        let mapped = self.holes(range);
        let mut change = self.cut(range);
        self.put(area, &mut change);
        Edited { mapped, unmapped: Vec::new(), ..change }
    }

    fn stretch(&mut self, at: u64, room: Bounds, to: impl Fn(Region) -> Region) -> Edited {
        let Some(area) = self.lookup(at) else { return Edited::default() };
        let mut change = Edited::default();
        self.areas.remove(&area.start);
        change.died.push(area);
        self.put(to(area), &mut change);
        change.mapped.push(room);
        change
    }

    fn put(&mut self, area: Region, change: &mut Edited) {
        self.areas.insert(area.start, (area.last, area.attrs));
        change.born.push(area);
    }

    /// Removes everything in a range. The parts of areas outside it stay.
    fn cut(&mut self, range: Bounds) -> Edited {
        let mut change = Edited { died: self.intersecting(range).collect(), ..Edited::default() };
        for area in change.died.clone() {
            self.areas.remove(&area.start);
            if area.start < range.start {
                self.put(Region { last: range.start - 1, ..area }, &mut change);
            }
            if area.last > range.last {
                self.put(Region { start: range.last + 1, ..area }, &mut change);
            }
            let (start, last) = (area.start.max(range.start), area.last.min(range.last));
            change.unmapped.push(Bounds { start, last });
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(start: u64, last: u64, attrs: u64) -> Region {
        Region { start, last, attrs: PackedAttrs(attrs) }
    }

    fn of(areas: &[Region]) -> LayoutModel {
        let mut model = LayoutModel::default();
        for area in areas {
            model.apply(&Edit::Insert(*area));
        }
        model
    }

    // before  0aaaa5..8bbbb13
    // replace    cccccc
    // after   0aacccccccbb13
    #[test]
    fn a_replacement_cuts_both_neighbours() {
        let mut model = of(&[area(0, 5, 1), area(8, 13, 2)]);
        let change = model.apply(&Edit::Replace(area(3, 10, 3)));
        assert_eq!(model.areas().collect::<Vec<_>>(), [area(0, 2, 1), area(3, 10, 3), area(11, 13, 2)]);
        assert_eq!(change.mapped, [Bounds { start: 6, last: 7 }]);
        assert_eq!(change.unmapped, []);
        assert_eq!(change.died, [area(0, 5, 1), area(8, 13, 2)]);
        assert_eq!(change.born, [area(0, 2, 1), area(11, 13, 2), area(3, 10, 3)]);
    }

    // before  aaaaaaaaaa
    // remove     xxx
    // after   aaa...aaaa
    #[test]
    fn a_hole_splits_an_area() {
        let mut model = of(&[area(0, 9, 1)]);
        let change = model.apply(&Edit::Remove(Bounds { start: 3, last: 5 }));
        assert_eq!(model.areas().collect::<Vec<_>>(), [area(0, 2, 1), area(6, 9, 1)]);
        assert_eq!(change.unmapped, [Bounds { start: 3, last: 5 }]);
        assert_eq!(model.lookup(4), None);
        assert_eq!(model.find(4), Some(area(6, 9, 1)));
        assert_eq!(model.find(10), None);
        assert_eq!(model.holes(Bounds { start: 2, last: 12 }), [Bounds { start: 3, last: 5 }, Bounds { start: 10, last: 12 }]);
    }

    #[test]
    fn growth_reaches_into_the_hole_only() {
        let mut model = of(&[area(10, 19, 1), area(30, 39, 2)]);
        let down = model.apply(&Edit::ExtendDown { from: 30, to: 25 });
        assert_eq!(down.mapped, [Bounds { start: 25, last: 29 }]);
        let up = model.apply(&Edit::ExtendUp { from: 19, to: 22 });
        assert_eq!(up.mapped, [Bounds { start: 20, last: 22 }]);
        assert_eq!(model.areas().collect::<Vec<_>>(), [area(10, 22, 1), area(25, 39, 2)]);
    }

    #[test]
    fn the_last_byte_can_be_in_an_area() {
        let mut model = of(&[area(u64::MAX - 9, u64::MAX, 1)]);
        assert_eq!(model.lookup(u64::MAX).map(|area| area.start), Some(u64::MAX - 9));
        assert_eq!(model.holes(Bounds { start: u64::MAX - 3, last: u64::MAX }), []);
        model.apply(&Edit::Remove(Bounds { start: u64::MAX, last: u64::MAX }));
        assert_eq!(model.lookup(u64::MAX), None);
    }
}
