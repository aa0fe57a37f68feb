//! Gives the address space the layout that the kernel had according to the recording. Called by `exact` after each recorded layout: for
//! each difference, so that it is reported once and not at every later layout, and for the owners of pages that no recorded fault shows.

use super::compare::LayoutDifference;
use vmaple::mm::AnonOwner;
use vmaple_scenario::mm_space::MmSpace;
use vmaple_trace::{Area, AreaFlags, Expected, Extent, Offset, Perm};

/// Replaces the found areas of a difference by the expected ones, if the lines describe them completely. An area that cannot be put in place
/// stays different, and is reported again at the next layout.
pub(super) fn resync(space: &mut MmSpace, difference: &LayoutDifference) {
    let whole: Option<Vec<Area>> = difference.expected.iter().map(|line| area_of(line, &difference.found)).collect();
    let Some(areas) = whole else { return };
    let (low, high) = difference.bounds();
    let owners = owners(space, &areas);
    if space.clear(low, high).is_ok() {
        for (area, owner) in areas.iter().zip(owners) {
            // no area crosses the ends of the range, so nothing is in the way
            drop(space.place_owned(area, owner));
        }
    }
}

/// Returns the present owners of the private pages, so that areas which were split can merge again.
fn owners(space: &MmSpace, areas: &[Area]) -> Vec<Option<AnonOwner>> {
    let reader = space.mm.read();
    let owner_in = |extent: Extent| {
        let mut from = extent.start;
        std::iter::from_fn(|| {
            let vma = reader.find(from).filter(|vma| vma.start() < extent.end)?;
            from = vma.last().saturating_add(1);
            Some(vma.anon_owner())
        })
        .flatten()
        .next()
    };
    areas.iter().map(|area| owner_in(area.extent)).collect()
}

/// Returns the area that a line describes. It has pages of its own if the line says so, or if the found areas there had some.
fn area_of(line: &Expected, found: &[Area]) -> Option<Area> {
    let Expected { extent, perm: Some(perm), flags: Some(flags), object: Some(object), offset } = line else { return None };
    let there = || found.iter().filter(|area| area.extent.overlaps(*extent));
    let owned = AreaFlags::FAULTED.union(AreaFlags::INHERITED);
    let flags = there().fold(*flags, |flags, area| flags.union(area.flags.intersection(owned)));
    // an omitted offset is that of the found area that begins there
    let found = there().find(|area| area.extent.start == extent.start && area.object == *object).map(|area| area.offset);
    let offset = offset.or(found).unwrap_or(Offset::Default);
    let marks = there().next().map(|area| area.marks.clone()).unwrap_or_default();
    Some(Area { extent: *extent, perm: *perm, flags, marks, object: object.clone(), offset })
}

/// Gives an owner to each VMA that the kernel shows with pages of its own and that has none. Returns their number.
pub(super) fn learn_owners(space: &MmSpace, lines: &[Expected]) -> u64 {
    let reader = space.mm.read();
    let has_pages = |line: &&Expected| {
        let is_shared = line.perm.is_none_or(|perm| perm.contains(Perm::SHARED));
        !is_shared && line.flags.is_some_and(|flags| flags.contains(AreaFlags::FAULTED))
    };
    let mut learned = 0;
    for line in lines.iter().filter(has_pages) {
        let start = line.extent.start;
        if reader.lookup(start).is_some_and(|vma| vma.start() == start && vma.anon_owner().is_none()) {
            reader.own(start);
            learned += 1;
        }
    }
    learned
}
