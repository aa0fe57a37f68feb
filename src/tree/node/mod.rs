//! Nodes: their shape, references to them by role, the search inside a node, and how a node is filled.
//!
//! Called by all of the tree, and by nothing outside it.

mod buffer;
mod fill;
mod raw;
mod refs;
mod search;
mod shape;

pub(super) use buffer::{EntryBuffer, EntrySlice};
pub(super) use fill::{Exchange, write_inner, write_leaf, write_leaf_of};
pub(super) use raw::{RawEntry, copy_bits};
pub(super) use refs::{InnerRef, LeafRef, Node, ReaderRole, WriterRole};
pub(super) use search::{ByGroups, Ranks, by_vectors};
pub(super) use shape::{Child, Inner, Leaf, Memory, NodePtr, Root, Slot, Summary, end_of_life};
