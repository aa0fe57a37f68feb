//! `vmaple run` on protection keys: the library alone, the running kernel alone, and both in step. Where the machine has no keys, or
//! `VMAPLE_WITHOUT=keys` hides them, the cases that need none run on the kernel, and the others are counted as left out.

use std::path::Path;
use std::process::{Command, Output};
use vmaple_host::{Host, Need};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("run").args(arguments).output().expect("the program starts")
}

fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The scenario of part 8 holds in the library on any machine, and on the kernel of one with keys.
#[test]
fn the_scenario_of_keys_holds() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/scenarios/keys.vmaple");
    let scenario = scenario.to_str().expect("a path that is text");
    let has_keys = Host::probe().has(Need::Keys);
    for mode in [None, Some("--kernel"), Some("--diff")] {
        let output = run(&mode.into_iter().chain([scenario]).collect::<Vec<_>>());
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{mode:?}\n{printed}");
        let is_left_out = printed.contains("left out (keys 19)");
        assert_eq!(is_left_out, mode.is_some() && !has_keys, "{mode:?}\n{printed}");
        assert!(is_left_out || printed.ends_with(": 20 cases, 171 assertions held\n"), "{mode:?}\n{printed}");
    }
}

/// A scenario that does not set the number of keys has none in the library alone, and the machine's keys if it runs on the kernel.
#[test]
fn without_a_word_the_keys_are_those_of_the_machine() {
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let path = directory.path().join("s.vmaple");
    let text = "vmaple-trace 1\nmmap 0x1000000 0x1000 x private,anonymous,fixed anon - = 0x1000000\nfault 0x1000000 r\n";
    std::fs::write(&path, text).expect("a temporary file can be written");
    let path = path.to_str().expect("temporary names are UTF-8");
    // the execute-only key needs no call that could be refused
    let has_keys = Host::probe().protection_keys > 0;
    for (arguments, is_denied) in [(vec![path], false), (vec!["--kernel", path], has_keys), (vec!["--diff", path], has_keys)] {
        let output = run(&arguments);
        let printed = printed(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}\n{printed}");
        assert_eq!(printed.contains("fault 0x1000000 r = none"), is_denied, "{arguments:?}\n{printed}");
    }
}

/// Random operations use protection keys if the machine has any.
#[test]
fn random_operations_with_keys_do_not_differ() {
    vmaple_host::test_needs!("topdown");
    let directory = tempfile::TempDir::new().expect("a temporary directory");
    let out = directory.path().to_str().expect("temporary names are UTF-8");
    let output = run(&["--fuzz", "--ops", "3000", "--seed", "7", "--out", out]);
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    for operation in ["pkey_alloc", "pkey_mprotect"] {
        let row = printed.lines().find(|line| line.split_whitespace().next() == Some(operation)).unwrap_or_default();
        let done = row.split_whitespace().nth(1).and_then(|done| done.parse::<u64>().ok()).unwrap_or(0);
        assert_eq!(done > 0, Host::probe().has(Need::Keys), "{operation} succeeded {done} times\n{printed}");
    }
}
