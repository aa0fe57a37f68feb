//! Compares layouts with what a scenario expects, and shows them. Pure functions over areas, called by `runner`, `space`, `model` and the
//! program's `replay`.

use crate::area::start_offset;
use std::fmt;
use vmaple_trace::{Area, AreaFlags, Expected, Extent, Perm};

/// The number of areas that are shown on either side of a difference.
pub(super) const AROUND: usize = 3;

/// Returns the areas that overlap the window, unchanged.
#[must_use]
pub fn within(mut areas: Vec<Area>, window: Option<Extent>) -> Vec<Area> {
    if let Some(window) = window {
        areas.retain(|area| area.extent.overlaps(window));
    }
    areas
}

/// Returns the lines that show how a list of areas differs from the expected one: `-` is expected and missing, `+` is there and not expected.
/// Empty if they are equal.
pub(super) fn compare_maps(expected: &[Expected], found: &[Area]) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut expected, mut found) = (expected.iter().peekable(), found.iter().peekable());
    loop {
        let (missing, extra) = match (expected.peek(), found.peek()) {
            (None, None) => break,
            (Some(line), Some(area)) if line.extent == area.extent => {
                if is_as_expected(line, area) {
                    lines.push((' ', shown(area)));
                    expected.next();
                    found.next();
                    continue;
                }
                (expected.next(), found.next())
            }
            (Some(line), Some(area)) if line.extent < area.extent => (expected.next(), None),
            (Some(_), None) => (expected.next(), None),
            (_, Some(_)) => (None, found.next()),
        };
        lines.extend(missing.map(|line| ('-', line.to_string())));
        lines.extend(extra.map(|area| ('+', shown(area))));
    }
    if lines.iter().all(|(mark, _)| *mark == ' ') { Vec::new() } else { near_marks(&lines) }
}

/// Flags that are checked only if the line has them: owners of pages, promises, and what `madvise` sets.
const OPTIONAL: AreaFlags = AreaFlags::FAULTED
    .union(AreaFlags::ACCOUNT)
    .union(AreaFlags::SEQREAD)
    .union(AreaFlags::RANDREAD)
    .union(AreaFlags::DONTDUMP)
    .union(AreaFlags::MERGEABLE)
    .union(AreaFlags::HUGEPAGE)
    .union(AreaFlags::NOHUGEPAGE)
    .union(AreaFlags::WIPEONFORK);

/// Returns whether an area is what the line says. Fields that the line omits are not checked.
fn is_as_expected(line: &Expected, area: &Area) -> bool {
    let flags = line.flags.is_none_or(|flags| {
        let optional = area.flags.intersection(OPTIONAL);
        flags.without(AreaFlags::INHERITED).union(optional) == area.flags
    });
    let offset = line.offset.is_none_or(|offset| {
        let object = line.object.as_ref().unwrap_or(&area.object);
        let kind = (line.perm.unwrap_or(area.perm), line.flags.unwrap_or(area.flags));
        start_offset(line.extent, kind, object, offset) == start_offset(area.extent, (area.perm, area.flags), &area.object, area.offset)
    });
    line.extent == area.extent
        && line.perm.is_none_or(|perm| perm == area.perm)
        && flags
        && line.object.as_ref().is_none_or(|object| *object == area.object)
        && offset
}

/// What is expected of a piece of the address space.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// Mapped; the line omits the permissions.
    Anything,
    With(Perm),
}

impl Wanted {
    fn is(self, found: Option<Perm>) -> bool {
        match (self, found) {
            (Self::Nothing, None) | (Self::Anything, Some(_)) => true,
            (Self::With(wanted), Some(found)) => wanted == found,
            _ => false,
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Anything => f.write_str("something"),
            Self::With(perm) => perm.fmt(f),
        }
    }
}

/// A piece of the address space where the cover differs from the expected one.
struct Piece {
    extent: Extent,
    wanted: Wanted,
    found: Option<Perm>,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { extent, wanted, found } = self;
        let found = found.map_or_else(|| "nothing".to_owned(), |perm| perm.to_string());
        write!(f, "  {:08x}-{:08x} expected {wanted}, found {found}", extent.start, extent.end)
    }
}

