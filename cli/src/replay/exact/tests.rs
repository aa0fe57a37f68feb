//! Small recordings with what the kernel would show: what holds, what differs, and which causes are found. The layouts are those of Linux
//! 6.18 for the same calls.

use super::{Exact, Follower};
use std::io::Cursor;
use vmaple_trace::Reader;

fn exact(text: &str) -> Exact {
    let mut follower = Follower::new();
    for line in Reader::new("test", Cursor::new(format!("vmaple-trace 1\n{text}"))) {
        follower.line(&line.expect("a good trace"));
    }
    follower.finish()
}

/// What differs without a cause, in words.
fn unexplained(text: &str) -> Vec<String> {
    exact(text).unexplained_examples.into_iter().map(|finding| finding.text).collect()
}

const MAP: &str = "@1 1 mmap 0x100000 0x4000 rw private,anonymous,fixed anon - = 0x100000\n";

// before  WWWW
// protect  RR      then the first of them back
// after   WWRW
#[test]
fn a_layout_holds_area_by_area_and_field_by_field() {
    let calls = format!(
        "{MAP}mprotect 0x101000 0x2000 r = 0\nmprotect 0x101000 0x1000 rw = 0\nmadvise 0x103000 0x1000 nohugepage = 0\n\
         mmap 0 0x2000 r private file:f 0x3000 = 0x200000\n"
    );
    let held = "count 4\nvm total=6 data=3 locked=0 stack=0 exec=0\nmaps\n 100000-102000 rw-p - anon 0x100000\n 102000-103000 r--p - anon\n 103000-104000 rw-p nohugepage anon -\n \
                200000-202000 r--p - file:f 0x3000\nend\n";
    let exact = exact(&format!("{calls}{held}"));
    assert_eq!((exact.layouts, exact.equal_layouts, exact.areas, exact.counts, exact.results), (1, 1, 4, 2, 5));
    assert_eq!(exact.unexplained, 0, "{:?}", exact.unexplained_examples);
    for (right, wrong) in [
        ("102000-103000 r--p -", "102000-103000 r--p locked"),
        ("rw-p nohugepage", "rw-p -"),
        ("file:f 0x3000", "file:f 0x2000"),
        ("file:f 0x3000", "file:g 0x3000"),
        ("100000-102000 rw-p - anon 0x100000", "100000-102000 r--p - anon"),
        (" 200000-202000 r--p - file:f 0x3000\n", ""),
        ("count 4", "count 5"),
        ("data=3", "data=4"),
    ] {
        let findings = unexplained(&format!("{calls}{}", held.replace(right, wrong)));
        assert_eq!(findings.len(), 1, "{wrong}: {findings:?}");
    }
}

// A mapping is where the recording says; where the library would have put it is counted.
#[test]
fn places_and_results_are_compared() {
    let alike = "set mmap_base 0x7f0000000000\nmmap 0 0x3000 rw private,anonymous anon - = 0x7effffffd000\n\
                 mmap 0 0x1000 r private,anonymous anon - = 0x7effff000000\n\
                 mremap 0x7effff000000 0x1000 0x1000 maymove,dontunmap 0 = 0x7effffffc000\n";
    let result = exact(alike);
    assert_eq!((result.placements, result.placed_alike, result.unexplained), (3, 2, 0), "{:?}", result.unexplained_examples);
    assert!(result.placed_elsewhere[0].text.ends_with("the kernel chose 0x7effff000000, the library at 0x7effffffc000"), "{result:?}");
    // what the kernel did not do is not done, and what it did is asked for
    for (call, found) in [
        ("munmap 0x100000 0x1000 = -ENOMEM", "found 0"),
        ("mprotect 0x500000 0x1000 r = 0", "found -ENOMEM"),
        ("mremap 0x100000 0x4000 0x5000 - = -ENOMEM", "found 0x100000"),
        ("brk 0x1000 = 0x1000", "found 0x555555580000"),
    ] {
        let findings = unexplained(&format!("{MAP}brk 0 = 0x555555580000\n{call}\nmaps\n 100000-104000 rw-p\nend\n"));
        assert_eq!(findings.len(), 1, "{call}: {findings:?}");
        assert!(findings[0].contains(found), "{findings:?}");
    }
    // a file's refusal, and a signal, say nothing of the layout
    let outside = exact("mmap 0 0x1000 rw shared file:none 0 = -EACCES\nmlock 0x1000 0x1000 = -EINTR\n");
    assert_eq!((outside.outside, outside.results, outside.unexplained), (2, 0, 0));
}

