//! The memory of nodes: the pool that they come from, and the limbo in which removed nodes and values wait for readers.
//!
//! Called by the writer's files, by `build` for a tree that nobody else sees yet, and by the tree when it ends. A reader never comes here.

mod contained;
mod limbo;
mod pool;

pub(crate) use contained::{FirstPanic, drop_contained};
pub(crate) use limbo::Charge;
pub(super) use limbo::Limbo;
pub(super) use pool::{Pool, node_bytes};
