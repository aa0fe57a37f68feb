//! Searches the lowest or highest gap of a size and an alignment inside a window. Called by the write guard.
//!
//! The search is exact: if an aligned fit exists, it is found. (Linux pads the size by the alignment, and so misses a gap that fits only
//! because it is already aligned.) A subtree whose largest gap is too small, by its summary, is not entered.

use super::super::node::{InnerRef, LeafRef, Node, NodePtr, WriterRole};
use super::super::read::{Arrival, Entry, View, entry};
use super::editor::Editor;
use crate::addr::Span;
use crate::error::{GapError, RangeError};
use crate::value::Value;
use core::fmt;
use core::ops::RangeBounds;

/// A search for addresses that no entry contains: their number, alignment, window, and which of several fits to take.
///
/// See [`WriteGuard::find_gap`](crate::map::WriteGuard::find_gap), which is exact, unlike Linux's search.
///
/// # Examples
/// ```
/// use vmaple::map::GapQuery;
/// use vmaple::RangeMap;
/// let map = RangeMap::new();
/// let mut map = map.write();
/// map.insert(0x1000..0x2000, ()).unwrap();
/// map.insert(0x5000..0x6000, ()).unwrap();
/// let query = GapQuery::new(0x1000).within(0x1000..0x8000);
/// assert_eq!(map.find_gap(&query).unwrap().start(), 0x2000);
/// assert_eq!(map.find_gap(&query.highest()).unwrap().start(), 0x7000);
/// assert_eq!(map.find_gap(&query.aligned_to(0x4000)).unwrap().start(), 0x4000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct GapQuery {
    size: u64,
    align: u64,
    window: Result<Span, RangeError>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    Lowest,
    Highest,
}

impl GapQuery {
    /// Creates a query for the lowest gap of `size` addresses, anywhere and of any alignment.
    pub const fn new(size: u64) -> Self {
        Self { size, align: 1, window: Ok(Span::ALL), end: End::Lowest }
    }

    /// Requires that the gap is inside the window.
    pub fn within(mut self, window: impl RangeBounds<u64>) -> Self {
        self.window = Span::from_bounds(window);
        self
    }

    /// Requires that the gap starts at a multiple of `align`, which is a power of two.
    pub const fn aligned_to(mut self, align: u64) -> Self {
        self.align = align;
        self
    }

    /// Takes the lowest gap that fits.
    pub const fn lowest(mut self) -> Self {
        self.end = End::Lowest;
        self
    }

    /// Takes the highest gap that fits.
    pub const fn highest(mut self) -> Self {
        self.end = End::Highest;
        self
    }

    fn check(&self) -> Result<Span, GapError> {
        let window = self.window.map_err(GapError::Window)?;
        if self.size == 0 {
            return Err(GapError::ZeroSize);
        }
        if !self.align.is_power_of_two() {
            return Err(GapError::Alignment { align: self.align });
        }
        if self.size - 1 > window.len_less_one() {
            return Err(GapError::SmallWindow { size: self.size, window });
        }
        Ok(window)
    }

    /// Returns the place in this hole, if the gap fits there.
    fn fit(&self, hole: Span, window: Span) -> Option<Span> {
        let room = hole.intersection(window)?;
        let reach = self.size - 1;
        let mask = self.align - 1;
        let start = match self.end {
            End::Lowest => room.start().checked_add(mask)? & !mask,
            End::Highest => room.last().checked_sub(reach)? & !mask,
        };
        let last = start.checked_add(reach)?;
        (room.start() <= start && last <= room.last()).then(|| Span::from_entry(start, last))
    }
}

/// A gap that was found. It borrows the editor, so nothing is published while it lives.
pub(crate) struct FoundGap<'e, V> {
    span: Span,
    above: Option<(LeafRef<'e, V, WriterRole>, usize)>,
    view: &'e View<V>,
}

impl<'e, V> FoundGap<'e, V> {
    /// Returns the place that was asked for.
    pub(crate) fn span(&self) -> Span {
        self.span
    }

    /// Returns the entries next to the gap: the last below it, and the first above.
    #[inline]
    pub(crate) fn neighbours(&self) -> (Option<Entry<'e, V>>, Option<Entry<'e, V>>) {
        if let Some((leaf, i)) = self.above {
            let entry = |i| Some(Entry::new(leaf.span(i), leaf.value(i)));
            return (entry(i - 1), entry(i));
        }
        let Some(Arrival { leaf, below, .. }) = self.view.arrive(self.span.start()) else { return (None, None) };
        let i = leaf.rank(self.span.start());
        let below = if i > 0 { Some(entry(leaf, i - 1)) } else { below.and_then(|below| self.view.find(below)) };
        // A leaf ends at its key, so it has an entry above, except the last leaf of all (T2).
        (below, (i < leaf.len()).then(|| entry(leaf, i)))
    }
}

impl<V> fmt::Debug for FoundGap<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundGap").field("span", &self.span).finish_non_exhaustive()
    }
}

/// A place, and the entry above it if that entry and the one below are in one leaf.
type Fit<'t, V> = (Span, Option<(LeafRef<'t, V, WriterRole>, usize)>);

