//! Resolves addresses with the index of a map and describes the results. Called by `maps::run` and `watch`.

use super::index::Index;
use crate::procmaps::MapLine;
use indicatif::HumanBytes;
use std::fmt;
use std::sync::Arc;

/// What one address resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The address asked for.
    pub(super) address: u64,
    found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Area(Arc<MapLine>),
    Hole { above: Option<Arc<MapLine>> },
}

impl Answer {
    /// Whether the address is mapped.
    pub(super) fn is_hit(&self) -> bool {
        matches!(self.found, Found::Area(_))
    }
}

/// Asks for every address.
pub(super) fn all(index: &Index, addresses: &[u64]) -> Vec<Answer> {
    addresses.iter().map(|address| one(index, *address)).collect()
}

/// Asks for one: `find` gives the area that holds the address or, failing that, the next one above it.
pub(super) fn one(index: &Index, address: u64) -> Answer {
    let pin = index.pin();
    let found = match pin.find(address) {
        Some(entry) if entry.contains(address) => Found::Area(Arc::clone(entry.value())),
        next => Found::Hole { above: next.map(|entry| Arc::clone(entry.value())) },
    };
    Answer { address, found }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match &self.found {
            Found::Area(line) => {
                let into = address - line.start;
                write!(f, "{address:#x} is {into:#x} into {line}")?;
                if line.inode != 0 {
                    write!(f, " (file offset {:#x})", line.offset.saturating_add(into))?;
                }
                Ok(())
            }
            Found::Hole { above: Some(line) } => {
                write!(f, "{address:#x} is not mapped; {} above it begins {line}", HumanBytes(line.start - address))
            }
            Found::Hole { above: None } => {
                write!(f, "{address:#x} is not mapped, and nothing is above it")
            }
        }
    }
}