// What a driver gives an area, which file it was opened as, and marks that calls set, keep areas apart.
#[test]
fn what_the_arguments_do_not_tell_is_followed() {
    let half = |with: &str, at: &str, offset: &str| format!("{with}mmap {at} 0x2000 r shared,fixed file:f {offset} = {at}\n");
    let whole = "maps\n 100000-104000 r--s - file:f 0\nend\n";
    let apart = |flags: &str| format!("maps\n 100000-102000 r--s - file:f 0\n 102000-104000 r--s {flags} file:f 0x2000\nend\n");
    let (low, high) = (half("", "0x100000", "0"), |with: &str| half(with, "0x102000", "0x2000"));
    for (with, layout) in [
        ("", whole.to_owned()),
        ("with open:1\n", whole.to_owned()),
        ("with open:2\n", apart("-")),
        ("with dontexpand,pfnmap,open:1\n", apart("dontexpand,pfnmap")),
    ] {
        assert_eq!(unexplained(&format!("{low}{}{layout}", high(with))), [""; 0], "{with}");
    }
    // it is of one operation only
    let third = half("", "0x104000", "0x4000");
    let trace = format!("{low}{}{third}maps\n 100000-102000 r--s\n 102000-104000 r--s\n 104000-106000 r--s\nend\n", high("with open:2\n"));
    assert_eq!(unexplained(&trace), [""; 0]);
    // the halves are one where they are of one file, and an area that is there from the start has its marks
    let area = "area 100000-102000 r--s open:2 file:f 0\n";
    assert_eq!(unexplained(&format!("{area}{}{whole}", high("with open:2\n"))), [""; 0]);
    assert_eq!(unexplained(&format!("{area}{}{}", high(""), apart("-"))), [""; 0]);
}

// A promise that private anonymous memory keeps, though it may not be written to, is that of an owner.
#[test]
fn a_kept_promise_tells_an_owner() {
    for flags in ["account", "account,inherited"] {
        let text = format!("area 100000-102000 r--p {flags} anon -\nmprotect 0x100000 0x1000 none = 0\n");
        assert_eq!(unexplained(&format!("{text}maps\n 100000-101000 ---p account anon\n 101000-102000 r--p account anon\nend\n")), [""; 0]);
    }
    // without faults, who has an owner is not known
    let kept = "mprotect 0x100000 0x1000 r = 0\nmaps\n 100000-101000 r--p account anon\n 101000-104000 rw-p - anon\nend\n";
    let result = exact(&format!("{MAP}{kept}{kept}"));
    assert_eq!((result.explained.get("owners unknown"), result.unexplained), (Some(&1), 0), "{:?}", result.unexplained_examples);
    assert_eq!(unexplained(&format!("{MAP}@1 2 fault 0x103000 r\n{kept}")).len(), 1);
    let none = "area 100000-102000 rw-p - anon -\nmprotect 0x100000 0x2000 none = 0\nmaps\n 100000-102000 ---p - anon\nend\n";
    assert_eq!(unexplained(none), [""; 0]);
}

// A recording shows only by their pages what a forked child's areas have from its parent, or what a running process had before.
#[test]
fn an_owner_from_before_is_a_cause() {
    let start = "area 100000-102000 rw-p faulted anon -\narea 102000-104000 rw-p - anon -\n";
    let child = "brk 0 = 0x555555580000\n";
    let fault = "@1 1 fault 0x100000 w\n";
    let mapped = "@1 2 mmap 0x104000 0x1000 rw private,fixed,anonymous anon - = 0x104000\n";
    let layout = "maps\n 100000-102000 rw-p faulted anon -\n 102000-104000 rw-p - anon -\n 104000-105000 rw-p - anon -\nend\n";
    let result = exact(&format!("{start}{child}{fault}{mapped}{layout}"));
    assert_eq!((result.explained.get("owner from before"), result.unexplained), (Some(&1), 0), "{:?}", result.unexplained_examples);
    // a program that began with the trace, and what was mapped since
    assert_eq!(unexplained(&format!("{start}{fault}{mapped}{layout}")).len(), 1);
    let again = "@1 1 mmap 0x102000 0x2000 rw private,fixed,anonymous anon - = 0x102000\n";
    assert_eq!(unexplained(&format!("{start}{child}{fault}{again}{mapped}{layout}")).len(), 1);
}

