//! The page: one self-contained document with a chart for each workload, its figures under it, and the goals.

use crate::chart::{self, Series};
use crate::cores;
use crate::goals::{Sense, Verdict};
use crate::results::{Figure, Findings};
use crate::subjects::{BASE, LOCK_BASE, NAMES};
use crate::table::{entries, figure, grouped};
use crate::workload::Workload;
use std::fmt::{self, Write};

/// The page of a run.
#[must_use]
pub fn render(findings: &Findings, verdicts: &[Verdict], workloads: &[&Workload]) -> String {
    let mut page = String::new();
    // Writing to a string does not fail.
    let _ = write_page(&mut page, findings, verdicts, workloads);
    page
}

fn write_page(page: &mut String, findings: &Findings, verdicts: &[Verdict], workloads: &[&Workload]) -> fmt::Result {
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>vmaple and its peers</title>\n<style>\n{}{}</style>\n<main>\n<h1>vmaple and its peers</h1>\n\
         <p>Cost against the number of regions, both logarithmic; lower is better. Each point is the median of laps in which all \
         subjects took turns. Machine: {}.</p>\n",
        include_str!("page.css"),
        chart::colours(),
        machine()
    )?;
    write_goals(page, verdicts)?;
    for workload in findings.workloads() {
        write_workload(page, findings, workload)?;
    }
    let entries = entries(findings);
    if !entries.is_empty() {
        page.push_str("<section><h2>Entering the kernel</h2>\n<ul>\n");
        entries.iter().try_for_each(|line| writeln!(page, "<li>{}</li>", escaped(line)))?;
        page.push_str("</ul></section>\n");
    }
    let left_out = workloads.iter().flat_map(|workload| workload.left_out.iter().map(move |why| (workload.row, why)));
    page.push_str("<section><h2>Left out</h2>\n<ul>\n");
    for (workload, (subject, why)) in left_out {
        writeln!(page, "<li><b>{subject}</b> in {workload}: {why}</li>")?;
    }
    page.push_str("</ul></section>\n</main>\n</html>\n");
    Ok(())
}

fn write_goals(page: &mut String, verdicts: &[Verdict]) -> fmt::Result {
    if verdicts.is_empty() {
        return Ok(());
    }
    let met = verdicts.iter().filter(|verdict| verdict.is_met()).count();
    write!(page, "<section><h2>Goals: {met} of {} met</h2>\n<table><tr><th>goal<th>regions<th>wanted<th>seen<th>\n", verdicts.len())?;
    for verdict in verdicts {
        let sign = match verdict.sense {
            Sense::AtLeast => "≥",
            Sense::AtMost => "≤",
        };
        let (class, word) = if verdict.is_met() { ("met", "met") } else { ("missed", "missed") };
        writeln!(
            page,
            "<tr><td>{}<td class=n>{}<td class=n>{sign} {}<td class=n>{}<td class={class}>{word}",
            escaped(verdict.what),
            grouped(verdict.regions),
            verdict.wanted,
            figure(verdict.seen)
        )?;
    }
    page.push_str("</table></section>\n");
    Ok(())
}

fn write_workload(page: &mut String, findings: &Findings, workload: &str) -> fmt::Result {
    let sizes = findings.sizes();
    let series: Vec<Series> = NAMES
        .into_iter()
        .filter_map(|subject| {
            let rows = sizes.iter().filter_map(|&size| findings.row(workload, subject, size));
            let points: Vec<(usize, f64)> = rows.map(|row| (row.regions, row.median)).collect();
            (!points.is_empty()).then_some(Series { subject, points })
        })
        .collect();
    let figures = findings.rows.iter().find(|row| row.workload == workload).map(|row| row.figure);
    let unit = match figures {
        Some(Figure::BytesPerRegion(_)) => "bytes a region",
        Some(Figure::AllocationsPerOp(_)) => "allocations an operation",
        _ => "ns an operation",
    };
    writeln!(page, "<section><h2>{workload}</h2>")?;
    // Zero, which is the goal of these figures, has no place on a logarithmic axis.
    if !matches!(figures, Some(Figure::AllocationsPerOp(_))) {
        page.push_str(&chart::render(&series, unit));
    }
    let base = if findings.rows.iter().any(|row| row.workload == workload && row.subject == LOCK_BASE) { LOCK_BASE } else { BASE };
    write!(page, "<details><summary>figures ({unit}; × against {base})</summary>\n<table><tr><th>subject")?;
    for &size in &sizes {
        write!(page, "<th>{}", grouped(size))?;
    }
    for Series { subject, .. } in &series {
        write!(page, "\n<tr><td>{subject}")?;
        for &size in &sizes {
            page.push_str("<td class=n>");
            if let Some(row) = findings.row(workload, subject, size) {
                page.push_str(&figure(row.median));
                if let Some(times) = findings.against_base(row).filter(|times| times.is_finite()) {
                    write!(page, " <small>{}×</small>", figure(times))?;
                }
                if let Some(lost) = row.lost_ppm.filter(|&lost| lost > 0.0) {
                    write!(page, " <small class=missed>loses {} ppm</small>", figure(lost))?;
                }
                if let Some(detours) = row.detour_ppm.filter(|&detours| detours > 0.0) {
                    write!(page, " <small class=missed>{} ppm by detour</small>", figure(detours))?;
                }
                if let Some(times) = row.rate_against_alone {
                    write!(page, " <small>{:.0} % of one alone</small>", times * 100.0)?;
                }
            }
        }
    }
    page.push_str("\n</table></details></section>\n");
    Ok(())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Returns the description of the machine that the standard library and the target give.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.trim_start().strip_prefix(':'));
    format!("{}, {} cores", escaped(model.unwrap_or(std::env::consts::ARCH).trim()), cores::count())
}
