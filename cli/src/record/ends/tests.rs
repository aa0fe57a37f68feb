//! Ends that cannot be brought about from outside at will. The test is its own traced thread: it can be asked for its
//! layout, and is not traced.

use std::process::Command;

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::super::call::{Call, Known};
use super::super::clock::Clock;
use super::super::image::{Ending, Files};
use super::super::layout;
use super::super::objects::Source;
use super::super::space::Origin;
use super::super::tracer::Tracer;
use vmaple_trace::{Operation, Reader};

const KILLED: i32 = libc::SIGKILL;

/// A recording of this process, whose only thread is inside a call.
fn recording(directory: &tempfile::TempDir) -> Tracer {
    let files = Files { directory: directory.path().to_owned(), suffix: ".trace" };
    let mut tracer = Tracer::new(Pid::this(), Clock::start().expect("a clock"), files);
    tracer.begin_space(Pid::this(), Origin::Program);
    let operation = Operation::Munmap { addr: 0x1000, len: 0x2000 };
    let call = Call::Known(Known { operation, source: Source::Nothing, open: None, odd: false });
    tracer.tasks.get_mut(&Pid::this()).expect("the thread").call = Some(call);
    tracer
}

/// Returns the only trace that was written, without its last line (`complete`). Checks that it can be read.
fn text(tracer: &Tracer) -> String {
    let [report] = tracer.reports.as_slice() else {
        panic!("one trace: {:?}", tracer.reports);
    };
    for line in Reader::open(&report.path).expect("a trace") {
        line.expect("a good line");
    }
    let text = std::fs::read_to_string(&report.path).expect("the trace");
    text.strip_suffix("complete\n").expect("a whole trace").to_owned()
}

#[test]
fn a_thread_that_ends_without_a_last_stop_leaves_a_note() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut tracer = recording(&directory);
    tracer.gone(Pid::this(), KILLED).expect("nothing is traced");
    assert!(tracer.spaces.is_empty() && tracer.tasks.is_empty());
    assert_eq!(tracer.reports[0].ending, Ending::Note);
    let text = text(&tracer);
    let mut lines = text.lines().rev();
    let last = lines.next().expect("a note");
    assert!(last.starts_with("# the last layout could not be read"), "{last}");
    let call = lines.next().expect("another");
    assert!(call.ends_with("killed inside `munmap 0x1000 0x2000`: its effect is not known"), "{call}");
    assert!(!text.contains("\nmaps"), "no layout is made up");
}

#[test]
fn a_trace_whose_process_never_ends_is_completed() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut tracer = recording(&directory);
    tracer.end_spaces();
    assert_eq!(tracer.reports[0].ending, Ending::Note);
    assert!(text(&tracer).lines().last().is_some_and(|last| last.starts_with("# the last layout")));
}

#[test]
fn a_thread_that_is_still_there_shows_the_last_layout() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut tracer = recording(&directory);
    let space = tracer.tasks[&Pid::this()].space.expect("an address space");
    // of those that are asked, the first has ended, and remains only because no process has waited for it
    let mut ended = Command::new("true").spawn().expect("the command runs");
    let first = Pid::from_raw(ended.id().cast_signed());
    waitid(Id::Pid(first), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("it ends");
    assert!(layout::is_dead(first) && !layout::is_dead(Pid::this()));
    tracer.end_space(space, &[first, Pid::this()]);
    ended.wait().expect("it ended");
    assert!(layout::is_dead(first));
    assert_eq!(tracer.reports[0].ending, Ending::Layout);
    assert_eq!(text(&tracer).lines().last(), Some("end"));
}
