//! The line that moves while a replay runs; only on a terminal, and on the standard error, so that what is printed
//! stays clean. `checked` and `speed` report here.

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::time::Duration;

/// The moving line.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

/// How often the line moves by itself.
const TICK: Duration = Duration::from_millis(100);

impl Progress {
    /// A line for one phase; `total` is its length in milliseconds, 0 if that is not known.
    pub(super) fn new(phase: &'static str, total: Duration) -> Self {
        let millis = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
        // hidden by itself where the standard error is no terminal
        let bar = if millis == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(millis) };
        let template = if millis == 0 { "{spinner} {prefix}  {msg}" } else { "{prefix}  {bar:30}  {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(phase);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// A round of the checked rebuild is over.
    pub(super) fn checked(&self, round: u64, answers: u64) {
        let (rounds, answers) = (HumanCount(round), HumanCount(answers));
        self.bar.set_message(format!("round {rounds}, {answers} answers checked"));
    }

    /// So far at full speed.
    pub(super) fn speed(&self, elapsed: Duration, lookups: u64, writes: u64) {
        self.bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let (lookups, writes) = (HumanCount(lookups), HumanCount(writes));
        self.bar.set_message(format!("{lookups} lookups, {writes} writes"));
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
