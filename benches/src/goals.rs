//! The goals of the project, compared with the results of a run. A goal that needs a figure which was not measured is left out.
//!
//! Linux's maple tree cannot run in this program. Its figures are estimated: as multiples of the base's lookup in the same run, with the
//! ratios that were once measured side by side.

use crate::results::{Findings, Row};
use crate::subjects::BASE;

/// The direction of a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    /// The figure must be at least this.
    AtLeast,
    /// The figure must be at most this.
    AtMost,
}

/// A goal at one size, with the measured figure.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What is compared.
    pub what: &'static str,
    /// The number of regions.
    pub regions: usize,
    /// The direction.
    pub sense: Sense,
    /// The bound.
    pub wanted: f64,
    /// The measured figure.
    pub seen: f64,
}

impl Verdict {
    /// Returns whether the goal is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        match self.sense {
            Sense::AtLeast => self.seen >= self.wanted,
            Sense::AtMost => self.seen <= self.wanted,
        }
    }
}

const READER: &str = "vmaple-reader";
const PIN: &str = "vmaple-pin";
const PER_VMA: &str = "vmaple-per-vma";
const SPACE: &str = "vmaple-mm";
const KERNEL: &str = "kernel-calls";
const CACHE: &str = "arcswap-vec-cache";
const STREE: &str = "floor-stree";

/// The maple tree's figures as multiples of the base's lookup, at 20, 1,000 and 100,000 regions.
struct StandIn([f64; 3]);

const MOVE: StandIn = StandIn([1.4, 1.9, 1.2]);
const GAP: StandIn = StandIn([1.5, 1.7, 0.9]);
const FILL_RANDOM: StandIn = StandIn([4.2, 6.8, 2.8]);
const FILL_ASCENDING: StandIn = StandIn([4.8, 4.5, 1.3]);
/// The maple tree's lookup at 1,000 regions, as such a multiple.
const LOOKUP_1K: f64 = 1.1;
/// The maple tree's two stores that make a replace, as a multiple of the base's replace at 1,000 regions.
const REPLACE_1K: f64 = 4.7;

impl StandIn {
    fn at(&self, regions: usize) -> Option<f64> {
        [20, 1_000, 100_000].iter().position(|&size| size == regions).map(|i| self.0[i])
    }
}

/// Compares a run with the goals.
#[must_use]
pub fn judge(findings: &Findings) -> Vec<Verdict> {
    findings.sizes().into_iter().flat_map(|regions| Judge { findings, regions }.all()).collect()
}

/// The goals at one size.
struct Judge<'f> {
    findings: &'f Findings,
    regions: usize,
}

