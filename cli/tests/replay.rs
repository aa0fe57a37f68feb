//! `vmaple replay` as a user runs it: exit status, messages, and the files that it writes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const HOLDS: &str = "\
vmaple-trace 1
set brk_start 0x20000
area 0x10000-0x12000 r-xp - file:/usr/bin/demo 0
area 0x7f0000-0x800000 rw-p growsdown anon -
@1 10 brk 0 = 0x20000
@1 20 brk 0x24000 = 0x24000
@2 30 mmap 0 0x3000 rw private,anonymous anon 0 = 0x300000
@2 40 mprotect 0x301000 0x1000 none = 0
@1 50 fault 0x21008 w
@2 60 fault 0x10010 x
grew 0x7e0000-0x800000
maps
  10000-12000 r-xp - file:/usr/bin/demo 0
  20000-24000 rw-p
  300000-301000 rw-p
  301000-302000 ---p
  302000-303000 rw-p
  7e0000-800000 rw-p
end
";

struct Run {
    output: Output,
    stdout: String,
    stderr: String,
}

fn replay(arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("replay").args(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { stdout: text(&output.stdout), stderr: text(&output.stderr), output }
}

fn write(directory: &TempDir, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    std::fs::write(&path, content).expect("a temporary file can be written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary names are UTF-8")
}

/// Replays a trace with this text, without measuring speed.
fn checked(content: impl AsRef<[u8]>) -> Run {
    let directory = TempDir::new().expect("a temporary directory");
    replay(&[text(&write(&directory, "a.trace", content)), "--seconds", "0"])
}

#[test]
fn a_history_that_holds_is_status_0() {
    let run = checked(HOLDS);
    assert_eq!(run.output.status.code(), Some(0), "{}{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("everything held"), "{}", run.stdout);
    assert!(run.stdout.contains("5 operations by 2 threads, 2 page faults"), "{}", run.stdout);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_layout_that_differs_is_status_1_and_is_reported_with_its_surroundings() {
    let run = checked(HOLDS.replace("  301000-302000 ---p\n", "  301000-302000 r--p\n"));
    assert_eq!(run.output.status.code(), Some(1));
    let mut lines = run.stderr.lines();
    let first = lines.next().expect("a difference is printed");
    assert!(first.contains("a.trace:16: expected 00301000-00302000 r--p, found ---p"), "{first}");
    assert!(first.ends_with("in the index and in the plain model"), "{first}");
    let around: Vec<&str> = lines.take(5).map(str::trim).collect();
    assert_eq!(
        around,
        [
            "00020000-00024000 rw-p anon",
            "00300000-00301000 rw-p anon",
            "> 00301000-00302000 ---p anon",
            "00302000-00303000 rw-p anon",
            "007e0000-00800000 rw-p anon"
        ]
    );
    assert!(run.stdout.contains("NOT everything held"), "{}", run.stdout);
}

#[test]
fn extra_and_missing_areas_are_reported() {
    let run = checked(HOLDS.replace("  20000-24000 rw-p\n", "  20000-23000 rw-p\n  400000-401000 rw-p\n"));
    // the second line is out of order, so this is not a trace
    assert_eq!(run.output.status.code(), Some(2));
    let run = checked(HOLDS.replace("  20000-24000 rw-p\n", "  18000-19000 rw-p\n  20000-23000 rw-p\n"));
    assert_eq!(run.output.status.code(), Some(1));
    assert!(run.stderr.contains("a.trace:14: expected 00018000-00019000 rw-p, found nothing mapped"), "{}", run.stderr);
    assert!(run.stderr.contains("a.trace:16: expected 00023000-00024000 nothing mapped, found rw-p"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_read_is_status_2_and_names_the_line() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "a.trace:0: the file is empty"),
        (b"not a trace\n", "a.trace:1: "),
        (b"vmaple-trace 2\n", "a.trace:1: "),
        (b"vmaple-trace 1\nconquer 0x1000\n", "a.trace:2: "),
        (b"vmaple-trace 1\nmunmap 0x1000\n", "a.trace:2: "),
        (b"vmaple-trace 1\nmaps\n 1000-2000 rw-p\n", "a.trace:3: "),
        (b"vmaple-trace 1\n\xff\xfe\n", "a.trace:2: "),
        (b"vmaple-trace 1\nmmap 0 4096 rw private,anonymous anon 0\n", "a.trace:2: "),
        (b"vmaple-trace 1\narea 0x1000-0x3000 rw-p - anon -\narea 0x2000-0x4000 rw-p - anon -\n", "a.trace:3: "),
    ];
    for (content, place) in cases {
        let run = checked(content);
        let shown = String::from_utf8_lossy(content);
        assert_eq!(run.output.status.code(), Some(2), "{shown}: {}", run.stderr);
        assert!(run.stderr.contains(place) && (content.is_empty() || run.stderr.contains("expected")), "{shown}: {}", run.stderr);
        assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    }
}

#[test]
fn files_that_are_not_there_or_are_cut_short_are_status_2() {
    let directory = TempDir::new().expect("a temporary directory");
    let missing = replay(&[text(&directory.path().join("none.trace"))]);
    assert_eq!(missing.output.status.code(), Some(2));
    assert!(missing.stderr.contains("none.trace"), "{}", missing.stderr);
    assert_eq!(replay(&[text(directory.path())]).output.status.code(), Some(2));
    let packed = gzip(HOLDS.as_bytes());
    let whole = write(&directory, "a.trace.gz", &packed);
    assert_eq!(replay(&[text(&whole), "--seconds", "0"]).output.status.code(), Some(0));
    let cut = write(&directory, "b.trace.gz", &packed[..packed.len() / 2]);
    let run = replay(&[text(&cut)]);
    assert_eq!(run.output.status.code(), Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("b.trace.gz:"), "{}", run.stderr);
}

#[test]
fn a_line_that_never_ends_is_refused_before_it_is_held() {
    let directory = TempDir::new().expect("a temporary directory");
    // gzip packs 64 MiB of one letter into 64 KiB
    let mut content = b"vmaple-trace 1\n".to_vec();
    content.resize(64 << 20, b'a');
    let bomb = write(&directory, "bomb.trace.gz", gzip(&content));
    let run = replay(&[text(&bomb)]);
    assert_eq!(run.output.status.code(), Some(2));
    assert!(run.stderr.contains("bomb.trace.gz:2: ") && run.stderr.len() < 1000, "{}", run.stderr);
}

#[test]
fn results_are_written_for_programs_and_as_a_page() {
    let directory = TempDir::new().expect("a temporary directory");
    let trace = write(&directory, "a.trace", HOLDS);
    let page = directory.path().join("a.html");
    let run = replay(&[text(&trace), "--readers", "3", "--seconds", "0.2", "--json", "-", "--html", text(&page)]);
    assert_eq!(run.output.status.code(), Some(0), "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("nothing but JSON goes to the standard output");
    assert_eq!(report["held"], true);
    assert_eq!(report["readers"], 3);
    assert_eq!(report["trace"]["operations"], 5);
    assert_eq!(report["trace"]["calls"]["brk"], 2);
    assert_eq!(report["checked"]["wrong"], 0);
    assert!(report["checked"]["answers"].as_u64() >= Some(10_000));
    for key in ["readers_alone", "readers_beside_writer"] {
        assert!(report["speed"][key]["lookups"].as_u64() > Some(0), "{key}");
        assert_eq!(report["speed"][key]["wrong"], 0);
    }
    assert!(report["speed"]["writer"]["writes"].as_u64() > Some(0));
    assert_eq!(report["index"]["at_end"]["entries"], 6);
    assert_eq!(report["index"]["waiting_afterwards_bytes"], 0);
    let page = std::fs::read_to_string(page).expect("the page is there");
    assert!(page.contains("/usr/bin/demo") && page.trim_end().ends_with("</html>"));
    for placeholder in ["{{title}}", "{{style}}", "{{map}}", "{{charts}}", "{{data}}"] {
        assert!(!page.contains(placeholder), "{placeholder}");
    }
    // The page's scripts read only keys that the report has.
    for (object, keys) in [("report", &report), ("trace", &report["trace"]), ("checked", &report["checked"]), ("speed", &report["speed"])] {
        let named: Vec<&str> =
            page.split([' ', '(', '{', '!', '[']).filter_map(|word| word.strip_prefix(object)?.strip_prefix('.')).collect();
        assert!(!named.is_empty(), "the scripts read nothing of `{object}`");
        for name in named {
            let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(name.len());
            assert!(keys.get(&name[..end]).is_some(), "`{object}.{}` is not in the report", &name[..end]);
        }
    }
}

#[test]
fn the_trace_that_comes_with_the_program_holds() {
    let run = replay(&["--seconds", "0"]);
    assert_eq!(run.output.status.code(), Some(0), "{}{}", run.stdout, run.stderr);
}

fn gzip(content: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(content).expect("memory takes it");
    packer.finish().expect("memory takes it")
}

/// The index has no flags for advice, so the layout holds there; the address space has them, so the layout differs there.
#[test]
fn an_area_that_differs_in_a_flag_is_status_1_and_both_are_reported() {
    let flagged = HOLDS.replace("  300000-301000 rw-p\n", "  300000-301000 rw-p nohugepage anon\n");
    let run = checked(flagged);
    assert_eq!(run.output.status.code(), Some(1), "{}", run.stdout);
    let printed: Vec<&str> = run.stderr.lines().map(str::trim).collect();
    assert_eq!(
        printed,
        [
            "a.trace:15: expected 00300000-00301000 rw-p, found 00300000-00301000 rw-p in the address space",
            "00020000-00024000 rw-p faulted anon -",
            "- 00300000-00301000 rw-p nohugepage anon",
            "+ 00300000-00301000 rw-p - anon -",
            "00301000-00302000 ---p - anon -",
        ]
        .map(|line| line.replace("a.trace", printed[0].split(":15").next().unwrap_or("")))
    );
}

/// A difference that the recording cannot decide is reported with its cause, and everything else holds.
#[test]
fn a_difference_with_a_cause_is_reported_and_is_status_0() {
    let split = HOLDS.replace("  20000-24000 rw-p\n", "  20000-22000 rw-p faulted anon\n  22000-24000 rw-p faulted anon\n");
    let run = checked(split);
    assert_eq!(run.output.status.code(), Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("cause: only the owners of their pages can differ; 2 threads ran"), "{}", run.stderr);
    assert!(run.stdout.contains("explained"), "{}", run.stdout);
}

#[test]
fn the_other_committed_traces_are_the_kernels_layouts_after_every_call() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces");
    for (name, layouts) in [("serial", 600), ("java", 500), ("cc1plus", 300)] {
        let trace = directory.join(name).with_extension("trace.gz");
        let run = replay(&[text(&trace), "--seconds", "0", "--json", "-"]);
        assert_eq!(run.output.status.code(), Some(0), "{name}: {}", run.stderr);
        let report: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        let exact = &report["exact"];
        let number = |key: &str| exact[key].as_u64().expect("a number");
        assert!(number("layouts") > layouts, "{name}: {exact}");
        assert_eq!(number("layouts"), number("equal_layouts"), "{name}: {exact}");
        assert_eq!((number("unexplained"), number("unsupported")), (0, 0), "{name}: {exact}");
        assert_eq!(exact["explained"], serde_json::json!({}), "{name}");
        // where the library would choose another place than the kernel, a file system chose the kernel's
        assert_eq!(number("placements"), number("placed_alike") + number("placed_by_file_system"), "{name}: {exact}");
    }
}
