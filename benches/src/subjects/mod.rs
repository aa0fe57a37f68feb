//! The subjects, one file per family: what vmaple is compared with, and lower bounds. Called by the workloads through the lists below.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod agreement_of_spaces;
pub mod arcswap_imbl;
pub mod arcswap_vec;
pub mod child;
pub mod concurrent_map;
pub mod floor_flat;
pub mod floor_pin;
pub mod floor_stree;
pub mod kernel;
pub mod left_right;
pub mod locked_btreemap;
pub mod locked_faults;
pub mod locked_rangemap;
pub mod locked_space;
pub mod locks;
pub mod masstree;
pub mod scc;
pub mod skipmap;
pub mod vm_memory;
pub mod vmaple;
pub mod vmaple_mm;
pub mod vmaple_space;

/// vmaple through a fresh pin.
pub type VmaplePin = vmaple::Vmaple<vmaple::Pin>;
/// vmaple through a kept `Reader`.
pub type VmapleReader = vmaple::Vmaple<vmaple::Kept>;
/// vmaple through a kept `Reader` that rests after each question.
pub type VmapleRests = vmaple::Vmaple<vmaple::Rested>;
/// vmaple under a pin held over a chunk.
pub type VmapleHeld = vmaple::Vmaple<vmaple::Held>;
/// vmaple in batches.
pub type VmapleBatch = vmaple::Vmaple<vmaple::Batched>;
/// The base of all ratios.
pub type Base = locked_btreemap::LockedBTreeMap<parking_lot::RwLock<std::collections::BTreeMap<u64, (u64, u64)>>>;
/// A `BTreeMap` under std's lock.
pub type StdLocked = locked_btreemap::LockedBTreeMap<std::sync::RwLock<std::collections::BTreeMap<u64, (u64, u64)>>>;
/// A sorted vector behind `ArcSwap`.
pub type ArcSwapVec = arcswap_vec::ArcSwapVec<arcswap_vec::Load>;
/// A sorted vector behind `ArcSwap`, through a `Cache`.
pub type ArcSwapVecCache = arcswap_vec::ArcSwapVec<arcswap_vec::Cached>;

/// The name of the base of all ratios.
pub const BASE: &str = <Base as crate::subject::Index>::NAME;

/// The name of the base of the ratios of bare locks.
pub const LOCK_BASE: &str = <parking_lot::RwLock<()> as locks::Lock>::NAME;

/// The names of the bases. A workload has one of them.
pub const BASES: [&str; 2] = [BASE, LOCK_BASE];

/// The name of the cost of entering the kernel, once for each system call of an operation.
pub const KERNEL_ENTRY: &str = "kernel-entry";

/// All names, in the order of the output.
pub const NAMES: [&str; 32] = [
    "vmaple-pin",
    "vmaple-reader",
    "vmaple-reader-rests",
    "vmaple-held",
    "vmaple-batch",
    "vmaple-per-vma-reader",
    "vmaple-per-vma",
    "vmaple-mm-lock",
    "vmaple-upgrade",
    "vmaple-retake",
    "vmaple-lock",
    "vmaple-lock-raw",
    "vmaple-mm",
    BASE,
    LOCK_BASE,
    "std-rwlock-btreemap",
    "std-rwlock",
    "rwlock-rangemap",
    "arcswap-vec",
    "arcswap-vec-cache",
    "arcswap-imbl",
    "skipmap",
    "scc-treeindex",
    "concurrent-map",
    "masstree",
    "left-right",
    "vm-memory",
    "kernel-calls",
    KERNEL_ENTRY,
    "floor-stree",
    "floor-flat",
    "floor-pin",
];

/// Calls `$each::<S>()` for the peers that can be changed, before and after which a list may name more subjects.
macro_rules! with_peers {
    ($each:ident: [$($before:ty),*] peers [$($after:ty),*]) => {{
        use $crate::subjects::{
            ArcSwapVec, ArcSwapVecCache, Base, StdLocked, arcswap_imbl::ArcSwapImbl, concurrent_map::Concurrent, left_right::LeftRight,
            locked_rangemap::LockedRangeMap, masstree::Mass, scc::SccTreeIndex, skipmap::Skip,
        };
        vec![
            $($each::<$before>(),)*
            $each::<Base>(),
            $each::<StdLocked>(),
            $each::<LockedRangeMap>(),
            $each::<ArcSwapVec>(),
            $each::<ArcSwapVecCache>(),
            $each::<ArcSwapImbl>(),
            $each::<Skip>(),
            $each::<SccTreeIndex>(),
            $each::<Concurrent>(),
            $each::<Mass>(),
            $each::<LeftRight>(),
            $($each::<$after>(),)*
        ]
    }};
}
pub(crate) use with_peers;
