//! The results of a run: one row for each workload, subject and size. The rounds write it; the table, the goals, the page and `--json` read it.

use crate::subjects::BASES;
use crate::workload::{Lap, Measure, Pace, Workload};
use serde::Serialize;

/// The figure of a row. The variant's name is the unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Nanoseconds per operation.
    NsPerOp(f64),
    /// Bytes per region.
    BytesPerRegion(f64),
    /// Allocations per operation.
    AllocationsPerOp(f64),
}

/// One subject at one workload and size.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload's name in the output.
    pub workload: &'static str,
    /// The subject.
    pub subject: &'static str,
    /// The number of regions.
    pub regions: usize,
    /// The number of threads that work.
    pub threads: u32,
    /// The median, with its unit.
    #[serde(flatten)]
    pub figure: Figure,
    /// The number of laps.
    pub runs: usize,
    /// Of the laps, in the figure's unit.
    pub min: f64,
    /// Of the laps.
    pub median: f64,
    /// Of the laps.
    pub max: f64,
    /// How many lookups of mapped addresses in a million found nothing, beside a writer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost_ppm: Option<f64>,
    /// How many faults in a million left their path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detour_ppm: Option<f64>,
    /// The rate, as a multiple of the rate of a single reader in the same laps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_against_alone: Option<f64>,
    /// The rate of the writer beside the readers, in changes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer_per_s: Option<f64>,
    /// The laps in the order of the rounds: lap `i` of all subjects ran in one round.
    #[serde(skip)]
    pub laps: Vec<f64>,
}

impl Row {
    /// Returns the rows of a timed subject: one, or two if the writer has a row.
    #[must_use]
    pub fn of_laps(workload: &Workload, subject: &'static str, regions: usize, laps: &[Lap]) -> Vec<Self> {
        let row = |name, paces: Vec<f64>| Self::of(name, subject, regions, workload.threads, Figure::NsPerOp, paces);
        let writers: Vec<Pace> = laps.iter().filter_map(|lap| lap.writer).collect();
        let against: Vec<f64> = laps.iter().filter_map(|lap| Some(lap.alone?.ns_per_op() / lap.pace.ns_per_op())).collect();
        let mut first = row(workload.row, laps.iter().map(|lap| lap.pace.ns_per_op()).collect());
        if !writers.is_empty() {
            first.lost_ppm = Some(ppm(laps, |lap| lap.lost));
            first.writer_per_s = Some(1e9 / median(&writers.iter().map(|writer| writer.ns_per_op()).collect::<Vec<_>>()));
        }
        if laps.iter().any(|lap| lap.detours.is_some()) {
            first.detour_ppm = Some(ppm(laps, |lap| lap.detours.unwrap_or(0)));
        }
        if !against.is_empty() {
            first.rate_against_alone = Some(median(&against));
        }
        let second = workload.writer_row.map(|name| row(name, writers.iter().map(|writer| writer.ns_per_op()).collect()));
        [Some(first), second].into_iter().flatten().collect()
    }

    /// Returns the row of a counted figure.
    #[must_use]
    pub fn of_count(workload: &Workload, subject: &'static str, regions: usize, count: f64) -> Self {
        let unit = match workload.measure {
            Measure::Allocations(_) => Figure::AllocationsPerOp,
            Measure::Bytes(_) | Measure::Laps(_) => Figure::BytesPerRegion,
        };
        Self::of(workload.row, subject, regions, workload.threads, unit, vec![count])
    }

    fn of(workload: &'static str, subject: &'static str, regions: usize, threads: u32, unit: fn(f64) -> Figure, laps: Vec<f64>) -> Self {
        let middle = median(&laps);
        let least = laps.iter().copied().fold(f64::INFINITY, f64::min);
        let most = laps.iter().copied().fold(0.0, f64::max);
        Self {
            workload,
            subject,
            regions,
            threads,
            figure: unit(middle),
            runs: laps.len(),
            min: least,
            median: middle,
            max: most,
            lost_ppm: None,
            detour_ppm: None,
            rate_against_alone: None,
            writer_per_s: None,
            laps,
        }
    }

    /// Returns the quotient of the other row's figure and this one: the median of the quotients of the rounds if both ran in the same rounds,
    /// otherwise the quotient of the medians.
    #[must_use]
    pub fn times_better_than(&self, other: &Self) -> f64 {
        if self.workload == other.workload && self.regions == other.regions && self.laps.len() == other.laps.len() {
            let quotients: Vec<f64> = other.laps.iter().zip(&self.laps).map(|(other, own)| other / own).collect();
            median(&quotients)
        } else {
            other.median / self.median
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn ppm(laps: &[Lap], count: impl Fn(&Lap) -> u64) -> f64 {
    let counted: u64 = laps.iter().map(count).sum();
    let asked: u64 = laps.iter().map(|lap| lap.pace.ops).sum();
    counted as f64 / asked.max(1) as f64 * 1e6
}

/// Returns the median of some figures, or 0 if there are none.
fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

/// All rows of a run.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Findings {
    /// By workload, size and subject.
    pub rows: Vec<Row>,
}

impl Findings {
    /// Returns the row of a subject.
    #[must_use]
    pub fn row(&self, workload: &str, subject: &str, regions: usize) -> Option<&Row> {
        self.rows.iter().find(|row| row.workload == workload && row.subject == subject && row.regions == regions)
    }

    /// Returns the sizes of the run.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.rows.iter().map(|row| row.regions).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    /// Returns the workloads of the run, in order.
    #[must_use]
    pub fn workloads(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !names.contains(&row.workload) {
                names.push(row.workload);
            }
        }
        names
    }

    /// Returns the quotient of the base's figure and a row's.
    #[must_use]
    pub fn against_base(&self, row: &Row) -> Option<f64> {
        let base = BASES.iter().find_map(|base| self.row(row.workload, base, row.regions))?;
        Some(row.times_better_than(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(laps: &[f64]) -> Row {
        Row::of("lookup", "skipmap", 20, 1, Figure::NsPerOp, laps.to_vec())
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        // The machine slows down threefold after the second round; the ratio is 2 in each.
        assert!((row(&[1.0, 1.0, 3.0]).times_better_than(&row(&[2.0, 2.0, 6.0])) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_figure_is_the_median_and_named_by_its_unit() {
        let json = serde_json::to_value(row(&[5.0, 1.0, 2.0])).unwrap();
        assert_eq!(json["ns_per_op"], 2.0);
        assert_eq!((&json["min"], &json["max"], &json["runs"]), (&1.0.into(), &5.0.into(), &3.into()));
        assert!(json.get("lost_ppm").is_none() && json.get("laps").is_none());
    }
}
