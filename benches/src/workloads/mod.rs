//! The workloads, one file each.

mod bytes;
mod expand;
mod fault_2;
mod fault_grow;
mod fault_hit;
mod fault_mixed;
mod fill;
mod gap;
mod iterate;
mod lock;
mod lookup;
mod lookup_2;
mod lookup_chain;
mod mixed;
mod mixed_paced;
mod replace;

use crate::workload::Workload;

/// All of them, in the order of the output.
pub const ALL: [Workload; 25] = [
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
];
