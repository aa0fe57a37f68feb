//! One chart: curves on two logarithmic axes. Each curve has its name at its right end, so that no legend is needed.

use crate::subjects::NAMES;
use crate::table::{figure, grouped, thousands};
use std::fmt::Write;

/// A subject's curve.
#[derive(Clone, Debug)]
pub struct Series {
    /// The subject.
    pub subject: &'static str,
    /// Regions and cost, by regions.
    pub points: Vec<(usize, f64)>,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = WIDTH - 215.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = HEIGHT - 44.0;
/// The least distance between two names.
const NAME_STEP: f64 = 15.0;

/// A colour for each subject, on a light and on a dark background, in the order of `NAMES`. Subjects that are never in one chart may share one.
const COLOURS: [(&str, &str); 30] = [
    ("#1f5fd6", "#6ea3ff"),
    ("#0b2f8a", "#a9c8ff"),
    ("#2b8be0", "#4f8df0"),
    ("#0aa2c0", "#58d3ee"),
    ("#1f5fd6", "#6ea3ff"),
    ("#0aa2c0", "#58d3ee"),
    ("#1f5fd6", "#6ea3ff"),
    ("#0aa2c0", "#58d3ee"),
    ("#1f5fd6", "#6ea3ff"),
    ("#0b2f8a", "#a9c8ff"),
    ("#1f5fd6", "#6ea3ff"),
    ("#111111", "#f2f2f2"),
    ("#111111", "#f2f2f2"),
    ("#7a5c3e", "#c8a27a"),
    ("#7a5c3e", "#c8a27a"),
    ("#d4720b", "#ffab4a"),
    ("#c22f2f", "#ff7b72"),
    ("#e0457b", "#ff8fb8"),
    ("#8e3fb5", "#d29bf0"),
    ("#2f8f3a", "#7ad486"),
    ("#6f8f12", "#b9d65a"),
    ("#a88a00", "#e8cf4e"),
    ("#b0532e", "#e59a78"),
    ("#5a4fcf", "#a49cff"),
    ("#00806b", "#4fd1bb"),
    ("#c22f2f", "#ff7b72"),
    ("#8c939e", "#868f9b"),
    ("#6b7280", "#a5adb8"),
    ("#8c939e", "#868f9b"),
    ("#a3a9b3", "#6d7681"),
];

/// Returns the style rules of the subjects' colours.
#[must_use]
pub fn colours() -> String {
    let rules = |pick: fn(&(&'static str, &'static str)) -> &'static str| {
        NAMES.iter().zip(&COLOURS).fold(String::new(), |rules, (name, pair)| rules + &format!(".{name}{{--c:{}}}\n", pick(pair)))
    };
    format!("{}@media (prefers-color-scheme: dark) {{\n{}}}\n", rules(|pair| pair.0), rules(|pair| pair.1))
}

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// Returns an axis that shows all values, with a margin.
    fn over(values: impl Iterator<Item = f64>, room: f64, from: f64, to: f64) -> Self {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        Self { low: (low / room).ln(), high: (high * room).ln(), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.ln() - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// Returns the powers of ten on the axis, with their multiples by 2 and 5 if there are few.
    fn ticks(&self) -> Vec<f64> {
        let decades = (self.high - self.low) / std::f64::consts::LN_10;
        let steps: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let powers = (-3..10).map(|power| 10_f64.powi(power));
        powers
            .flat_map(|power| steps.iter().map(move |step| power * step))
            .filter(|tick| (self.low..=self.high).contains(&tick.ln()))
            .collect()
    }
}

/// Returns the chart of these curves.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "numbers of regions are far below 2^52")]
pub fn render(series: &[Series], unit: &str) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let x = Axis::over(points().map(|point| point.0 as f64), 1.15, LEFT, RIGHT);
    let y = Axis::over(points().map(|point| point.1.max(0.01)), 1.25, BOTTOM, TOP);
    let mut sizes: Vec<usize> = points().map(|point| point.0).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{unit} against regions\">\n");
    for tick in y.ticks() {
        let at = y.at(tick);
        let label = if tick >= 1.0 { thousands(&format!("{tick:.0}")) } else { format!("{tick}") };
        let _ = writeln!(
            svg,
            "<path class=grid d=\"M{LEFT} {at:.1}H{RIGHT}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=end>{label}</text>",
            LEFT - 8.0,
            at + 4.0
        );
    }
    for size in sizes {
        let at = x.at(size as f64);
        let _ = writeln!(
            svg,
            "<path class=grid d=\"M{at:.1} {TOP}V{BOTTOM}\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=middle>{}</text>",
            BOTTOM + 18.0,
            grouped(size)
        );
    }
    let middle = f64::midpoint(LEFT, RIGHT);
    let _ = writeln!(svg, "<text x=\"{middle}\" y=\"{}\" text-anchor=middle>regions</text>", HEIGHT - 6.0);
    let _ = writeln!(svg, "<text transform=\"translate(14 {}) rotate(-90)\" text-anchor=middle>{unit}</text>", f64::midpoint(TOP, BOTTOM));
    let places: Vec<Vec<(f64, f64)>> =
        series.iter().map(|series| series.points.iter().map(|point| (x.at(point.0 as f64), y.at(point.1.max(0.01)))).collect()).collect();
    let names = spread(&places.iter().map(|places| places.last().map_or(TOP, |end| end.1)).collect::<Vec<_>>());
    // vmaple's curves are drawn last, on top.
    for i in (0..series.len()).rev() {
        write_series(&mut svg, &series[i], &places[i], names[i], unit);
    }
    svg.push_str("</svg>\n");
    svg
}

