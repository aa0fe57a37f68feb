//! The index: what it holds, what it answers, and what an edit costs.

mod api_equivalence;
mod edges;
mod history;
// It counts nodes: nothing for Miri.
#[cfg(not(miri))]
mod node_counts;
mod sequences;
