//! What the run came to, and whether it is as it must be: as a table, and as a list of what is wrong.

use crate::guest::Seen;
use crate::layout::{self, GUESTS};
use crate::serve::{self, Served};
use vmaple::map::Violation;
use vmaple::mm::MmStats;

#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) served: Served,
    pub(crate) guests: Seen,
    pub(crate) watchers: Seen,
    pub(crate) stats: MmStats,
    pub(crate) invariants: Result<(), Violation>,
}

impl Report {
    /// All that is not as it must be.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let Self { served, guests, watchers, stats, invariants } = self;
        let roads = stats.roads;
        let questions = roads.per_vma + roads.mm_read + roads.upgraded + roads.retaken + roads.found_again + roads.failed;
        let refused = |why| served.refused.iter().filter(|((reason, _), _)| *reason == why).map(|(_, count)| *count).sum::<u64>();
        let answers = served.copied + served.zeroed + served.present + served.refusals();
        let mut wrong: Vec<String> = guests.wrong.iter().chain(&watchers.wrong).cloned().collect();
        wrong.extend(invariants.as_ref().err().map(ToString::to_string));
        for (what, found, wanted) in [
            ("faults answered", answers, served.faults),
            ("questions, by road", questions, served.faults + served.looked_again),
            ("growths", roads.upgraded + roads.retaken, guests.growths),
            ("pages of stacks", stats.stack_pages, layout::full_stack_pages()),
            ("bytes that guests verified", guests.verified_bytes, layout::guests_bytes()),
            ("accesses refused to guests", guests.refused, 3 * GUESTS),
            (serve::GUARD_GAP, refused(serve::GUARD_GAP), GUESTS / 2),
            (serve::STACK_LIMIT, refused(serve::STACK_LIMIT), GUESTS / 2),
            (serve::DENIED, refused(serve::DENIED), GUESTS),
            // The watchers are refused as well, as the moment has it; once a page at most, until it is mapped again.
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
        let roads = stats.roads;
        let table = |title: &str, rows: &[(&str, u64)]| {
            println!("{title}");
            for (name, count) in rows {
                println!("  {name:<42} {count:>10}");
            }
        };
        table(
            "faults, by road",
            &[
                ("the VMA's own lock", roads.per_vma),
                ("the mm lock, for reading", roads.mm_read),
                ("grown, after an upgrade", roads.upgraded),
                ("grown, after dropping and waiting", roads.retaken),
                ("found again under the write lock", roads.found_again),
                ("no VMA", roads.failed),
            ],
        );
        table(
            "answers",
            &[
                ("pages copied", served.copied),
                ("pages zeroed", served.zeroed),
                ("there already", served.present),
                ("refused", served.refusals()),
                ("asked again, no longer refused", served.looked_again),
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
        println!("\n{} faults, {} growths to {} pages of stacks", served.faults, roads.upgraded + roads.retaken, stats.stack_pages);
    }
}
