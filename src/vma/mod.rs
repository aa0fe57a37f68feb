//! The VMA (L2): what a range is mapped to, as plain values, and the lock of one VMA.
//!
//! Called by `mm` and `mm/fault`. This room knows no tree and no map, and of the mm lock only how its writer waits.
//!
//! The bounds of a VMA are not here, because the index has them. A published record does not change, except for its lock word and for an
//! owner that is set once: an operation that changes a VMA publishes another record in its place. So every reader of a record sees it whole.

mod attrs;
mod backing;
mod flags;
mod lock;
mod owner;
mod payload;
mod record;
mod spec;

pub use backing::{Backing, ObjectId};
pub use flags::VmaFlags;
pub use owner::AnonOwner;
pub use payload::Payload;
pub use record::{Vma, VmaHandle};
pub use spec::VmaSpec;

pub(crate) use attrs::{NewVma, VmaAttrs};
pub(crate) use lock::Attempt;
pub(crate) use owner::Owner;
pub(crate) use record::VmaRecord;
