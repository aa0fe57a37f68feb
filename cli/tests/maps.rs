//! `vmaple maps` as a user runs it: exit status and output.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SAVED: &str = "\
555555554000-555555556000 r--p 00000000 fe:00 17                         /usr/bin/demo
555555556000-55555555a000 r-xp 00002000 fe:00 17                         /usr/bin/demo
555555580000-5555555a1000 rw-p 00000000 00:00 0                          [heap]
7ffff7d00000-7ffff7e00000 rw-s 00000000 00:01 99                         /dev/shm/ring (deleted)
7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]
";

fn vmaple(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("maps").args(arguments).output().expect("the program starts")
}

fn saved(content: &str, addresses: &[&str]) -> (Option<i32>, String, String) {
    let directory = TempDir::new().expect("a temporary directory");
    let path = directory.path().join("saved.maps");
    std::fs::write(&path, content).expect("a temporary file can be written");
    let mut arguments = vec![path.to_str().expect("temporary names are UTF-8")];
    arguments.extend(addresses);
    let output = vmaple(&arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_saved_map_is_summed_up() {
    let (status, out, _) = saved(SAVED, &[]);
    assert_eq!(status, Some(0));
    assert!(out.contains("saved.maps: 5 areas"), "{out}");
    let row = |name: &str| out.lines().find(|line| line.trim_start().starts_with(name)).map(str::to_owned).unwrap_or_default();
    let fields: Vec<String> = row("private, of a file").split_whitespace().skip(4).map(str::to_owned).collect();
    assert_eq!(fields, ["2", "8.00", "KiB", "16.00", "KiB", "24.00", "KiB"], "{out}");
    assert!(row("shared").ends_with("1.00 MiB"), "{out}");
    assert!(row("largest area").contains("7ffff7d00000-7ffff7e00000"), "{out}");
    assert!(row("largest gap").contains("5555555a1000-7ffff7d00000"), "{out}");
    assert!(row("the index").contains("5 entries"), "{out}");
}

#[test]
fn addresses_resolve_to_areas_or_to_nothing() {
    let (status, out, _) = saved(SAVED, &["0x555555556010", "7ffff7dfffff"]);
    assert_eq!(status, Some(0), "{out}");
    assert!(out.contains("0x555555556010 is 0x10 into 555555556000-55555555a000 r-xp"), "{out}");
    assert!(out.contains("(file offset 0x2010)"), "{out}");
    assert!(out.contains("0x7ffff7dfffff is 0xfffff into 7ffff7d00000-7ffff7e00000 rw-s"), "{out}");
    let (status, out, _) = saved(SAVED, &["0x555555556010", "0x7ffff7e00000"]);
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("0x7ffff7e00000 is not mapped;"), "{out}");
    let (status, out, _) = saved(SAVED, &["0xffffffffffffffff"]);
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("not mapped, and nothing is above it"), "{out}");
}

/// The list is the text of `/proc/PID/maps`, which other programs read, except that the width of its columns is not compared.
#[test]
fn a_list_has_every_area_as_the_kernel_writes_it() {
    let (status, out, _) = saved(SAVED, &["--list"]);
    assert_eq!(status, Some(0));
    let squeezed = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(squeezed(&out), squeezed(SAVED));
    let (status, out, _) = saved(SAVED, &["--list", "555555556010", "1000"]);
    assert_eq!(status, Some(1));
    assert!(out.lines().nth(5).is_some_and(|line| line.starts_with("0x555555556010 is 0x10 into")), "{out}");
}

#[test]
fn a_map_that_can_be_read_only_once_is_not_watched() {
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_vmaple"))
        .args(["maps", "-", "--watch=0.01"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(watcher.stdin.take());
    let output = watcher.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("standard input can be read only once"), "{error}");
}

#[test]
fn an_empty_map_has_nothing_in_it() {
    let (status, out, _) = saved("", &["0x1000"]);
    assert_eq!(status, Some(1), "{out}");
    assert!(out.contains("0 areas"), "{out}");
}

#[test]
fn what_cannot_be_read_is_status_2() {
    let (status, _, error) = saved(&SAVED.replace("rw-s", "rwss"), &[]);
    assert_eq!(status, Some(2));
    assert!(error.contains("saved.maps:4: expected permissions of four letters"), "{error}");
    assert_eq!(vmaple(&["/nowhere/at/all"]).status.code(), Some(2));
    assert_eq!(vmaple(&["999999999"]).status.code(), Some(2));
    assert_eq!(vmaple(&["self", "xyz"]).status.code(), Some(2));
}

#[test]
fn this_process_is_seen_from_outside() {
    let here = SAVED.as_ptr() as u64;
    let output = vmaple(&[&std::process::id().to_string(), &format!("{here:#x}")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn a_watch_ends_with_the_process() {
    // `cat` runs until its input is closed
    let mut watched = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat is there");
    let mut watcher = Command::new(env!("CARGO_BIN_EXE_vmaple"))
        .args(["maps", "--watch=0.01", &watched.id().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(watcher.stdout.take().expect("it is piped")).lines();
    // the table is printed, so the watch has begun or is about to begin
    let first = lines.next().expect("a heading").expect("readable");
    assert!(first.contains("/maps"), "{first}");
    drop(watched.stdin.take());
    watched.wait().expect("it ends");
    let last = lines.map_while(Result::ok).last().expect("it says why it ends");
    assert!(last.ends_with("is there no more"), "{last}");
    assert_eq!(watcher.wait().expect("it ends").code(), Some(0));
}