// before  AAAA
// mark     PP      then gone, and then on a hole
// after   APPA     AAAA
#[test]
fn marks_split_and_join() {
    let split = "maps\n 100000-101000 rw-p\n 101000-103000 rw-p\n 103000-104000 rw-p\nend\n";
    let whole = "maps\n 100000-104000 rw-p\nend\n";
    for kind in ["policy", "userfault", "name"] {
        let text = format!("{MAP}mark 0x101000 0x2000 {kind} a%20b = 0\n{split}mark 0x100000 0x200000 {kind} - = 0\n{whole}");
        assert_eq!(unexplained(&text), [""; 0], "{kind}");
        let refused = exact(&format!("{MAP}mark 0x101000 0x2000 {kind} x = -EFAULT\n{whole}"));
        assert_eq!((refused.outside, refused.unexplained), (1, 0));
    }
    // a userfaultfd stays behind when pages are moved, unless it was registered for moves
    for (word, layout) in [("1", "maps\n 100000-102000 rw-p\nend\n"), ("1+remap", "maps\n 100000-101000 rw-p\n 101000-102000 rw-p\nend\n")]
    {
        let text = format!(
            "mmap 0x100000 0x1000 rw private,anonymous,fixed anon - = 0x100000\nmmap 0x200000 0x1000 rw private,anonymous,fixed anon - = 0x200000\n\
             mark 0x200000 0x1000 userfault {word} = 0\nmremap 0x200000 0x1000 0x1000 maymove,fixed 0x101000 = 0x101000\n{layout}"
        );
        assert_eq!(unexplained(&text), [""; 0], "{word}");
    }
}

// What the file cannot, or no kind at all: refused by the rules, and nothing is mapped.
#[test]
fn kinds_are_refused_as_the_kernel_refuses_them() {
    let result = exact(&format!(
        "{MAP}mmap 0 0x1000 rw shared_validate,sync file:f 0 = -EOPNOTSUPP\nmmap 0x100000 0x1000 rw shared_validate,sync,fixed file:f 0 = -EOPNOTSUPP\n\
         mmap 0 0x1000 rw anonymous anon - = -EINVAL\nmmap 0 0 rw shared_validate,sync file:f 0 = -EINVAL\n\
         maps\n 100000-104000 rw-p - anon -\nend\n"
    ));
    assert_eq!((result.results, result.outside, result.unexplained), (5, 0, 0), "{:?}", result.unexplained_examples);
}

// before  AAAA     one owner
// layout  AAMM     by what is not recorded
// advice  AAAA
#[test]
fn what_is_mended_keeps_its_owner() {
    let result = exact(&format!(
        "{MAP}@1 2 fault 0x100000 w\nunrecorded x\nmaps\n 100000-102000 rw-p - anon -\n 102000-104000 rw-p mergeable anon -\nend\n\
         @1 3 madvise 0x102000 0x2000 unmergeable = 0\nmaps\n 100000-104000 rw-p - anon -\nend\n"
    ));
    assert_eq!((result.explained["not recorded"], result.unexplained), (1, 0), "{:?}", result.unexplained_examples);
}

#[test]
fn refusals_are_counted_by_cause() {
    let result = exact(&format!(
        "{MAP}with refused:overcommit\nmmap 0 0x100000000000 rw private,anonymous anon - = -ENOMEM\nmprotect 0x100000 0x1000 x = -EACCES\n\
         mprotect 0x103000 0x2000 x = -EACCES\nmlock 0x101000 0x1000 = -ENOMEM\nbrk 0 = 0x555555580000\nwith refused:overcommit\nbrk 0x555555590000 = 0x555555580000\n\
         maps\n 100000-101000 rw-p - anon\n 101000-102000 rw-p locked anon\n 102000-104000 rw-p - anon\nend\n"
    ));
    assert_eq!(result.unexplained, 0, "{:?}", result.unexplained_examples);
    let causes: Vec<(&str, u64)> = result.refused.iter().map(|(cause, count)| (cause.as_str(), *count)).collect();
    assert_eq!(causes, [("a permission", 2), ("overcommit", 2), ("pages that could not be brought in", 1)]);
    for lines in [
        // a cause is no excuse for what the library would refuse for another, nor for what was done
        "with refused:overcommit\nmunmap 0x100001 0x1000 = -ENOMEM",
        "with refused:overcommit\nmremap 0x100000 0x4000 0x4000 maymove,fixed 0x200000 = 0x300000",
        "set limit.data 0x4000\nwith refused:overcommit\nbrk 0x555555590000 = 0x555555590000",
        // nor is an error that the layout decides, or that the call never has
        "mlock2 0x100000 0x1000 onfault = -ENOMEM",
        "munmap 0x100000 0x1000 = -EACCES",
        "mprotect 0x200000 0x1000 r = -EACCES",
        "mmap 0 0x1000 r private file:f 0 = -EOVERFLOW",
        "mmap 0 0 r private file:f 0 = -EACCES",
    ] {
        assert_eq!(unexplained(&format!("{MAP}{lines}\n")).len(), 1, "{lines}");
    }
}

