//! The results of a replay, as tables and as JSON. Called by `replay::run`. `page` makes the page with pictures.

use super::checked::Checked;
use super::exact::Exact;
use super::figures::{nanoseconds, percent, rate_text};
use super::history::{History, Tally};
use super::index::Totals;
use super::lifetimes::Lifetimes;
use super::query::FailedQuery;
use super::samples::{Origin, Samples};
use super::speed::Speed;
use crate::table;
use anyhow::Result;
use comfy_table::Cell;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use std::io::Write;

/// Everything that a replay found and measured, as `--json` writes it; `docs/replay.md` says what each key means.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The version of the meaning of these keys.
    pub(super) format: u32,
    pub(super) held: bool,
    pub(super) trace: Trace,
    pub(super) readers: usize,
    pub(super) exact: Exact,
    pub(super) checked: Checked,
    pub(super) speed: Option<Speed>,
    pub(super) index: Index,
    pub(super) differences: Vec<Reported>,
    /// The number of differences beyond those in `differences`.
    pub(super) differences_omitted: usize,
}

/// What was replayed.
#[derive(Debug, Serialize)]
pub(super) struct Trace {
    pub(super) file: String,
    pub(super) operations: usize,
    pub(super) faults: usize,
    /// How many different addresses the readers look up, and whether they come from `faults` or from the `layout`.
    pub(super) addresses: usize,
    pub(super) addresses_from: &'static str,
    pub(super) address_spaces: usize,
    /// The number of edits of the index that the operations become.
    pub(super) edits: usize,
    pub(super) areas_at_start: usize,
    pub(super) areas_at_end: usize,
    #[serde(flatten)]
    pub(super) tally: Tally,
}

/// The index itself.
#[derive(Debug, Serialize)]
pub(super) struct Index {
    /// At the end of the history.
    pub(super) at_end: Totals,
    /// After everything, back at the start of the history.
    pub(super) afterwards: Totals,
    /// The bytes that still wait for readers when no reader is left.
    pub(super) waiting_afterwards_bytes: usize,
}

/// A failed query in words.
#[derive(Debug, Serialize)]
pub(super) struct Reported {
    pub(super) place: String,
    pub(super) text: String,
    pub(super) around: Vec<String>,
}

/// The most differences in a report.
const MAX_DIFFERENCES: usize = 40;

impl Trace {
    /// Counts what was read.
    pub(super) fn of(history: &History, samples: &Samples, lifetimes: &Lifetimes) -> Self {
        debug_assert!(lifetimes.iter().next().is_some() || history.steps.is_empty());
        Self {
            file: history.file.clone(),
            operations: history.operation_lines.len(),
            faults: history.faults.len(),
            addresses: samples.len(),
            addresses_from: match samples.origin {
                Origin::Faults => "faults",
                Origin::Layout => "layout",
            },
            address_spaces: history.spaces.len(),
            edits: history.steps.len(),
            areas_at_start: history.spaces.iter().map(|space| space.start.len()).sum(),
            areas_at_end: history.spaces.iter().map(|space| space.finish.len()).sum(),
            tally: history.tally.clone(),
        }
    }
}

/// Describes the first differences in words. Returns them and the number of the others.
pub(super) fn in_words(history: &History, differences: &[FailedQuery]) -> (Vec<Reported>, usize) {
    let describe = |difference: &FailedQuery| {
        let mismatch = &difference.mismatch;
        let case = history.case_of(mismatch.line).map_or_else(String::new, |case| format!("case {case}: "));
        Reported {
            place: format!("{}:{}", history.file, mismatch.line),
            text: format!("{case}expected {}, found {} {}", mismatch.expected, mismatch.found, difference.subject),
            around: mismatch.around.clone(),
        }
    };
    let described: Vec<Reported> = differences.iter().take(MAX_DIFFERENCES).map(describe).collect();
    let rest = differences.len() - described.len();
    (described, rest)
}

impl Report {
    /// Prints every difference, on the standard error: file and line, expected, found, and the layout around it.
    pub(super) fn print_differences(&self, out: &mut impl Write) -> Result<()> {
        for difference in &self.differences {
            writeln!(out, "{}: {}", difference.place, difference.text)?;
            for line in &difference.around {
                writeln!(out, "    {line}")?;
            }
        }
        for (kind, findings) in [("", &self.exact.unexplained_examples), ("explained: ", &self.exact.explained_examples)] {
            for finding in findings {
                writeln!(out, "{}:{}: {kind}{} in the address space", self.trace.file, finding.line, finding.text)?;
                for line in &finding.around {
                    writeln!(out, "    {line}")?;
                }
            }
        }
        if let Some(why) = &self.exact.ended_early {
            writeln!(out, "{}: the exact check ended there: {why}", self.trace.file)?;
        }
        if self.differences_omitted > 0 {
            writeln!(out, "and {} differences more", self.differences_omitted)?;
        }
        let wrong = self.speed.iter().flat_map(|speed| &speed.refused);
        for text in self.checked.faults.iter().chain(&self.checked.wrong_examples).chain(wrong) {
            writeln!(out, "{text}")?;
        }
        Ok(())
    }

    /// Prints the tables.
    pub(super) fn print(&self, out: &mut impl Write) -> Result<()> {
        let trace = &self.trace;
        writeln!(
            out,
            "{}: {} operations by {} threads, {} page faults",
            trace.file,
            HumanCount(trace.operations as u64),
            trace.tally.threads.max(1),
            HumanCount(trace.faults as u64),
        )?;
        writeln!(out, "\nExact, in an address space\n{}", self.exact_table().trim_fmt())?;
        writeln!(out, "\nChecked rebuild, in the index\n{}", self.checked_table().trim_fmt())?;
        if let Some(speed) = &self.speed {
            writeln!(out, "\nFull speed, {} readers\n{}", self.readers, self.speed_table(speed).trim_fmt())?;
        }
        writeln!(out)?;
        self.print_facts(out)?;
        let verdict = if self.held { "everything held" } else { "NOT everything held: the differences are above" };
        writeln!(out, "\n{verdict}")?;
        Ok(())
    }

