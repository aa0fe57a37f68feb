//! The VMA (L2): what a range is mapped to, as plain values, and the lock of one VMA.
//!
//! `mm` and `fault` come in. Nobody else is called: this room knows no tree and no map, and of the mm lock how its writer waits.
//!
//! A published [`VmaRecord`] does not change, but for its lock word and the owner of its private pages, who may come once. Its bounds are not in it: they are the index's. What would change a
//! record publishes another in its place. So whoever can read a record at all reads something whole.

mod flags;
mod kind;
mod lock;
mod payload;
mod record;

pub use flags::VmaFlags;
pub use kind::AnonOwner;
pub use payload::Payload;
pub use record::{Backing, ObjectId, Vma, VmaRecord, VmaSpec};

pub(crate) use kind::{Kind, Owner};
pub(crate) use lock::Attempt;
