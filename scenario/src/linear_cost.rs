//! Tests that a scenario of n lines over n areas converts O(n) areas. They count areas, and measure no time.

use crate::area::tests::MADE;
use crate::exact::{Exact, compare};
use crate::mm_space::MmSpace;
use crate::report::Report;
use crate::runner::run;
use crate::space::Space as _;
use std::fmt::Write as _;
use vmaple::VmaFlags;
use vmaple_trace::{Area, Extent, Line, Reader, Record};

/// A scenario with `count` areas.
fn areas(count: u64) -> String {
    (0..count).fold("vmaple-trace 1\n".to_owned(), |mut text, i| {
        let start = 0x10_0000 + i * 0x2000;
        writeln!(text, "area {start:x}-{:x} rw-p - anon -", start + 0x1000).expect("memory");
        text
    })
}

/// Executes the scenario, and returns how many areas were made of VMAs meanwhile, and the report.
fn made_by(text: &str) -> (usize, String) {
    let before = MADE.get();
    let mut out = Vec::new();
    let mut report = Report::new(&mut out, "scenario".to_owned());
    run::<MmSpace>(Reader::new("scenario", std::io::Cursor::new(text.to_owned())), &mut report).expect("a scenario");
    report.summary().expect("memory");
    (MADE.get() - before, String::from_utf8(out).expect("text"))
}

#[test]
fn a_count_makes_no_list_of_all_areas() {
    let (made, report) = made_by(&(areas(200) + &"count 200\n".repeat(200)));
    assert!(report.ends_with("scenario: 0 cases, 200 assertions held\n"), "{report}");
    assert_eq!(made, 0);
    // With a window only the areas in it are made.
    let (made, report) = made_by(&(areas(200) + "window 110000-114000\n" + &"count 2\n".repeat(200)));
    assert!(report.ends_with("scenario: 0 cases, 200 assertions held\n"), "{report}");
    assert_eq!(made, 2 * 200);
}

#[test]
fn a_difference_is_shown_with_the_areas_around_it_alone() {
    let asked = "count 7\nlookup 0x180800 = none\nfind 0x180800 = none\nfault 0x180800 r = none\nmunmap 0x180001 0x1000 = 0\nvm total=1\n";
    let (made, report) = made_by(&(areas(200) + &asked.repeat(100)));
    assert!(report.ends_with("scenario: 0 cases, 0 assertions held, 600 differ\n"), "{}", &report[report.len() - 200..]);
    assert!(report.contains("    and 193 more\n"), "{}", &report[..800]);
    assert!(made <= 600 * 15, "{made} areas were made of VMAs");
}

/// The areas around an address are those that a list of all areas would show.
#[test]
fn the_areas_around_an_address_are_those_of_the_whole_layout() {
    let mut space = MmSpace::begin().expect("an address space");
    let text =
        areas(20) + "area 7fffffffe000-7ffffffff000 rw-p - anon -\narea ffffffffff600000-ffffffffff601000 --xp - special:vsyscall -\n";
    let placed: Vec<Area> = Reader::new("areas", std::io::Cursor::new(text))
        .filter_map(|line| match line {
            Ok(Line { record: Record::Area(area), .. }) => Some(area),
            _ => None,
        })
        .collect();
    for area in &placed {
        space.place(area).expect("room");
    }
    let all = space.layout().expect("a layout");
    assert_eq!(all.len(), 22);
    for area in &all {
        for addr in [area.extent.start, area.extent.start - 1, area.extent.end, area.extent.end - 1] {
            assert_eq!(space.around(Some(addr)).expect("a layout"), crate::layout::around(&all, Some(addr)), "{addr:#x}");
        }
        let window = Extent { start: area.extent.start - 1, end: area.extent.end + 0x2000 };
        for window in [None, Some(area.extent), Some(window)] {
            let within = crate::layout::within(all.clone(), window).len() as u64;
            assert_eq!(space.count(window).expect("a count"), within, "{window:?}");
        }
    }
    assert_eq!(space.around(None).expect("a layout"), crate::layout::around(&all, None));
}

/// Two lists that differ here and there are compared in one pass, and shown in order.
#[test]
fn layouts_are_compared_side_by_side() {
    let vma =
        |start: u64, pages: u64, flags| Exact { extent: Extent { start: start << 12, end: (start + pages) << 12 }, flags, object: None };
    let (read, write) = (VmaFlags::READ, VmaFlags::READ | VmaFlags::WRITE);
    let kernel = [vma(1, 2, read), vma(5, 1, read), vma(8, 1, read), vma(9, 1, write)];
    let library = [vma(1, 1, read), vma(2, 1, read), vma(5, 1, read), vma(8, 1, write), vma(9, 1, write), vma(10, 1, read)];
    assert_eq!(
        compare(&kernel, &library),
        [
            "  + 00001000-00002000 r--p  anon",
            "  - 00001000-00003000 r--p  anon",
            "  + 00002000-00003000 r--p  anon",
            "    00005000-00006000 r--p  anon",
            "  - 00008000-00009000 r--p  anon",
            "  + 00008000-00009000 rw-p  anon",
            "    00009000-0000a000 rw-p  anon",
            "  + 0000a000-0000b000 r--p  anon",
        ]
    );
    assert_eq!(compare(&kernel, &kernel), [""; 0]);
}
