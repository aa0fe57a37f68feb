//! The queries that a recording answers, for any layout: the plain model and the index answer the same queries, and each answer that
//! differs from the recorded one is described in words. `history` asks the model, `checked` asks the index.

use super::layout_model::{Bounds, LayoutModel, Region};
use super::packed::Backings;
use std::fmt;
use std::ops::Range;
use vmaple_trace::{Perm, Side};

/// One line of a `maps` or `cover` block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockLine {
    pub(super) extent: Bounds,
    /// As [`vmaple_trace::Perm::bits`]; `None` is not checked.
    pub(super) perm: Option<u8>,
    pub(super) line: u64,
}

/// A query with the answer that the recording gives.
#[derive(Clone, Debug)]
pub(super) enum Query {
    /// The lines of a `maps` or `cover` block, compared inside the window by covered range and permission.
    Block { window: Bounds, lines: Range<usize> },
    /// The area that contains an address; it may be a part of a larger one with the same permissions.
    Lookup { address: u64, area: Option<Bounds> },
    /// The first area that ends above an address.
    Find { address: u64, area: Option<Bounds> },
    /// A search for free room.
    Gap { request: GapRequest, found: Result<u64, &'static str> },
}

/// The arguments of a search for a gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct GapRequest {
    pub(super) side: Side,
    pub(super) window: (u64, u64),
    pub(super) len: u64,
    pub(super) align: u64,
}

/// A layout that answers queries.
pub(super) trait Layout {
    /// Returns the area that contains the address.
    fn lookup(&self, address: u64) -> Option<Region>;
    /// Returns the first area that contains the address or starts above it.
    fn find(&self, address: u64) -> Option<Region>;
    /// Returns the last area that ends below the address.
    fn prev(&self, address: u64) -> Option<Region>;
    /// Returns the start of a gap, or the name of the error.
    fn gap(&self, request: &GapRequest) -> Result<u64, &'static str>;
}

/// An answer that differs from the recorded one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mismatch {
    pub(super) line: u64,
    pub(super) expected: String,
    pub(super) found: String,
    /// The areas around the place.
    pub(super) around: Vec<String>,
}

/// What gave the answer that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Model,
    Index,
    Both,
}

/// A query whose answer differs from the recorded one, and what gave that answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FailedQuery {
    pub(super) subject: Subject,
    pub(super) mismatch: Mismatch,
}

/// The most differences of one block that are reported one by one.
const BLOCK_DIFFERENCES: usize = 20;
/// How many areas below and above a difference are shown.
const NEIGHBOURS: usize = 2;

impl FailedQuery {
    /// Adds the index's mismatches to the model's. A mismatch that both have becomes one entry.
    pub(super) fn merge(into: &mut Vec<Self>, mismatches: Vec<Mismatch>) {
        for mismatch in mismatches {
            match into.iter_mut().find(|known| known.mismatch == mismatch) {
                Some(known) => known.subject = Subject::Both,
                None => into.push(Self { subject: Subject::Index, mismatch }),
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Model => "in the plain model",
            Self::Index => "in the index",
            Self::Both => "in the index and in the plain model",
        })
    }
}

/// Asks a layout one query, and returns the answers that differ from the recorded one.
pub(super) fn ask(layout: &impl Layout, query: &Query, line: u64, block: &[BlockLine], backings: &Backings) -> Vec<Mismatch> {
    let mismatch = |expected: String, found: String, at: u64| {
        vec![Mismatch { line, expected, found, around: around(layout, Bounds { start: at, last: at }, backings) }]
    };
    match query {
        Query::Block { window, lines } => compare(layout, *window, &block[lines.clone()], line, backings),
        Query::Lookup { address, area } => {
            let found = layout.lookup(*address);
            let holds = match (area, found) {
                (None, None) => true,
                (Some(area), Some(found)) => covered_evenly(layout, *area, found.attrs.perm()),
                _ => false,
            };
            if holds { Vec::new() } else { mismatch(recorded_text(*address, *area), found_text(*address, found), *address) }
        }
        Query::Find { address, area } => {
            let found = layout.find(*address);
            let holds = match (area, found) {
                (None, None) => true,
                (Some(area), Some(found)) => {
                    found.start.max(*address) == area.start.max(*address) && covered_evenly(layout, *area, found.attrs.perm())
                }
                _ => false,
            };
            if holds { Vec::new() } else { mismatch(recorded_text(*address, *area), found_text(*address, found), *address) }
        }
        Query::Gap { request, found: recorded } => {
            let found = layout.gap(request);
            let text = |answer: Result<u64, &'static str>| match answer {
                Ok(address) => format!("{address:#x}"),
                Err(name) => name.to_owned(),
            };
            if found == *recorded {
                return Vec::new();
            }
            let at = recorded.or(found).unwrap_or(request.window.0);
            mismatch(format!("the gap {}", text(*recorded)), text(found), at)
        }
    }
}

/// Returns whether every byte of an area is mapped with these permissions. Several areas may cover it.
fn covered_evenly(layout: &impl Layout, area: Bounds, perm: Perm) -> bool {
    let mut from = area.start;
    loop {
        match layout.lookup(from) {
            Some(found) if found.attrs.perm() == perm => {
                if found.last >= area.last {
                    return true;
                }
                from = found.last + 1;
            }
            _ => return false,
        }
    }
}

fn recorded_text(address: u64, area: Option<Bounds>) -> String {
    match area {
        Some(area) => format!("the area {} for {address:#x}", range(area)),
        None => format!("no area for {address:#x}"),
    }
}

fn found_text(address: u64, found: Option<Region>) -> String {
    match found {
        Some(area) => format!("{} {}", range(Bounds { start: area.start, last: area.last }), area.attrs.perm()),
        None => format!("nothing for {address:#x}"),
    }
}

