//! The configuration of an address space.
//!
//! Called by `Mm::builder`. The lock, the budget and the epochs are its map's.

use super::limits::Limits;
use super::{Mm, Record};
use crate::error::LimitsError;
use crate::lock::{MmLock, RawMmLock};
use crate::map::{BudgetPolicy, Builder, RangeMap};
use core::fmt;

/// Configures an [`Mm`]: its limits, its lock, its budget and its epochs. Created by [`Mm::builder`].
///
/// # Examples
/// ```
/// use vmaple::Mm;
/// use vmaple::mm::Limits;
/// let mut limits = Limits::default();
/// limits.max_map_count = 100;
/// let mm: Mm = Mm::builder().limits(limits)?.build();
/// assert_eq!(mm.limits().max_map_count, 100);
/// # Ok::<(), vmaple::mm::LimitsError>(())
/// ```
#[must_use = "nothing is built until `build` is called"]
pub struct MmBuilder<P = (), L = MmLock> {
    map: Builder<Record<P>, L>,
    limits: Limits,
}

impl<P> MmBuilder<P> {
    /// The default configuration.
    pub(super) fn new() -> Self {
        Self { map: RangeMap::builder(), limits: Limits::default() }
    }
}

impl<P, L: RawMmLock> MmBuilder<P, L> {
    /// Sets the limits. The default is Linux's.
    ///
    /// # Errors
    /// [`LimitsError`] if the value of a field has no meaning ([`Limits::validate`]).
    pub fn limits(mut self, limits: Limits) -> Result<Self, LimitsError> {
        limits.validate()?;
        self.limits = limits;
        Ok(self)
    }

    /// Uses a custom mm lock. The default is an [`MmLock`].
    pub fn lock<K: RawMmLock>(self, lock: K) -> MmBuilder<P, K> {
        let Self { map, limits } = self;
        MmBuilder { map: map.lock(lock), limits }
    }

    /// Bounds the bytes of removed VMAs that wait for readers: see [`Builder::budget_bytes`].
    pub fn budget_bytes(mut self, bytes: usize) -> Self {
        self.map = self.map.budget_bytes(bytes);
        self
    }

    /// Sets what happens when an operation would exceed the budget: see [`Builder::policy`].
    pub fn policy(mut self, policy: BudgetPolicy) -> Self {
        self.map = self.map.policy(policy);
        self
    }

    /// Gives the address space epochs of its own: see [`Builder::private_epochs`].
    pub fn private_epochs(mut self) -> Self {
        self.map = self.map.private_epochs();
        self
    }

    /// Builds an address space in which nothing is mapped.
    #[must_use]
    pub fn build(self) -> Mm<P, L> {
        Mm::over(self.map.build(), self.limits)
    }
}

impl<P, L: RawMmLock> fmt::Debug for MmBuilder<P, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmBuilder").field("map", &self.map).field("limits", &self.limits).finish()
    }
}