#[test]
fn what_is_not_recorded_is_named() {
    let layout = "maps\n 100000-104000 rw-p nohugepage anon\nend\n";
    assert_eq!(unexplained(&format!("{MAP}{layout}")).len(), 1);
    let result = exact(&format!("{MAP}unrecorded x32\n{layout}{}", layout.replace("nohugepage", "hugepage")));
    assert_eq!((result.explained.get("not recorded"), result.unexplained), (Some(&1), 1), "only until the next layout");
    assert_eq!(result.unrecorded.get("x32"), Some(&1));
}

// before  AABB     B is alike, except for an owner
#[test]
fn owners_may_come_without_a_fault() {
    let apart = "maps\n 100000-102000 rw-p nohugepage anon\n 102000-104000 rw-p nohugepage anon\nend\n";
    let text = format!("{OWNERS}own 0x100000-0x101000\nown 0x102000-0x103000\n{JOINED}{apart}");
    assert_eq!(unexplained(&text), [""; 0]);
    assert_eq!(unexplained(&format!("{OWNERS}@1 4 fault 0x100000 r\nown 0x100000-0x101000\n{JOINED}{apart}")).len(), 1);
}

// before  AABB     B was written to while A could not be
// call    make both alike
// after   AABB     in the kernel, by owners; one area without them
const OWNERS: &str = "@1 1 mmap 0x100000 0x2000 rw private,anonymous,fixed anon - = 0x100000\n\
    @1 2 madvise 0x100000 0x2000 nohugepage = 0\n@1 3 mmap 0x102000 0x2000 rw private,anonymous,fixed anon - = 0x102000\n";
const WRITES: &str = "@1 4 fault 0x100000 w\n@1 4 fault 0x102000 w\n";
const JOINED: &str = "@1 5 madvise 0x102000 0x2000 nohugepage = 0\n";

#[test]
fn faults_give_owners_and_owners_keep_areas_apart() {
    let apart = "maps\n 100000-102000 rw-p nohugepage,faulted anon\n 102000-104000 rw-p nohugepage,faulted anon\nend\n";
    let whole = "maps\n 100000-104000 rw-p nohugepage anon\nend\n";
    for (faults, layout) in [(WRITES, apart), ("", whole), ("@1 4 fault 0x100000 w\n@1 4 fault 0x102000 r\n", whole)] {
        let result = exact(&format!("{OWNERS}{faults}{JOINED}{layout}"));
        assert_eq!(
            (result.equal_layouts, result.unexplained),
            (1, 0),
            "{faults}: {:?} {:?}",
            result.unexplained_examples,
            result.explained_examples
        );
    }
    assert_eq!(exact(&format!("{OWNERS}{WRITES}")).owners_by_faults, 2);
}