    fn exact_table(&self) -> comfy_table::Table {
        let exact = &self.exact;
        let mut table = table::plain();
        let mut row = |name: &str, count: u64, text: String| {
            table.add_row([Cell::new(name), table::figure(HumanCount(count)), Cell::new(text)]);
        };
        row("operations", exact.operations, format!("done as recorded; {} results compared", HumanCount(exact.results)));
        let (all, areas) = (HumanCount(exact.layouts), HumanCount(exact.areas));
        row("layouts", exact.equal_layouts, format!("of {all} the kernel's exactly: {areas} areas with flags, objects, offsets"));
        if exact.counts > 0 {
            row("counts", exact.counts, "lines about pages and areas, compared".to_owned());
        }
        if exact.placements > 0 {
            let files = match exact.placed_by_file_system {
                0 => String::new(),
                files => format!("; {files} its file system aligns"),
            };
            row("placements", exact.placed_alike, format!("of {} the library would choose as the kernel did{files}", exact.placements));
        }
        for (cause, count) in &exact.explained {
            row("explained", *count, format!("differences that the recording does not decide: {cause}"));
        }
        row("differences", exact.unexplained, "without a cause in the recording".to_owned());
        if exact.unsupported > 0 {
            row("left out", exact.unsupported, "operations that the library does not support".to_owned());
        }
        for (cause, count) in &exact.refused {
            row("refused", *count, format!("operations, for a cause that no layout decides: {cause}"));
        }
        for (what, count) in &exact.unrecorded {
            row("not recorded", *count, what.clone());
        }
        table
    }

    fn checked_table(&self) -> comfy_table::Table {
        let (trace, checked) = (&self.trace, &self.checked);
        let mut table = table::plain();
        let mut row = |name: &str, count: u64, text: String| {
            table.add_row([Cell::new(name), table::figure(HumanCount(count)), Cell::new(text)]);
        };
        row("edits", trace.edits as u64, format!("in the index, {} rounds of the history", HumanCount(checked.rounds)));
        let differences = self.differences.len() + self.differences_omitted;
        row("layouts", trace.tally.blocks, format!("recorded by the kernel, compared; {differences} differences"));
        if trace.tally.queries > 0 {
            row("queries", trace.tally.queries, "recorded with their answers, compared".to_owned());
        }
        let share = percent(checked.overlapped, checked.answers);
        row("answers", checked.answers, format!("of lockless readers, each checked; {} wrong", checked.wrong));
        row("overlapped", checked.overlapped, format!("of them an edit, {share}"));
        if checked.unbounded > 0 {
            row("unbounded", checked.unbounded, "of them took a whole round, and any moment of it explains them".to_owned());
        }
        row("addresses", trace.addresses as u64, format!("looked up, from the recorded {}", trace.addresses_from));
        table
    }

    fn speed_table(&self, speed: &Speed) -> comfy_table::Table {
        let mut table = table::plain();
        let names = ["a second", "p50", "p90", "p99", "p99.9", "p99.99", "longest"];
        table::head(&mut table, names.map(str::to_owned));
        let (alone, beside, writer) = (&speed.readers_alone, &speed.readers_beside_writer, &speed.writer);
        let rows = [
            ("lookups, readers alone", alone.lookups_per_second, &alone.latency),
            ("lookups beside the writer", beside.lookups_per_second, &beside.latency),
            ("writes", writer.writes_per_second, &writer.latency),
        ];
        for (name, rate, latency) in rows {
            let mut cells = vec![Cell::new(name), table::figure(rate_text(rate))];
            let percentiles = [latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.p999_ns, latency.p9999_ns, latency.max_ns];
            cells.extend(percentiles.map(|ns| table::figure(nanoseconds(ns))));
            table.add_row(cells);
        }
        table
    }

    /// The lines below the tables.
    fn print_facts(&self, out: &mut impl Write) -> Result<()> {
        let mut table = table::plain();
        let mut fact = |name: &str, text: String| {
            table.add_row([Cell::new(name), Cell::new(text)]);
        };
        if let Some(speed) = &self.speed {
            let wrong = speed.readers_alone.wrong + speed.readers_beside_writer.wrong;
            let text =
                format!("{} wrong answers of {}", wrong, HumanCount(speed.readers_alone.lookups + speed.readers_beside_writer.lookups));
            fact("checked on the way", text);
            let text = format!("{:.0} % of their rate per second of processor time", speed.readers_keep * 100.0);
            fact("beside the writer readers keep", text);
            fact("the writer made", format!("{} rounds of the history", HumanCount(speed.writer.rounds)));
            let (peak, left) = (speed.held_bytes_peak as u64, self.index.waiting_afterwards_bytes as u64);
            let nodes = HumanCount(self.index.afterwards.retired_nodes);
            fact("retired nodes", format!("{nodes}; at most {} waiting at a time, {} in the end", HumanBytes(peak), HumanBytes(left)));
        }
        let index = &self.index.at_end;
        let (entries, size) = (HumanCount(index.entries as u64), HumanBytes(index.index_bytes as u64));
        fact("index at the history's end", format!("{entries} areas, {size}, {} levels", index.height));
        writeln!(out, "{}", table.trim_fmt())?;
        Ok(())
    }
}