fn write_series(svg: &mut String, series: &Series, places: &[(f64, f64)], name_at: f64, unit: &str) {
    let kind = if series.subject.starts_with("vmaple-") {
        "ours"
    } else if series.subject.starts_with("floor-") {
        "floor"
    } else {
        "peer"
    };
    let _ = writeln!(svg, "<g class=\"series {kind} {}\">", series.subject);
    let path = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ");
    let _ = writeln!(svg, "<polyline class=line points=\"{path}\"/>");
    for ((x, y), (regions, cost)) in places.iter().zip(&series.points) {
        let title = format!("{}: {} {unit} at {} regions", series.subject, figure(*cost), grouped(*regions));
        let _ = writeln!(svg, "<circle class=dot cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.8\"><title>{title}</title></circle>");
    }
    if let Some((x, y)) = places.last() {
        let (turn, text) = (RIGHT + 12.0, RIGHT + 18.0);
        let _ = writeln!(svg, "<path class=lead d=\"M{x:.1} {y:.1}H{RIGHT}L{turn} {name_at:.1}\"/>");
        let _ = writeln!(svg, "<text class=name x=\"{text}\" y=\"{:.1}\">{}</text>", name_at + 4.0, series.subject);
    }
    svg.push_str("</g>\n");
}

/// Moves overlapping names apart. They keep their order and stay in the frame.
fn spread(wanted: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|&a, &b| wanted[a].total_cmp(&wanted[b]));
    let mut places = wanted.to_vec();
    let mut free = TOP;
    for &i in &order {
        places[i] = places[i].max(free);
        free = places[i] + NAME_STEP;
    }
    let mut free = BOTTOM;
    for &i in order.iter().rev() {
        places[i] = places[i].min(free);
        free = places[i] - NAME_STEP;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_order_and_do_not_touch() {
        let mut places = spread(&[100.0, 101.0, 99.0, 410.0, 415.0]);
        assert!(places[2] < places[0] && places[0] < places[1]);
        places.sort_by(f64::total_cmp);
        assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= NAME_STEP - 1e-9), "{places:?}");
        assert!(places.iter().all(|place| (TOP..=BOTTOM).contains(place)));
    }

    #[test]
    fn the_axis_is_logarithmic() {
        let axis = Axis::over([1.0, 100.0].into_iter(), 1.0, 0.0, 10.0);
        assert!((axis.at(10.0) - 5.0).abs() < 1e-9);
        assert_eq!(axis.ticks().first().copied(), Some(1.0));
    }
}
