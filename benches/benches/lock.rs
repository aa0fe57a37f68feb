//! The mm lock under criterion: the cost of taking it, and of an upgrade beside that of releasing and retaking.
//! `cargo bench -p vmaple-bench --bench lock`. The rows `vmaple-lock-raw` are the lock without the map's guards: no editor, no sequence.

mod laps;

use criterion::{Criterion, criterion_group, criterion_main};

fn all(criterion: &mut Criterion) {
    laps::bench(criterion, &[16], |workload| workload.name == "lock");
}

criterion_group! {
    name = benches;
    config = laps::settings();
    targets = all
}
criterion_main!(benches);
