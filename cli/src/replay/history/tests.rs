//! Each operation on a small layout, drawn before and after.

use super::super::layout_model::{Bounds, Region};
use super::super::limits;
use super::super::query::range;
use super::{History, read};
use std::io::Cursor;
use vmaple_trace::Reader;

/// Reads a history; the first line of the format is put before the text.
pub(in super::super) fn history(text: &str) -> anyhow::Result<History> {
    read(Reader::new("test", Cursor::new(format!("vmaple-trace 1\n{text}"))), |_| {})
}

/// The layout at the end, one area a line.
pub(super) fn finish(text: &str) -> Vec<String> {
    let history = history(text).expect("a good trace");
    assert_eq!(history.differences, []);
    let last = history.spaces.last().expect("there is always one");
    let line = |area: &Region| format!("{} {}", range(Bounds { start: area.start, last: area.last }), area.attrs.perm());
    last.finish.iter().map(line).collect()
}

fn refused(text: &str) -> String {
    format!("{:#}", history(text).expect_err("this cannot be"))
}

const RW: &str = "area 0x10000-0x14000 rw-p - anon -\n";

// before  AAAA
// mmap        BBBB         of the same kind
// after   AAAAAAAA
#[test]
fn a_mapping_joins_the_neighbours_that_it_continues() {
    let text = format!("{RW}mmap 0 0x4000 rw private,anonymous anon 0 = 0x14000\n");
    assert_eq!(finish(&text), ["00010000-00018000 rw-p"]);
    let text = format!("{RW}mmap 0 0x3001 rw private,anonymous anon 0 = 0xc000\n");
    assert_eq!(finish(&text), ["0000c000-00014000 rw-p"]);
    let other = format!("{RW}mmap 0 0x4000 r private,anonymous anon 0 = 0x14000\n");
    assert_eq!(finish(&other), ["00010000-00014000 rw-p", "00014000-00018000 r--p"]);
    let file = "mmap 0 0x2000 r private file:f 0 = 0x10000\nmmap 0 0x2000 r private file:f 0x2000 = 0x12000\n";
    assert_eq!(finish(file), ["00010000-00014000 r--p"]);
    let again = "mmap 0 0x2000 r private file:f 0 = 0x10000\nmmap 0 0x2000 r private file:f 0 = 0x12000\n";
    assert_eq!(finish(again), ["00010000-00012000 r--p", "00012000-00014000 r--p"]);
}

// before  AAAA
// mmap     BB
// after   ABBA
#[test]
fn a_fixed_mapping_cuts_what_is_there() {
    let text = format!("{RW}mmap 0x11000 0x2000 none private,anonymous,fixed anon 0 = 0x11000\n");
    assert_eq!(finish(&text), ["00010000-00011000 rw-p", "00011000-00013000 ---p", "00013000-00014000 rw-p"]);
}

#[test]
fn huge_pages_round_a_length_up() {
    let text = "mmap 0 0x1000 rw private,anonymous,hugetlb anon 0 = 0x200000\n";
    assert_eq!(finish(text), ["00200000-00400000 rw-p"]);
}

// before  HHHH
// mremap  ^        a page of it, and a page into what follows
// after   ..HH...HH
#[test]
fn a_move_of_huge_pages_is_one_of_whole_ones() {
    let text = "mmap 0x200000 0x800000 rw private,anonymous,fixed,hugetlb anon 0 = 0x200000\n\
        mremap 0x200000 0x1000 0x1000 maymove,fixed 0x1000000 = 0x1000000\n\
        mremap 0x400000 0x201000 0x201000 maymove,fixed 0x1200000 = 0x1200000\n\
        mremap 0x800000 0x200000 0x1ff000 - = 0x800000\n";
    assert_eq!(finish(text), ["00800000-00a00000 rw-p", "01000000-01200000 rw-p", "01200000-01600000 rw-p"]);
    let large = "set hugetlb 1073741824\nmmap 0 0x1000 rw private,anonymous,hugetlb anon 0 = 0x40000000\n";
    assert_eq!(finish(large), ["40000000-80000000 rw-p"]);
}

#[test]
fn calls_that_failed_are_skipped() {
    let text = format!(
        "{RW}mmap 0 0x1000 rw private,anonymous anon 0 = -ENOMEM\nmunmap 0x10000 0x1000 = -EINVAL\n\
         mremap 0x10000 0x1000 0x9000 - = -ENOMEM\nmprotect 0x10000 0x1000 r = -EACCES\n"
    );
    assert_eq!(finish(&text), ["00010000-00014000 rw-p"]);
}

// before    AAAA....BBBB
// mprotect  ^^^^^^^^^^       refused at the hole
// after     aaaa....BBBB
#[test]
fn a_protection_that_met_a_hole_changed_what_lay_before() {
    let text = format!("{RW}area 0x18000-0x1c000 rw-p - anon -\nmprotect 0x10000 0xa000 r = -ENOMEM\n");
    assert_eq!(finish(&text), ["00010000-00014000 r--p", "00018000-0001c000 rw-p"]);
}