/// Returns the lines that show where mapped bytes or their permissions differ from the expected ones. Empty if they do not.
pub fn compare_cover(expected: &[Expected], found: &[Area], window: Option<Extent>) -> Vec<String> {
    let clipped: Vec<(Extent, Perm)> = found.iter().filter_map(|area| Some((clip(area.extent, window)?, area.perm))).collect();
    let mut edges: Vec<u64> =
        expected.iter().map(|line| line.extent).chain(clipped.iter().map(|(extent, _)| *extent)).flat_map(|e| [e.start, e.end]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut lines, mut areas) = (expected.iter().peekable(), clipped.iter().peekable());
    for pair in edges.windows(2) {
        let &[start, end] = pair else { continue };
        while lines.next_if(|line| line.extent.end <= start).is_some() {}
        while areas.next_if(|(extent, _)| extent.end <= start).is_some() {}
        let wanted = match lines.peek().filter(|line| line.extent.contains(start)) {
            None => Wanted::Nothing,
            Some(line) => line.perm.map_or(Wanted::Anything, Wanted::With),
        };
        let found = areas.peek().filter(|(extent, _)| extent.contains(start)).map(|(_, perm)| *perm);
        if wanted.is(found) {
            continue;
        }
        match pieces.last_mut().filter(|last| last.extent.end == start && last.wanted == wanted && last.found == found) {
            Some(last) => last.extent.end = end,
            None => pieces.push(Piece { extent: Extent { start, end }, wanted, found }),
        }
    }
    pieces.iter().map(Piece::to_string).collect()
}

fn clip(extent: Extent, window: Option<Extent>) -> Option<Extent> {
    window.map_or(Some(extent), |window| extent.common(window))
}

/// Returns the areas around an address, with a mark at the address; without an address, the first areas.
#[must_use]
pub fn around(areas: &[Area], addr: Option<u64>) -> Vec<String> {
    let Some(addr) = addr else { return first(areas, areas.len()) };
    let mut lines: Vec<(char, String)> = areas.iter().map(|area| (' ', shown(area))).collect();
    let at = areas.partition_point(|area| area.extent.end <= addr);
    match lines.get_mut(at).filter(|_| areas[at].extent.contains(addr)) {
        Some(line) => line.0 = '>',
        None => lines.insert(at, ('>', format!("{addr:08x}          nothing"))),
    }
    near_marks(&lines)
}

/// The number of areas that [`first`] shows.
pub(super) const FIRST: usize = 2 * AROUND + 1;

/// Shows the first areas, and the number of the others.
pub(super) fn first(areas: &[Area], count: usize) -> Vec<String> {
    let shown: Vec<(char, String)> = areas.iter().take(FIRST).map(|area| (' ', shown(area))).collect();
    let mut lines = marked(&shown);
    if count > shown.len() {
        lines.push(format!("    and {} more", count - shown.len()));
    }
    lines
}

/// Returns the marked lines, and some on either side; `...` stands for the rest.
fn near_marks(lines: &[(char, String)]) -> Vec<String> {
    let differing: Vec<usize> = lines.iter().enumerate().filter(|(_, (mark, _))| *mark != ' ').map(|(at, _)| at).collect();
    let mut shown = Vec::new();
    let mut next = 0;
    for mark in differing {
        let (from, to) = (mark.saturating_sub(AROUND).max(next), (mark + AROUND + 1).min(lines.len()));
        if from > next {
            shown.push("    ...".to_owned());
        }
        shown.extend(marked(&lines[from..to]));
        next = to.max(next);
    }
    if next < lines.len() {
        shown.push("    ...".to_owned());
    }
    shown
}

/// Formats lines with their marks.
fn marked(lines: &[(char, String)]) -> Vec<String> {
    lines.iter().map(|(mark, line)| format!("  {mark} {line}")).collect()
}

