//! The checked rebuild on small histories: it holds where the index is right, and finds each way of being wrong.

use super::super::history::tests::history;
use super::*;

/// An area that no operation touches, one that grows, one that changes, one that comes and goes.
const TEXT: &str = "area 0x10000-0x14000 rw-p - anon -\narea 0x40000-0x44000 rw-p - anon -\narea 0x20000-0x24000 r--p - file:f 0\n\
                    mmap 0 0x4000 rw private,anonymous anon 0 = 0x30000\nmprotect 0x20000 0x2000 rw = 0\ngrew 0xf000-0x14000\n\
                    munmap 0x30000 0x4000 = 0\ncover\n f000-14000 rw-p\n 20000-22000 rw-p\n 22000-24000 r--p\n 40000-44000 rw-p\nend\n";

/// Rebuilds the history `text` in an index that starts as that of `other`.
fn rebuild(text: &str, other: &str) -> (Checked, Vec<FailedQuery>) {
    let (history, start) = (history(text).expect("good"), history(other).expect("good"));
    let samples = Samples::of(&history);
    let lifetimes = Lifetimes::of(&history, &samples);
    let indexes = Indexes::of(&start).expect("sorted");
    let stage = Stage { history: &history, samples: &samples, lifetimes: &lifetimes, indexes: &indexes };
    let progress = Progress::new("test", Duration::ZERO);
    let mut differences = Vec::new();
    let effort = super::Effort { time: Duration::ZERO, answers: 2_000 };
    let checked = run(&stage, 2, effort, &mut differences, &progress);
    (checked, differences)
}

#[test]
fn a_right_index_holds() {
    let (checked, differences) = rebuild(TEXT, TEXT);
    assert_eq!((checked.wrong_examples.clone(), checked.faults.clone(), differences), (vec![], vec![], vec![]));
    assert!(checked.holds());
    assert!(checked.answers >= 2_000 && checked.hits > 0 && checked.hits < checked.answers);
    assert_eq!(checked.asked, 1);
}

/// The starting layout of `TEXT` with another line for the area that no operation touches.
fn start_with(untouched: &str) -> String {
    format!("area 0x10000-0x14000 rw-p - anon -\narea 0x20000-0x24000 r--p - file:f 0\n{untouched}")
}

#[test]
fn a_missing_area_is_missed_by_readers_and_reported_at_the_block() {
    let (checked, differences) = rebuild(TEXT, &start_with(""));
    assert!(checked.wrong > 0 && !checked.holds());
    let missed = "mapped throughout the lookup, found nothing";
    assert!(checked.wrong_examples.iter().any(|text| text.contains(missed)), "{:?}", checked.wrong_examples);
    assert!(checked.faults.iter().any(|text| text.contains("expected the entry 0x40000")), "{:?}", checked.faults);
    assert_eq!(differences.len(), 1);
    assert_eq!(differences[0].subject, super::super::query::Subject::Index);
    let mismatch = &differences[0].mismatch;
    assert_eq!((mismatch.line, &*mismatch.expected, &*mismatch.found), (13, "00040000-00044000 rw-p", "nothing mapped"));
}

#[test]
fn an_area_that_is_too_long_is_found_by_readers() {
    let (checked, _) = rebuild(TEXT, &start_with("area 0x40000-0x45000 rw-p - anon -\n"));
    let found = "was there at some moment of the lookup, found 00040000-00045000";
    assert!(checked.wrong_examples.iter().any(|text| text.contains(found)), "{:?}", checked.wrong_examples);
}

#[test]
fn an_edit_that_the_index_refuses_is_reported_with_its_line() {
    let (checked, _) = rebuild(TEXT, &start_with("area 0x33000-0x34000 r--p - anon -\n"));
    assert!(checked.faults[0].starts_with("test:5: the index refused Insert"), "{:?}", checked.faults);
}

#[test]
fn a_history_without_edits_is_asked_too() {
    let (checked, differences) = rebuild("area 0x10000-0x14000 rw-p - anon -\n", "area 0x10000-0x14000 rw-p - anon -\n");
    assert!(checked.holds() && differences.is_empty() && checked.overlapped == 0);
}