// before    AAAAAAAA
// mprotect  ^^          then   ^^    next to it
// after     aaaaAAAA
#[test]
fn protection_moves_a_boundary() {
    let text = format!("{RW}mprotect 0x10000 0x1000 none = 0\nmprotect 0x11000 0x1000 none = 0\n");
    assert_eq!(finish(&text), ["00010000-00012000 ---p", "00012000-00014000 rw-p"]);
    let sealed = "area 0x10000-0x12000 rw-p - anon -\narea 0x12000-0x14000 rw-p sealed anon -\nmprotect 0x10000 0x4000 r = -EPERM\n";
    assert_eq!(finish(sealed), ["00010000-00012000 r--p", "00012000-00014000 rw-p"]);
}

#[test]
fn remapping_shrinks_grows_and_moves() {
    let shrunk = format!("{RW}mremap 0x10000 0x4000 0x1000 - = 0x10000\n");
    assert_eq!(finish(&shrunk), ["00010000-00011000 rw-p"]);
    let grown = format!("{RW}mremap 0x10000 0x4000 0x6000 - = 0x10000\n");
    assert_eq!(finish(&grown), ["00010000-00016000 rw-p"]);
    let moved = format!("{RW}mremap 0x11000 0x1000 0x3000 maymove = 0x20000\n");
    assert_eq!(finish(&moved), ["00010000-00011000 rw-p", "00012000-00014000 rw-p", "00020000-00023000 rw-p"]);
    let kept = format!("{RW}mremap 0x10000 0x4000 0x4000 maymove,dontunmap = 0x20000\n");
    assert_eq!(finish(&kept), ["00010000-00014000 rw-p", "00020000-00024000 rw-p"]);
    let twice = "area 0x10000-0x12000 rw-s - shm:s 0\nmremap 0x10000 0 0x2000 maymove = 0x20000\n";
    assert_eq!(finish(twice), ["00010000-00012000 rw-s", "00020000-00022000 rw-s"]);
}

// before  AA.BB       moved together, the hole goes along
// after   ......AA.BB
#[test]
fn several_areas_move_with_their_holes() {
    let text = "area 0x10000-0x12000 rw-p - anon -\narea 0x13000-0x15000 r--p - anon -\n\
                mremap 0x10000 0x5000 0x5000 maymove,fixed 0x20000 = 0x20000\n";
    assert_eq!(finish(text), ["00020000-00022000 rw-p", "00023000-00025000 r--p"]);
}

// before  ....SSSS      S grows down
// grew    ^^^^^^^^
// after   SSSSSSSS
#[test]
fn a_stack_is_seen_to_have_grown() {
    let text = "area 0x10000-0x14000 rw-p growsdown anon -\ngrew 0xc000-0x14000\n";
    assert_eq!(finish(text), ["0000c000-00014000 rw-p"]);
    let fault = "area 0x10000-0x14000 rw-p growsdown anon -\nfault 0xc010 w = 0xc000-0x14000\n";
    assert_eq!(finish(fault), ["0000c000-00014000 rw-p"]);
    assert!(refused("grew 0x1000-0x2000\n").starts_with("test:2: "));
}

#[test]
fn a_child_begins_with_what_its_parent_had() {
    let text = format!(
        "{RW}area 0x18000-0x19000 r--p dontcopy anon -\nfork = child\nmunmap 0x10000 0x4000 = 0\nas child\n\
         mprotect 0x10000 0x1000 r = 0\nas main\ncover\n 18000-19000 r--p\nend\nas child\n\
         cover\n 10000-11000 r--p\n 11000-14000 rw-p\nend\nexit\nmaps\nend\n"
    );
    assert_eq!(finish(&text), [""; 0]);
    assert!(refused("as nobody\n").contains("`main` or the child"));
}

// before  A.A  BBB     moved with the hole
// after        ABA
#[test]
fn what_lies_under_a_hole_that_moves_stays() {
    let text = "area 0x10000-0x11000 rw-p - anon -\narea 0x12000-0x13000 rw-p - anon -\narea 0x30000-0x33000 r--p - anon -\n\
                mremap 0x10000 0x3000 0x3000 maymove,fixed 0x30000 = 0x30000\n";
    assert_eq!(finish(text), ["00030000-00031000 rw-p", "00031000-00032000 r--p", "00032000-00033000 rw-p"]);
}

#[test]
fn a_reset_begins_anew() {
    let text = format!("{RW}reset\narea 0x10000-0x11000 r--p - anon -\ncover\n 10000-11000 r--p\nend\n");
    assert_eq!(finish(&text), ["00010000-00011000 r--p"]);
}

#[test]
fn locks_seals_and_advices_change_no_permission() {
    let text = format!(
        "{RW}mlock 0x11001 0x10 = 0\nmadvise 0x12000 0x1000 dontfork = 0\nmseal 0x10000 0x1000 = 0\nmlockall current,future = 0\n\
         mmap 0 0x1000 rw private,anonymous anon 0 = 0x20000\nmunlockall = 0\nmunlock 0x10000 0x1000 = 0\n\
         mlock 0x11000 0xffffffffffffffff = 0\nmunlock 0x11001 0xffffffffffffffff = 0\ncover\n 10000-14000 rw-p\n 20000-21000 rw-p\nend\n"
    );
    assert_eq!(history(&text).expect("good").differences, []);
}

