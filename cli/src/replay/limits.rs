//! Limits of a trace. A trace beyond a limit ends with an error before it fills the memory. In unit tests the limits are low, so that tests
//! reach them.
//!
//! Called by `history` and `packed`.

const fn limit(most: usize) -> usize {
    if cfg!(test) { 256 } else { most }
}

/// Edits of the whole history.
pub(super) const EDITS: usize = limit(4 << 20);
/// Operations.
pub(super) const OPERATIONS: usize = limit(8 << 20);
/// Recorded page faults.
pub(super) const FAULTS: usize = limit(4 << 20);
/// Lines of all blocks together.
pub(super) const BLOCK_LINES: usize = limit(8 << 20);
/// Queries: blocks, lookups, searches.
pub(super) const QUERIES: usize = limit(256 << 10);
/// Address spaces, which `reset` and `as` create.
pub(super) const SPACES: usize = limit(4096);
/// Areas of all children together that wait for their first operation.
pub(super) const UNBORN_AREAS: usize = limit(1 << 20);
/// Bytes of the names of all objects together.
pub(super) const NAME_BYTES: usize = limit(64 << 20);
/// Named cases that are kept for messages.
pub(super) const CASES: usize = limit(65_536);
