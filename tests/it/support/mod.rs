//! Code that several subjects share: the models, the programs that drive library and model in step, and small helpers.

pub(crate) mod address_space;
pub(crate) mod each_lock;
pub(crate) mod fault_model;
pub(crate) mod fifo_lock;
pub(crate) mod page_model;
pub(crate) mod sorted_list;
pub(crate) mod versions;

/// Whether the maps of this build retire through slots.
pub(crate) const OVER_SLOTS: bool = cfg!(any(vmaple_slots, not(feature = "std")));

use std::sync::atomic::{AtomicBool, Ordering};

/// Ends other threads when it is dropped, also if the test fails, which would wait for them forever.
pub(crate) struct Ends<'e>(pub(crate) &'e AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
