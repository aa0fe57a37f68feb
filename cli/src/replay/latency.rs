//! Measures the time of single calls. Few calls are timed, so that reading the clock does not reduce the measured speed. Called by `speed`;
//! `report` and the page read the percentiles.

use super::figures::float;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::{Duration, Instant};

/// The longest time that is distinguished; longer calls count as this long.
const LONGEST_NS: u64 = 10_000_000_000;
/// The number of readings with which the cost of reading the clock is measured.
const READINGS: usize = 10_000;

/// Picks the calls that are timed, at random distances around `stride`, so that they do not coincide with a period of the work.
#[derive(Debug)]
pub(super) struct Timer {
    histogram: Option<Histogram<u64>>,
    clock: Duration,
    stride: u32,
    until_next: u32,
    random: fastrand::Rng,
}

/// The percentiles of one kind of call.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Latency {
    /// The number of calls that were timed.
    pub(super) timed: u64,
    pub(super) p50_ns: u64,
    pub(super) p90_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) p999_ns: u64,
    pub(super) p9999_ns: u64,
    pub(super) max_ns: u64,
    /// Pairs of a percentile and nanoseconds, for the picture.
    #[serde(skip)]
    pub(super) curve: Vec<(f64, u64)>,
}

/// Returns what reading the clock twice adds to a measurement: the shortest time between two readings.
pub(super) fn clock_cost() -> Duration {
    let pairs = (0..READINGS).map(|_| {
        let before = Instant::now();
        before.elapsed()
    });
    pairs.min().unwrap_or_default()
}

impl Timer {
    /// Times about one call in `stride`.
    pub(super) fn new(stride: u32, clock: Duration, seed: u64) -> Self {
        // three digits up to ten seconds: these bounds are valid, so there is always a histogram
        let histogram = Histogram::new_with_bounds(1, LONGEST_NS, 3).ok();
        Self { histogram, clock, stride, until_next: stride, random: fastrand::Rng::with_seed(seed) }
    }

    /// Makes a call, and times it if it was picked.
    #[inline]
    pub(super) fn call<T>(&mut self, call: impl FnOnce() -> T) -> T {
        if self.until_next > 0 {
            self.until_next -= 1;
            return call();
        }
        self.until_next = self.random.u32(self.stride / 2..self.stride + self.stride / 2);
        let before = Instant::now();
        let result = call();
        let taken = before.elapsed().saturating_sub(self.clock);
        if let Some(histogram) = &mut self.histogram {
            histogram.saturating_record(u64::try_from(taken.as_nanos()).unwrap_or(LONGEST_NS).max(1));
        }
        result
    }

    /// Adds the measurements of another thread.
    pub(super) fn absorb(&mut self, other: &Self) {
        if let (Some(mine), Some(theirs)) = (&mut self.histogram, &other.histogram) {
            // both have the same bounds, so this does not fail
            let _ = mine.add(theirs);
        }
    }

    /// Returns the percentiles so far.
    pub(super) fn latency(&self) -> Latency {
        let Some(histogram) = self.histogram.as_ref().filter(|histogram| !histogram.is_empty()) else {
            return Latency::default();
        };
        let at = |quantile| histogram.value_at_quantile(quantile);
        // the curve ends at the percentile above which there is one call
        let nines = (0..).map(|step| 1.0 - 10f64.powf(-f64::from(step) / 16.0));
        let rest = 1.0 / float(histogram.len());
        let curve = nines.take_while(|quantile| 1.0 - quantile >= rest).map(|quantile| (quantile, at(quantile)));
        Latency {
            timed: histogram.len(),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p999_ns: at(0.999),
            p9999_ns: at(0.9999),
            max_ns: histogram.max(),
            curve: curve.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_call_of_the_stride_is_timed_and_every_call_is_made() {
        let mut timer = Timer::new(16, Duration::ZERO, 1);
        let mut calls = 0;
        for _ in 0..16_000 {
            timer.call(|| calls += 1);
        }
        assert_eq!(calls, 16_000);
        let timed = timer.latency().timed;
        assert!((500..=2000).contains(&timed), "{timed}");
    }

    #[test]
    fn percentiles_rise_and_threads_add_up() {
        let mut one = Timer::new(2, Duration::ZERO, 1);
        let mut other = Timer::new(2, Duration::ZERO, 2);
        for _ in 0..1000 {
            one.call(|| std::hint::black_box(1));
            other.call(|| std::hint::black_box(1));
        }
        let alone = one.latency().timed;
        one.absorb(&other);
        let both = one.latency();
        assert_eq!(both.timed, alone + other.latency().timed);
        assert!(both.p50_ns <= both.p99_ns && both.p99_ns <= both.max_ns);
        assert!(both.curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    }

    #[test]
    fn nothing_timed_is_no_percentile() {
        assert_eq!(Timer::new(2, Duration::ZERO, 1).latency().timed, 0);
    }
}
