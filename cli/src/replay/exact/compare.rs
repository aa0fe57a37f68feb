//! Compares recorded lists of areas with the address space's, and finds the causes of differences. Pure functions, called by `exact`.
//!
//! A recording lacks some of the state that decides the kernel's layout. Whether two neighbours that look alike are one area or two depends on
//! the owners of their private pages (5.9), and owners come with page faults. If a difference is of that kind, its cause says what the
//! recording lacks. A difference without a cause is a bug of the library or of the recorder.

use super::known::{Faults, Since};
use std::collections::BTreeSet;
use std::fmt;
use vmaple_scenario::area::start_offset;
use vmaple_trace::{Area, AreaFlags, Expected, Extent, Name, Object, Perm};

/// The flags that a recorded line omits even if it lists an area's flags.
const UNSEEN: AreaFlags = AreaFlags::FAULTED.union(AreaFlags::INHERITED).union(AreaFlags::HOOK);

/// A range in which the lists differ: the areas of both. No area of either list crosses the ends of the range.
#[derive(Clone, Debug)]
pub(super) struct LayoutDifference {
    pub(super) expected: Vec<Expected>,
    pub(super) found: Vec<Area>,
    /// The index of the first of these lines in the block.
    pub(super) first_line: usize,
}

/// Why a layout may differ: what the recording lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The trace has no page faults.
    NoFaults,
    /// A fault of one thread may have come before or after the effect of another's call.
    Race { threads: usize },
    /// An area has pages that no recorded fault brought.
    UnseenFault,
    /// An area existed before the recording began, and may have an owner although it had no pages.
    FromBefore,
    /// An area grew at a time that is not recorded.
    Growth,
    /// Something was done that the trace only names.
    Unrecorded(Name),
}

impl Cause {
    /// Returns its key among the counts.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::NoFaults => "owners unknown",
            Self::Race { .. } => "thread race",
            Self::UnseenFault => "fault not recorded",
            Self::FromBefore => "owner from before",
            Self::Growth => "growth",
            Self::Unrecorded(_) => "not recorded",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFaults => f.write_str(
                "only the owners of their pages can differ, and the trace has no page faults, which show them (`record --faults`)",
            ),
            Self::Race { threads } => write!(
                f,
                "only the owners of their pages can differ; {threads} threads ran, and it is not recorded whether a page fault of one came before or \
                 after the effect of another's call"
            ),
            Self::UnseenFault => f.write_str("only the owners of their pages can differ, and one has pages that no recorded fault brought"),
            Self::FromBefore => f.write_str(
                "only the owners of their pages can differ, and one existed before the recording began, and may have had an owner without \
                 pages",
            ),
            Self::Unrecorded(what) => write!(f, "since the previous layout something was done that is not recorded: {what}"),
            Self::Growth => f.write_str("an area there has grown since the previous layout, and the time is not recorded"),
        }
    }
}

/// Returns whether a line describes this area.
fn is_same(line: &Expected, area: &Area) -> bool {
    line.extent == area.extent && is_alike(line, area) && offset_of(line).is_none_or(|offset| offset == area_offset(area))
}

/// Returns whether a line describes this area, ignoring bounds and offset.
fn is_alike(line: &Expected, area: &Area) -> bool {
    is_alike_without(UNSEEN, line, area)
}

/// Returns whether a line describes this area, ignoring bounds, offset and these flags.
fn is_alike_without(unseen: AreaFlags, line: &Expected, area: &Area) -> bool {
    line.perm.is_none_or(|perm| perm == area.perm)
        && line.flags.is_none_or(|flags| flags.without(unseen) == area.flags.without(unseen))
        && line.object.as_ref().is_none_or(|object| *object == area.object)
}

/// Returns the offset of a line in its object, or `None` if the line omits it.
fn offset_of(line: &Expected) -> Option<u64> {
    let (perm, object) = (line.perm?, line.object.as_ref()?);
    let flags = line.flags.unwrap_or_default();
    line.offset.map(|offset| start_offset(line.extent, (perm, flags), object, offset))
}

fn area_offset(area: &Area) -> u64 {
    start_offset(area.extent, (area.perm, area.flags), &area.object, area.offset)
}

/// Returns the ranges in which two lists differ, each as small as the boundaries of both allow.
pub(super) fn differences(expected: &[Expected], found: &[Area]) -> Vec<LayoutDifference> {
    let mut all = Vec::new();
    let (mut e, mut f) = (0, 0);
    while e < expected.len() || f < found.len() {
        if let (Some(line), Some(area)) = (expected.get(e), found.get(f))
            && is_same(line, area)
        {
            (e, f) = (e + 1, f + 1);
            continue;
        }
        let (first_e, first_f) = (e, f);
        let (starts_e, starts_f) = (start(expected.get(e).map(|l| l.extent)), start(found.get(f).map(|a| a.extent)));
        e += usize::from(starts_e <= starts_f);
        f += usize::from(starts_f <= starts_e);
        loop {
            let end_e = if e > first_e { expected[e - 1].extent.end } else { 0 };
            let end_f = if f > first_f { found[f - 1].extent.end } else { 0 };
            if end_e < end_f && start(expected.get(e).map(|l| l.extent)) < end_f {
                e += 1;
            } else if end_f < end_e && start(found.get(f).map(|a| a.extent)) < end_e {
                f += 1;
            } else {
                break;
            }
        }
        all.push(LayoutDifference { expected: expected[first_e..e].to_vec(), found: found[first_f..f].to_vec(), first_line: first_e });
    }
    all
}

