//! The time of a recording: nanoseconds of the monotonic clock, with which the kernel stamps page faults. Called by `tracer` and `faults`.

use nix::time::{ClockId, clock_gettime};

/// A clock that starts with the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start_ns: u64,
}

impl Clock {
    /// A clock that shows 0 now.
    pub(super) fn start() -> nix::Result<Self> {
        Ok(Self { start_ns: now_ns()? })
    }

    /// Nanoseconds since the start.
    pub(super) fn elapsed_ns(self) -> nix::Result<u64> {
        Ok(self.since_start_ns(now_ns()?))
    }

    /// The time of the recording at a time of the monotonic clock.
    pub(super) fn since_start_ns(self, monotonic_ns: u64) -> u64 {
        monotonic_ns.saturating_sub(self.start_ns)
    }
}

fn now_ns() -> nix::Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    // the monotonic clock counts from the start of the machine: neither negative nor beyond 584 years
    let seconds = u64::try_from(now.tv_sec()).unwrap_or(0);
    let nanoseconds = u64::try_from(now.tv_nsec()).unwrap_or(0);
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}
