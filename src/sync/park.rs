//! Parking: how a thread sleeps until another one wakes it. Selects the way of this build.
//!
//! Called by `lock`, and by `newest` for the mutex. A thread sleeps under a `Key` until one of its `Flag`s is raised and its key is woken. With the
//! feature `parking` and in models threads sleep in a parking lot (`lot`), otherwise they spin (`spinning`).

#[cfg(any(feature = "parking", vmaple_loom, vmaple_shuttle))]
pub(crate) use super::lot::{Mutex, Parking};
#[cfg(not(any(feature = "parking", vmaple_loom, vmaple_shuttle)))]
pub(crate) use super::spinning::{Mutex, Parking};
