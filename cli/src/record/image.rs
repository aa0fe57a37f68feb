//! The trace of one process image: its file, the counts of what was written, and the notes for the end. Called by `space`.
//!
//! A file that cannot be written must not end the recorded command: the error is reported once, and the rest of that trace is dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;
use vmaple_host::Host;

use vmaple_trace::{Access, Context, Extent, Found, Operation, Outcome, Record, Stamp, Writer};

/// A trace that is being written.
#[derive(Debug)]
pub(super) struct Image {
    path: PathBuf,
    /// `None` after a failure.
    writer: Option<Writer>,
    tally: Tally,
    last_ns: u64,
}

/// Counts of what a trace contains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) operations: u64,
    pub(super) faults: u64,
    pub(super) growths: u64,
    /// The number of differences that no call explains.
    pub(super) unexplained: u64,
}

impl Tally {
    /// How often the layout changed.
    pub(super) fn changes(self) -> u64 {
        self.operations + self.growths + self.unexplained
    }
}

/// A finished trace.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) path: PathBuf,
    pub(super) tally: Tally,
    pub(super) ending: Ending,
}

/// The end of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The last layout.
    Layout,
    /// A note that the last layout could not be read.
    Note,
}

/// Where a recording writes its files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) directory: PathBuf,
    /// The end of a file's name, after the number of the image.
    pub(super) suffix: &'static str,
}

impl Image {
    /// Begins the trace of a stopped process. `number` counts the programs of the process from 1.
    pub(super) fn begin(files: &Files, process: Pid, tid: Pid, number: u32) -> Self {
        let path = files.directory.join(format!("{}.{process}.{number}{}", program_name(tid), files.suffix));
        let mut image = Self { path, writer: None, tally: Tally::default(), last_ns: 0 };
        match Writer::create(&image.path, vmaple_trace::Ending::Promised) {
            Ok(writer) => image.writer = Some(writer),
            Err(error) => image.fail(&error),
        }
        let kernel = Host::as_it_is().release.as_deref().unwrap_or("of an unknown release");
        image.comment(&format!(
            "recorded by vmaple {} on Linux {} {}\nprocess {process}, program {number}: {}",
            env!("CARGO_PKG_VERSION"),
            // what follows the number describes a machine, not the rules of a layout
            kernel.split('-').next().unwrap_or_default(),
            std::env::consts::ARCH,
            command_line(tid),
        ));
        image
    }

    /// Returns the counts of what was written so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn comment(&mut self, text: &str) {
        self.write(|writer| writer.comment(text));
    }

    /// Writes a record without a thread and a time.
    pub(super) fn record(&mut self, record: &Record) {
        self.write(|writer| writer.record(None, record));
    }

    /// Writes a call and its result.
    pub(super) fn operation(&mut self, stamp: Option<Stamp>, operation: Operation, outcome: Outcome) {
        self.tally.operations += 1;
        self.stamped(stamp, &Record::Operation(operation, outcome));
    }

    /// Writes a record of a thread.
    pub(super) fn stamped(&mut self, stamp: Option<Stamp>, record: &Record) {
        let stamp = stamp.map(|stamp| self.in_order(stamp));
        self.write(|writer| writer.record(stamp, record));
    }

    pub(super) fn fault(&mut self, stamp: Stamp, addr: u64, access: Access, context: Context) {
        self.tally.faults += 1;
        let record = Record::Fault { addr, access, context, found: Found::Unchecked };
        self.stamped(Some(stamp), &record);
    }

    pub(super) fn grew(&mut self, extent: Extent) {
        self.tally.growths += 1;
        self.record(&Record::Grew(extent));
    }

    /// Writes a call that was not seen but that the layout shows.
    pub(super) fn unexplained(&mut self, operation: Operation, outcome: Outcome) {
        self.tally.unexplained += 1;
        self.record(&Record::Operation(operation, outcome));
    }

    /// Returns the time for the next line. The order of lines is the order of events, so a time before the previous line's becomes that line's.
    fn in_order(&mut self, stamp: Stamp) -> Stamp {
        self.last_ns = self.last_ns.max(stamp.time_ns);
        Stamp { time_ns: self.last_ns, ..stamp }
    }

    fn write(&mut self, write: impl FnOnce(&mut Writer) -> io::Result<()>) {
        if let Some(writer) = &mut self.writer
            && let Err(error) = write(writer)
        {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        eprintln!("vmaple: {}: cannot be written, this trace is incomplete: {error}", self.path.display());
        self.writer = None;
    }

    /// Completes the trace, and removes it if it contains no change and `Keep` allows that.
    pub(super) fn finish(mut self, ending: Ending, keep: Keep) -> Option<Report> {
        if ending == Ending::Note {
            self.comment("the last layout could not be read: the process ended without a last stop");
        }
        if let Some(writer) = self.writer.take()
            && let Err(error) = writer.finish()
        {
            self.fail(&error);
        }
        if keep == Keep::IfUsed && self.tally.changes() == 0 {
            // no error if it cannot be removed, because it is complete
            drop(fs::remove_file(&self.path));
            return None;
        }
        Some(Report { path: self.path, tally: self.tally, ending })
    }
}

/// Whether a trace without a change is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Always: it is the command's.
    Always,
    /// Only with a change, because each child between fork and exec would leave one.
    IfUsed,
}

/// Returns the name of the program that a thread runs, as a part of a file name.
fn program_name(tid: Pid) -> String {
    let program = fs::read_link(format!("/proc/{tid}/exe")).unwrap_or_default();
    let name = program.file_name().map_or_else(|| "program".into(), |name| name.to_string_lossy());
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    let fit = |letter: char| {
        if letter.is_alphanumeric() || "-_.+".contains(letter) { letter } else { '_' }
    };
    name.chars().map(fit).take(80).collect()
}

fn command_line(tid: Pid) -> String {
    const MAX_SHOWN: usize = 1000;
    let text = fs::read(format!("/proc/{tid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).replace('\0', " ");
    text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// Creates the directory of a recording.
pub(super) fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}
