//! The address spaces of a scenario by name, and which of them is current. Called by `runner` and by the program's `replay`.

use crate::space::{Refusal, Space};
use std::collections::BTreeMap;
use vmaple_trace::Name;

/// The name of the first address space.
const FIRST: &[u8] = b"main";

/// Address spaces by name. Records act on the current one.
#[derive(Debug)]
pub struct Spaces<S> {
    by_name: BTreeMap<Box<[u8]>, S>,
    current: Box<[u8]>,
}

impl<S: Space> Spaces<S> {
    /// Returns a set with one empty address space, `main`, which is current.
    ///
    /// # Errors
    /// If an address space of this kind cannot be made here.
    pub fn begin() -> Result<Self, Refusal> {
        Ok(Self { by_name: BTreeMap::from([(FIRST.into(), S::begin()?)]), current: FIRST.into() })
    }

    /// Returns the current address space.
    ///
    /// # Errors
    /// [`Refusal::NoSpace`] after its `exit`.
    pub fn current(&mut self) -> Result<&mut S, Refusal> {
        self.by_name.get_mut(&self.current).ok_or_else(|| Refusal::NoSpace(text(&self.current)))
    }

    /// `as`: makes the address space of that name current.
    ///
    /// # Errors
    /// [`Refusal::NoSpace`] if none has that name.
    pub fn choose(&mut self, name: &Name) -> Result<(), Refusal> {
        if !self.by_name.contains_key(name.bytes()) {
            return Err(Refusal::NoSpace(name.to_string()));
        }
        self.current = name.bytes().into();
        Ok(())
    }

    /// Checks that no address space has this name.
    ///
    /// # Errors
    /// [`Refusal::TakenName`] if one has.
    pub(crate) fn check_free(&self, name: &Name) -> Result<(), Refusal> {
        if self.by_name.contains_key(name.bytes()) { Err(Refusal::TakenName(name.to_string())) } else { Ok(()) }
    }

    /// Adds a child under its name.
    pub fn keep(&mut self, name: &Name, child: S) {
        self.by_name.insert(name.bytes().into(), child);
    }

    /// `exit`: removes the current address space and returns it. Its name is free afterwards.
    ///
    /// # Errors
    /// [`Refusal::NoSpace`] if it has been removed already.
    pub fn exit(&mut self) -> Result<S, Refusal> {
        self.by_name.remove(&self.current).ok_or_else(|| Refusal::NoSpace(text(&self.current)))
    }

    /// Returns all address spaces that are left.
    pub fn all(&self) -> impl Iterator<Item = &S> {
        self.by_name.values()
    }
}

fn text(name: &[u8]) -> String {
    Name::new(name).map_or_else(String::new, |name| name.to_string())
}
