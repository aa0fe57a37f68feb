//! Cases that need what a machine may lack: the library executes them on every machine, the kernel only where nothing is lacking.

use std::process::{Command, Output};

const SCENARIO: &str = "vmaple-trace 1\n\
    case one\ncount 0\nneeds keys cap:ipc_lock\ncount 7\ncount 8\n\
    reset\ncase two\nneeds mseal\ncount 0\n\
    reset\ncase three\nset privileged 1\ncount 0\n\
    reset\ncase four\ncount 0\n";

fn run(mode: &[&str], without: &str) -> (Option<i32>, String) {
    run_scenario(SCENARIO, mode, without)
}

fn run_scenario(scenario: &str, mode: &[&str], without: &str) -> (Option<i32>, String) {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    std::fs::write(&path, scenario).expect("a temporary file can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmaple"));
    let output: Output = command.arg("run").args(mode).arg(&path).env("VMAPLE_WITHOUT", without).output().expect("the program starts");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), printed.replace(path.to_str().expect("temporary names are UTF-8"), "s"))
}

#[test]
fn the_library_is_asked_whatever_the_machine_has() {
    for without in ["", "keys,mseal,root"] {
        let (status, printed) = run(&[], without);
        assert_eq!(status, Some(1), "{printed}");
        assert!(printed.ends_with("s: 4 cases, 4 assertions held, 2 differ\n"), "{printed}");
    }
}

#[test]
fn an_unknown_need_is_refused() {
    for mode in [&[][..], &["--kernel"], &["--diff"]] {
        let (status, printed) = run_scenario("vmaple-trace 1\nneeds keys kees\ncount 0\n", mode, "");
        assert_eq!(status, Some(2), "{printed}");
        assert!(
            printed.contains("s:2: read `kees`, expected what a case needs of the machine, by a word that `vmaple host` shows"),
            "{printed}"
        );
    }
}

/// What the machine lacks is named, the rest of the case is left out, and the next case is executed.
#[test]
fn the_kernel_is_asked_what_the_machine_has() {
    for mode in ["--kernel", "--diff"] {
        let (status, printed) = run(&[mode], "keys,mseal,root");
        assert_eq!(status, Some(0), "{printed}");
        assert!(printed.contains("s:4: needs keys cap:ipc_lock: left out: this machine lacks keys  (case one)\n"), "{printed}");
        assert!(printed.contains("s:9: needs mseal: left out: this machine lacks mseal  (case two)\n"), "{printed}");
        assert!(printed.contains("s:13: set privileged 1: left out: this machine lacks cap:ipc_lock"), "{printed}");
        assert!(printed.contains("s: 4 cases, 2 assertions held, 3 left out (cap:ipc_lock,sys_rawio 1, keys 1, mseal 1)\n"), "{printed}");
    }
}

/// Where the kernel searches upward, a case that sets a base is left out, and random operations are refused.
#[test]
fn where_searches_go_up_none_begins_at_a_base() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let text = "vmaple-trace 1\ncase based\nset mmap_base 0x2000000\ncount 0\nreset\ncase other\ncount 0\n";
    std::fs::write(&path, text).expect("a temporary file can be written");
    let path = path.to_str().expect("temporary names are UTF-8");
    for (arguments, status, end) in [
        (&["run", "--kernel", path][..], 0, ": 2 cases, 1 assertion held, 1 left out (topdown 1)\n"),
        (&["run", "--diff", path], 0, ": 2 cases, 1 assertion held, 1 left out (topdown 1)\n"),
        (&["run", "--fuzz", "--ops", "10"], 2, ": this needs topdown\n"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vmaple"));
        let output = command.args(arguments).env("VMAPLE_WITHOUT", "topdown").output().expect("the program starts");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{printed}");
        assert!(printed.ends_with(end), "{printed}");
    }
}

/// A case that sets a limit above the hard limit is left out. Without `set`, both sides use the process's limit.
#[test]
fn limits_beyond_the_hard_ones_are_left_out() {
    if vmaple_host::Host::probe().most_locked_bytes.is_some_and(|most| most < 64 << 10) {
        vmaple_host::leave_out("limits_beyond_the_hard_ones_are_left_out", "RLIMIT_MEMLOCK of 65536");
        return;
    }
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let area = "mmap 0x1000000 0x20000 rw private,anonymous,fixed anon - = 0x1000000\n";
    let text = format!(
        "vmaple-trace 1\ncase default\n{area}mlock 0x1000000 0x11000 = -ENOMEM\nmlock 0x1000000 0x10000 = 0\n\
         reset\ncase below\nset limit.memlock 0x10000\n{area}mlock 0x1000000 0x11000 = -ENOMEM\n\
         reset\ncase beyond\nset limit.memlock 0x10001\n{area}reset\ncase none\nset limit.memlock unlimited\n{area}"
    );
    std::fs::write(&path, text).expect("a temporary file can be written");
    let program = env!("CARGO_BIN_EXE_vmaple");
    for mode in ["--kernel", "--diff"] {
        // any process may lower a hard limit
        let limited = format!("ulimit -H -S -l 64 && exec {program} run {mode} {}", path.display());
        let output = Command::new("bash").args(["-c", &limited]).output().expect("a shell starts");
        let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{printed}");
        assert!(printed.ends_with(": 4 cases, 5 assertions held, 2 left out (RLIMIT_MEMLOCK beyond 65536 2)\n"), "{printed}");
    }
}

/// Random operations that need a capability which the user lacks are left out and counted, and the others are executed.
#[test]
fn random_operations_go_on_without_capabilities() {
    vmaple_host::test_needs!("topdown");
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let out = directory.path().to_str().expect("temporary names are UTF-8");
    let output = Command::new(env!("CARGO_BIN_EXE_vmaple"))
        .args(["run", "--fuzz", "--ops", "1500", "--seed", "5", "--out", out])
        .env("VMAPLE_WITHOUT", "keys,root")
        .output()
        .expect("the program starts");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{printed}");
    // `mlockall` gets the capability for one call if what is mapped is within the limit. Below 8 MiB that is rare.
    if vmaple_host::Host::probe().most_locked_bytes.is_some_and(|most| most < 8 << 20) {
        vmaple_host::leave_out("random_operations_go_on_without_capabilities: mlockall", "RLIMIT_MEMLOCK of 8388608");
        return;
    }
    assert!(printed.contains("left out: mlockall needs cap:ipc_lock, "), "{printed}");
}
