//! Real programs are recorded, and the records of each trace must lead to the layouts that the kernel showed.
//!
//! The programs are small and in C, so that they make the calls that the tests look for and few others. Where tracing is not permitted,
//! these tests are reported as left out; where page faults cannot be recorded, so are the checks of faults.

mod attach;
mod history;
mod layouts;
mod unseen;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use history::{History, follow, follow_killed};
use tempfile::TempDir;
use vmaple_host::{Host, Need};

/// A recording of a command.
struct Recording {
    directory: TempDir,
    code: Option<i32>,
    printed: String,
}

fn record(options: &[&str], command: &[&Path]) -> Recording {
    let directory = tempfile::tempdir().expect("a directory");
    let output: Output = Command::new(env!("CARGO_BIN_EXE_vmaple"))
        .arg("record")
        .args(options)
        .arg("-o")
        .arg(directory.path())
        .arg("--")
        .args(command)
        .output()
        .expect("the program runs");
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!printed.contains("cannot trace the command"), "these tests need ptrace, which is not permitted: {printed}");
    assert!(!printed.contains("no call explains"), "{printed}");
    Recording { directory, code: output.status.code(), printed }
}

impl Recording {
    /// Returns whether page faults were recorded. If this user may not record them, the test's checks of faults are reported as left out.
    fn has_faults(&self, test: &str) -> bool {
        let has = !self.printed.contains("page faults are not recorded");
        assert!(has || !Host::probe().has(Need::Perf), "{}", self.printed);
        if !has {
            vmaple_host::leave_out(test, "perf, for the faults");
        }
        has
    }

    /// Returns the traces whose names begin with the program's.
    fn paths(&self, program: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.directory.path()).expect("the directory");
        let mut paths: Vec<PathBuf> = entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(program)))
            .collect();
        paths.sort();
        paths
    }

    /// The histories of these traces, in the order of their names.
    fn histories(&self, program: &str) -> Vec<History> {
        self.paths(program).iter().map(|path| follow(path)).collect()
    }

    fn only(&self, program: &str) -> History {
        let paths = self.paths(program);
        assert_eq!(paths.len(), 1, "{paths:?}: {}", self.printed);
        follow(&paths[0])
    }
}

/// Builds a program from `programs`, and returns its path.
fn program(name: &str, directory: &TempDir) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record/programs").join(name).with_extension("c");
    let path = directory.path().join(name);
    // every build of this workspace links with `cc`
    let built = Command::new("cc").args(["-O1", "-pthread", "-o"]).arg(&path).arg(source).status();
    assert!(built.expect("a C compiler").success(), "{name} is not built");
    path
}

/// Checks that a trace holds when it is replayed.
fn holds(trace: &Path) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_vmaple")).args(["replay", "--seconds", "0"]).arg(trace).output().expect("the program runs");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}");
}

/// The areas and the counters of a snapshot are of one moment, even if another thread's stack grows meanwhile.
#[test]
fn a_stack_that_grows_meanwhile_does_not_tear_a_snapshot() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&["--snapshots", "1"], &[&program("deepening", &built)]);
    assert_eq!(recording.code, Some(0), "{}", recording.printed);
    let paths = recording.paths("deepening");
    for path in &paths {
        holds(path);
    }
}

#[test]
fn racing_threads_are_recorded_in_their_true_order() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&["--faults", "--snapshots", "200"], &[&program("races", &built)]);
    assert_eq!(recording.code, Some(3), "{}", recording.printed);
    let history = recording.only("races");
    assert!(history.operations.len() > 8 * 150 * 2, "{} calls", history.operations.len());
    assert!(history.blocks > history.operations.len() / 200, "{} blocks", history.blocks);
    assert!(history.threads.len() > 8, "{:?}", history.threads);
    assert!(!recording.printed.contains("not certain"), "{}", recording.printed);
    // without permission for faults, the recorder says so and continues
    if !recording.has_faults("racing_threads_are_recorded_in_their_true_order") {
        assert_eq!(history.faults, 0);
    } else if recording.printed.contains("page faults were lost") {
        assert!(history.faults > 0);
    } else {
        // each page that a thread touches has a fault, and the page is mapped at that point of the trace
        assert!(history.faults > 8 * 150, "{} faults", history.faults);
        assert_eq!(history.stray_faults, [0; 0], "faults at places that were not mapped");
    }
}

