#![doc = include_str!("../README.md")]

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
pub use object::{Name, Object, Offset};
pub use operation::Operation;
pub use parse::Reader;
pub use perm::{ParsePermError, Perm};
pub use record::{
    Access, Area, Context, Expected, Extent, ForkOutcome, Found, Limit, Line, Outcome, Overcommit, Privilege, Record, Resource, Setting,
    Side, Stamp, VmCounts,
};
pub use words::{Capabilities, LockAllFlags, LockFlags, MapFlags, Prot, RemapFlags};
pub use write::{Ending, Writer};

/// The format in full: every record, every word, and what a reader refuses.
pub mod format {
    #![doc = include_str!("../FORMAT.md")]
}

/// The first line of every trace.
pub const HEADER: &str = "vmaple-trace 1";

/// Follows [`HEADER`] in the first line of a trace that ends with the line `complete`.
const PROMISE: &str = " until complete";

/// The longest line that a [`Reader`] accepts, in bytes, without its line feed.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// The most areas that a [`Reader`] accepts in one layout, as `area` records or as lines of one block.
pub const MAX_AREAS: u64 = 16_000_000;
