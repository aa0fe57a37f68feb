//! Different calls that mean the same give the same answers and the same errors.

use vmaple::map::{BuildCause, GapError, GapQuery};
use vmaple::{RangeError, RangeMap, Span};

fn map() -> RangeMap<u64> {
    RangeMap::builder().private_epochs().build_from((0..40).map(|i| (10 * i..10 * i + 5, i))).expect("sorted")
}

#[test]
fn a_reader_answers_as_its_view_does() {
    let map = map();
    let mut reader = map.reader();
    let pin = map.pin();
    for a in (0..410).step_by(if cfg!(miri) { 83 } else { 1 }) {
        let span = |entry: Option<vmaple::map::Entry<'_, u64>>| entry.map(|e| (e.span(), *e.value()));
        assert_eq!(span(reader.find(a)), span(pin.find(a)), "find {a}");
        assert_eq!(span(reader.next(a)), span(pin.next(a)), "next {a}");
        assert_eq!(span(reader.prev(a)), span(pin.prev(a)), "prev {a}");
    }
    assert_eq!((&*pin).into_iter().count(), 40);
}

#[test]
fn an_entry_contains_what_is_between_its_bounds() {
    let map = map();
    let pin = map.pin();
    let entry = pin.find(10).expect("mapped");
    let contained: Vec<u64> = (0..30).filter(|&a| entry.contains(a)).collect();
    assert_eq!(contained, [10, 11, 12, 13, 14]);
}

#[test]
fn a_writers_dup_is_a_readers() {
    let map = map();
    let writer = map.write();
    let copy = writer.dup().expect("memory");
    assert!(copy.pin().iter().map(|e| (e.span(), *e.value())).eq(writer.iter().map(|e| (e.span(), *e.value()))));
    copy.write().validate().expect("the invariants hold");
}

#[test]
fn a_build_hands_back_what_has_a_bad_range() {
    let refused = RangeMap::builder().private_epochs().build_from([(0..1u64, 1u64), (5..5, 2)]).expect_err("an empty range");
    assert_eq!((refused.value, refused.cause), (Some(2), BuildCause::Range(RangeError::Empty { at: 5 })));
    let empty = RangeMap::builder().private_epochs().build_from(std::iter::empty::<(Span, u64)>()).expect("nothing to refuse");
    assert!(empty.is_empty() && empty.pin().find(0).is_none());
}

#[test]
fn a_clone_of_an_iterator_goes_on_by_itself() {
    let map = map();
    let pin = map.pin();
    let mut range = pin.range(12..).expect("a range");
    range.next();
    range.next_back();
    let copy = range.clone();
    let rest: Vec<Span> = range.map(|e| e.span()).collect();
    assert_eq!(rest.len(), 37);
    assert!(copy.map(|e| e.span()).eq(rest));
}

#[test]
fn an_alignment_is_a_power_of_two() {
    let map = map();
    let writer = map.write();
    for align in [0, 3] {
        assert_eq!(writer.find_gap(&GapQuery::new(1).aligned_to(align)), Err(GapError::Alignment { align }));
    }
}

#[test]
fn each_thing_shows_itself() {
    let map: RangeMap<u64> = RangeMap::builder().private_epochs().build();
    map.write().insert(0..0x10, 7).expect("free");
    assert!(format!("{map:?}").starts_with("RangeMap { stats: Stats { entries: 1,"));
    let pin = map.pin();
    assert_eq!(format!("{:?}", pin.lookup(3).expect("mapped")), "Entry { span: 0x0..=0xf, value: 7 }");
    assert!(format!("{pin:?} {:?} {:?}", *pin, pin.iter()).starts_with("PinGuard { .. } {0x0..=0xf: 7} Iter { low: 0,"));
    let segments = pin.segments(8..0x20).expect("a range");
    assert_eq!(
        format!("{segments:?} {:?}", pin.gaps(8..0x20).expect("a range")),
        "Segments { rest: Some(0x8..=0x1f), .. } Gaps { rest: Some(0x8..=0x1f), .. }"
    );
    let shown = "[Entry(Entry { span: 0x8..=0xf, value: 7 }), Gap(0x10..=0x1f)]";
    assert_eq!(format!("{:?}", segments.clone().collect::<Vec<_>>()), shown);
    assert!(segments.clone().next() == segments.clone().next() && segments.clone().next() != segments.last());
    let mut reader = map.reader();
    assert_eq!(format!("{reader:?}"), "Reader { .. }");
    assert_eq!(format!("{:?}", reader.cursor(..).expect("a range")), "Cursor { rest: Some(0x0..=0xffffffffffffffff), .. }");
    assert_eq!(format!("{:?}", map.read()), "ReadGuard { .. }");
    let mut writer = map.write();
    assert_eq!(format!("{writer:?}"), "WriteGuard { .. }");
    let nothing = writer.remove(0x20..0x30).expect("memory");
    assert!(nothing.is_empty() && format!("{nothing:?}") == "[]");
    let cut = writer.remove(8..).expect("memory");
    assert!(!cut.is_empty() && cut.iter().len() == 1 && cut.iter().rev().eq(&cut));
    assert_eq!(format!("{cut:?}"), "[RemovedEntry { entry: Entry { span: 0x0..=0xf, value: 7 }, removed: 0x8..=0xf }]");
}