#[test]
fn every_call_is_recorded_with_its_result() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let path = program("calls", &built);
    let recording = record(&["--gzip"], &[&path]);
    assert_eq!(recording.code, Some(0), "{}", recording.printed);
    let history = recording.only("calls");
    let own = path.to_string_lossy().into_owned();
    for parts in [
        &["mmap 0x0 0x2000 r private file:", own.as_str(), " 0x1000 = 0x"][..],
        &["mmap 0x0 0x1000 r shared file:", &own, " 0 = 0x"],
        &["mmap 0x0 0x1000 rw shared,anonymous shm:"],
        &["mmap 0x0 0x1000 r private file:", " = -EBADF"],
        &["mprotect ", " 0x8000 r = -ENOMEM"],
        &["mremap ", " 0x4000 0x40000 maymove = 0x"],
        &["mremap ", " 0x40000 0x20000 maymove,fixed 0x"],
        &["mremap ", " 0x20000 0x8000 - = 0x"],
        &["mremap ", " 0x8000 0x8000 maymove,dontunmap 0x0 = 0x"],
        &["mremap ", " 0x1000 0x1000 maymove,fixed 0x", " = -EFAULT"],
        &["mlock ", " 0x1000 = 0"],
        &["mlock2 ", " 0x1000 onfault = 0"],
        &["munlock ", " 0x1000 = 0"],
        &["mlockall future = 0"],
        &["munlockall = 0"],
        &["madvise ", " 0x1000 dontfork = 0"],
        // the format has no call for a shared memory segment or a ring of requests: each is recorded as an `mmap`
        &["mmap ", " 0x3000 r shared,fixed,anonymous shm:", " 0 = 0x"],
        &["mmap ", " rw shared,fixed file:/[aio] "],
    ] {
        assert!(history.has(parts), "no {parts:?} in {:#?}", history.operations);
    }
    assert!(!history.has(&["dontneed"]), "what changes no layout is left out");
    // if a call fails at a hole, what it did before the hole is recorded as a call for that part
    let failed = history.operations.iter().position(|line| line.ends_with(" 0x8000 r = -ENOMEM"));
    let next = &history.operations[failed.expect("it was found") + 1];
    assert!(next.starts_with("mprotect ") && next.ends_with(" 0x3000 r = 0"), "{next}");
    // a mapping made in two steps is moved as one: the trace has no extra call
    let moved = history.operations.iter().position(|line| line.contains(" 0xa000 0xa000 maymove,fixed "));
    let next = &history.operations[moved.expect("a move") + 1];
    assert!(next.starts_with("brk "), "{next}");
    let text = std::fs::read(&recording.paths("calls")[0]).expect("the trace");
    assert_eq!(text[..2], [0x1f, 0x8b], "compressed");
    let lines: Vec<String> = vmaple_trace::Reader::open(&recording.paths("calls")[0])
        .expect("the trace")
        .map(|line| line.expect("a good line").record.to_string())
        .collect();
    let limit = lines.iter().position(|line| line == "set limit.memlock 32768");
    let start = lines.iter().position(|line| line.starts_with("mmap "));
    assert!(limit > start, "the limit changes after the calls: {limit:?}, {start:?}");
}

#[test]
fn growth_is_seen_without_a_call() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let path = program("growth", &built);
    for options in [&[][..], &["--faults"]] {
        let recording = record(options, &[&path]);
        assert_eq!(recording.code, Some(0), "{}", recording.printed);
        let history = recording.only("growth");
        assert!(history.growths >= 2, "the stack and the mapping: {}", history.growths);
        assert!(history.has(&["growsdown"]), "{:#?}", history.operations);
        assert_eq!(history.stray_faults, [0; 0], "growth stands where it happened");
    }
}