impl<'t, V: Value> Editor<'t, V> {
    /// `WriteGuard::find_gap`.
    pub(crate) fn find_gap(&self, query: &GapQuery) -> Result<FoundGap<'_, V>, GapError> {
        let window = query.check()?;
        let search = Search { query, window };
        let root = self.root.0.owner_load();
        let found = match query.end {
            _ if root.is_null() => search.fit(Some(0), None, None),
            End::Lowest => self.lowest(&search, root),
            End::Highest => self.highest(&search, root),
        };
        let (span, above) = found.ok_or(GapError::NotFound { size: query.size, align: query.align, window })?;
        Ok(FoundGap { span, above, view: self.view() })
    }

    /// Looks below the first entry, then between entries, then above the last.
    fn lowest(&self, search: &Search<'_>, root: NodePtr<V>) -> Option<Fit<'t, V>> {
        let low = self.low_of(root);
        search.fit(Some(0), Some(low), None).or_else(|| self.lowest_inside(search, root)).or_else(|| self.room_above(search, root))
    }

    fn highest(&self, search: &Search<'_>, root: NodePtr<V>) -> Option<Fit<'t, V>> {
        let below = || search.fit(Some(0), Some(self.low_of(root)), None);
        self.room_above(search, root).or_else(|| self.highest_inside(search, root)).or_else(below)
    }

    /// Returns the fit above the last entry. The window nearly always ends below that, which the topmost keys show.
    fn room_above(&self, search: &Search<'_>, mut node: NodePtr<V>) -> Option<Fit<'t, V>> {
        loop {
            match self.node(node) {
                Node::Leaf(leaf) => return search.fit(leaf.last(leaf.len() - 1).checked_add(1), None, None),
                Node::Inner(inner) => {
                    let edge = inner.len() - 1;
                    if edge > 0 && search.window.last() <= inner.last(edge - 1) {
                        return None;
                    }
                    node = inner.child(edge);
                }
            }
        }
    }

    fn low_of(&self, node: NodePtr<V>) -> u64 {
        match self.node(node) {
            Node::Leaf(leaf) => leaf.start(0),
            Node::Inner(inner) => inner.child_summary(0).low,
        }
    }

    /// Returns the lowest fit between two entries of the subtree.
    fn lowest_inside(&self, search: &Search<'_>, node: NodePtr<V>) -> Option<Fit<'t, V>> {
        // Starts at the first hole that ends inside the window, and stops at the first one that begins above it.
        match self.node(node) {
            Node::Leaf(leaf) => {
                for i in leaf.rank(search.window.start()).max(1)..leaf.len() {
                    if leaf.last(i - 1) >= search.window.last() {
                        break;
                    }
                    if let Some(found) = search.before_entry(leaf, i) {
                        return Some(found);
                    }
                }
            }
            Node::Inner(inner) => {
                for i in inner.rank(search.window.start())..inner.len() {
                    if i > 0 && inner.last(i - 1) >= search.window.last() {
                        break;
                    }
                    if let Some(found) = search.before_child(inner, i) {
                        return Some(found);
                    }
                    if search.worth(inner.child_summary(i).gap)
                        && let Some(found) = self.lowest_inside(search, inner.child(i))
                    {
                        return Some(found);
                    }
                }
            }
        }
        None
    }

    /// Returns the highest fit between two entries of the subtree.
    fn highest_inside(&self, search: &Search<'_>, node: NodePtr<V>) -> Option<Fit<'t, V>> {
        match self.node(node) {
            Node::Leaf(leaf) => {
                let last = leaf.rank(search.window.last()).min(leaf.len() - 1);
                for i in (1..=last).rev() {
                    if leaf.start(i) <= search.window.start() {
                        break;
                    }
                    if let Some(found) = search.before_entry(leaf, i) {
                        return Some(found);
                    }
                }
            }
            Node::Inner(inner) => {
                let last = inner.rank(search.window.last()).min(inner.len() - 1);
                for i in (0..=last).rev() {
                    // Every key is exact except the last child's, which is looked at only as `last`.
                    if i < last && inner.last(i) < search.window.start() {
                        break;
                    }
                    if search.worth(inner.child_summary(i).gap)
                        && let Some(found) = self.highest_inside(search, inner.child(i))
                    {
                        return Some(found);
                    }
                    if let Some(found) = search.before_child(inner, i) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }
}

/// A query with its window.
struct Search<'q> {
    query: &'q GapQuery,
    window: Span,
}

impl Search<'_> {
    /// Returns the fit between an address and the entry that starts at `end` (`None`: the end of the address space).
    fn fit<'t, V>(&self, start: Option<u64>, end: Option<u64>, above: Option<(LeafRef<'t, V, WriterRole>, usize)>) -> Option<Fit<'t, V>> {
        let last = end.map_or(Some(u64::MAX), |end| end.checked_sub(1))?;
        Some((self.query.fit(Span::new(start?, last).ok()?, self.window)?, above))
    }

    /// Returns the fit between entry `i` of a leaf and the one before it.
    #[inline]
    fn before_entry<'t, V>(&self, leaf: LeafRef<'t, V, WriterRole>, i: usize) -> Option<Fit<'t, V>> {
        if !self.worth(leaf.gap_below(i)) {
            return None;
        }
        self.fit(leaf.last(i - 1).checked_add(1), Some(leaf.start(i)), Some((leaf, i)))
    }

    /// Returns the fit between child `i` and the one before it.
    #[inline]
    fn before_child<'t, V>(&self, inner: InnerRef<'t, V, WriterRole>, i: usize) -> Option<Fit<'t, V>> {
        if !self.worth(inner.gap_below(i)) {
            return None;
        }
        self.fit(inner.last(i - 1).checked_add(1), Some(inner.child_summary(i).low), None)
    }

    /// Whether a gap, or the largest gap of a subtree, is large enough.
    #[inline]
    fn worth(&self, gap: u64) -> bool {
        gap >= self.query.size
    }
}
