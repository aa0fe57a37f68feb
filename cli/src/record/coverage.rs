//! A model of what is mapped: the ranges and permissions that result from the recorded calls.
//!
//! `space` keeps one for each address space and compares it with the layouts that the kernel shows. A difference is the growth of a stack, or
//! something that no recorded call explains.

use std::collections::BTreeMap;

use vmaple_trace::{Extent, Perm};

/// The mapped ranges of an address space, disjoint, with their permissions.
#[derive(Clone, Debug, Default)]
pub(super) struct Coverage {
    /// From the start of a range to its end and its permissions. Neighbours may have equal permissions.
    ranges: BTreeMap<u64, (u64, Perm)>,
}

/// A range in which the kernel's layout differs from the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoverageDifference {
    pub(super) extent: Extent,
    /// The permissions in the model; `None` if nothing is mapped there.
    pub(super) expected: Option<Perm>,
    /// The permissions in the kernel's layout; `None` if nothing is mapped there.
    pub(super) found: Option<Perm>,
}

impl Coverage {
    /// Makes the model of a layout.
    pub(super) fn of(layout: impl IntoIterator<Item = (Extent, Perm)>) -> Self {
        let mut coverage = Self::default();
        for (extent, perm) in layout {
            coverage.map(extent, perm);
        }
        coverage
    }

    /// Maps a range, in place of what was mapped there.
    pub(super) fn map(&mut self, extent: Extent, perm: Perm) {
        self.unmap(extent);
        self.ranges.insert(extent.start, (extent.end, perm));
    }

    /// Unmaps a range.
    pub(super) fn unmap(&mut self, extent: Extent) {
        self.cut(extent.start);
        self.cut(extent.end);
        let inside: Vec<u64> = self.ranges.range(extent.start..extent.end).map(|(start, _)| *start).collect();
        for start in inside {
            self.ranges.remove(&start);
        }
    }

    /// Sets the permissions of the mapped parts of a range. Shared parts stay shared.
    pub(super) fn protect(&mut self, extent: Extent, access: Perm) {
        self.cut(extent.start);
        self.cut(extent.end);
        for (_, (_, perm)) in self.ranges.range_mut(extent.start..extent.end) {
            *perm = Perm::from_bits(perm.bits() & Perm::SHARED.bits()).union(access);
        }
    }

    /// Returns the mapped parts of a range.
    pub(super) fn pieces(&self, extent: Extent) -> Vec<(Extent, Perm)> {
        let before = self.ranges.range(..extent.start).next_back();
        let touched = before.into_iter().chain(self.ranges.range(extent.start..extent.end));
        touched.filter_map(|(start, (end, perm))| Some((Extent::new(extent.start.max(*start), extent.end.min(*end))?, *perm))).collect()
    }

    /// Returns the permissions of a range, or `None` if they differ within it or a part is not mapped.
    pub(super) fn perm_of(&self, extent: Extent) -> Option<Perm> {
        let pieces = self.pieces(extent);
        let ((first, perm), (last, _)) = (*pieces.first()?, *pieces.last()?);
        let is_whole = first.start == extent.start && last.end == extent.end;
        let is_even = pieces.windows(2).all(|pair| pair[0].0.end == pair[1].0.start && pair[1].1 == perm);
        (is_whole && is_even).then_some(perm)
    }

    /// Splits the range that contains `address` there.
    fn cut(&mut self, address: u64) {
        if let Some((_, (end, perm))) = self.ranges.range_mut(..address).next_back()
            && *end > address
        {
            let after = (*end, *perm);
            *end = address;
            self.ranges.insert(address, after);
        }
    }

    /// Returns the ranges in which `found` differs from this.
    pub(super) fn differences(&self, found: &Self) -> Vec<CoverageDifference> {
        let mut bounds: Vec<u64> =
            [self, found].into_iter().flat_map(|coverage| coverage.ranges.iter().flat_map(|(start, (end, _))| [*start, *end])).collect();
        bounds.sort_unstable();
        bounds.dedup();
        let mut differences: Vec<CoverageDifference> = Vec::new();
        for pair in bounds.windows(2) {
            let extent = Extent { start: pair[0], end: pair[1] };
            let (expected, found) = (self.at(extent.start), found.at(extent.start));
            if expected == found {
                continue;
            }
            match differences.last_mut() {
                Some(last) if last.extent.end == extent.start && (last.expected, last.found) == (expected, found) => {
                    last.extent.end = extent.end;
                }
                _ => differences.push(CoverageDifference { extent, expected, found }),
            }
        }
        differences
    }