#[test]
fn what_a_recording_does_not_decide_is_reported_with_its_cause() {
    let apart = "maps\n 100000-102000 rw-p nohugepage,faulted anon\n 102000-104000 rw-p nohugepage,faulted anon\nend\n";
    let cause = |text: &str| {
        let result = exact(text);
        assert_eq!((result.unexplained, result.equal_layouts), (0, 0), "{text}: {:?}", result.unexplained_examples);
        result.explained.keys().copied().collect::<Vec<_>>()
    };
    assert_eq!(cause(&format!("{OWNERS}{JOINED}{apart}")), ["owners unknown"]);
    assert_eq!(cause(&format!("{OWNERS}@1 4 fault 0x100000 w\n{JOINED}{apart}")), ["fault not recorded"]);
    assert_eq!(cause(&format!("{OWNERS}@1 4 fault 0x100000 w\n{JOINED}@2 6 fault 0x102000 w\n{apart}")), ["thread race"]);
    // with one thread and all faults it would be the library's: both were written to, and the kernel is said to have joined them
    let joined = "maps\n 100000-104000 rw-p nohugepage anon\nend\n";
    assert_eq!(unexplained(&format!("{OWNERS}{WRITES}{JOINED}{joined}")).len(), 1);
    // and what is seen is not explained by owners, however many threads there are
    let other = "maps\n 100000-102000 rw-p - anon\n 102000-104000 rw-p nohugepage anon\nend\n";
    assert_eq!(unexplained(&format!("{OWNERS}@2 4 fault 0x100000 w\n{JOINED}{other}")).len(), 1);
}

// The next layout begins from what the kernel had.
#[test]
fn a_difference_is_reported_once() {
    let apart = "maps\n 100000-102000 rw-p nohugepage,faulted anon\n 102000-104000 rw-p nohugepage,faulted anon\nend\n";
    let result = exact(&format!("{OWNERS}{JOINED}{apart}{apart}munmap 0x103000 0x1000 = 0\n{}", apart.replace("104000", "103000")));
    assert_eq!((result.layouts, result.equal_layouts, result.explained.get("owners unknown")), (3, 2, Some(&1)), "{result:?}");
}

// A child has what it has from its parent: what is new does not join it (5.9).
#[test]
fn inherited_pages_merge_less() {
    let map = "mmap 0x102000 0x1000 rw private,anonymous,fixed anon - = 0x102000\n";
    let apart = "maps\n 100000-102000 rw-p\n 102000-103000 rw-p\nend\n";
    let area = |flags: &str| format!("area 100000-102000 rw-p {flags} anon -\n");
    assert_eq!(unexplained(&format!("{}{map}{apart}", area("faulted,inherited"))), [""; 0]);
    assert_eq!(unexplained(&format!("{}{map}maps\n 100000-103000 rw-p\nend\n", area("faulted"))), [""; 0]);
    // the heap that it inherits ends where `brk 0` says
    let heap = "set brk_start 0x20000\narea 20000-24000 rw-p faulted,inherited anon -\nbrk 0 = 0x24000\nbrk 0x25000 = 0x25000\n";
    assert_eq!(unexplained(&format!("{heap}maps\n 20000-24000 rw-p\n 24000-25000 rw-p\nend\n")), [""; 0]);
}

#[test]
fn what_the_library_cannot_be_ends_the_check_and_is_no_difference() {
    let result = exact("set page 16384\nmaps\n 1000-2000\nend\n");
    assert_eq!((result.layouts, result.unexplained), (0, 0));
    assert!(result.ended_early.is_some_and(|why| why.starts_with("line 2: ")), "it says where");
}

#[test]
fn children_in_one_trace_have_layouts_of_their_own() {
    let text = format!("{MAP}fork = c\nmunmap 0x100000 0x4000 = 0\nmaps\nend\nas c\nmaps\n 100000-104000 rw-p - anon -\nend\n");
    assert_eq!(unexplained(&text), [""; 0]);
}

// Protection keys are followed, in a trace that begins in the middle, too; and a kind of mapping that Linux refuses has requested the
// execute-only key before that (8.2).
#[test]
fn keys_are_followed() {
    let calls = format!(
        "set pkeys 16\nset pkeys.allocated 0x3\n{MAP}mmap 0 0x1000 x anonymous anon - = -EINVAL\npkey_alloc 0 0 = 3\n\
         pkey_mprotect 0x101000 0x1000 rw 3 = 0\nmprotect 0x102000 0x1000 x = 0\nmlock 0x102000 0x1000 = -ENOMEM\npkey_free 3 = 0\n"
    );
    let held = "maps\n 100000-101000 rw-p -\n 101000-102000 rw-p pkey:3\n 102000-103000 --xp locked,pkey:2\n 103000-104000 rw-p -\nend\n";
    let exact = exact(&format!("{calls}{held}"));
    assert_eq!((exact.equal_layouts, exact.results, exact.unexplained), (1, 7, 0), "{:?}", exact.unexplained_examples);
    for (right, wrong) in [("pkey:3", "pkey:1"), ("locked,pkey:2", "locked"), ("pkey_alloc 0 0 = 3", "pkey_alloc 0 0 = 2")] {
        let findings = unexplained(&format!("{calls}{held}").replace(right, wrong));
        assert!(!findings.is_empty(), "{wrong}: {findings:?}");
    }
}

