//! Faults under criterion, by all their paths, at 20, 1,000 and 100,000 regions: `cargo bench -p vmaple-bench --bench fault`.

mod laps;

use criterion::{Criterion, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    laps::bench(criterion, &[20, 1_000, 100_000], |workload| workload.name.starts_with("fault-"));
}

criterion_group! {
    name = benches;
    config = laps::settings();
    targets = all
}
criterion_main!(benches);
