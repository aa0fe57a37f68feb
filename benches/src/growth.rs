//! Measures how the time of each operation of an address space grows with the number of VMAs. Each operation is measured at several sizes, and
//! the exponent of its curve is checked: none may grow faster than n log n in the number of VMAs that it touches.
//!
//! Called by the program for `--growth`. `operations` has the operations.

mod operations;

use crate::table::grouped;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use std::time::Duration;

pub use operations::names;

use operations::Touches;

/// The numbers of VMAs to measure at.
pub const SIZES: [usize; 4] = [1_000, 8_000, 65_000, 1_000_000];
/// The numbers of VMAs of a quick run.
pub const QUICK_SIZES: [usize; 3] = [1_000, 8_000, 65_000];

/// The measurements of an operation.
#[derive(Clone, Debug)]
pub struct Curve {
    name: &'static str,
    touches: Touches,
    /// Numbers of VMAs, and the time of the operation at each.
    points: Vec<(usize, Duration)>,
}

impl Curve {
    /// Returns the exponent of the curve: the slope of the line through its logarithms by least squares.
    #[must_use]
    pub fn exponent(&self) -> f64 {
        let points = self.logarithms();
        let count = points.iter().map(|_| 1.0).sum::<f64>().max(1.0);
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let over = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
        let under = points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>();
        if under > 0.0 { over / under } else { 0.0 }
    }

    /// Returns the largest exponent between two neighbouring sizes.
    #[must_use]
    pub fn steepest(&self) -> f64 {
        let points = self.logarithms();
        points.windows(2).map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0)).fold(0.0, f64::max)
    }

    /// Returns whether the operation grows no faster than n log n in what it touches.
    #[must_use]
    pub fn holds(&self) -> bool {
        let (whole, step) = self.touches.most();
        self.exponent() <= whole && self.steepest() <= step
    }

    #[allow(clippy::cast_precision_loss, reason = "a figure with three digits that count")]
    fn logarithms(&self) -> Vec<(f64, f64)> {
        self.points.iter().map(|(n, took)| ((*n as f64).ln(), took.as_secs_f64().max(1e-9).ln())).collect()
    }
}

/// Measures every operation at these sizes. Shows its progress on the standard error.
#[must_use]
pub fn measure(sizes: &[usize]) -> Vec<Curve> {
    let mut curves: Vec<Curve> =
        operations::ALL.iter().map(|operation| Curve { name: operation.name, touches: operation.touches, points: Vec::new() }).collect();
    for &n in sizes {
        eprintln!("growth at {} VMAs", grouped(n));
        for (curve, took) in curves.iter_mut().zip(operations::measure_all(n)) {
            curve.points.extend(took.map(|took| (n, took)));
        }
    }
    curves
}

/// Returns the table of the curves, and how many grow too fast.
#[must_use]
pub fn table(sizes: &[usize], curves: &[Curve]) -> (String, usize) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let head = ["operation".to_owned(), "touches".to_owned()].into_iter().chain(sizes.iter().map(|&n| format!("{} VMAs", grouped(n))));
    table.set_header(head.chain(["exponent", "steepest", "at most", ""].map(str::to_owned)));
    for curve in curves {
        let (whole, step) = curve.touches.most();
        let cells = sizes.iter().map(|&n| {
            let point = curve.points.iter().find(|point| point.0 == n);
            point.map_or_else(|| "-".to_owned(), |point| time(point.1))
        });
        let name = [curve.name.to_owned(), if curve.touches == Touches::One { "one" } else { "all" }.to_owned()];
        let verdict = if curve.holds() { "holds" } else { "GROWS FASTER" };
        let judged =
            [format!("{:.2}", curve.exponent()), format!("{:.2}", curve.steepest()), format!("{whole:.1}, {step:.1}"), verdict.to_owned()];
        table.add_row(name.into_iter().chain(cells).chain(judged));
    }
    for column in 2..sizes.len() + 5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let failed = curves.iter().filter(|curve| !curve.holds()).count();
    (format!("{table}\n{} of {} operations grow no faster than n log n in what they touch\n", curves.len() - failed, curves.len()), failed)
}

/// Formats a time with three significant digits.
fn time(took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let (figure, unit) = match seconds {
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    format!("{} {unit}", crate::table::figure(figure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(touches: Touches, took: impl Fn(f64) -> f64) -> Curve {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let points = SIZES.iter().map(|&n| (n, Duration::from_secs_f64(took(n as f64)))).collect();
        Curve { name: "", touches, points }
    }

    #[test]
    fn what_grows_as_what_it_touches_holds() {
        assert!(curve(Touches::One, |_| 1e-6).holds());
        assert!(curve(Touches::One, |n| 1e-7 * n.ln()).holds());
        assert!(curve(Touches::All, |n| 1e-8 * n * n.ln()).holds());
        assert!((curve(Touches::All, |n| 1e-8 * n).exponent() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn what_grows_faster_does_not() {
        for (touches, power) in [(Touches::One, 1.0), (Touches::One, 0.7), (Touches::All, 2.0), (Touches::All, 1.7)] {
            let curve = curve(touches, |n| 1e-6 * n.powf(power));
            assert!(!curve.holds() && (curve.exponent() - power).abs() < 1e-3, "{touches:?}, {power}");
        }
        // A scan whose time is noticeable only in a large layout.
        assert!(!curve(Touches::One, |n| 1e-6 + 3e-10 * n).holds());
        assert_eq!(table(&SIZES, &[curve(Touches::One, |n| n), curve(Touches::All, |n| n)]).1, 1);
    }
}
