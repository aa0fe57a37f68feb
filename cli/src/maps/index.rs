//! The index of a map. Called by `maps::run` and `watch`, which build it, and by `summary` and `resolve`, which read it.

use crate::procmaps::MapLine;
use anyhow::{Context as _, Result};
use std::sync::Arc;
use vmaple::RangeMap;

/// The index of a map. Its values are the kernel's lines.
pub(super) type Index = RangeMap<Arc<MapLine>>;

/// Builds the index of these lines.
pub(super) fn build(lines: &[Arc<MapLine>]) -> Result<Index> {
    let entries = lines.iter().map(|line| (line.start..=line.last(), Arc::clone(line)));
    let map = RangeMap::builder().build_from(entries);
    map.map_err(|error| anyhow::anyhow!("{error}")).context("the index refused the map")
}
