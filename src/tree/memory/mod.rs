//! Where nodes come from and where removed nodes and values wait: the pool, and the limbo before it.
//!
//! Only the writer's files come in here, `build` for a tree that nobody sees yet, and the tree when it ends.

mod contained;
mod limbo;
mod pool;

pub(crate) use contained::{FirstPanic, drop_contained};
pub(crate) use limbo::Charge;
pub(super) use limbo::{IN_VAIN, Limbo, TRY_HARD};
pub(super) use pool::{Pool, node_bytes};
