//! The comparison as text: one table of ratios against the base, the goals under it, and the subjects that are left out.

use crate::goals::{Sense, Verdict};
use crate::results::{Figure, Findings, Row};
use crate::subject::Space;
use crate::subjects::kernel::Kernel;
use crate::subjects::vmaple_space::VmapleSpace;
use crate::subjects::{BASE, KERNEL_ENTRY, LOCK_BASE, NAMES};
use crate::workload::Workload;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

const KERNEL_CALLS: &str = <Kernel as Space>::NAME;
const SPACE: &str = <VmapleSpace as Space>::NAME;

/// Returns the table of ratios.
#[must_use]
pub fn ratios(findings: &Findings) -> String {
    let sizes = findings.sizes();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let head = ["workload".to_owned(), "subject".to_owned()];
    table.set_header(head.into_iter().chain(sizes.iter().map(|&size| format!("{} regions", grouped(size)))));
    let mut is_first = true;
    for workload in findings.workloads() {
        if !is_first {
            table.add_row(vec![String::new(); 2 + sizes.len()]);
        }
        is_first = false;
        let mut name = workload;
        for subject in NAMES {
            let rows: Vec<Option<&Row>> = sizes.iter().map(|&size| findings.row(workload, subject, size)).collect();
            if rows.iter().all(Option::is_none) {
                continue;
            }
            let cells = rows.into_iter().map(|row| row.map_or_else(|| "-".to_owned(), |row| cell(findings, row)));
            table.add_row([name.to_owned(), subject.to_owned()].into_iter().chain(cells));
            name = "";
        }
    }
    for column in 2..2 + sizes.len() {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!(
        "{table}\nx: how many times less than {BASE} takes (in the rows of the lock, {LOCK_BASE}), the median over rounds in which all took \
         turns; more is better.\n"
    )
}

fn cell(findings: &Findings, row: &Row) -> String {
    let mut parts = Vec::new();
    if let Some(lost) = row.lost_ppm.filter(|&lost| lost > 0.0) {
        parts.push(format!("loses {} ppm", figure(lost)));
    }
    if let Some(detours) = row.detour_ppm.filter(|&detours| detours > 0.0) {
        parts.push(format!("{} ppm by detour", figure(detours)));
    }
    if let Some(times) = row.rate_against_alone {
        parts.push(format!("{:.0} % of one alone", times * 100.0));
    }
    if let Figure::NsPerOp(_) | Figure::BytesPerRegion(_) = row.figure
        && let Some(ratio) = findings.against_base(row)
    {
        parts.push(format!("{}x", figure(ratio)));
    }
    if let Figure::NsPerOp(ns) = row.figure
        && row.workload.starts_with("replay")
    {
        parts.push(format!("{} M/s", figure(1e3 / ns)));
    }
    let unit = match row.figure {
        Figure::NsPerOp(ns) => format!("{:>6} ns", figure(ns)),
        Figure::BytesPerRegion(bytes) => format!("{:>5} B", figure(bytes)),
        Figure::AllocationsPerOp(count) => format!("{count:.4}"),
    };
    parts.push(unit);
    parts.join("  ")
}

/// Returns the table of goals, met and missed.
#[must_use]
pub fn goals(verdicts: &[Verdict]) -> String {
    if verdicts.is_empty() {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["goal", "regions", "wanted", "seen", ""]);
    for verdict in verdicts {
        let sign = match verdict.sense {
            Sense::AtLeast => "≥",
            Sense::AtMost => "≤",
        };
        let met = if verdict.is_met() { "met" } else { "MISSED" };
        let regions = grouped(verdict.regions);
        table.add_row([verdict.what, &regions, &format!("{sign} {}", verdict.wanted), &figure(verdict.seen), met]);
    }
    for column in 1..4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\n")
}

/// Returns the part of the kernel's figures that entering and leaving the kernel takes, measured in the same rounds, and the comparison without
/// it.
#[must_use]
pub fn entries(findings: &Findings) -> Vec<String> {
    let entries = findings.rows.iter().filter(|row| row.subject == KERNEL_ENTRY);
    let line = |entry: &Row| {
        let row = |subject| findings.row(entry.workload, subject, entry.regions);
        let (kernel, ours) = (row(KERNEL_CALLS)?, row(SPACE)?);
        let (kernels, entrys, own) = (kernel.median, entry.median, ours.median);
        let what =
            if entry.workload == "fork" { "a fork of the same process without these VMAs" } else { "entering it (getppid, as often)" };
        Some(format!(
            "{} at {} regions: the kernel's {} ns are {} times {SPACE}'s; {what} is {} ns of them, and the rest {} times {SPACE}'s.",
            entry.workload,
            grouped(entry.regions),
            figure(kernels),
            figure(ours.times_better_than(kernel)),
            figure(entrys),
            figure((kernels - entrys) / own)
        ))
    };
    entries.filter_map(line).collect()
}

/// Returns the subjects that are left out of these workloads, and why.
#[must_use]
pub fn left_out(workloads: &[&Workload]) -> String {
    let mut reasons: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for workload in workloads {
        for &(subject, why) in workload.left_out {
            match reasons.iter_mut().find(|reason| (reason.0, reason.1) == (subject, why)) {
                Some((_, _, rows)) => rows.push(workload.row),
                None => reasons.push((subject, why, vec![workload.row])),
            }
        }
    }
    let line = |(subject, why, rows): &(&str, &str, Vec<&str>)| format!("Left out: {subject} in {}: {why}.\n", rows.join(", "));
    reasons.iter().map(line).collect()
}

/// Formats a figure with three significant digits.
#[must_use]
pub fn figure(figure: f64) -> String {
    match figure.abs() {
        size if size >= 10_000.0 => thousands(&format!("{figure:.0}")),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

/// Formats a count with separated thousands.
#[must_use]
pub fn grouped(count: usize) -> String {
    thousands(&count.to_string())
}

/// Separates the thousands of digits.
#[must_use]
pub fn thousands(digits: &str) -> String {
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits() {
        let shown: Vec<String> = [1.234, 12.34, 123.4, 1_234.0, 123_456.0].into_iter().map(figure).collect();
        assert_eq!(shown, ["1.23", "12.3", "123", "1234", "123,456"]);
    }
}
