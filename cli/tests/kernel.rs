//! `vmaple run` with the running kernel: scenarios on the kernel and the library, and a bounded number of random operations. In the
//! scenarios of the operations, a case that no process can execute is a failure.

use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("run").args(arguments).output().expect("the program starts")
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn scenario(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios").join(name).to_str().expect("a path that is text").to_owned()
}

/// Every assertion of the operations' scenarios holds on the kernel, and the library agrees with the kernel in each.
#[test]
fn the_kernel_does_as_the_scenarios_of_the_operations_say() {
    let files = ["mmap.vmaple", "mprotect.vmaple", "mremap.vmaple", "flags.vmaple", "count.vmaple"].map(scenario);
    for mode in ["--kernel", "--diff"] {
        let arguments: Vec<&str> = [mode].into_iter().chain(files.iter().map(String::as_str)).collect();
        let output = run(&arguments);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{mode}\n{printed}");
        assert!(printed.contains("5 files: 55 cases") && !printed.contains("not for this system"), "{mode}\n{printed}");
    }
}

/// Executes on the kernel every case that one process of Linux 6.18 on x86-64 can execute. Left out are, among others, stacks that grow up,
/// drivers' mappings, the kernel's own areas, faults that may not wait, and settings that have the same value on every machine. Cases that
/// need what this machine lacks are listed separately, and not counted here.
#[test]
fn the_kernel_is_asked_all_that_a_machine_can_have() {
    let left_out = [
        ("access", 3),
        ("fault_helper", 2),
        ("growth_down", 5),
        ("growth_up", 21),
        ("hooks", 3),
        ("kinds", 1),
        ("layout", 3),
        ("limits", 2),
        ("munmap", 1),
        ("placement", 2),
        ("queries", 2),
    ];
    let directory = std::fs::read_dir(scenario("")).expect("the scenarios");
    let mut files: Vec<String> =
        directory.map(|file| file.expect("a file").path().to_str().expect("a path that is text").to_owned()).collect();
    files.sort();
    let output = run(&["--diff"].into_iter().chain(files.iter().map(String::as_str)).collect::<Vec<_>>());
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    for file in &files {
        let name = Path::new(file).file_stem().and_then(|name| name.to_str()).expect("a name");
        let sum = printed.lines().find(|line| line.starts_with(&format!("{file}: ")) && line.contains(" assertions held")).expect("a sum");
        let out =
            sum.split(", ").find_map(|part| part.strip_suffix(" not for this system")).map_or(0, |out| out.parse().expect("a number"));
        let known = left_out.iter().find(|(known, _)| *known == name).map_or(0, |(_, known)| *known);
        assert!(out <= known, "{name}: {out} cases are left out, {known} are known\n{printed}");
    }
}

/// A case that no process can execute is named and left out, and the next one is executed. A case that another machine could execute is
/// counted by what it needs.
#[test]
fn what_the_system_has_for_all_is_named() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let text = "vmaple-trace 1\ncase one\nset guard_gap 2\ncount 7\nreset\ncase two\nset mmap_min_addr 28672\ncount 7\n\
        reset\ncase three\ncount 0\n";
    std::fs::write(&path, text).expect("a temporary file can be written");
    for mode in ["--kernel", "--diff"] {
        let output = run(&[mode, path.to_str().expect("temporary names are UTF-8")]);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(printed.contains("the guard gap belongs to the whole system, where it is 256  (case one)"), "{printed}");
        assert!(
            printed.ends_with("3 cases, 1 assertion held, 1 not for this system, 1 left out (vm.mmap_min_addr 28672 1)\n"),
            "{printed}"
        );
    }
}

