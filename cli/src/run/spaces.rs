//! The address spaces of a scenario by name, and which of them is meant. The runner comes in; it makes the spaces, this keeps them.

use super::space::{Refusal, Space};
use std::collections::BTreeMap;
use vmaple_trace::Name;

/// The name of the first.
const FIRST: &[u8] = b"main";

/// The address spaces; later records act on the current one.
pub(crate) struct Spaces<S> {
    by_name: BTreeMap<Box<[u8]>, S>,
    current: Box<[u8]>,
}

impl<S: Space> Spaces<S> {
    /// One, the first, empty.
    pub(crate) fn begin() -> Result<Self, Refusal> {
        Ok(Self { by_name: BTreeMap::from([(FIRST.into(), S::begin()?)]), current: FIRST.into() })
    }

    /// The one that is meant.
    pub(crate) fn current(&mut self) -> Result<&mut S, Refusal> {
        self.by_name.get_mut(&self.current).ok_or_else(|| Refusal::NoSpace(text(&self.current)))
    }

    /// `as`.
    pub(crate) fn choose(&mut self, name: &Name) -> Result<(), Refusal> {
        if !self.by_name.contains_key(name.bytes()) {
            return Err(Refusal::NoSpace(name.to_string()));
        }
        self.current = name.bytes().into();
        Ok(())
    }

    /// Whether the name is free for a child.
    pub(crate) fn check_free(&self, name: &Name) -> Result<(), Refusal> {
        if self.by_name.contains_key(name.bytes()) { Err(Refusal::TakenName(name.to_string())) } else { Ok(()) }
    }

    /// Keeps a child under its name.
    pub(crate) fn keep(&mut self, name: &Name, child: S) {
        self.by_name.insert(name.bytes().into(), child);
    }

    /// `exit`: the one that is meant goes, and its name is free.
    pub(crate) fn exit(&mut self) -> Result<S, Refusal> {
        self.by_name.remove(&self.current).ok_or_else(|| Refusal::NoSpace(text(&self.current)))
    }

    /// All that are left.
    pub(crate) fn all(&self) -> impl Iterator<Item = &S> {
        self.by_name.values()
    }
}

fn text(name: &[u8]) -> String {
    Name::new(name).map_or_else(String::new, |name| name.to_string())
}
