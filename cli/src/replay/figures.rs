//! Formats counts, rates and shares. Called by `speed`, `report` and the page.

/// Converts a count for calculations. The precision lost above 2^53 does not show in a figure.
#[allow(clippy::cast_precision_loss, reason = "said above: the one place where it happens")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

/// Converts a length for calculations.
pub(super) fn float_len(count: usize) -> f64 {
    float(count as u64)
}

/// Returns the rate per second; 0 if no time passed.
pub(super) fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { float(count) / seconds } else { 0.0 }
}

/// A share in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "0 %".to_owned() } else { format!("{:.1} %", float(part) * 100.0 / float(whole)) }
}

/// A rate with the unit that suits it.
pub(super) fn rate_text(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.1} M", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}

/// A time with the unit that suits it.
pub(super) fn nanoseconds(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.0} µs", float(ns) / 1e3),
        _ => format!("{:.0} ms", float(ns) / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_suit_the_figures() {
        assert_eq!([999.4, 1.5e4, 2.75e6].map(rate_text), ["999", "15 k", "2.8 M"]);
        assert_eq!([950, 12_345, 99_000_000].map(nanoseconds), ["950 ns", "12 µs", "99 ms"]);
        assert_eq!((percent(1, 8), percent(1, 0)), ("12.5 %".to_owned(), "0 %".to_owned()));
    }
}
