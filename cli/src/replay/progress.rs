//! The progress line of a replay. It is shown on the standard error, if that is a terminal. Called by `checked` and `speed`.

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use std::time::Duration;

/// The progress line.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

/// The time between two updates of the line.
const TICK: Duration = Duration::from_millis(100);

impl Progress {
    /// Shows a line for one phase. `total` is its duration, or zero if that is not known.
    pub(super) fn new(phase: &'static str, total: Duration) -> Self {
        let millis = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
        // the library hides it if the standard error is no terminal
        let bar = if millis == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(millis) };
        let template = if millis == 0 { "{spinner} {prefix}  {msg}" } else { "{prefix}  {bar:30}  {msg}" };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("━╸─"));
        }
        bar.set_prefix(phase);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Shows the progress of the checked rebuild after a round.
    pub(super) fn checked(&self, round: u64, answers: u64) {
        let (rounds, answers) = (HumanCount(round), HumanCount(answers));
        self.bar.set_message(format!("round {rounds}, {answers} answers checked"));
    }

    /// Shows the progress at full speed.
    pub(super) fn speed(&self, elapsed: Duration, lookups: u64, writes: u64) {
        self.bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
        let (lookups, writes) = (HumanCount(lookups), HumanCount(writes));
        self.bar.set_message(format!("{lookups} lookups, {writes} writes"));
    }

    /// Removes the line.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
