//! The rounds: all subjects of a workload are filled, and then take turns in short laps, so that other work of the machine disturbs all
//! subjects alike.

use crate::cores::{self, Part};
use crate::regions::RegionSet;
use crate::results::Row;
use crate::workload::{Bench, Candidate, Lap, Measure, Scale, Workload};
use std::sync::Arc;
use std::time::Duration;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The desired time of a lap.
    pub lap: Duration,
    /// The desired time of all laps of one workload at one size.
    pub time: Duration,
    /// The largest number of rounds. At least three are run, however long they take.
    pub rounds: usize,
}

impl Effort {
    /// Returns the effort of `--quick`: less than a minute for one workload at two sizes.
    pub const QUICK: Self = Self { lap: Duration::from_millis(2), time: Duration::from_secs(8), rounds: 25 };
    /// Returns the effort of a full run.
    pub const FULL: Self = Self { lap: Duration::from_millis(4), time: Duration::from_secs(10), rounds: 41 };
}

/// Measures one workload at one size on the selected subjects.
pub fn measure(workload: &Workload, set: &Arc<RegionSet>, effort: Effort, wanted: impl Fn(&str) -> bool) -> Vec<Row> {
    cores::hold(Part::Main);
    let count = |scales: Vec<Scale>| {
        let scales = scales.into_iter().filter(|scale| wanted(scale.name) && set.count() <= scale.limit);
        scales.map(|scale| Row::of_count(workload, scale.name, set.count(), (scale.weigh)(set))).collect()
    };
    match workload.measure {
        Measure::Laps(candidates) => {
            let candidates = candidates().into_iter().filter(|candidate| wanted(candidate.name) && set.count() <= candidate.limit);
            let mut runners: Vec<Runner> = candidates.map(|candidate| Runner::ready(&candidate, set, effort.lap)).collect();
            take_turns(&mut runners, effort);
            runners.iter().flat_map(|runner| Row::of_laps(workload, runner.name, set.count(), &runner.laps)).collect()
        }
        Measure::Bytes(scales) | Measure::Allocations(scales) => count(scales()),
    }
}

/// A subject that is being measured.
struct Runner {
    name: &'static str,
    bench: Box<dyn Bench>,
    /// The number of operations of a lap.
    ops: u64,
    /// The time of a lap, including the parts that are not measured.
    whole: Duration,
    laps: Vec<Lap>,
}

impl Runner {
    /// Fills a subject, and finds how many operations make a lap.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of operations, positive and far below 2^52"
    )]
    fn ready(candidate: &Candidate, set: &Arc<RegionSet>, lap: Duration) -> Self {
        let mut bench = (candidate.make)(set);
        let mut ops = 1;
        loop {
            let begin = std::time::Instant::now();
            let tried = bench.lap(ops);
            let (took, whole) = (tried.pace.elapsed.max(Duration::from_nanos(1)), begin.elapsed());
            if took * 4 >= lap || whole >= lap * 8 {
                let ops_a_lap = lap.as_secs_f64() / (took.as_secs_f64() / tried.pace.ops.max(1) as f64);
                return Self { name: candidate.name, bench, ops: (ops_a_lap as u64).max(1), whole: whole.max(lap), laps: Vec::new() };
            }
            ops = tried.pace.ops.max(ops) * 4;
        }
    }
}

/// Runs each subject once per round, in order and in reverse order in turn, so that no subject always runs after the same one.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rounds")]
fn take_turns(runners: &mut [Runner], effort: Effort) {
    let round: Duration = runners.iter().map(|runner| runner.whole).sum();
    let affordable = effort.time.div_duration_f64(round.max(Duration::from_nanos(1))) as usize;
    for i in 0..affordable.clamp(3, effort.rounds.max(3)) {
        let lap = |runner: &mut Runner| runner.laps.push(runner.bench.lap(runner.ops));
        if i % 2 == 0 {
            runners.iter_mut().for_each(lap);
        } else {
            runners.iter_mut().rev().for_each(lap);
        }
    }
}
