//! The results of the run as a table, and a list of what is wrong.

use crate::guest::Seen;
use crate::layout::{self, GUESTS};
use crate::serve::{self, Served};
use vmaple::map::ValidateError;
use vmaple::mm::MmStats;

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) served: Served,
    pub(crate) guests: Seen,
    pub(crate) watchers: Seen,
    pub(crate) stats: MmStats,
    pub(crate) invariants: Result<(), ValidateError>,
}

impl Report {
    /// What is wrong.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let Self { served, guests, watchers, stats, invariants } = self;
        let paths = stats.fault_paths;
        let questions = paths.per_vma + paths.mm_read + paths.upgraded + paths.retaken + paths.found_again + paths.failed;
        let refused = |why| served.refused.iter().filter(|((reason, _), _)| *reason == why).map(|(_, count)| *count).sum::<u64>();
        let answers = served.copied + served.zeroed + served.present + served.refusals();
        let mut wrong: Vec<String> = guests.wrong.iter().chain(&watchers.wrong).cloned().collect();
        wrong.extend(invariants.as_ref().err().map(ToString::to_string));
        for (what, found, wanted) in [
            ("faults answered", answers, served.faults),
            ("questions, by path", questions, served.faults + served.looked_again),
            ("growths", paths.upgraded + paths.retaken, guests.growths),
            ("pages of stacks", stats.stack_pages, layout::full_stack_pages()),
            ("bytes that guests verified", guests.verified_bytes, layout::guests_bytes()),
            ("accesses refused to guests", guests.refused, 3 * GUESTS),
            (serve::GUARD_GAP, refused(serve::GUARD_GAP), GUESTS / 2),
            (serve::STACK_LIMIT, refused(serve::STACK_LIMIT), GUESTS / 2),
            (serve::DENIED, refused(serve::DENIED), GUESTS),
            // The watchers are refused, too, depending on the moment, at most once per page until it is mapped again.
            (serve::UNMAPPED, refused(serve::UNMAPPED).min(GUESTS), GUESTS),
            (serve::OTHER, refused(serve::OTHER), 0),
        ] {
            if found != wanted {
                wrong.push(format!("{what}: {found} instead of {wanted}"));
            }
        }
        wrong
    }

    pub(crate) fn print(&self) {
        let Self { served, guests, watchers, stats, .. } = self;
        let paths = stats.fault_paths;
        let table = |title: &str, rows: &[(&str, u64)]| {
            println!("{title}");
            for (name, count) in rows {
                println!("  {name:<42} {count:>10}");
            }
        };
        table(
            "faults, by path",
            &[
                ("the VMA's own lock", paths.per_vma),
                ("the mm lock, for reading", paths.mm_read),
                ("grown, after an upgrade", paths.upgraded),
                ("grown, after dropping and waiting", paths.retaken),
                ("found again under the write lock", paths.found_again),
                ("no VMA", paths.failed),
            ],
        );
        table(
            "answers",
            &[
                ("pages copied", served.copied),
                ("pages zeroed", served.zeroed),
                ("there already", served.present),
                ("refused", served.refusals()),
                ("checked again, no longer refused", served.looked_again),
            ],
        );
        println!("refusals");
        for ((reason, errno), count) in &served.refused {
            println!("  {:<42} {count:>10}", format!("{reason} (errno {errno})"));
        }
        table(
            "accesses",
            &[
                ("bytes verified by guests", guests.verified_bytes),
                ("bytes verified by watchers of the window", watchers.verified_bytes),
                ("EFAULT, guests", guests.refused),
                ("EFAULT, watchers of the window", watchers.refused),
            ],
        );
        println!("\n{} faults, {} growths to {} pages of stacks", served.faults, paths.upgraded + paths.retaken, stats.stack_pages);
    }
}
