//! `vmaple host` and the variable that hides features of the machine.

use std::process::{Command, Output};

fn host(without: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("host").env("VMAPLE_WITHOUT", without).output().expect("the program starts")
}

#[test]
fn the_machine_is_shown() {
    let output = host("");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{printed}");
    for property in ["protection keys", "max_map_count", "overcommit_memory", "transparent, shmem", "capabilities", "has", "lacks"] {
        assert!(printed.lines().any(|line| line.starts_with(&format!("{property:<26} "))), "{property}\n{printed}");
    }
}

#[test]
fn what_is_hidden_is_lacked() {
    let output = host("keys,mseal");
    let printed = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    assert_eq!((line("protection keys"), line("hidden by VMAPLE_WITHOUT")), ("0".to_owned(), "keys mseal".to_owned()), "{printed}");
    let lacked = line("lacks");
    assert!(["keys", "mseal"].iter().all(|hidden| lacked.split(' ').any(|word| word == *hidden)), "{printed}");
}

/// An unknown word is an error, so that a typing mistake does not change what is tested.
#[test]
fn unknown_words_are_refused() {
    let output = host("keys,kees");
    assert_eq!(output.status.code(), Some(2));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.starts_with("vmaple: VMAPLE_WITHOUT: `kees` is not one of keys, "), "{printed}");
}
