//! The workloads of the index under criterion, for work on the code: vmaple and the base of the ratios, at 1,000 and 100,000 regions.
//!
//! `cargo bench -p vmaple-bench --bench workloads -- lookup/vmaple-reader` runs the benches that the filter names and compares them with the
//! previous run. The comparing program compares with the other subjects, in turns, and its figures may be quoted. Faults, the lock and address
//! spaces have targets of their own.

mod laps;

use criterion::{Criterion, criterion_group, criterion_main};
use vmaple_bench::workloads::OF_SPACES;

fn all(criterion: &mut Criterion) {
    laps::bench(criterion, &[1_000, 100_000], |workload| {
        let has_own_target = |name: &str| name.starts_with("fault-") || name == "lock" || OF_SPACES.contains(&name);
        !has_own_target(workload.name)
    });
}

criterion_group! {
    name = benches;
    config = laps::settings();
    targets = all
}
criterion_main!(benches);
