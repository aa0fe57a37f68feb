//! The index: what it holds, what it answers, and what an edit costs.

mod api_equivalence;
mod edges;
mod history;
// It only counts nodes, so Miri would find nothing.
#[cfg(not(miri))]
mod node_counts;
mod sequences;