/// Checks the limit on the number of VMAs against the kernel without a change of the system's setting. A case that cannot run is named.
#[test]
fn the_number_of_vmas_is_limited_for_one_process() {
    vmaple_host::test_needs!("topdown");
    if vmaple_host::Host::probe().max_map_count.is_none_or(|most| most > 1 << 18) {
        vmaple_host::leave_out("the_number_of_vmas_is_limited_for_one_process", "vm.max_map_count of 262144 or less");
        return;
    }
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let of_the_system = || std::fs::read_to_string("/proc/sys/vm/max_map_count").ok();
    let before = of_the_system();
    let text = "vmaple-trace 1\n\
        case one\nset mmap_base 0x2000000\nset max_map_count 3\nmmap 0 0x3000 rw private,anonymous anon - = 0x1ffd000\n\
        mprotect 0x1ffe000 0x1000 r = 0\nmmap 0 0x1000 x private,anonymous anon - = 0x1ffc000\n\
        mmap 0 0x1000 none private,anonymous anon - = -ENOMEM\nmunmap 0x1ffd000 0x1000 = 0\nmmap 0 0x1000 none private,anonymous anon - = 0x1ffd000\n\
        fork = child\nas child\nmmap 0 0x1000 r private,anonymous anon - = -ENOMEM\n\
        reset\ncase two\nset max_map_count 1\nset max_map_count 2\narea 100000-104000 rw-p - anon -\nmunmap 0x101000 0x1000 = 0\n\
        munmap 0x102000 1 = 0\nmprotect 0x100000 0x1000 r = 0\ncount 2\n\
        reset\ncase three\narea 100000-104000 rw-p - anon -\nset max_map_count 2\ncount 7\n\
        reset\ncase four\nset max_map_count 2\nset mmap_base 0x2000000\ncount 7\n";
    std::fs::write(&path, text).expect("a temporary file can be written");
    for mode in ["--kernel", "--diff"] {
        let output = run(&[mode, path.to_str().expect("temporary names are UTF-8")]);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(
            printed.contains("must come before the first area  (case three)")
                && printed.contains("must come before `set max_map_count`  (case four)"),
            "{printed}"
        );
        assert!(printed.ends_with("4 cases, 12 assertions held, 2 not for this system\n"), "{printed}");
    }
    assert_eq!(before, of_the_system());
}

/// `mremap` rounds lengths up to whole huge pages. A case is left out if a call would then reach the process's own areas.
#[test]
fn mremap_of_huge_pages_stays_off_what_the_process_needs() {
    vmaple_host::test_needs!("hugetlb:2", "topdown");
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let text = "vmaple-trace 1\n\
        case shrunk\nset mmap_base 0x8100000\nmmap 0x7c00000 0x400000 rw private,anonymous,fixed,hugetlb anon - = 0x7c00000\n\
        mremap 0x7c00000 0x427000 0x2000 - = 0x7c00000\n\
        reset\ncase moved\nset mmap_base 0x8100000\nmmap 0x7a00000 0x1000 rw private,anonymous,fixed,noreserve,hugetlb anon - = 0x7a00000\n\
        mremap 0x7a00000 0x1000 0x1000 maymove,fixed 0x8001000 = -EINVAL\nmremap 0x7a00000 0x1000 0x1000 maymove,fixed 0x7e00000 = 0x7e00000\n\
        mremap 0x7e00000 0x1000 0x1000 maymove,fixed 0x8000000 = 0x8000000\n";
    std::fs::write(&path, text).expect("a temporary file can be written");
    for mode in ["--kernel", "--diff"] {
        let output = run(&[mode, path.to_str().expect("temporary names are UTF-8")]);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{printed}");
        for out in ["0x7c00000 and 0x600000 bytes reach beyond 0x8100000", "0x8000000 and 0x200000 bytes reach beyond 0x8100000"] {
            assert!(printed.contains(out), "{printed}");
        }
        assert!(printed.ends_with("2 cases, 4 assertions held, 2 not for this system\n"), "{printed}");
    }
}

/// An assertion that fails on the kernel is reported with the kernel's layout.
#[test]
fn the_kernel_can_differ_from_a_scenario() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let text = "vmaple-trace 1\narea 100000-102000 rw-p - anon -\nmunmap 0x101000 0x1000 = -EPERM\ncount 2\n";
    std::fs::write(&path, text).expect("a temporary file can be written");
    let output = run(&["--kernel", path.to_str().expect("temporary names are UTF-8")]);
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(
        printed.contains("expected -EPERM") && printed.contains("expected 2\n  found    1\n") && printed.contains("00100000-00101000"),
        "{printed}"
    );
}

/// Executes random operations on the library and the kernel in step. `vmaple run --fuzz` makes longer runs.
#[test]
fn random_operations_do_not_differ() {
    vmaple_host::test_needs!("topdown");
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let out = directory.path().to_str().expect("temporary names are UTF-8");
    let output = run(&["--fuzz", "--ops", "3000", "--seed", "2", "--out", out]);
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    for operation in
        ["mmap", "munmap", "mprotect", "mremap", "brk", "madvise", "mlock", "munlock", "mseal", "mlockall", "munlockall", "fork"]
    {
        let row = printed.lines().find(|line| line.split_whitespace().next() == Some(operation)).unwrap_or_default();
        let done = row.split_whitespace().nth(1).and_then(|done| done.parse::<u64>().ok());
        let is_left_out = printed.contains(&format!("left out: {operation} needs "));
        assert!(done > Some(0) || is_left_out, "{operation} never succeeded\n{printed}");
        let refused = row.split_whitespace().skip(2).filter_map(|count| count.parse::<u64>().ok()).sum::<u64>();
        let is_never_refused = matches!(operation, "fork" | "munlockall");
        assert_eq!(refused == 0, is_never_refused, "{operation} was refused {refused} times\n{printed}");
    }
}
