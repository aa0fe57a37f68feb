//! What readers do: one answer by one descent ([`walk`]), or many in order ([`iter`], [`segments`]). Nothing here writes to the index.
//!
//! Called through a [`View`], to which every guard and pin derefs, and by the writer for what it only reads.

mod entry;
mod iter;
mod segments;
mod walk;

pub use entry::Entry;
pub use iter::Iter;
pub use segments::{Gaps, Segment, Segments};
pub use walk::View;
pub(super) use walk::{Arrival, entry};
