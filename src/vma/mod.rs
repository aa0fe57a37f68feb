//! The VMA (L2): what a range is mapped to, as plain values, and the lock of one VMA.
//!
//! Called by `mm`. This module uses no tree and no map, and of the mm lock only how its writer waits.
//!
//! A published [`VmaRecord`] does not change, except for its lock word and the owner of its private pages, which is set once at most. Its
//! bounds are not in it, but in the index. An operation that changes a VMA publishes another record in its place. So a record that can be
//! read at all is consistent.

mod backing;
mod flags;
mod kind;
mod lock;
mod payload;
mod record;

pub use backing::{Backing, ObjectId};
pub use flags::VmaFlags;
pub use kind::AnonOwner;
pub use payload::Payload;
pub use record::{Vma, VmaRecord, VmaSpec};

pub(crate) use kind::{Kind, Owner};
pub(crate) use lock::Attempt;
