//! The page with pictures: one self-contained file without links. Called by `replay::run` through [`render`]. `axis` decides the position
//! of an address, `scene` what is drawn, and the script inside the page draws it.

mod axis;
mod scene;

use super::figures::rate;
use super::history::History;
use super::latency::Latency;
use super::lifetimes::Lifetimes;
use super::report::Report;
use super::speed::{Note, Speed};
use anyhow::Result;
use scene::Scene;
use serde::Serialize;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const MAP: &str = include_str!("map.js");
const CHARTS: &str = include_str!("charts.js");

/// Everything that the script draws.
#[derive(Serialize)]
struct Data<'r> {
    report: &'r Report,
    scene: Scene,
    curves: Vec<Curve>,
    throughput: Vec<Throughput>,
}

/// Percentiles of one kind of call.
#[derive(Serialize)]
struct Curve {
    name: &'static str,
    /// Which of the page's colours it has.
    colour: &'static str,
    points: Vec<(f64, u64)>,
}

/// What was done per second between two notes.
#[derive(Serialize)]
struct Throughput {
    from: f64,
    to: f64,
    lookups: f64,
    writes: f64,
    held_bytes: usize,
}

/// Makes the whole page.
///
/// # Errors
/// Only if a figure cannot be written as JSON.
pub(super) fn render(report: &Report, history: &History, lifetimes: &Lifetimes) -> Result<String> {
    let data = Data {
        report,
        scene: Scene::of(history, lifetimes),
        curves: report.speed.as_ref().map_or_else(Vec::new, curves),
        throughput: report.speed.as_ref().map_or_else(Vec::new, |speed| throughput(&speed.notes)),
    };
    // inside a script element only `</` and `<!--` mean something to a browser, and both begin with this
    let json = serde_json::to_string(&data)?.replace('<', "\\u003c");
    let title = escaped(&report.trace.file);
    // the data come last, because no placeholder may be searched for in a trace's text
    let page = PAGE.replace("{{title}}", &title).replace("{{style}}", STYLE);
    Ok(page.replace("{{map}}", MAP).replace("{{charts}}", CHARTS).replace("{{data}}", &json))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('{', "&#123;")
}

fn curves(speed: &Speed) -> Vec<Curve> {
    let curve = |name, colour, latency: &Latency| Curve { name, colour, points: latency.curve.clone() };
    let all = [
        curve("lookup, readers alone", "quiet", &speed.readers_alone.latency),
        curve("lookup beside the writer", "lookup", &speed.readers_beside_writer.latency),
        curve("write", "write", &speed.writer.latency),
    ];
    all.into_iter().filter(|curve| curve.points.len() > 1).collect()
}

fn throughput(notes: &[Note]) -> Vec<Throughput> {
    let pairs = notes.windows(2).map(|pair| (pair[0], pair[1]));
    // the counts begin at 0 in each phase, and the rate of a very short interval means nothing
    let inside = pairs.filter(|(before, after)| after.lookups >= before.lookups && after.at - before.at > 0.01);
    let rates = inside.map(|(before, after)| {
        let seconds = after.at - before.at;
        Throughput {
            from: before.at,
            to: after.at,
            lookups: rate(after.lookups - before.lookups, seconds),
            writes: rate(after.writes.saturating_sub(before.writes), seconds),
            held_bytes: after.totals.held_bytes,
        }
    });
    rates.collect()
}

/// Draws the picture of the map alone.
#[cfg(test)]
pub(super) fn draw(history: &History, lifetimes: &Lifetimes) -> Result<String> {
    Ok(serde_json::to_string(&Scene::of(history, lifetimes))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_trace_brings_ends_the_script_or_the_title() {
        assert_eq!(escaped("</title><script>{{data}}"), "&lt;/title&gt;&lt;script&gt;&#123;&#123;data}}");
    }

    #[test]
    fn the_page_links_nowhere() {
        for part in [PAGE, STYLE, MAP, CHARTS] {
            // the one address is the name of the language that pictures are written in
            let part = part.replace("http://www.w3.org/2000/svg", "");
            for link in ["http:", "https:", "src=", "@import", "url("] {
                assert!(!part.contains(link), "{link}");
            }
        }
    }
}
