//! A recorded history: the starting layouts, the edits of each operation, the page faults, and the queries with the recorded answers.
//! Called by `replay::run` through [`read`].
//!
//! One file for each family of operations says how it changes a layout. All of them use only the plain model of `layout_model`. A failed
//! call is skipped, except for what it did before it failed: an `mprotect` that meets a hole has changed what is below the hole.

mod block;
mod brk;
mod builder;
mod data;
mod keys;
mod mapping;
mod marks;
mod protect;
mod remap;
mod space;
mod state;

pub(super) use data::{Fault, History, Space, Step, Tally};

use anyhow::Result;
use vmaple_trace::{Line, Reader};

/// Reads a whole trace. `witness` is called with each line before it is processed.
///
/// # Errors
/// If the trace cannot be read, exceeds a limit, or contradicts itself. The message names the line.
pub(super) fn read(reader: Reader, witness: impl FnMut(&Line)) -> Result<History> {
    builder::Builder::new(reader.file().to_owned()).read(reader, witness)
}

#[cfg(test)]
pub(super) mod tests;
