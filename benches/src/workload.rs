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
    /// The time they took.
    pub elapsed: Duration,
}

impl Pace {
    /// Times `run`, which does `ops` operations.
    pub fn of(ops: u64, run: impl FnOnce()) -> Self {
        let begin = Instant::now();
        run();
        Self { ops, elapsed: begin.elapsed() }
    }

    /// Nanoseconds an operation.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a figure with three digits that count")]
    pub fn ns_per_op(self) -> f64 {
        self.elapsed.as_nanos() as f64 / self.ops.max(1) as f64
    }
}

/// One lap of a bench.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lap {
    /// What is measured: the readers, where there are readers and a writer.
    pub pace: Pace,
    /// Lookups of mapped addresses that found nothing.
    pub lost: u64,
    /// Faults that could not keep to their path, where the workload counts them.
    pub detours: Option<u64>,
    /// The same work alone, if the workload compares.
    pub alone: Option<Pace>,
    /// The writer beside the readers.
    pub writer: Option<Pace>,
}

impl From<Pace> for Lap {
    fn from(pace: Pace) -> Self {
        Self { pace, ..Self::default() }
    }
}

/// A subject, filled, ready to run a workload.
pub trait Bench {
    /// Runs about `ops` operations, after a run-up that is not measured. The lap says how many it ran.
    fn lap(&mut self, ops: u64) -> Lap;
}

/// A subject that can do a workload.
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

/// A subject with something counted instead of timed.
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
    /// By laps of the subjects in turn.
    Laps(fn() -> Vec<Candidate>),
    /// By bytes a region.
    Bytes(fn() -> Vec<Scale>),
    /// By allocations an operation.
    Allocations(fn() -> Vec<Scale>),
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// What `--only` calls it; some are measured in two ways and have two rows under one name.
    pub name: &'static str,
    /// What the output calls it.
    pub row: &'static str,
    /// What the output calls the writer's side, where that has a row too.
    pub writer_row: Option<&'static str>,
    /// Threads at work.
    pub threads: u32,
    /// How it is measured, and with which subjects.
    pub measure: Measure,
    /// Who is left out, and why.
    pub left_out: &'static [(&'static str, &'static str)],
}

/// What is left out of all workloads that change the index.
pub(crate) const NO_WRITER: &[(&str, &str)] = &[("vm-memory", "a subject for lookups only: a change copies and sorts everything")];

/// A stream of items, round and round, from front to back.
#[derive(Debug)]
pub(crate) struct Round {
    at: usize,
}

impl Round {
    /// Begins at item `at` of the stream.
    pub(crate) fn from(at: usize) -> Self {
        Self { at }
    }

    /// The next item.
    pub(crate) fn next<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        if self.at >= items.len() {
            self.at = 0;
        }
        self.at += 1;
        &items[self.at - 1]
    }

    /// The next chunk of items, whose number is a multiple of the chunk's.
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
