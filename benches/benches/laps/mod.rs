//! Workloads of the comparing program under criterion: vmaple, and the subject that ratios are based on. Called by the bench targets, each
//! with its own rows.

use criterion::{BenchmarkId, Criterion};
use std::sync::Arc;
use std::time::Duration;
use vmaple_bench::cores::{self, Part};
use vmaple_bench::regions::RegionSet;
use vmaple_bench::subjects::BASES;
use vmaple_bench::workload::{Bench, Candidate, Measure, Workload};
use vmaple_bench::workloads;

/// Benches all rows of these workloads, at these numbers of regions.
pub(crate) fn bench(criterion: &mut Criterion, sizes: &[usize], wanted: impl Fn(&Workload) -> bool) {
    cores::hold(Part::Main);
    let sets: Vec<Arc<RegionSet>> = sizes.iter().map(|&size| Arc::new(RegionSet::of(size))).collect();
    for workload in workloads::ALL.iter().filter(|workload| wanted(workload)) {
        let Measure::Laps(candidates) = workload.measure else { continue };
        let mut group = criterion.benchmark_group(workload.row);
        for Candidate { name, make, .. } in candidates() {
            if !name.starts_with("vmaple-") && !BASES.contains(&name) {
                continue;
            }
            for set in &sets {
                // Filled only if the filter selects it.
                group.bench_function(BenchmarkId::new(name, set.count()), |bencher| {
                    let mut bench = make(set);
                    bencher.iter_custom(|iterations| lap(&mut *bench, iterations));
                });
            }
        }
        group.finish();
    }
}

/// Returns how long `iterations` operations take. A bench may run a few more, to complete a chunk, so the time is scaled.
#[allow(clippy::cast_precision_loss, reason = "counts of a lap are far below 2^52")]
fn lap(bench: &mut dyn Bench, iterations: u64) -> Duration {
    let pace = bench.lap(iterations).pace;
    pace.elapsed.mul_f64(iterations as f64 / pace.ops as f64)
}

/// Few samples, each long enough for a rough figure.
pub(crate) fn settings() -> Criterion {
    Criterion::default().sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3))
}
