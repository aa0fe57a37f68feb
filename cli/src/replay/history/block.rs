//! The assertions of a recording: blocks, lookups and searches. Each becomes a query. The plain model answers it while the trace is read, and the
//! index while the history is replayed.

use super::super::layout_model::Bounds;
use super::super::limits;
use super::super::query::{BlockLine, GapRequest, Query};
use super::builder::Builder;
use anyhow::{Result, bail};
use vmaple_trace::{Expected, Found, Outcome, Side};

/// Converts a range of a trace.
fn inclusive(extent: vmaple_trace::Extent) -> Bounds {
    Bounds { start: extent.start, last: extent.last() }
}

impl Builder {
    pub(super) fn block_begins(&mut self) {
        self.block = Some(self.history.block_lines.len());
    }

    pub(super) fn block_line(&mut self, expected: &Expected) -> Result<()> {
        if self.history.block_lines.len() == limits::BLOCK_LINES {
            bail!("read more than {} lines of blocks, expected at most that", limits::BLOCK_LINES);
        }
        let (extent, perm) = (inclusive(expected.extent), expected.perm.map(vmaple_trace::Perm::bits));
        let line = self.line();
        self.history.block_lines.push(BlockLine { extent, perm, line });
        Ok(())
    }

    pub(super) fn block_ends(&mut self) -> Result<()> {
        let start = self.block.take().unwrap_or(self.history.block_lines.len());
        let lines = start..self.history.block_lines.len();
        self.history.tally.blocks += 1;
        self.query(self.line(), Query::Block { window: self.window, lines })
    }

    pub(super) fn lookup(&mut self, address: u64, found: Found) -> Result<()> {
        let area = match found {
            Found::Unchecked => return Ok(()),
            Found::None => None,
            Found::Area(extent) => Some(inclusive(extent)),
        };
        self.history.tally.queries += 1;
        self.query(self.line(), Query::Lookup { address, area })
    }

    pub(super) fn find(&mut self, address: u64, found: Found) -> Result<()> {
        let area = match found {
            Found::Unchecked => return Ok(()),
            Found::None => None,
            Found::Area(extent) => Some(inclusive(extent)),
        };
        self.history.tally.queries += 1;
        self.query(self.line(), Query::Find { address, area })
    }

    pub(super) fn gap(&mut self, side: Side, window: (u64, u64), len: u64, align: u64, outcome: Outcome) -> Result<()> {
        let found = match outcome {
            Outcome::Unchecked => return Ok(()),
            Outcome::Value(address) => Ok(address),
            Outcome::Failed(errno) => Err(errno.name()),
        };
        self.history.tally.queries += 1;
        let request = GapRequest { side, window, len, align };
        self.query(self.line(), Query::Gap { request, found })
    }
}