/// Returns the start of an area, or the largest address if there is none.
fn start(extent: Option<Extent>) -> u64 {
    extent.map_or(u64::MAX, |extent| extent.start)
}

impl LayoutDifference {
    pub(super) fn text(&self) -> String {
        let shown = |extent: Extent, perm: Option<Perm>| {
            let perm = perm.map_or_else(String::new, |perm| format!(" {perm}"));
            format!("{:08x}-{:08x}{perm}", extent.start, extent.end)
        };
        let expected: Vec<String> = self.expected.iter().map(|line| shown(line.extent, line.perm)).collect();
        let found: Vec<String> = self.found.iter().map(|area| shown(area.extent, Some(area.perm))).collect();
        let join = |areas: &[String]| match areas {
            [] => "nothing".to_owned(),
            [one] => one.clone(),
            [first, .., last] => format!("{} areas from {first} to {last}", areas.len()),
        };
        format!("expected {}, found {}", join(&expected), join(&found))
    }

    /// Returns both lists and a neighbour on each side: `-` is expected, `+` was found.
    pub(super) fn around(&self, areas: &[Area]) -> Vec<String> {
        let line = |mark: char, area: &Area| format!("{mark} {:08x}-{:08x} {}", area.extent.start, area.extent.end, rest(area));
        let (low, high) = self.bounds();
        let below = areas.iter().rev().find(|area| area.extent.end <= low).map(|area| line(' ', area));
        let above = areas.iter().find(|area| area.extent.start >= high).map(|area| line(' ', area));
        let expected = self.expected.iter().map(|expected| format!("- {expected}"));
        let found = self.found.iter().map(|area| line('+', area));
        below.into_iter().chain(expected).chain(found).chain(above).collect()
    }

    /// Returns the lowest start and the highest end.
    pub(super) fn bounds(&self) -> (u64, u64) {
        let extents = || self.expected.iter().map(|line| line.extent).chain(self.found.iter().map(|area| area.extent));
        (extents().map(|extent| extent.start).min().unwrap_or(0), extents().map(|extent| extent.end).max().unwrap_or(0))
    }

    /// Returns whether both lists map the same bytes, without holes, and all areas are private and alike, so that only owners separate them.
    fn is_of_owners(&self) -> bool {
        let Some(first) = self.found.first() else { return false };
        let continues = |extents: &[Extent]| extents.windows(2).all(|pair| pair[0].end == pair[1].start);
        let expected: Vec<Extent> = self.expected.iter().map(|line| line.extent).collect();
        let found: Vec<Extent> = self.found.iter().map(|area| area.extent).collect();
        let covers = expected.first().map(|e| e.start) == found.first().map(|f| f.start)
            && expected.last().map(|e| e.end) == found.last().map(|f| f.end)
            && continues(&expected)
            && continues(&found);
        let origin = |extent: Extent, offset: u64| offset.wrapping_sub(extent.start);
        let is_linear = first.object == Object::Anon
            || self.found.iter().all(|area| origin(area.extent, area_offset(area)) == origin(first.extent, area_offset(first)))
                && self
                    .expected
                    .iter()
                    .all(|line| offset_of(line).is_none_or(|at| origin(line.extent, at) == origin(first.extent, area_offset(first))));
        // memory that is no longer writable keeps its promise if it has an owner
        let is_kept_by_owner = first.object == Object::Anon && !first.perm.contains(Perm::WRITE);
        let unseen = if is_kept_by_owner { UNSEEN.union(AreaFlags::ACCOUNT) } else { UNSEEN };
        covers
            && is_linear
            && !first.perm.contains(Perm::SHARED)
            && self.expected.iter().all(|line| is_alike_without(unseen, line, first))
            && self.found.iter().all(|area| {
                area.perm == first.perm && area.object == first.object && area.flags.without(unseen) == first.flags.without(unseen)
            })
    }

    /// Returns whether the kernel shows pages where the library knows no owner, or where no recorded fault wrote.
    fn has_unseen_pages(&self, written: &BTreeSet<u64>) -> bool {
        let is_faulted = |flags: AreaFlags| flags.contains(AreaFlags::FAULTED);
        self.expected.iter().filter(|line| line.flags.is_some_and(is_faulted)).any(|line| {
            let mut inside = self.found.iter().filter(|area| area.extent.overlaps(line.extent));
            inside.any(|area| !is_faulted(area.flags)) || written.range(line.extent.start..line.extent.end).next().is_none()
        })
    }
}

fn rest(area: &Area) -> String {
    format!("{} {} {} {}", area.perm, area.flags, area.object, area.offset)
}

/// Returns why the lists may differ, or `None` if the recording lacks nothing that decides it.
pub(super) fn cause(difference: &LayoutDifference, faults: &Faults, since: &Since) -> Option<Cause> {
    let flags = difference.found.iter().map(|area| area.flags).chain(difference.expected.iter().filter_map(|line| line.flags));
    let has_stack = flags.into_iter().any(|flags| flags.contains(AreaFlags::GROWSDOWN));
    if let Some(what) = &since.unrecorded {
        return Some(Cause::Unrecorded(what.clone()));
    }
    if !difference.is_of_owners() {
        return (has_stack && since.growths > 0).then_some(Cause::Growth);
    }
    let threads = since.threads.len();
    if !faults.any {
        Some(Cause::NoFaults)
    } else if threads > 1 {
        Some(Cause::Race { threads })
    } else if difference.has_unseen_pages(&faults.written) {
        Some(Cause::UnseenFault)
    } else {
        let (start, end) = difference.bounds();
        faults.from_before.iter().any(|part| part.start < end && start < part.end).then_some(Cause::FromBefore)
    }
}