/// Formats a range as a trace does: half-open.
pub(super) fn range(extent: Bounds) -> String {
    match extent.last.checked_add(1) {
        Some(end) => format!("{:08x}-{end:08x}", extent.start),
        None => format!("{:08x}-(the end)", extent.start),
    }
}

/// What is mapped at an address, on either side of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    Mapped(Perm),
    /// Mapped; the line omits the permissions.
    Anything,
}

impl Content {
    fn holds(self, found: Self) -> bool {
        match (self, found) {
            (Self::Anything, Self::Mapped(_)) => true,
            (expected, found) => expected == found,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing mapped"),
            Self::Mapped(perm) => write!(f, "{perm}"),
            Self::Anything => f.write_str("something mapped"),
        }
    }
}

/// Compares a block with a layout, from each boundary of either to the next.
fn compare(layout: &impl Layout, window: Bounds, lines: &[BlockLine], block_line: u64, backings: &Backings) -> Vec<Mismatch> {
    let mut spans: Vec<(Bounds, Content, Content, u64)> = Vec::new();
    let mut at = window.start;
    let mut next = lines.partition_point(|line| line.extent.last < at);
    let mut found = layout.find(at);
    loop {
        let (expected, line, expected_last) = match lines.get(next) {
            Some(line) if line.extent.start <= at => {
                let expected = line.perm.map_or(Content::Anything, |bits| Content::Mapped(Perm::from_bits(bits)));
                (expected, line.line, line.extent.last)
            }
            Some(line) => (Content::Nothing, line.line, line.extent.start - 1),
            None => (Content::Nothing, lines.last().map_or(block_line, |line| line.line), u64::MAX),
        };
        let (content, found_last) = match found {
            Some(area) if area.start <= at => (Content::Mapped(area.attrs.perm()), area.last),
            Some(area) => (Content::Nothing, area.start - 1),
            None => (Content::Nothing, u64::MAX),
        };
        let last = expected_last.min(found_last).min(window.last);
        if !expected.holds(content) {
            let here = Bounds { start: at, last };
            let full = spans.len() == BLOCK_DIFFERENCES;
            match spans.last_mut() {
                Some((extent, before, there, _)) if extent.last + 1 == at && (*before, *there) == (expected, content) => {
                    extent.last = last;
                }
                _ if full => break,
                _ => spans.push((here, expected, content, line)),
            }
        }
        if last >= window.last {
            break;
        }
        at = last + 1;
        next += usize::from(lines.get(next).is_some_and(|line| line.extent.last == last));
        if found.is_some_and(|area| area.last == last) {
            found = layout.find(at);
        }
    }
    let mismatch = |(extent, expected, found, line): (Bounds, Content, Content, u64)| Mismatch {
        line,
        expected: format!("{} {expected}", range(extent)),
        found: found.to_string(),
        around: around(layout, extent, backings),
    };
    spans.into_iter().map(mismatch).collect()
}

/// Returns the areas of a layout around a place, one line each. Areas in the place are marked.
fn around(layout: &impl Layout, place: Bounds, backings: &Backings) -> Vec<String> {
    let mut areas = Vec::new();
    let mut below = place.start;
    while let Some(area) = layout.prev(below).filter(|_| areas.len() < NEIGHBOURS) {
        below = area.start;
        areas.insert(0, area);
    }
    let mut above = 0;
    for area in walk(layout, place.start).take(3 * NEIGHBOURS) {
        above += usize::from(area.start > place.last);
        if above > NEIGHBOURS {
            break;
        }
        areas.push(area);
    }
    let text = |area: &Region| {
        let touches = area.start <= place.last && place.start <= area.last;
        let mark = if touches { '>' } else { ' ' };
        let extent = Bounds { start: area.start, last: area.last };
        format!("{mark} {} {} {}", range(extent), area.attrs.perm(), backings.object(area.attrs.backing()))
    };
    let mut lines: Vec<String> = areas.iter().map(text).collect();
    if lines.is_empty() {
        lines.push("  (nothing is mapped)".to_owned());
    }
    lines
}

/// Iterates over the areas from an address upward.
fn walk(layout: &impl Layout, from: u64) -> impl Iterator<Item = Region> {
    let mut at = Some(from);
    std::iter::from_fn(move || {
        let area = layout.find(at?)?;
        at = area.last.checked_add(1);
        Some(area)
    })
}

impl Layout for LayoutModel {
    fn lookup(&self, address: u64) -> Option<Region> {
        Self::lookup(self, address)
    }

    fn find(&self, address: u64) -> Option<Region> {
        Self::find(self, address)
    }

    fn prev(&self, address: u64) -> Option<Region> {
        Self::prev(self, address)
    }

    /// Tries every gap in turn.
    fn gap(&self, request: &GapRequest) -> Result<u64, &'static str> {
        let (min, max) = request.window;
        if min > max || request.len == 0 || request.len - 1 > max - min || !request.align.is_power_of_two() {
            return Err("EINVAL");
        }
        let mut holes = self.holes(Bounds { start: min, last: max });
        if request.side == Side::Highest {
            holes.reverse();
        }
        let (len_less_one, mask) = (request.len - 1, request.align - 1);
        let fits = |hole: Bounds| {
            let start = match request.side {
                Side::Lowest => hole.start.checked_add(mask)? & !mask,
                Side::Highest => hole.last.checked_sub(len_less_one)? & !mask,
            };
            let last = start.checked_add(len_less_one)?;
            (start >= hole.start && last <= hole.last).then_some(start)
        };
        holes.into_iter().find_map(fits).ok_or("EBUSY")
    }
}
