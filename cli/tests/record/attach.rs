//! A running process is recorded, and continues even if the recorder is killed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::program;

/// Kills a process that takes more than two minutes, so that a test that waits for it fails instead of hanging.
struct Bound(#[expect(dead_code, reason = "dropping it reports that the process ended in time")] Sender<()>);

impl Bound {
    fn of(child: &Child) -> Self {
        let (done, waiting) = mpsc::channel();
        let pid = Pid::from_raw(child.id().cast_signed());
        std::thread::spawn(move || {
            if waiting.recv_timeout(Duration::from_mins(2)) == Err(RecvTimeoutError::Timeout) {
                // the process may have ended
                _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self(done)
    }
}

/// A program that does its work once for each byte on its standard input.
struct Served {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    _bound: Bound,
}

impl Served {
    fn start(name: &str, directory: &TempDir) -> Self {
        let mut child = Command::new(program(name, directory))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built here");
        let (to, from) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        let mut served = Self { _bound: Bound::of(&child), child, to, from };
        // when the first work is done, all threads run
        served.work();
        served
    }

    /// Makes the program do its work once (for `served`, 70 calls), and returns when it has.
    fn work(&mut self) {
        self.to.write_all(b"x").expect("it reads");
        let mut byte = [0];
        self.from.read_exact(&mut byte).expect("it answers");
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Checks that the program still works, and exits with the status that it has without a recorder.
    fn ends_well(mut self) {
        self.work();
        drop(self.to);
        assert_eq!(self.child.wait().expect("it ends").code(), Some(7));
    }
}

/// A recorder that has attached.
struct Recorder {
    child: Child,
    printed: BufReader<ChildStderr>,
    _bound: Bound,
}

impl Recorder {
    /// Starts a recorder, which begins to attach to the process.
    fn start(process: Pid, options: &[&str], directory: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_vmaple"))
            .args(["record", "--pid", &process.to_string(), "--snapshots", "1"])
            .args(options)
            .arg("-o")
            .arg(directory)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let printed = BufReader::new(child.stderr.take().expect("piped"));
        Self { _bound: Bound::of(&child), child, printed }
    }

    /// Starts a recorder, and returns when it has attached.
    fn attach(process: Pid, options: &[&str], directory: &Path) -> Self {
        let mut recorder = Self::start(process, options, directory);
        let mut line = String::new();
        while !line.contains("vmaple: recording process") {
            line.clear();
            assert_ne!(recorder.printed.read_line(&mut line).expect("text"), 0, "it did not attach");
        }
        recorder
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Waits until the recorder ends, and returns its exit code and what it printed.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut printed = String::new();
        self.printed.read_to_string(&mut printed).expect("text");
        (self.child.wait().expect("it ends").code(), printed)
    }
}

fn traces(directory: &TempDir) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.path()).expect("the directory");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Checks that the only trace of a recording replays to the kernel's layouts, and returns the trace.
fn replays(directory: &TempDir) -> String {
    let paths = traces(directory);
    assert_eq!(paths.len(), 1, "{paths:?}");
    super::holds(&paths[0]);
    let text = std::fs::read_to_string(&paths[0]).expect("a plain trace");
    assert!(text.ends_with("complete\n"));
    text
}

fn directories() -> (TempDir, TempDir) {
    (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"))
}

#[test]
fn ctrl_c_lets_the_process_go() {
    vmaple_host::test_needs!("attach");
    let (built, recorded) = directories();
    let mut served = Served::start("served", &built);
    let recorder = Recorder::attach(served.pid(), &["--faults"], recorded.path());
    served.work();
    served.work();
    kill(recorder.pid(), Signal::SIGINT).expect("it is there");
    let (code, printed) = recorder.ended();
    assert_eq!(code, Some(0), "{printed}");
    served.ends_well();
    let text = replays(&recorded);
    // Each of the two calls of `work` makes 20 rounds of an mmap, an mprotect and one or two munmaps. Nothing before or after is recorded.
    let calls = |name: &str| text.lines().filter(|line| line.starts_with('@') && line.contains(name)).count();
    assert_eq!((calls(" mmap "), calls(" mprotect "), calls(" munmap ")), (40, 40, 60), "{text}");
}

#[test]
fn a_recording_ends_with_its_process() {
    vmaple_host::test_needs!("attach");
    let (built, recorded) = directories();
    let served = Served::start("served", &built);
    let recorder = Recorder::attach(served.pid(), &[], recorded.path());
    served.ends_well();
    let (code, printed) = recorder.ended();
    assert_eq!(code, Some(0), "{printed}");
    replays(&recorded);
}

#[test]
fn a_recorder_that_is_killed_takes_nothing_with_it() {
    vmaple_host::test_needs!("attach");
    let (built, recorded) = directories();
    let mut served = Served::start("served", &built);
    let recorder = Recorder::attach(served.pid(), &[], recorded.path());
    served.work();
    kill(recorder.pid(), Signal::SIGKILL).expect("it is there");
    let (code, _) = recorder.ended();
    assert_eq!(code, None);
    served.ends_well();
    // the killed recorder's trace is incomplete, and `replay` rejects it
    let output = Command::new(env!("CARGO_BIN_EXE_vmaple")).arg("replay").args(traces(&recorded)).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("cut short") || printed.contains("the file is empty"), "{printed}");
}

#[test]
fn a_process_that_cannot_be_attached_to_is_reported() {
    vmaple_host::test_needs!("attach");
    let (_, recorded) = directories();
    let output = Command::new(env!("CARGO_BIN_EXE_vmaple"))
        .args(["record", "--pid", "1999999999", "-o"])
        .arg(recorded.path())
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("cannot attach to process 1999999999") && printed.contains("No such process"), "{printed}");
}

/// Returns the tracer of a thread: 0 if there is none, `None` if the thread has ended.
fn tracer_of(status: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(status).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    field("TracerPid:").filter(|_| field("State:").is_some_and(|state| !state.starts_with(['X', 'Z'])))?.parse().ok()
}

/// A thread that waits for its child of `vfork` cannot be stopped, so the recorder gives up: by itself, or when it is interrupted.
#[test]
fn attaching_can_be_given_up() {
    vmaple_host::test_needs!("attach");
    for interrupt in [true, false] {
        let (built, recorded) = directories();
        let served = Served::start("stuck", &built);
        let recorder = Recorder::start(served.pid(), &[], recorded.path());
        if interrupt {
            let status = PathBuf::from(format!("/proc/{}/status", served.pid()));
            while tracer_of(&status) == Some(0) {
                std::thread::yield_now();
            }
            kill(recorder.pid(), Signal::SIGINT).expect("it is there");
        }
        let (code, printed) = recorder.ended();
        assert_eq!(code, Some(2), "{printed}");
        let why = if interrupt { "interrupted" } else { "does not stop" };
        assert!(printed.contains("cannot attach") && printed.contains(why), "{printed}");
        assert!(traces(&recorded).is_empty(), "{printed}");
        served.ends_well();
    }
}

/// All threads are found, also while threads create threads and end.
#[test]
fn no_thread_is_missed() {
    vmaple_host::test_needs!("attach");
    let (built, recorded) = directories();
    let served = Served::start("breeding", &built);
    for _ in 0..10 {
        let recorder = Recorder::attach(served.pid(), &[], recorded.path());
        let tasks = std::fs::read_dir(format!("/proc/{}/task", served.pid())).expect("it runs");
        for task in tasks {
            let tracer = task.ok().and_then(|task| tracer_of(&task.path().join("status")));
            assert!(tracer.is_none_or(|tracer| tracer == recorder.pid().as_raw()), "{tracer:?}");
        }
        kill(recorder.pid(), Signal::SIGINT).expect("it is there");
        let (code, printed) = recorder.ended();
        assert_eq!(code, Some(0), "{printed}");
    }
    served.ends_well();
}
