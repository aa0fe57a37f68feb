//! `vmaple run` executes the suite of scenarios, as a user runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

fn vmaple_run(files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("run").args(files).output().expect("the program starts")
}

fn suite() -> Vec<PathBuf> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scenarios");
    let entries = std::fs::read_dir(directory).expect("the suite is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every scenario holds, and each has assertions.
#[test]
fn every_scenario_holds() {
    let files = suite();
    assert!(files.iter().all(|file| file.extension().is_some_and(|extension| extension == "vmaple")), "{files:?}");
    let output = vmaple_run(&files);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "\n{out}{err}");
    assert_eq!(err, "");
    let summaries: Vec<&str> = out.lines().collect();
    assert_eq!(summaries.len(), files.len() + 1, "a line a file, and the sum: no outcome is left unchecked\n{out}");
    for summary in summaries {
        assert!(summary.contains(" assertions held") && !summary.contains(" 0 "), "{summary}");
    }
}

/// Every rule that one thread can show has a case with its number. Exceptions: 2.4 and 2.5, which are about memory and about readers, and
/// 5.29, which is checked at the end of each case.
#[test]
fn every_rule_has_its_case() {
    let cases: Vec<String> = suite()
        .iter()
        .flat_map(|file| std::fs::read_to_string(file).expect("text").lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| line.strip_prefix("case ").map(|words| format!(" {words} ")))
        .collect();
    for rule in [
        "1.2", "1.3", "1.4", "1.5", "1.6", "1.8", "1.9", "1.10", "1.11", "1.14", "2.1", "2.2", "2.3", "2.6", "2.7", "2.8", "2.9", "2.10",
        "2.11", "2.12", "3.1", "5.1", "5.2", "5.3", "5.4", "5.5", "5.6", "5.7", "5.8", "5.9", "5.10", "5.11", "5.12", "5.13", "5.14",
        "8.1", "8.2", "8.3", "8.4", "8.5", "8.6", "8.7", "8.8", "5.15", "5.16", "5.17", "5.18", "5.19", "5.20", "5.21", "5.22", "5.23",
        "5.24", "5.25", "5.26", "5.27", "5.28", "5.30", "5.31", "5.32", "5.33", "5.34", "5.35", "5.36",
    ] {
        assert!(cases.iter().any(|case| case.contains(&format!(" {rule} "))), "{rule} has no case");
    }
}

/// Runs a scenario with this text. Returns the status, standard output and standard error, with the file's name replaced by `s`.
fn run(text: &str) -> (Option<i32>, String, String) {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    std::fs::write(&path, text).expect("a temporary file can be written");
    let output = vmaple_run(std::slice::from_ref(&path));
    let name = path.to_str().expect("temporary names are UTF-8");
    let shown = |bytes: &[u8]| self::text(bytes).replace(name, "s");
    (output.status.code(), shown(&output.stdout), shown(&output.stderr))
}

const LAYOUT: &str = "\
vmaple-trace 1
case the layout
set guard_gap 2
area 100000-102000 rw-p - anon -
area 106000-108000 rw-p growsdown anon -
area 10a000-10b000 r--p sealed file:a 0x1000
";