/// Returns an area as a line of a `maps` block.
fn shown(area: &Area) -> String {
    let Area { extent, perm, flags, object, offset, .. } = area;
    let line = Expected { extent: *extent, perm: Some(*perm), flags: Some(*flags), object: Some(object.clone()), offset: Some(*offset) };
    line.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vmaple_trace::{Line, Reader, Record};

    /// Parses the lines of a `maps` block.
    fn expected(text: &str) -> Vec<Expected> {
        let block = format!("vmaple-trace 1\nmaps\n{text}end\n");
        let lines = Reader::new("block", std::io::Cursor::new(block)).map(|line| line.expect("good text").record);
        lines.filter_map(|record| if let Record::Expected(line) = record { Some(line) } else { None }).collect()
    }

    fn areas(text: &str) -> Vec<Area> {
        let text = text.lines().fold("vmaple-trace 1\n".to_owned(), |text, line| text + "area " + line + "\n");
        Reader::new("areas", std::io::Cursor::new(text))
            .map(|line| match line {
                Ok(Line { record: Record::Area(area), .. }) => area,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    const FOUND: &str = "1000-2000 rw-p faulted anon -\n2000-3000 r-xp locked file:a 0x1000\n5000-6000 rw-s - shm:s -\n";

    #[test]
    fn each_field_counts_where_it_stands_and_only_there() {
        let found = areas(FOUND);
        for same in [
            FOUND,
            "1000-2000\n2000-3000\n5000-6000\n",
            "1000-2000 rw-p - anon 0x1000\n2000-3000 r-xp locked file:a 4096\n5000-6000 rw-s - shm:s 0\n",
        ] {
            assert_eq!(compare_maps(&expected(same), &found), [""; 0], "{same}");
        }
        for other in [
            "1000-2000\n2000-3000 r-xp locked file:a 0\n5000-6000\n",
            "1000-2000\n2000-3000 r-xp locked file:b\n5000-6000\n",
            "1000-2000\n2000-3000 r-xp -\n5000-6000\n",
            "1000-2000\n2000-3000 r-xp faulted,locked\n5000-6000\n",
            "1000-2000\n2000-3000 rwxp\n5000-6000\n",
            "1000-2000 rw-p - anon 0\n2000-3000\n5000-6000\n",
            "1000-2000 rw-p - file:a -\n2000-3000\n5000-6000\n",
        ] {
            assert_eq!(compare_maps(&expected(other), &found).iter().filter(|line| line.starts_with("  -")).count(), 1, "{other}");
        }
    }

    #[test]
    fn missing_and_extra_areas_are_distinguished() {
        let marks = |text: &str| {
            let lines = compare_maps(&expected(text), &areas(FOUND));
            lines.iter().filter_map(|line| line.trim_start().chars().next().filter(|mark| "+-".contains(*mark))).collect::<String>()
        };
        assert_eq!(marks("2000-3000\n5000-6000\n"), "+");
        assert_eq!(marks("1000-2000\n2000-3000\n3000-4000\n5000-6000\n6000-7000\n"), "--");
        assert_eq!(marks("1000-3000\n5000-6000\n"), "+-+", "each where it begins");
        assert_eq!(marks(""), "+++");
    }

    #[test]
    fn a_cover_differs_piece_by_piece() {
        let cover = |text: &str, window| compare_cover(&expected(text), &areas(FOUND), window);
        assert_eq!(cover("1000-1800 rw-p\n1800-2000\n2000-3000 r-xp\n5000-6000 rw-s\n", None), [""; 0]);
        assert_eq!(cover("1000-2000 rw-p\n", Extent::new(0x800, 0x2000)), [""; 0]);
        assert_eq!(cover("800-2000 rw-p\n", Extent::new(0x800, 0x1800)).len(), 2, "before it nothing is, and after it nothing is seen");
        assert_eq!(
            cover("0-3000 rw-p\n5000-6000 rw-s\n", None),
            ["  00000000-00001000 expected rw-p, found nothing", "  00002000-00003000 expected rw-p, found r-xp"]
        );
        assert_eq!(cover("1000-2000\n2000-3000\n", None), ["  00005000-00006000 expected nothing, found rw-s"]);
        assert_eq!(cover("1000-2000\n2000-4000\n5000-6000\n", None), ["  00003000-00004000 expected something, found nothing"]);
    }

    #[test]
    fn the_layout_around_an_address_is_shown_and_the_rest_is_left_out() {
        let many: Vec<String> = (1..=20).map(|i| format!("{i}0000-{i}1000 rw-p - anon -")).collect();
        let many = areas(&many.join("\n"));
        let shown = around(&many, Some(0x10_0800));
        assert_eq!(shown.len(), 9, "three on either side, and what is left out: {shown:?}");
        assert_eq!(
            (shown[4].as_str(), shown[0].as_str(), shown[8].as_str()),
            ("  > 00100000-00101000 rw-p - anon -", "    ...", "    ...")
        );
        let shown = around(&many, Some(0x10_1000));
        assert_eq!(shown[4], "  > 00101000          nothing");
        assert!(shown[3].contains("00100000-00101000") && shown[5].contains("00110000-00111000"), "{shown:?}");
        assert_eq!(around(&[], Some(7)), ["  > 00000007          nothing"]);
        assert_eq!(around(&many, None).last().map(String::as_str), Some("    and 13 more"));
        assert_eq!(around(&[], None), [""; 0]);
    }
}
