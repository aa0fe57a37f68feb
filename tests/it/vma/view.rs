//! `MmView`: the methods that every reader of an `Mm` has, against the list of what is mapped, through each way to a view.

use quickcheck::QuickCheck;
use vmaple::mm::MmView;
use vmaple::{Mm, PAGE_SIZE, Span, VmaFlags, VmaSpec};

const PAGES: u64 = if cfg!(miri) { 6 } else { 24 };

fn page(n: u64) -> u64 {
    0x10_0000 + n * PAGE_SIZE
}

/// One VMA a bit, a page each; two that touch do not merge.
fn layout(mapped: u32) -> (Mm, Vec<Span>) {
    // Epochs of its own, so that nothing is left behind at the end, where Miri looks for leaks.
    let mm = Mm::builder().private_epochs().build();
    let spans: Vec<Span> =
        (0..PAGES).filter(|n| mapped >> n & 1 == 1).map(|n| Span::from_bounds(page(n)..page(n + 1)).expect("a page")).collect();
    for span in &spans {
        mm.write().insert(span.start(), span.last() - span.start() + 1, VmaSpec::anonymous(VmaFlags::READ)).expect("free");
    }
    (mm, spans)
}

/// The unmapped ranges within one, a page at a time.
fn gaps(spans: &[Span], within: Span) -> Vec<Span> {
    let mut gaps: Vec<Span> = Vec::new();
    let mut at = Some(within.start());
    while let Some(start) = at.filter(|&at| at <= within.last()) {
        let last = (start | (PAGE_SIZE - 1)).min(within.last());
        if !spans.iter().any(|span| span.contains(start)) {
            match gaps.last_mut().filter(|gap| gap.last() + 1 == start) {
                Some(gap) => *gap = Span::new(gap.start(), last).expect("in order"),
                None => gaps.push(Span::new(start, last).expect("in order")),
            }
        }
        at = last.checked_add(1);
    }
    gaps
}

fn answers_as_the_list(view: &MmView, spans: &[Span], at: u64, within: Span) {
    let span_of = |vma: vmaple::mm::Vma<'_>| vma.span();
    assert_eq!(view.lookup(at).map(span_of), spans.iter().copied().find(|span| span.contains(at)));
    assert_eq!(view.find(at).map(span_of), spans.iter().copied().find(|span| span.last() >= at));
    assert_eq!(view.next(at).map(span_of), spans.iter().copied().find(|span| span.start() > at));
    assert_eq!(view.prev(at).map(span_of), spans.iter().copied().rfind(|span| span.last() < at));
    assert_eq!(view.iter().map(span_of).collect::<Vec<_>>(), spans);
    assert_eq!(view.iter().rev().map(span_of).collect::<Vec<_>>(), spans.iter().rev().copied().collect::<Vec<_>>());
    let bounds = within.start()..=within.last();
    let overlapping: Vec<Span> = spans.iter().copied().filter(|span| span.overlaps(within)).collect();
    assert_eq!(view.range(bounds.clone()).expect("addresses").map(span_of).collect::<Vec<_>>(), overlapping);
    assert_eq!(view.gaps(bounds).expect("addresses").collect::<Vec<_>>(), gaps(spans, within));
}

fn every_reader_answers_as_the_list(mapped: u32, at: u64, bounds: (u64, u64)) -> bool {
    let (mm, spans) = layout(mapped);
    let [at, one, other] = [at, bounds.0, bounds.1].map(|at| page(0) - PAGE_SIZE + at % ((PAGES + 2) * PAGE_SIZE));
    let within = Span::new(one.min(other), one.max(other)).expect("in order");
    answers_as_the_list(&mm.pin(), &spans, at, within);
    answers_as_the_list(mm.reader().view(), &spans, at, within);
    answers_as_the_list(&mm.read(), &spans, at, within);
    answers_as_the_list(&mm.write(), &spans, at, within);
    true
}

#[test]
fn a_pin_a_reader_and_both_guards_answer_as_the_list_of_vmas() {
    let cases = if cfg!(miri) { 2 } else { 100 };
    QuickCheck::new().tests(cases).quickcheck(every_reader_answers_as_the_list as fn(u32, u64, (u64, u64)) -> bool);
}

/// A gap may begin at address 0 and end with the last address of all, and a range without an address is refused.
#[test]
fn gaps_reach_both_ends_of_all_addresses() {
    let (mm, spans) = layout(0b10);
    let pin = mm.pin();
    let all = [Span::new(0, spans[0].start() - 1), Span::new(spans[0].last() + 1, u64::MAX)].map(|gap| gap.expect("in order"));
    assert_eq!(pin.gaps(..).expect("all").collect::<Vec<_>>(), all);
    assert_eq!(pin.gaps(spans[0].start()..=spans[0].last()).expect("a page").count(), 0);
    assert!(pin.gaps(8..8).is_err() && pin.range(8..8).is_err());
}