/// Every kind of assertion can fail. The report says where, what was expected and what was found; the rest of the scenario is executed, and
/// the status is 1.
#[test]
fn every_kind_of_assertion_can_differ() {
    for (wrong, expected, found) in [
        (
            "fault 0x103000 w = 103000-108000",
            "0x103000-0x108000",
            "none: cannot handle the fault: cannot expand the VMA to 0x103000..=0x107fff: the VMA",
        ),
        ("fault 0x104000 w = none", "none", "0x104000-0x108000"),
        (
            "fault 0x10a000 w = 10a000-10b000",
            "0x10a000-0x10b000",
            "none: cannot write at 0x10a000: the VMA 0x10a000..=0x10afff does not allow it",
        ),
        ("fault 0x100000 r = 100000-103000", "0x100000-0x103000", "0x100000-0x102000"),
        ("lookup 0x102000 = 106000-108000", "0x106000-0x108000", "none"),
        ("find 0x102000 = none", "none", "0x106000-0x108000"),
        ("grew 103000-108000", "0x103000-0x108000", "none: cannot expand the VMA to"),
        ("grew 108000-109000", "0x108000-0x109000", "none"),
        ("gap lowest 0x100000 0x10ffff 0x1000 0x1000 = 0x103000", "0x103000", "0x102000"),
        ("gap lowest 0x100000 0x101fff 0x1000 0x1000 = 0", "0", "-EBUSY: "),
        ("munmap 0x10a000 0x1000 = 0", "0", "-EPERM: munmap: the VMA 0x10a000..=0x10afff is sealed"),
        ("munmap 0x100800 0x1000 = -ENOMEM", "-ENOMEM", "-EINVAL: "),
        ("munmap 0x100000 0x1000 = 0x100000", "0x100000", "0"),
        ("count 4", "4", "3"),
        ("vm total=5 locked=1", "vm total=5 locked=1", "vm total=5 locked=0"),
        ("vm exec=1 stack=2", "vm stack=2 exec=1", "vm stack=2 exec=0"),
        ("seq +1", "+1", "+0"),
        ("maps\n 100000-102000\n 106000-108000\nend", "2 areas", "3 areas"),
        ("maps\n 100000-102000 rw-s\n 106000-108000\n 10a000-10b000\nend", "3 areas", "3 areas"),
        ("cover\n 100000-102000 rw-p\n 106000-107000 rw-p\n 10a000-10b000 r--p\nend", "3 areas", "3 areas"),
    ] {
        let (status, out, err) = run(&format!("{LAYOUT}{wrong}\nlookup 0x107000 = ?\nlookup 0x0 = none\n"));
        assert_eq!((status, err.as_str()), (Some(1), ""), "{wrong}\n{out}");
        let mut lines = out.lines();
        let head = lines.next().unwrap_or_default();
        assert!(head.starts_with("s:7: ") && head.ends_with("  (case the layout)"), "{wrong}\n{out}");
        let line = |lines: &mut std::str::Lines<'_>| lines.next().unwrap_or_default().to_owned();
        let (told_expected, told_found) = (line(&mut lines), line(&mut lines));
        assert!(told_expected.starts_with(&format!("  expected {expected}")), "{wrong}\n{out}");
        assert!(told_found.starts_with(&format!("  found    {found}")), "{wrong}\n{out}");
        let layout: Vec<&str> = lines.by_ref().take_while(|line| line.starts_with("  ")).collect();
        assert!(!layout.is_empty(), "{wrong}: no layout\n{out}");
        assert!(out.contains("\ns:") && out.contains(": lookup 0x107000 = 0x10"), "the rest was executed: {wrong}\n{out}");
        assert!(out.ends_with("s: 1 case, 1 assertion held, 1 differ\n"), "{wrong}\n{out}");
    }
}

/// All differences are reported, not only the first, and a reset does not remove any.
#[test]
fn all_differences_are_reported() {
    let (status, out, _) = run(&format!("{LAYOUT}count 1\ncount 2\nreset\ncase \u{1b}[2J\ncount 3\ncount 0\n"));
    assert_eq!(status, Some(1));
    for printed in ["s:7: count 1  (case the layout)", "s:8: count 2  (case the layout)", "s:11: count 3  (case \\u{1b}[2J)"] {
        assert!(out.contains(printed), "{out}");
    }
    assert!(out.ends_with("s: 2 cases, 1 assertion held, 3 differ\n"), "{out}");
}

/// An outcome that no assertion checks is printed.
#[test]
fn outcomes_that_are_not_expected_are_printed() {
    let (status, out, err) = run(&format!("{LAYOUT}munmap 0x100000 0x1000\nfault 0x104000 w = ?\nfind 0x200000\nmunmap 1 1\n"));
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let printed = "s:7: munmap 0x100000 0x1000 = 0\ns:8: fault 0x104000 w = 0x104000-0x108000\ns:9: find 0x200000 = none\ns:10: munmap 0x1 0x1 = -EINVAL: ";
    assert!(out.starts_with(printed), "{out}");
}

