//! The workloads, one file each.

mod brk;
mod bytes;
mod expand;
mod fault_2;
mod fault_grow;
mod fault_hit;
mod fault_mixed;
mod fill;
mod fork;
mod gap;
mod iterate;
mod lock;
mod lookup;
mod lookup_2;
mod lookup_chain;
mod mixed;
mod mixed_paced;
mod mmap_munmap;
mod mprotect;
mod replace;
mod replay;
mod spaces;

use crate::workload::Workload;

/// The names of the workloads that change whole address spaces by system calls.
pub const OF_SPACES: [&str; 5] = ["mmap-munmap", "mprotect", "brk", "fork", "replay"];

/// All workloads, in the order of the output.
pub const ALL: [Workload; 33] = [
    lookup::WORKLOAD,
    lookup_chain::WORKLOAD,
    lookup_2::WORKLOAD,
    mixed::WORKLOAD,
    mixed_paced::REPLACE,
    mixed_paced::GROW,
    replace::WORKLOAD,
    expand::WORKLOAD,
    gap::WORKLOAD,
    fill::RANDOM,
    fill::ASCENDING,
    iterate::WORKLOAD,
    bytes::RANDOM,
    bytes::ASCENDING,
    bytes::OF_SPACES,
    bytes::ALLOCATIONS,
    bytes::ALLOCATIONS_GROW,
    fault_hit::WORKLOAD,
    fault_2::WORKLOAD,
    fault_mixed::WORKLOAD,
    fault_grow::WORKLOAD,
    lock::READ,
    lock::WRITE,
    lock::UPGRADE,
    lock::DOWNGRADE,
    lock::WRITE_2,
    mmap_munmap::ANYWHERE,
    mmap_munmap::IN_HOLES,
    mprotect::WORKLOAD,
    brk::WORKLOAD,
    fork::WORKLOAD,
    replay::ALONE,
    replay::BESIDE,
];
