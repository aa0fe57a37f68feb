//! A recorded history, read and understood: the starting layouts, the edits that lead from each operation to the next,
//! the page faults, and the questions that the recording answers. `replay::run` comes in through [`History::read`];
//! one file below knows how one family of operations changes a layout, and all of them call only the plain model in
//! `coverage`.
//!
//! A call that failed is skipped, but for what it did before it failed: an `mprotect` that met a hole has changed what
//! lay before the hole.

mod block;
mod brk;
mod builder;
mod keys;
mod mapping;
mod marks;
mod protect;
mod remap;
mod space;

use super::coverage::{Area, Edit, Extent};
use super::packed::Backings;
use super::query::{Difference, Query};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use vmaple_trace::{Access, Line, Reader};

/// What a trace may ask for at the most; a hostile one ends in an error before it fills the memory. In unit tests the
/// limits are low, so that they are reached.
pub(super) mod limits {
    const fn limit(most: usize) -> usize {
        if cfg!(test) { 256 } else { most }
    }

    /// Edits of the whole history.
    pub(in crate::replay) const EDITS: usize = limit(4 << 20);
    /// Operations.
    pub(in crate::replay) const OPERATIONS: usize = limit(8 << 20);
    /// Recorded page faults.
    pub(in crate::replay) const FAULTS: usize = limit(4 << 20);
    /// Lines of all blocks together.
    pub(in crate::replay) const BLOCK_LINES: usize = limit(8 << 20);
    /// Questions: blocks, lookups, searches.
    pub(in crate::replay) const QUESTIONS: usize = limit(256 << 10);
    /// Address spaces: `reset` and `as` make them.
    pub(in crate::replay) const SPACES: usize = limit(4096);
    /// Areas of all children together that wait for their first operation.
    pub(in crate::replay) const UNBORN_AREAS: usize = limit(1 << 20);
    /// Bytes that the names of all objects together may have.
    pub(in crate::replay) const NAME_BYTES: usize = limit(64 << 20);
    /// Named cases that are kept for messages.
    pub(in crate::replay) const CASES: usize = limit(65_536);
}

/// One edit, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) space: u32,
    /// The operation that it is a part of, counted from 0.
    pub(super) operation: u32,
    pub(super) edit: Edit,
}

/// A recorded page fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) address: u64,
    pub(super) space: u32,
    /// How many edits came before it.
    pub(super) after: u32,
    /// How many operations came before it.
    pub(super) operation: u32,
    pub(super) access: Access,
    /// Whether the layout had the address at that moment.
    pub(super) mapped: bool,
}

/// A question that the recording answers.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) space: u32,
    /// How many edits came before it.
    pub(super) after: u32,
    pub(super) line: u64,
    pub(super) query: Query,
}

/// One line of a `maps` or `cover` block.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockLine {
    pub(super) extent: Extent,
    /// As [`vmaple_trace::Perm::bits`]; `None` is not checked.
    pub(super) perm: Option<u8>,
    pub(super) line: u64,
}

/// What was counted while reading.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Tally {
    /// By the word of the operation: how often it was recorded.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// Operations that the kernel refused.
    pub(super) failed: u64,
    /// Threads that the stamps name.
    pub(super) threads: usize,
    /// `maps` and `cover` blocks.
    pub(super) blocks: u64,
    /// `lookup`, `find`, `gap`, and faults with an answer.
    pub(super) questions: u64,
    /// Faults whose address the layout had at that moment.
    pub(super) faults_mapped: u64,
}

/// One address space of a trace.
#[derive(Clone, Debug)]
pub(super) struct Space {
    /// The layout before the first edit.
    pub(super) start: Vec<Area>,
    /// The layout after the last one.
    pub(super) finish: Vec<Area>,
    /// Where the heap begins, if `brk` ever made one.
    pub(super) heap: Option<u64>,
}

/// A whole history.
#[derive(Debug)]
pub(super) struct History {
    /// What messages call the trace.
    pub(super) file: String,
    pub(super) spaces: Vec<Space>,
    pub(super) steps: Vec<Step>,
    /// The line of each operation.
    pub(super) operation_lines: Vec<u64>,
    pub(super) checks: Vec<Check>,
    pub(super) block_lines: Vec<BlockLine>,
    pub(super) faults: Vec<Fault>,
    pub(super) backings: Backings,
    pub(super) tally: Tally,
    /// Where a named case begins.
    pub(super) cases: Vec<(u64, String)>,
    /// Where the plain model does not hold what the recording says.
    pub(super) differences: Vec<Difference>,
}

impl History {
    /// Reads a whole trace; `witness` sees each line, too, before it is understood.
    ///
    /// # Errors
    /// Where the trace cannot be read, asks for too much, or says what cannot be: the message names the line.
    pub(super) fn read(reader: Reader, witness: impl FnMut(&Line)) -> Result<Self> {
        builder::Builder::new(reader.file().to_owned()).read(reader, witness)
    }

    /// The line of the operation that an edit belongs to; the edits are counted from 1, 0 is the start.
    pub(super) fn line_of_edit(&self, edit: u32) -> Option<u64> {
        let step = self.steps.get((edit as usize).checked_sub(1)?)?;
        self.operation_lines.get(step.operation as usize).copied()
    }

    /// The case that a line belongs to.
    pub(super) fn case_of(&self, line: u64) -> Option<&str> {
        let after = self.cases.partition_point(|(start, _)| *start <= line);
        self.cases[..after].last().map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
pub(super) mod tests;
