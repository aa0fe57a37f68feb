//! A recorded history as data: what `builder` makes of a trace, and every other part of `replay` reads.

use super::super::layout_model::{Edit, Region};
use super::super::packed::Backings;
use super::super::query::{BlockLine, FailedQuery, Query};
use serde::Serialize;
use std::collections::BTreeMap;
use vmaple_trace::Access;

/// One edit, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Step {
    pub(in super::super) space: u32,
    /// The operation that it is a part of, counted from 0.
    pub(in super::super) operation: u32,
    pub(in super::super) edit: Edit,
}

/// A recorded page fault.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Fault {
    pub(in super::super) address: u64,
    pub(in super::super) space: u32,
    /// How many edits came before it.
    pub(in super::super) after: u32,
    /// How many operations came before it.
    pub(in super::super) operation: u32,
    pub(in super::super) access: Access,
    /// Whether the layout had the address at that moment.
    pub(in super::super) mapped: bool,
}

/// A query that the recording answers.
#[derive(Clone, Debug)]
pub(in super::super) struct Check {
    pub(in super::super) space: u32,
    /// How many edits came before it.
    pub(in super::super) after: u32,
    pub(in super::super) line: u64,
    pub(in super::super) query: Query,
}

/// Counts of what was read.
#[derive(Clone, Debug, Default, Serialize)]
pub(in super::super) struct Tally {
    /// How often each operation was recorded, by its word.
    pub(in super::super) calls: BTreeMap<&'static str, u64>,
    /// Operations that the kernel refused.
    pub(in super::super) failed: u64,
    /// The number of threads that the stamps name.
    pub(in super::super) threads: usize,
    /// `maps` and `cover` blocks.
    pub(in super::super) blocks: u64,
    /// `lookup`, `find`, `gap`, and faults with an answer.
    pub(in super::super) queries: u64,
    /// Faults whose address the layout had at that moment.
    pub(in super::super) faults_mapped: u64,
}

/// One address space of a trace.
#[derive(Clone, Debug)]
pub(in super::super) struct Space {
    /// The layout before the first edit.
    pub(in super::super) start: Vec<Region>,
    /// The layout after the last one.
    pub(in super::super) finish: Vec<Region>,
    /// The start of the heap, if `brk` made one.
    pub(in super::super) heap: Option<u64>,
}

/// A whole history.
#[derive(Debug)]
pub(in super::super) struct History {
    /// The name of the trace in messages.
    pub(in super::super) file: String,
    pub(in super::super) spaces: Vec<Space>,
    pub(in super::super) steps: Vec<Step>,
    /// The line of each operation.
    pub(in super::super) operation_lines: Vec<u64>,
    pub(in super::super) checks: Vec<Check>,
    pub(in super::super) block_lines: Vec<BlockLine>,
    pub(in super::super) faults: Vec<Fault>,
    pub(in super::super) backings: Backings,
    pub(in super::super) tally: Tally,
    /// The line at which each named case begins, and its name.
    pub(in super::super) cases: Vec<(u64, String)>,
    /// The queries that the plain model answers differently from the recording.
    pub(in super::super) differences: Vec<FailedQuery>,
}

impl History {
    /// The line of the operation that an edit belongs to; the edits are counted from 1, 0 is the start.
    pub(in super::super) fn line_of_edit(&self, edit: u32) -> Option<u64> {
        let step = self.steps.get((edit as usize).checked_sub(1)?)?;
        self.operation_lines.get(step.operation as usize).copied()
    }

    /// The case that a line belongs to.
    pub(in super::super) fn case_of(&self, line: u64) -> Option<&str> {
        let after = self.cases.partition_point(|(start, _)| *start <= line);
        self.cases[..after].last().map(|(_, name)| name.as_str())
    }
}
