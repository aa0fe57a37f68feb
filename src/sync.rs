//! The shim (L0): atomics, cells, epochs and sleep, of the machine or of a model checker.
//!
//! Called by every module that shares memory between threads. This file only declares its children and re-exports what they define. They
//! are the only files that import atomics, loom, shuttle or crossbeam-epoch (a test checks this), so the rest of the crate is compiled
//! unchanged for the machine and for the checkers:
//!
//! | build | atomics and cells | collector | sleep |
//! |---|---|---|---|
//! | plain | `core` | `epoch::Epoch`, on crossbeam-epoch | std's condition variables, with `parking` |
//! | `--cfg vmaple_model` | `core` | `model::Model`, which frees as early as an epoch scheme may | std's condition variables, with `parking` |
//! | `--cfg vmaple_loom` | loom | `model::Model` | loom's condition variable |
//! | `--cfg vmaple_shuttle` | shuttle | `model::Model` | shuttle's condition variable |
//!
//! Without the feature `std`, and with `--cfg vmaple_slots`, alone or beside another, the collector is `slots::Slots`, the library's own.
//! Without the feature `parking`, the first two builds spin instead of sleeping.
//!
//! Two rules for the callers:
//!
//! * A field that is published to other threads is an atomic or a [`Plain`], because loom does not track bare fields.
//! * For a word that only the writer stores to, the writer's own loads use [`owner_load`]. Stock loom hides interleavings of a thread that
//!   loads an atomic and then stores to it (tokio-rs/loom#392); an unsynchronized load hides none, and loom reports two writers.

mod const_fn;
mod counters;
mod cpu;
#[cfg(all(feature = "std", not(any(vmaple_loom, vmaple_shuttle, vmaple_model, vmaple_slots))))]
mod epoch;
mod flag;
mod liveness;
#[cfg(any(feature = "parking", vmaple_loom, vmaple_shuttle))]
mod lot;
#[cfg(all(any(vmaple_loom, vmaple_shuttle, vmaple_model), not(vmaple_slots)))]
mod model;
mod newest;
mod park;
mod pause;
mod prim;
mod reclaim;
mod seeded;
mod shared;
#[cfg(any(vmaple_slots, not(feature = "std"), test))]
#[allow(dead_code, reason = "no public function leads yet to all that it can do, and a checker's build uses a part")]
mod slots;
#[cfg(not(any(feature = "parking", vmaple_loom, vmaple_shuttle)))]
mod spinning;
mod stripe;
#[cfg(any(all(feature = "std", not(vmaple_slots)), test))]
mod ticket;
mod unique;

#[cfg(all(feature = "std", not(any(vmaple_loom, vmaple_shuttle, vmaple_model, vmaple_slots))))]
pub(crate) use epoch::Epoch as Collector;
#[cfg(all(any(vmaple_loom, vmaple_shuttle, vmaple_model), not(vmaple_slots)))]
pub(crate) use model::Model as Collector;
#[cfg(any(vmaple_slots, not(feature = "std")))]
pub(crate) use slots::Slots as Collector;

pub(crate) use const_fn::const_fn;
pub(crate) use core::sync::atomic::Ordering;
pub(crate) use counters::{Counter, Tally};
pub(crate) use cpu::{CpuFeature, prefetch};
pub(crate) use flag::{Flag, Key, Park};
pub(crate) use liveness::Liveness;
pub(crate) use newest::Newest;
pub(crate) use park::{Mutex, Parking};
pub(crate) use pause::{Pause, Spin};
pub(crate) use prim::{AtomicPtr, AtomicU64, Plain, fence, owner_load, owner_load_ptr};
pub(crate) use reclaim::Reclaim;
pub(crate) use seeded::seeded;
pub(crate) use shared::Shared;
pub(crate) use stripe::stripe;
pub(crate) use unique::unique_numbers;