#[test]
fn children_and_programs_have_their_own_traces() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&[], &[&program("family", &built)]);
    assert_eq!(recording.code, Some(5), "{}", recording.printed);
    let histories = recording.histories("family");
    assert_eq!(histories.len(), 4, "parent, child, program after vfork, program by the thread: {}", recording.printed);
    let with = |call: &str| histories.iter().filter(|history| history.count(call) != 0).collect::<Vec<_>>();
    let forked = with("mmap 0x0 0x21000 ");
    assert_eq!(forked.len(), 1);
    let first = &forked[0].operations[0];
    assert!(first.starts_with("brk 0x0 = "), "where the inherited heap ends: {first}");
    let vforked = with("mmap 0x0 0x23000 ");
    assert_eq!(vforked.len(), 1, "a child that shares its parent's address space");
    assert_eq!((vforked[0].forks, vforked[0].threads.len()), (1, 2), "is in its trace, and the other is noted");
    for (call, program) in [("mmap 0x0 0x25000 ", "after vfork"), ("mmap 0x0 0x27000 ", "by the thread")] {
        assert_eq!(with(call).len(), 1, "the program {program}");
    }
    let second: Vec<PathBuf> = recording.paths("family").into_iter().filter(|path| path.to_string_lossy().ends_with(".2.trace")).collect();
    assert_eq!(second.len(), 1, "one process runs a second program");
    assert_eq!(follow(&second[0]).count("mmap 0x0 0x27000 "), 1);
}

/// The calls that `death` makes at least before it dies: 100 rounds of two calls.
const BEFORE_DEATH: usize = 200;

#[test]
fn a_program_that_dies_leaves_a_whole_trace() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let death = program("death", &built);
    // it exits, or dies of SIGSEGV, SIGABRT or SIGTERM, each while its threads map and unmap
    for (how, code, stray) in [("0", 0, &[][..]), ("11", 128 + 11, &[8]), ("6", 128 + 6, &[]), ("15", 128 + 15, &[])] {
        let recording = record(&["--faults"], &[&death, Path::new(how)]);
        assert_eq!(recording.code, Some(code), "{}", recording.printed);
        let history = recording.only("death");
        assert!(history.operations.len() >= BEFORE_DEATH, "{how}: {} calls", history.operations.len());
        let stray = if recording.has_faults("a_program_that_dies_leaves_a_whole_trace") { stray } else { &[] };
        assert_eq!(history.stray_faults, stray, "{how}: only the error is a fault where nothing is mapped");
    }
}

#[test]
fn a_killed_program_leaves_all_its_calls() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&["--faults"], &[&program("death", &built)]);
    assert_eq!(recording.code, Some(128 + 9), "{}", recording.printed);
    let paths = recording.paths("death");
    assert_eq!(paths.len(), 1, "{paths:?}: {}", recording.printed);
    let history = follow_killed(&paths[0]);
    assert!(history.operations.len() >= BEFORE_DEATH, "{} calls", history.operations.len());
    assert_eq!(history.stray_faults, [0; 0]);
    ends_as_reported(&recording, &paths[0], &history);
    // the trace holds with and without the last layout
    let text = std::fs::read_to_string(&paths[0]).expect("the trace");
    let without = text.rfind("\nmaps\n").map_or(text.as_str(), |start| &text[..=start]);
    let cut = recording.directory.path().join("cut.trace");
    std::fs::write(&cut, format!("{without}# the last layout could not be read\ncomplete\n")).expect("a trace");
    for path in [&paths[0], &cut] {
        holds(path);
    }
}

#[test]
fn a_killed_family_leaves_all_its_traces() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&[], &[&program("cradle", &built)]);
    assert_eq!(recording.code, Some(128 + 9), "{}", recording.printed);
    let mut forks = 0;
    let mut children = 0;
    for path in recording.paths("cradle") {
        let history = follow_killed(&path);
        ends_as_reported(&recording, &path, &history);
        forks += history.forks;
        children += history.count("mmap 0x0 0x2b000 ");
    }
    assert!(forks > 0 && children > 0, "{forks} forks, {children} children: {}", recording.printed);
    // for each of the two threads, the last fork may be unrecorded, or its child may have been killed before it made a call
    assert!(forks.abs_diff(children) <= 2, "{forks} forks, {children} children");
}

/// Checks that a trace ends with the last layout, or else with a note that standard error has, too.
fn ends_as_reported(recording: &Recording, path: &Path, history: &History) {
    let text = std::fs::read_to_string(path).expect("the trace");
    let last = text.lines().rev().find(|line| *line != "complete").unwrap_or_default();
    let noted = last.starts_with("# the last layout could not be read");
    let printed = recording.printed.contains(&format!("{}: ends without the last layout", path.display()));
    assert_eq!((noted, printed), (!history.ends_with_maps, !history.ends_with_maps), "{last}: {}", recording.printed);
}

