//! Address spaces under criterion, by the system calls that change them, at 20, 1,000 and 100,000 VMAs, and the recorded histories:
//! `cargo bench -p vmaple-bench --bench space -- mmap-munmap/vmaple-mm`. The kernel is in the comparing program.

mod laps;

use criterion::{Criterion, criterion_group, criterion_main};
use vmaple_bench::workloads::OF_SPACES;

fn all(criterion: &mut Criterion) {
    let (replays, others): (Vec<&str>, Vec<&str>) = OF_SPACES.into_iter().partition(|name| *name == "replay");
    laps::bench(criterion, &[20, 1_000, 100_000], |workload| others.contains(&workload.name));
    laps::bench(criterion, &[1_000], |workload| replays.contains(&workload.name));
}

criterion_group! {
    name = benches;
    config = laps::settings();
    targets = all
}
criterion_main!(benches);
