//! `change_payloads` against a table of pages: the VMAs are the longest runs of pages with equal payloads.

use quickcheck::{Gen, QuickCheck, TestResult};
use vmaple::mm::{ChangePayloadsError, Limits, MapRequest};
use vmaple::{Mm, VmaFlags, VmaSpec};

const PAGE: u64 = 4096;
const BASE: u64 = 0x10_0000;
const PAGES: usize = 24;

type Pages = [Option<u8>; PAGES];

fn mm() -> Mm<u8> {
    Mm::builder().private_epochs().build()
}

fn address(page: usize) -> u64 {
    BASE + page as u64 * PAGE
}

/// Returns the runs of equal payloads: first page, number of pages, payload.
fn runs(pages: &Pages) -> Vec<(usize, usize, u8)> {
    let mut runs: Vec<(usize, usize, u8)> = Vec::new();
    for (page, payload) in pages.iter().enumerate() {
        let Some(payload) = *payload else { continue };
        match runs.last_mut() {
            Some((first, count, last)) if *last == payload && *first + *count == page => *count += 1,
            _ => runs.push((page, 1, payload)),
        }
    }
    runs
}

fn layout(mm: &Mm<u8>) -> Vec<(usize, usize, u8)> {
    let reader = mm.read();
    let page = |at: u64| usize::try_from((at - BASE) / PAGE).expect("below the end");
    reader.iter().map(|vma| (page(vma.start()), page(vma.last() + 1) - page(vma.start()), *vma.payload())).collect()
}

#[test]
fn vmas_are_runs_of_equal_payloads() {
    fn holds(steps: Vec<(u8, u8, u8)>) -> TestResult {
        let (mm, mut pages) = (mm(), [None; PAGES]);
        for (first, count, what) in steps {
            let first = usize::from(first) % PAGES;
            let count = 1 + usize::from(count) % (PAGES - first);
            let (at, len) = (address(first), count as u64 * PAGE);
            let (payload, range) = (what / 4 % 4, first..first + count);
            match what % 4 {
                0 => {
                    let spec = VmaSpec::anonymous(VmaFlags::READ).with_payload(payload);
                    mm.write().mmap(&MapRequest::new(len, spec).fixed(at)).expect("room");
                    pages[range].fill(Some(payload));
                }
                1 => {
                    mm.write().munmap(at, len).expect("a range");
                    pages[range].fill(None);
                }
                // two of the four payloads do not change
                _ => {
                    let result = mm.write().change_payloads(at, len, |old| (old % 2 == 0 && *old != payload).then_some(payload));
                    let has_gap = pages[range.clone()].contains(&None);
                    if has_gap != matches!(result, Err(ChangePayloadsError::Gap { .. })) || !has_gap && result != Ok(()) {
                        return TestResult::error(format!("{result:?} where {} gap is", if has_gap { "a" } else { "no" }));
                    }
                    for old in pages[range].iter_mut().flatten().filter(|old| **old % 2 == 0) {
                        *old = payload;
                    }
                }
            }
            mm.write().validate().expect("the invariants");
            if layout(&mm) != runs(&pages) {
                return TestResult::error(format!("{:?} where {:?} is", layout(&mm), runs(&pages)));
            }
        }
        TestResult::passed()
    }
    let (tests, size) = if cfg!(miri) { (2, 12) } else { (100, 100) };
    QuickCheck::new().tests(tests).rng(Gen::new(size)).quickcheck(holds as fn(Vec<(u8, u8, u8)>) -> TestResult);
}

// before  AAAA
// change   BB     refused: the limit allows no split
// after   AAAA
#[test]
fn a_split_needs_room() {
    let mut limits = Limits::default();
    limits.max_map_count = 1;
    let mm: Mm<u8> = Mm::builder().private_epochs().limits(limits).expect("limits that mean something").build();
    let spec = VmaSpec::anonymous(VmaFlags::READ).with_payload(0);
    mm.write().mmap(&MapRequest::new(4 * PAGE, spec).fixed(BASE)).expect("room");
    let result = mm.write().change_payloads(BASE + PAGE, 2 * PAGE, |_| Some(1));
    assert!(matches!(result, Err(ChangePayloadsError::Again { .. })), "{result:?}");
    assert_eq!(layout(&mm), [(0, 4, 0)]);
    // an unchanged payload needs no split
    assert_eq!(mm.write().change_payloads(BASE + PAGE, 2 * PAGE, |_| None), Ok(()));
    assert!(matches!(mm.write().change_payloads(BASE + 1, PAGE, |_| None), Err(ChangePayloadsError::Range { .. })));
}

// A plan that is dropped changes nothing.
#[test]
fn a_dropped_plan_changes_nothing() {
    let mm = mm();
    let spec = VmaSpec::anonymous(VmaFlags::READ).with_payload(0);
    mm.write().mmap(&MapRequest::new(4 * PAGE, spec).fixed(BASE)).expect("room");
    let mut writer = mm.write();
    let plan = writer.plan(vmaple::lock::Patience::Forever).change_payloads(BASE, PAGE, |_| Some(1));
    assert_eq!(plan.outcome(), Ok(()));
    drop(plan);
    drop(writer);
    assert_eq!(layout(&mm), [(0, 4, 0)]);
}