    /// Returns whether something is mapped at the address.
    pub(super) fn maps(&self, address: u64) -> bool {
        self.at(address).is_some()
    }

    fn at(&self, address: u64) -> Option<Perm> {
        let (_, (end, perm)) = self.ranges.range(..=address).next_back()?;
        (*end > address).then_some(*perm)
    }
}

#[cfg(test)]
mod tests {
    use super::{Coverage, CoverageDifference};
    use quickcheck::QuickCheck;
    use vmaple_trace::{Extent, Perm};

    const RW: Perm = Perm::from_bits(3);
    const R: Perm = Perm::READ;

    fn extent(start: u64, end: u64) -> Extent {
        Extent { start, end }
    }

    #[test]
    fn ranges_are_cut_where_they_are_changed() {
        // before   wwwwwwww
        // protect    rrr
        // unmap       x
        // map             rr
        let mut coverage = Coverage::of([(extent(0, 8), RW)]);
        coverage.protect(extent(2, 5), R);
        coverage.unmap(extent(3, 4));
        coverage.map(extent(7, 9), R);
        let all = [(extent(0, 2), RW), (extent(2, 3), R), (extent(4, 5), R), (extent(5, 7), RW), (extent(7, 9), R)];
        assert_eq!(coverage.pieces(extent(0, 100)), all);
        assert_eq!(coverage.pieces(extent(1, 3)), [(extent(1, 2), RW), (extent(2, 3), R)]);
    }

    #[test]
    fn sharing_outlives_protection() {
        let mut coverage = Coverage::of([(extent(0, 2), RW.union(Perm::SHARED))]);
        coverage.protect(extent(0, 1), Perm::NONE);
        assert_eq!(coverage.pieces(extent(0, 1)), [(extent(0, 1), Perm::SHARED)]);
    }

    #[test]
    fn a_range_of_equal_neighbours_has_their_permissions() {
        // wwwwrr.r
        let coverage = Coverage::of([(extent(0, 2), RW), (extent(2, 4), RW), (extent(4, 6), R), (extent(7, 8), R)]);
        assert_eq!(coverage.perm_of(extent(1, 4)), Some(RW));
        assert_eq!(coverage.perm_of(extent(3, 5)), None, "not equal");
        assert_eq!(coverage.perm_of(extent(5, 8)), None, "a hole");
        assert_eq!(coverage.perm_of(extent(7, 9)), None, "a hole at the end");
        assert_eq!(coverage.perm_of(extent(6, 8)), None, "a hole at the beginning");
        assert_eq!(coverage.perm_of(extent(6, 7)), None, "nothing");
    }

    #[test]
    fn differences_are_found_and_joined() {
        let expected = Coverage::of([(extent(0, 2), R), (extent(2, 4), R), (extent(6, 8), RW)]);
        let found = Coverage::of([(extent(1, 3), R), (extent(6, 7), R), (extent(7, 8), RW)]);
        assert_eq!(
            expected.differences(&found),
            [
                CoverageDifference { extent: extent(0, 1), expected: Some(R), found: None },
                CoverageDifference { extent: extent(3, 4), expected: Some(R), found: None },
                CoverageDifference { extent: extent(6, 7), expected: Some(RW), found: Some(R) },
            ]
        );
        assert_eq!(found.differences(&found), []);
    }

    #[test]
    fn any_changes_agree_with_a_table_of_pages() {
        fn holds(changes: Vec<(u8, u8, u8)>) -> bool {
            let mut coverage = Coverage::default();
            let mut pages = [None; 32];
            for (start, length, change) in changes {
                let start = start % 31;
                let end = (start + 1 + length % 31).min(32);
                let range = extent(start.into(), end.into());
                let perm = Perm::from_bits(change >> 2);
                match change % 3 {
                    0 => coverage.map(range, perm),
                    1 => coverage.unmap(range),
                    _ => coverage.protect(range, Perm::from_bits(perm.bits() & 7)),
                }
                for page in &mut pages[start.into()..end.into()] {
                    *page = match (change % 3, *page) {
                        (0, _) => Some(perm.bits()),
                        (2, Some(old)) => Some(old & 8 | perm.bits() & 7),
                        _ => None,
                    };
                }
            }
            (0..32).all(|page| coverage.at(page).map(Perm::bits) == usize::try_from(page).ok().and_then(|at| pages[at]))
        }
        QuickCheck::new().quickcheck(holds as fn(Vec<(u8, u8, u8)>) -> bool);
    }
}
