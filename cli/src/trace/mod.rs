//! The trace format: the recorded history of a process, a scenario, or a failure, one record a line.
//!
//! `record` comes in to write traces, `replay` and the fuzz target `trace_parse` to read them. This room knows the
//! shape of the format (`docs/trace.md`) and nothing of what the records mean to a layout: it calls nobody.
//!
//! The reader is a stream: it holds one line at a time, at most [`MAX_LINE_BYTES`], whatever the length of the file
//! or of what a compressed file expands to. So a block of assertions is not one record but a [`Record::Maps`] or
//! [`Record::Cover`], then an [`Record::Expected`] per line, then a [`Record::End`].

mod advice;
mod area_flags;
mod errno;
mod error;
mod fields;
mod huge;
mod line;
mod marks;
mod object;
mod operation;
mod parse;
mod perm;
mod record;
mod show;
#[cfg(test)]
mod tests;
mod words;
mod write;

pub use advice::Advice;
pub use area_flags::AreaFlags;
pub use errno::Errno;
pub use error::{TraceError, TraceFault};
pub use huge::{Placement, SharedHuge};
pub use marks::{MarkKind, Marks, With};
pub use object::{Name, Object};
pub use operation::Operation;
pub use parse::Reader;
pub use perm::Perm;
pub use record::{
    Access, Area, Context, Expected, Extent, ForkOutcome, Found, Limit, Line, Offset, Outcome, Overcommit, Privilege, Record, Resource,
    Setting, Side, Stamp, VmCounts,
};
pub use words::{Capabilities, LockAllFlags, LockFlags, MapFlags, Prot, RemapFlags};
pub use write::{Ending, Writer};

/// The first line of every trace.
pub const HEADER: &str = "vmaple-trace 1";

/// What follows it in the first line of a trace that ends with the line `complete`.
const PROMISE: &str = " until complete";

/// The longest line that is read, without its line feed.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The most areas that one layout may have, given as `area` records or as lines of one block.
pub const MAX_AREAS: u64 = 16_000_000;