// Linux begins the search for the low addresses at random: where a mapping is says where it began.
#[test]
fn a_place_in_the_low_addresses_is_one_that_the_kernel_may_choose() {
    let at = |call: &str, at: &str| {
        let result = exact(&format!("{call} = {at}\n"));
        assert_eq!((result.placements, result.unexplained), (1, 0), "{:?}", result.unexplained_examples);
        result.placed_alike == 1
    };
    let small = "mmap 0 0x4000 rw private,anonymous,32bit anon -";
    let large = "mmap 0 0x400000 rw private,anonymous,32bit anon -";
    let huge = "mmap 0 0x400000 rw private,anonymous,32bit,hugetlb anon -";
    for (call, places) in [
        (small, [("0x40000000", true), ("0x40f23000", true), ("0x41fff000", true), ("0x42000000", false), ("0x3ffff000", false)]),
        // aligned, in room that began below
        (large, [("0x40200000", true), ("0x41000000", true), ("0x42000000", true), ("0x42200000", false), ("0x40f23000", false)]),
        (huge, [("0x40000000", true), ("0x41200000", true), ("0x42000000", true), ("0x42200000", false), ("0x42400000", false)]),
    ] {
        for (place, is_possible) in places {
            assert_eq!(at(call, place), is_possible, "{call} at {place}");
        }
    }
    // with something in the way the lowest room above it is as likely
    let beside = "area 40000000-43000000 rw-p - anon -\nmmap 0 0x4000 rw private,anonymous,32bit anon -";
    assert!(at(beside, "0x43000000") && !at(beside, "0x43001000"));
}

// before  HHHH
// after   ..HH....H      as a program did it
#[test]
fn huge_pages_are_followed() {
    let calls = "set mmap_base 0x10000000\nmmap 0 0x600001 rw private,anonymous,hugetlb anon - = 0xf800000\n\
        munmap 0xf800000 0x1000 = -EINVAL\nmunmap 0xf800000 0x200000 = 0\nmprotect 0xfa00000 0x1000 r = -EINVAL\n\
        mremap 0xfa00000 0x1000 0x1000 maymove,fixed 0xe000000 = 0xe000000\nmlock 0xfc00000 0x1000 = 0\n";
    let maps = "vm total=1536 locked=0\nmaps\n 0e000000-0e200000 rw-p dontexpand,hugetlb anon\n 0fc00000-10000000 rw-p dontexpand,hugetlb anon\nend\n";
    let result = exact(&format!("{calls}{maps}"));
    assert_eq!((result.unexplained, result.placed_alike, result.equal_layouts), (0, 1, 1), "{:?}", result.unexplained_examples);
    // the size that a mapping has which does not say one is the machine's
    let large = "set hugetlb 1073741824\nmmap 0x40000000 0x1000 r private,anonymous,fixed,hugetlb anon - = 0x40000000\n\
        mprotect 0x40000000 0x200000 rw = -EINVAL\nmaps\n 40000000-80000000 r--p dontexpand,hugetlb,huge_1gb anon\nend\n";
    assert_eq!(unexplained(large), [""; 0]);
}

// Memory that may be dropped is not locked, not promised, and empty in a child.
#[test]
fn memory_that_may_be_dropped_is_followed() {
    let calls = "mmap 0x100000 0x4000 rw droppable,anonymous,fixed anon - = 0x100000\nmlock 0x100000 0x1000 = 0\n\
        madvise 0x100000 0x1000 keeponfork = -EINVAL\nmunmap 0x102000 0x1000 = 0\n";
    let maps = "vm total=3 locked=0\nmaps\n 00100000-00102000 rw-p noreserve,dontdump,wipeonfork,droppable anon\n \
        00103000-00104000 rw-p noreserve,dontdump,wipeonfork,droppable anon\nend\n";
    assert_eq!(unexplained(&format!("{calls}{maps}")), [""; 0]);
}