#[test]
fn a_call_that_waits_for_another_thread_does_not_hang() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&[], &[&program("waits", &built)]);
    assert_eq!(recording.code, Some(0), "{}", recording.printed);
    assert!(recording.printed.contains("order is not certain"), "{}", recording.printed);
    let history = recording.only("waits");
    assert_eq!(history.count("mmap 0x0 0x29000 "), 1, "the call that was let in");
    assert_eq!(history.count("munmap "), 1 + 1, "that of the loader and the one that waited");
}

#[test]
fn threads_and_children_that_ask_for_no_tracer_are_recorded() {
    vmaple_host::test_needs!("ptrace");
    let built = tempfile::tempdir().expect("a directory");
    let recording = record(&[], &[&program("untraced", &built)]);
    assert_eq!(recording.code, Some(0), "{}", recording.printed);
    let histories = recording.histories("untraced");
    let counts = |pages: &str| -> Vec<usize> { histories.iter().map(|history| history.count(pages)).collect() };
    assert_eq!((counts("mmap 0x0 0x29000 "), counts("mmap 0x0 0x2a000 ")), (vec![1, 0], vec![0, 1]), "{}", recording.printed);
}

#[test]
fn layouts_have_their_objects() {
    vmaple_host::test_needs!("ptrace");
    let history = record(&[], &[Path::new("/bin/true")]).only("");
    for objects in [&history.first_objects, &history.last_objects] {
        for object in ["anon", "special:vdso"] {
            assert!(objects.contains(object), "no {object} in {objects:?}");
        }
        assert!(objects.iter().any(|object| object.starts_with("file:/")), "no program in {objects:?}");
    }
}

#[test]
fn the_command_keeps_its_streams_and_its_exit_status() {
    vmaple_host::test_needs!("ptrace");
    let directory = tempfile::tempdir().expect("a directory");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmaple"));
        command.arg("record").arg("-o").arg(directory.path()).args(arguments).output().expect("the program runs")
    };
    let spoken = run(&["--", "sh", "-c", "echo out; exit 42"]);
    assert_eq!((spoken.status.code(), spoken.stdout.as_slice()), (Some(42), &b"out\n"[..]));
    assert_eq!(run(&["--", "sh", "-c", "kill -TERM $$"]).status.code(), Some(128 + 15));
    // a writer whose reader has exited is ended by SIGPIPE, as it is without the recorder
    let pipe = run(&["--", "sh", "-c", "(trap '' TERM; while echo y; do :; done; echo failed >&2) | head -n 1"]);
    assert!(!String::from_utf8_lossy(&pipe.stderr).contains("failed"), "{}", String::from_utf8_lossy(&pipe.stderr));
    let missing = run(&["--", "/no/such/program"]);
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot run /no/such/program"));
    assert_eq!(run(&["true"]).status.code(), Some(2), "a command without `--`");
    assert_eq!(run(&["--snapshots", "0", "--", "true"]).status.code(), Some(2));
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let blocked = Command::new(env!("CARGO_BIN_EXE_vmaple"))
        .arg("record")
        .arg("-o")
        .arg(file.join("below"))
        .args(["--", "true"])
        .output()
        .expect("the program runs");
    assert_eq!(blocked.status.code(), Some(2), "no directory for the traces");
}

#[test]
fn committed_traces_hold() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces");
    // the trace of Java reserves more pages than a table of pages can hold; the tests of `replay` use it
    for (name, operations, threads) in [("python", 1000, 7), ("cc1plus", 300, 1), ("serial", 600, 1)] {
        let history = follow(&directory.join(name).with_extension("trace.gz"));
        assert!(history.operations.len() > operations, "{name}: {} calls", history.operations.len());
        assert!(history.threads.len() >= threads, "{name}: {:?}", history.threads);
        assert!(history.faults > 10_000, "{name}: {} faults", history.faults);
        assert!(history.blocks > 4, "{name}: {} blocks", history.blocks);
        assert_eq!(history.stray_faults, [0; 0], "{name}: faults at places that were not mapped");
    }
}