#[test]
fn what_cannot_be_is_refused_with_its_line() {
    let overlap = refused(&format!("{RW}area 0x13000-0x15000 rw-p - anon -\n"));
    assert!(overlap.starts_with("test:3: read the area 00013000-00015000"), "{overlap}");
    let nowhere = refused("mmap 0 0x1000 rw private,anonymous anon 0 = ?\n");
    assert!(nowhere.contains("expected the address that the call returned"), "{nowhere}");
    let ragged = refused("mmap 0 0x1000 rw private,anonymous anon 0 = 0x10001\n");
    assert!(ragged.contains("expected a mapping of whole pages"), "{ragged}");
    for text in [
        "mmap 0 0xffffffffffffffff rw private,anonymous anon 0 = 0x10000\n",
        "mmap 0 0xfffffffffffff000 rw private,anonymous anon 0 = 0x10000\n",
        "munmap 0xfffffffffffff000 0x2000 = 0\n",
        "mprotect 0x1000 0xffffffffffffffff r = 0\n",
        "mlock 0x2000 0xfffffffffffff000 = 0\n",
        "mremap 0x1000 0x1000 0xffffffffffffffff maymove = 0x2000\n",
        "mremap 0x1000 0x1000 0x1000 maymove = 0x2000\n",
        "brk 0 = 0xffffffffffffffff\n",
    ] {
        assert!(refused(text).starts_with("test:2: "), "{text}");
    }
}

#[test]
fn a_block_that_differs_names_its_own_line() {
    let text = format!("{RW}maps\n 10000-12000 rw-p\n 12000-14000 r--p - anon 0\n 20000-21000\nend\n");
    let history = history(&text).expect("readable");
    let reported: Vec<_> =
        history.differences.iter().map(|one| (one.mismatch.line, &*one.mismatch.expected, &*one.mismatch.found)).collect();
    assert_eq!(reported, [(5, "00012000-00014000 r--p", "rw-p"), (6, "00020000-00021000 something mapped", "nothing mapped")]);
    assert_eq!(history.differences[0].mismatch.around, ["> 00010000-00014000 rw-p anon"]);
}

#[test]
fn a_window_limits_what_is_compared() {
    let text = format!("{RW}window 0x10000-0x12000\ncover\n 10000-12000 rw-p\nend\n");
    assert_eq!(history(&text).expect("good").differences, []);
}

#[test]
fn queries_are_asked_of_the_model() {
    let text = format!(
        "{RW}lookup 0x10000 = 0x10000-0x14000\nlookup 0x14000 = none\nfind 0x8000 = 0x10000-0x14000\nfind 0x14000 = none\n\
         gap lowest 0x10000 0x1ffff 0x1000 0x1000 = 0x14000\ngap highest 0x10000 0x13fff 0x1000 0x1000 = -EBUSY\n\
         gap highest 0 0x1ffff 0x2000 0x4000 = 0x1c000\ngap lowest 0 10 0 1 = -EINVAL\n"
    );
    assert_eq!(history(&text).expect("good").differences, []);
    for wrong in ["lookup 0x14000 = 0x10000-0x15000", "find 0x8000 = 0x11000-0x14000", "gap lowest 0 0x1ffff 0x1000 1 = 0x1000"] {
        assert_eq!(history(&format!("{RW}{wrong}\n")).expect("readable").differences.len(), 1, "{wrong}");
    }
}

#[test]
fn whatever_a_trace_asks_for_has_an_end() {
    let many = |line: &dyn Fn(usize) -> String| (0..2 * limits::EDITS).map(line).collect::<String>();
    let place = |number: usize| number << 13;
    let cases: [(String, &str); 6] = [
        (many(&|_| "munlockall = 0\n".to_owned()), "operations"),
        (many(&|_| "fault 0x1000 r\n".to_owned()), "faults"),
        (many(&|_| "cover\n 1000-2000 r--p\nend\n".to_owned()), "blocks"),
        (many(&|_| "lookup 0x1000 = none\n".to_owned()), "queries"),
        (many(&|_| "reset\n".to_owned()), "address spaces"),
        (many(&|at| format!("area {:#x}-{:#x} r--p - file:{at} 0\n", place(at), place(at) + 4096)), "names of objects"),
    ];
    for (text, what) in cases {
        let message = refused(&text);
        assert!(message.starts_with("test:") && message.contains(what), "{message}");
    }
    let areas = many(&|at| format!("area {:#x}-{:#x} rw-p - anon -\n", place(at), place(at) + 4096));
    let edits = refused(&format!("{areas}mprotect 0 0xfffffffff000 r = 0\n"));
    assert!(edits.contains("more than 256 edits"), "{edits}");
}
