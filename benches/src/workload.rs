//! A workload: a name, and for each subject that can run it a bench that runs laps. Called by the rounds and by criterion.

use crate::regions::{CHUNK, RegionSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A number of operations, and the time they took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Operations.
    pub ops: u64,
    /// Their time.
    pub elapsed: Duration,
}

impl Pace {
    /// Times `run`, which does `ops` operations.
    pub fn of(ops: u64, run: impl FnOnce()) -> Self {
        let begin = Instant::now();
        run();
        Self { ops, elapsed: begin.elapsed() }
    }

    /// Returns the nanoseconds per operation.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a figure with three digits that count")]
    pub fn ns_per_op(self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.ops.max(1) as f64
    }
}

/// One lap of a bench.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lap {
    /// What is measured: the readers, if there are readers and a writer.
    pub pace: Pace,
    /// Lookups of mapped addresses that found nothing.
    pub lost: u64,
    /// Faults that left their path, if the workload counts them.
    pub detours: Option<u64>,
    /// The work without the writer, if the workload compares with that.
    pub alone: Option<Pace>,
    /// The writer beside the readers.
    pub writer: Option<Pace>,
}

impl From<Pace> for Lap {
    fn from(pace: Pace) -> Self {
        Self { pace, ..Self::default() }
    }
}

/// A filled subject that runs a workload.
pub trait Bench {
    /// Runs about `ops` operations, after a warm-up that is not measured. The lap has the number that it ran.
    fn lap(&mut self, ops: u64) -> Lap;
}

/// A subject of a workload.
pub struct Candidate {
    /// The subject.
    pub name: &'static str,
    /// The most regions it is run with.
    pub limit: usize,
    /// Fills it.
    pub make: fn(&Arc<RegionSet>) -> Box<dyn Bench>,
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate").field("name", &self.name).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A subject whose figure is counted and not timed.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// The subject.
    pub name: &'static str,
    /// The most regions it is run with.
    pub limit: usize,
    /// Counts.
    pub weigh: fn(&RegionSet) -> f64,
}

/// How a workload is measured.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// By time, in laps that the subjects run in turn.
    Laps(fn() -> Vec<Candidate>),
    /// By bytes per region.
    Bytes(fn() -> Vec<Scale>),
    /// By allocations per operation.
    Allocations(fn() -> Vec<Scale>),
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// The name for `--only`. A workload that is measured in two ways has two entries of one name.
    pub name: &'static str,
    /// The name in the output.
    pub row: &'static str,
    /// The name of the writer's row in the output, if it has one.
    pub writer_row: Option<&'static str>,
    /// The number of threads that work.
    pub threads: u32,
    /// How it is measured, and with which subjects.
    pub measure: Measure,
    /// The subjects that are left out, and why.
    pub left_out: &'static [(&'static str, &'static str)],
}

/// The subjects that are left out of all workloads that change the index, and why.
pub(crate) const NO_WRITER: &[(&str, &str)] = &[("vm-memory", "a subject for lookups only: a change copies and sorts everything")];

/// A stream of items, read from front to back and then from the front again.
#[derive(Debug)]
pub(crate) struct Round {
    at: usize,
}

impl Round {
    /// Begins at item `at` of the stream.
    pub(crate) fn from(at: usize) -> Self {
        Self { at }
    }

    /// Returns the next item.
    pub(crate) fn next<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        if self.at >= items.len() {
            self.at = 0;
        }
        self.at += 1;
        &items[self.at - 1]
    }

    /// Returns the next chunk. The number of items is a multiple of the chunk's.
    pub(crate) fn chunk<'a, T>(&mut self, items: &'a [T]) -> &'a [T] {
        if self.at >= items.len() {
            self.at = 0;
        }
        self.at += CHUNK;
        &items[self.at - CHUNK..self.at]
    }
}

/// Returns the number of chunks for `ops` operations: at least 1, because an empty lap would take no time.
pub(crate) fn chunks(ops: u64) -> u64 {
    ops.div_ceil(CHUNK as u64).max(1)
}
