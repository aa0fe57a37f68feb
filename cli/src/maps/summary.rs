//! The table that `vmaple maps` prints: the kinds of areas, their permissions, and the largest areas. Called by `maps::run`.

use super::index::Index;
use super::source::Source;
use crate::procmaps::MapLine;
use crate::table;
use anyhow::Result;
use comfy_table::Cell;
use indicatif::HumanBytes;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

/// What an area is for, in the order of the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    File,
    Anonymous,
    Heap,
    Stack,
    Shared,
    Special,
}

impl Kind {
    fn of(line: &MapLine) -> Self {
        match line.name.as_str() {
            "[heap]" => Self::Heap,
            name if name.starts_with("[stack") => Self::Stack,
            // private anonymous memory that the program has named
            name if name.starts_with("[anon:") => Self::Anonymous,
            name if name.starts_with('[') && !name.starts_with("[anon_shmem:") => Self::Special,
            _ if line.perm[3] == b's' => Self::Shared,
            "" => Self::Anonymous,
            _ => Self::File,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::File => "private, of a file",
            Self::Anonymous => "private, anonymous",
            Self::Heap => "heap",
            Self::Stack => "stack",
            Self::Shared => "shared",
            Self::Special => "the kernel's",
        }
    }
}

/// Areas and bytes of one row, or of one field of it.
#[derive(Clone, Copy, Default)]
struct Sum {
    areas: u64,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, line: &MapLine) {
        self.areas += 1;
        self.bytes = self.bytes.saturating_add(line.len_bytes());
    }

    fn cell(self) -> Cell {
        let text = if self.areas == 0 { String::new() } else { HumanBytes(self.bytes).to_string() };
        table::figure(text)
    }
}

/// Prints the heading, the table and the lines below it.
pub(super) fn print(out: &mut impl Write, source: &Source, lines: &[Arc<MapLine>], index: &Index) -> Result<()> {
    let command = source.command().map_or_else(String::new, |name| format!(" ({name})"));
    writeln!(out, "{source}{command}: {} areas", lines.len())?;
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", kinds(lines).trim_fmt())?;
    writeln!(out)?;
    writeln!(out, "{}", facts(lines, index).trim_fmt())?;
    Ok(())
}

fn kinds(lines: &[Arc<MapLine>]) -> comfy_table::Table {
    let mut fields: BTreeMap<(Kind, [u8; 3]), Sum> = BTreeMap::new();
    let mut rows: BTreeMap<Kind, Sum> = BTreeMap::new();
    let mut columns: BTreeMap<[u8; 3], Sum> = BTreeMap::new();
    let mut total = Sum::default();
    for line in lines {
        let (kind, perm) = (Kind::of(line), [line.perm[0], line.perm[1], line.perm[2]]);
        fields.entry((kind, perm)).or_default().add(line);
        rows.entry(kind).or_default().add(line);
        columns.entry(perm).or_default().add(line);
        total.add(line);
    }
    let perms: BTreeSet<[u8; 3]> = columns.keys().copied().collect();
    let mut table = table::plain();
    let letters = perms.iter().map(|perm| String::from_utf8_lossy(perm).into_owned());
    table::head(&mut table, ["areas".to_owned()].into_iter().chain(letters).chain(["bytes".to_owned()]));
    let row = |name: &str, sum: Sum, field: &dyn Fn([u8; 3]) -> Sum| {
        let mut cells = vec![Cell::new(name), table::figure(sum.areas)];
        cells.extend(perms.iter().map(|perm| field(*perm).cell()));
        cells.push(sum.cell());
        cells
    };
    for (kind, sum) in &rows {
        table.add_row(row(kind.name(), *sum, &|perm| fields.get(&(*kind, perm)).copied().unwrap_or_default()));
    }
    table.add_row(row("all", total, &|perm| columns.get(&perm).copied().unwrap_or_default()));
    table
}

fn facts(lines: &[Arc<MapLine>], index: &Index) -> comfy_table::Table {
    let mut table = table::plain();
    let mut fact = |name: &str, text: String| {
        table.add_row([Cell::new(name), Cell::new(text)]);
    };
    if let Some(largest) = lines.iter().max_by_key(|line| line.len_bytes()) {
        fact("largest area", format!("{}  {largest}", HumanBytes(largest.len_bytes())));
    }
    // the room below [vsyscall] is not one that a process could use
    let of_the_user: Vec<_> = lines.iter().filter(|line| line.start < 1 << 63).collect();
    let holes = of_the_user.windows(2).map(|pair| (pair[1].start - pair[0].end, pair[0], pair[1]));
    if let Some((bytes, below, above)) = holes.max_by_key(|(bytes, ..)| *bytes).filter(|(bytes, ..)| *bytes > 0) {
        fact("largest gap", format!("{}  {:08x}-{:08x}", HumanBytes(bytes), below.end, above.start));
    }
    let files: BTreeSet<&str> = lines.iter().filter(|line| line.inode != 0).map(|line| line.name.as_str()).collect();
    fact("files mapped", files.len().to_string());
    let stats = index.stats();
    fact("the index", format!("{} entries, {} in {} levels", stats.entries, HumanBytes(stats.index_bytes as u64), stats.height));
    table
}