impl Judge<'_> {
    fn all(&self) -> Vec<Verdict> {
        [self.lookups(), self.beside_a_writer(), self.writes(), self.memory(), self.faults(), self.spaces()].concat()
    }

    fn lookups(&self) -> Vec<Verdict> {
        let against_cache = self.by_size(&[(1_000, 1.7), (100_000, 1.8), (1_000_000, 2.8)]).unwrap_or(1.0);
        let against_base = if self.regions < 200 { 2.5 } else { 3.0 };
        let one_and_two = self.row("lookup-2", READER).and_then(|row| row.rate_against_alone);
        let verdicts = [
            self.least("lookup, Reader: times faster than Cache + Vec", against_cache, self.faster("lookup", READER, CACHE)),
            self.most("lookup, Reader: times the S-tree floor", 1.5, self.slower("lookup", READER, STREE)),
            self.least("lookup, pin: times faster than RwLock<BTreeMap>", against_base, self.faster("lookup", PIN, BASE))
                .filter(|_| self.regions <= 100_000),
            self.least(
                "lookup, pin: times faster than the maple tree",
                2.5,
                self.faster("lookup", PIN, BASE).map(|times| times * LOOKUP_1K),
            )
            .filter(|_| self.regions == 1_000),
            self.least("lookup_many: times faster than one by one", 1.5, self.faster("lookup", "vmaple-batch", READER))
                .filter(|_| self.regions >= 100_000),
            self.most("lookup-chain, Reader: times the S-tree floor", 1.3, self.slower("lookup-chain", READER, STREE)),
            self.most("lookup-chain, Reader: times Cache + Vec", 1.0, self.slower("lookup-chain", READER, CACHE)),
            self.least("two readers: times one", 1.95, one_and_two),
        ];
        verdicts.into_iter().flatten().collect()
    }

    fn beside_a_writer(&self) -> Vec<Verdict> {
        let lost = self.vmaple("mixed-reader").filter_map(|row| row.lost_ppm).reduce(f64::max);
        let kept = |workload| self.row(workload, READER).and_then(|row| row.rate_against_alone);
        let best = self.peers("mixed-reader").min_by(|a, b| a.median.total_cmp(&b.median));
        let against_best = best.and_then(|best| Some(self.row("mixed-reader", READER)?.times_better_than(best)));
        let mut verdicts = vec![self.most("mixed: mapped addresses missed, of a million", 0.0, lost)];
        if self.regions == 1_000 {
            verdicts.extend([
                self.least("mixed, reader: times faster than the best peer's", 2.5, against_best),
                self.least("mixed, writer: times faster than masstree's", 1.0, self.faster("mixed-writer", READER, "masstree")),
                self.least("beside a million replaces a second: of the idle rate", 0.7, kept("mixed-paced-replace")),
                self.least("beside a million growths a second: of the idle rate", 0.9, kept("mixed-paced-grow")),
            ]);
        }
        verdicts.into_iter().flatten().collect()
    }

    fn writes(&self) -> Vec<Verdict> {
        let pair = self.faster("replace", READER, BASE).map(|times| times * REPLACE_1K);
        let verdicts = [
            self.least("replace: times faster than RwLock<BTreeMap>'s remove and insert", 1.0, self.faster("replace", READER, BASE))
                .filter(|_| self.regions >= 1_000),
            self.least("replace: times faster than SkipMap's", 2.5, self.faster("replace", READER, "skipmap")),
            self.least("replace: times faster than the maple tree's pair", 3.0, pair).filter(|_| self.regions == 1_000),
            self.least("expand: times faster than the maple tree's boundary move", 1.5, self.stand_in(&MOVE, "expand")),
            self.least("gap: times faster than the maple tree's", 1.0, self.stand_in(&GAP, "gap")),
            self.least("fill-random: times faster than the maple tree's", 2.0, self.stand_in(&FILL_RANDOM, "fill-random")),
            self.least("fill-ascending: times faster than the maple tree's", 2.0, self.stand_in(&FILL_ASCENDING, "fill-ascending")),
        ];
        verdicts.into_iter().flatten().collect()
    }

    fn memory(&self) -> Vec<Verdict> {
        let figure = |workload| self.row(workload, READER).map(|row| row.median);
        let verdicts = [
            self.most("iterate: ns a region", 2.0, figure("iterate")).filter(|_| self.regions == 1_000),
            self.most("bytes a region after random insertions", 36.0, figure("bytes")).filter(|_| self.regions >= 1_000),
            self.most("bytes a region after ascending insertions", 28.0, figure("bytes-ascending")).filter(|_| self.regions >= 1_000),
            self.most("steady state: allocations a replace", 0.0, figure("allocations-replace")),
            self.most("steady state: allocations a growth", 0.0, figure("allocations-expand")),
        ];
        verdicts.into_iter().flatten().collect()
    }

    fn faults(&self) -> Vec<Verdict> {
        let detours = self.row("fault-mixed", PER_VMA).and_then(|row| row.detour_ppm);
        let verdicts = [
            self.least("fault-hit, per VMA: times faster than a read-locked BTreeMap", 2.0, self.faster("fault-hit", PER_VMA, BASE)),
            self.least("fault-2, per VMA: times faster than a read-locked BTreeMap", 10.0, self.faster("fault-2", PER_VMA, BASE)),
            self.most("fault-mixed, per VMA: off their path by a writer elsewhere, of a million", 0.0, detours),
            self.least(
                "fault-grow: upgrade, times faster than drop-and-retake",
                1.3,
                self.faster("fault-grow", "vmaple-upgrade", "vmaple-retake"),
            ),
        ];
        verdicts.into_iter().flatten().collect()
    }

    fn spaces(&self) -> Vec<Verdict> {
        let figure = |workload| self.row(workload, SPACE).map(|row| row.median);
        let kept = self.row("replay-reader", SPACE).and_then(|row| row.rate_against_alone);
        let is_1k = self.regions == 1_000;
        let verdicts = [
            self.most("mmap and munmap: ns a pair", 400.0, figure("mmap-munmap")).filter(|_| is_1k),
            self.most("mmap and munmap in holes: ns a pair", 400.0, figure("mmap-munmap-in-holes")).filter(|_| is_1k),
            self.least("mmap and munmap: times faster than the kernel's pair", 3.0, self.faster("mmap-munmap", SPACE, KERNEL))
                .filter(|_| is_1k),
            self.least(
                "mmap and munmap in holes: times faster than the kernel's pair",
                3.0,
                self.faster("mmap-munmap-in-holes", SPACE, KERNEL),
            )
            .filter(|_| is_1k),
            self.most("fork: ns a VMA", 15.0, figure("fork")).filter(|_| self.regions >= 1_000),
            self.least("beside a replay: of the readers' idle rate", 0.8, kept),
            self.most("bytes a VMA, in total", 128.0, figure("bytes-vma")).filter(|_| self.regions >= 1_000),
        ];
        verdicts.into_iter().flatten().collect()
    }

    fn least(&self, what: &'static str, wanted: f64, seen: Option<f64>) -> Option<Verdict> {
        Some(Verdict { what, regions: self.regions, sense: Sense::AtLeast, wanted, seen: seen? })
    }

    fn most(&self, what: &'static str, wanted: f64, seen: Option<f64>) -> Option<Verdict> {
        Some(Verdict { what, regions: self.regions, sense: Sense::AtMost, wanted, seen: seen? })
    }

    fn row(&self, workload: &str, subject: &str) -> Option<&Row> {
        self.findings.row(workload, subject, self.regions)
    }

    fn rows(&self, workload: &'static str) -> impl Iterator<Item = &Row> {
        self.findings.rows.iter().filter(move |row| row.workload == workload && row.regions == self.regions)
    }

    fn vmaple(&self, workload: &'static str) -> impl Iterator<Item = &Row> {
        self.rows(workload).filter(|row| row.subject.starts_with("vmaple-"))
    }

    fn peers(&self, workload: &'static str) -> impl Iterator<Item = &Row> {
        self.rows(workload).filter(|row| !row.subject.starts_with("vmaple-") && !row.subject.starts_with("floor-"))
    }

    fn faster(&self, workload: &str, subject: &str, than: &str) -> Option<f64> {
        Some(self.row(workload, subject)?.times_better_than(self.row(workload, than)?))
    }

    fn slower(&self, workload: &str, subject: &str, than: &str) -> Option<f64> {
        Some(self.row(workload, than)?.times_better_than(self.row(workload, subject)?))
    }

    /// Returns how many times faster a row is than the estimate of the maple tree.
    fn stand_in(&self, figure: &StandIn, workload: &str) -> Option<f64> {
        let lookup = self.row("lookup", BASE)?.median;
        Some(figure.at(self.regions)? * lookup / self.row(workload, READER)?.median)
    }

    fn by_size(&self, wanted: &[(usize, f64)]) -> Option<f64> {
        wanted.iter().find(|(regions, _)| *regions == self.regions).map(|&(_, wanted)| wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Lap, Pace};
    use crate::workloads;
    use std::time::Duration;

    fn timed(workload: &str, subject: &'static str, regions: usize, ns: u64) -> Vec<Row> {
        let workload = workloads::ALL.iter().find(|known| known.row == workload).unwrap();
        let pace = Pace { ops: 1, elapsed: Duration::from_nanos(ns) };
        Row::of_laps(workload, subject, regions, &[Lap { pace, ..Lap::default() }])
    }

    #[test]
    fn a_goal_is_judged_where_its_figures_are() {
        let rows = [timed("lookup", PIN, 1_000, 10), timed("lookup", BASE, 1_000, 20), timed("lookup", PIN, 20, 10)].concat();
        let verdicts = judge(&Findings { rows });
        let seen: Vec<_> = verdicts.iter().map(|verdict| (verdict.regions, verdict.wanted, verdict.is_met())).collect();
        assert_eq!(seen, [(1_000, 3.0, false), (1_000, 2.5, false)]);
    }

    #[test]
    fn a_detour_misses_its_goal() {
        let workload = workloads::ALL.iter().find(|known| known.row == "fault-mixed").unwrap();
        let pace = Pace { ops: 1_000, elapsed: Duration::from_nanos(1) };
        let judged = |detours| {
            let lap = Lap { pace, detours: Some(detours), writer: Some(pace), ..Lap::default() };
            let verdicts = judge(&Findings { rows: Row::of_laps(workload, PER_VMA, 20, &[lap]) });
            verdicts.iter().map(|verdict| (verdict.seen, verdict.is_met())).collect::<Vec<_>>()
        };
        assert_eq!(judged(0), [(0.0, true)]);
        assert_eq!(judged(1), [(1_000.0, false)]);
    }

    #[test]
    fn the_maple_trees_stand_in_scales_with_the_bases_lookup() {
        let rows = [timed("lookup", BASE, 20, 100), timed("expand", READER, 20, 70)].concat();
        let verdicts = judge(&Findings { rows });
        assert_eq!(verdicts.len(), 1);
        // 1.4 times 100 is the boundary move; 70 is twice as fast.
        assert!((verdicts[0].seen - 2.0).abs() < 1e-9 && verdicts[0].is_met());
    }
}
