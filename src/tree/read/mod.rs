//! What readers do: one answer by one descent ([`walk`]), and many in order ([`iter`]). Nothing here writes to the index.
//!
//! Called through a [`View`], which every guard and pin derefs to, and by the writer, which is a reader of what it does not change.

mod entry;
mod iter;
mod walk;

pub use entry::Entry;
pub use iter::Iter;
pub use walk::View;
pub(super) use walk::{Arrival, entry};
