//! What the writer does: it goes to a range ([`position`]), builds a replacement privately ([`pending`]), and publishes it ([`publish`]).
//!
//! Called by the write guard through an [`Editor`], and by `validate`, which only looks.

mod edit;
mod editor;
mod gap;
mod groups;
mod leaf_edit;
mod list;
mod nodes;
mod path;
mod pending;
mod position;
mod prepared;
mod publish;
mod removed;
mod splice;

pub(crate) use editor::Editor;
pub(super) use editor::Writer;
pub(crate) use gap::FoundGap;
pub use gap::GapQuery;
pub(crate) use list::{EntryList, EntryListIter};
pub(crate) use position::Position;
pub(crate) use prepared::Prepared;
pub use removed::{Removed, RemovedEntry, RemovedIter};