/// A line that cannot be read or executed ends the scenario with status 2, and is reported.
#[test]
fn what_cannot_be_read_is_refused() {
    let huge = "9".repeat(70_000);
    for (wrong, line, printed) in [
        ("madvise 0x100000 0x1000 willneed = 0", 7, "the library does not support an advice that changes no flags"),
        ("fork = main", 7, "there is already an address space `main`"),
        ("as child", 7, "there is no address space `child`"),
        ("exit\ncount 0", 8, "there is no address space `main`"),
        ("set page 16384", 7, "the library's pages have 4096 bytes, and those of the scenario 16384"),
        ("area 101000-103000 rw-p - anon -", 7, "the area cannot be placed: cannot insert the VMA 0x101000..=0x102fff: the VMA"),
        ("area 0-ffffffff000 rw-p - anon -", 7, "is in the way"),
        ("area 200800-201000 rw-p - anon -", 7, "0x200800 is not at a page's start"),
        ("area 200000-200fff rw-p - anon -", 7, "0x200fff is not at a page's start"),
        ("area 200000-201000 rw-p - file:a 1", 7, "0x1 is not at a page's start"),
        ("area 200000-201000 rw-s growsdown shm:a -", 7, "one that grows is private and has no object behind it"),
        ("area 7fffffffe000-800000000000 rw-p - anon -", 7, "ends beyond 0x7ffffffff000, where the address space ends"),
        ("area ffffffffff600000-ffffffffff601000 r-xp - anon -", 7, "ends beyond 0x7ffffffff000"),
        ("area 7fffffffe000-800000000000 r-xp - special:a -", 7, "ends beyond 0x7ffffffff000"),
        ("area ffffffffff600000-ffffffffffffffff r-xp - special:a -", 7, "0xffffffffffffffff is not at a page's start"),
        (
            "area ffffffffff600000-ffffffffff602000 r-xp - special:a -\narea ffffffffff601000-ffffffffff602000 r-xp - special:b -",
            8,
            "0xffffffffff600000-0xffffffffff602000 is in the way",
        ),
        ("area 1000-1000 rw-p - anon -", 7, "expected a range"),
        ("area 2000-1000 rw-p - anon -", 7, "expected a range"),
        ("area 0-10000000000000000 rw-p - anon -", 7, "expected a range"),
        ("fault 18446744073709551616 w", 7, "expected an address"),
        (&format!("count {huge}"), 7, "a line of more than 65536 bytes"),
        ("count 99999999999999999999", 7, "expected a number of areas"),
        ("maps\n 100000-102000", 8, "the end of the file"),
        ("cover\n 100000-102000\ncount 1\nend", 9, "expected an area START-END, or `end`"),
        ("maps\n 100000-102000\n 101000-103000\nend", 9, "where the one before ends"),
        ("end", 7, "expected a keyword"),
        ("mumble", 7, "expected a keyword"),
        ("count", 7, "the end of the line"),
        ("seq 1", 7, "a difference like `+1`"),
        ("vm total=1 total=1", 7, "each at most once"),
    ] {
        let (status, out, err) = run(&format!("{LAYOUT}{wrong}\n"));
        let shown = wrong.get(..80).unwrap_or(wrong);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{shown}\n{err}");
        assert!(err.starts_with(&format!("vmaple: s:{line}: ")) && err.contains(printed), "{shown}\n{err}");
    }
    let (status, _, err) = run("not a trace\n");
    assert!(status == Some(2) && err.starts_with("vmaple: s:1: read `not a trace`"), "{err}");
    let (status, _, err) = run(LAYOUT.trim_end());
    assert!(status == Some(2) && err.contains("cut short"), "{err}");
}

/// Differences before an unreadable line are reported, later files are executed, and the status is the highest of any file.
#[test]
fn each_file_is_executed() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a temporary file can be written");
        path
    };
    let files = [
        file("a", &format!("{LAYOUT}count 1\nmadvise 0x100000 0x1000 willneed\n")),
        directory.path().join("nowhere"),
        directory.path().to_owned(),
        file("b", &format!("{LAYOUT}count 3\n")),
    ];
    let output = vmaple_run(&files);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert!(out.contains("a:7: count 1") && out.contains("b: 1 case, 1 assertion held\n"), "{out}");
    assert!(out.ends_with("4 files: 2 cases, 1 assertion held, 1 differ, 3 not executed to the end\n"), "{out}");
    assert_eq!(err.lines().count(), 3, "{err}");
    let output = Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("run").output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2), "no file at all");
}

/// Every seed of the format's fuzz target is run to an end.
#[test]
fn seeds_of_the_format_are_run_to_an_end() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/trace_parse");
    let files: Vec<PathBuf> = std::fs::read_dir(seeds).expect("seeds").map(|entry| entry.expect("an entry").path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let status = vmaple_run(std::slice::from_ref(&file)).status.code();
        assert!(matches!(status, Some(0..=2)), "{}: {status:?}", file.display());
    }
}
