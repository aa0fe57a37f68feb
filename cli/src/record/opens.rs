//! Which of several times that a file was opened a descriptor is of: the kernel makes one area of two only if they are of one open file.
//!
//! `calls` comes in where a descriptor is about to be mapped, while its owner is stopped; `sys` is called. No file tells an open file from
//! another, but the kernel compares two descriptors. Programs close theirs after mapping it, so the recorder has one of its own of each
//! regular file that is mapped by a descriptor for reading: a mapping keeps the file open anyway. Of others the number of the descriptor
//! is kept, which may since have become another's.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::unistd::Pid;
use rustix::fs::OFlags;

use super::layout::{FileId, Seen};
use super::{layout, objects, sys};
use crate::trace::Name;

/// Descriptors of the recorder's own stay below this number, so that enough are left for all else.
const HIGHEST: i32 = 512;

/// The open files of one address space.
#[derive(Debug, Default)]
pub(super) struct Opens {
    files: HashMap<FileId, Opened>,
}

/// Each time that one file was opened.
#[derive(Debug, Default)]
struct Opened {
    /// How often so far.
    count: u32,
    /// Whether a layout had it since.
    is_mapped: bool,
    known: Vec<(u32, Way)>,
}

/// How an open file is known again.
#[derive(Debug)]
enum Way {
    /// By a descriptor of the recorder's.
    Own(OwnedFd),
    /// By that of the process.
    Its(i32),
}

impl Opens {
    /// Those of a program that was just loaded: the kernel opened its files, and whoever opens one of them again has another.
    pub(super) fn of_program(seen: &[Seen]) -> Self {
        let loaded = || Opened { count: 1, ..Opened::default() };
        Self { files: seen.iter().filter(|area| area.file.inode != 0).map(|area| (area.file, loaded())).collect() }
    }

    /// The mark of what is mapped by a descriptor; none for the first time that its file was opened.
    pub(super) fn mark(&mut self, tid: Pid, descriptor: i32) -> Option<Name> {
        let opened = self.files.entry(objects::identity(tid, descriptor)?).or_default();
        let is_same = |way: &Way| {
            let other = match way {
                Way::Own(own) => (Pid::this(), own.as_raw_fd()),
                Way::Its(other) => (tid, *other),
            };
            // where the kernel does not compare, a file is opened once, as nearly all are
            sys::same_file((tid, descriptor), other).unwrap_or(true)
        };
        let known = opened.known.iter().find(|(_, way)| is_same(way));
        let number = if let Some((number, _)) = known {
            *number
        } else {
            opened.count += 1;
            opened.known.push((opened.count, way(tid, descriptor)));
            opened.count
        };
        (number > 1).then(|| Name::new(number.to_string().as_bytes())).flatten()
    }

    /// Lets go of the files that a layout does not have any more.
    pub(super) fn follow(&mut self, seen: &[Seen]) {
        let mapped: HashSet<FileId> = seen.iter().map(|area| area.file).collect();
        for (file, opened) in &mut self.files {
            // some file systems show other numbers in a layout, and never the descriptor's
            if std::mem::replace(&mut opened.is_mapped, mapped.contains(file)) && !opened.is_mapped {
                opened.known.clear();
            }
        }
    }
}

/// How a descriptor will be known again.
fn way(tid: Pid, descriptor: i32) -> Way {
    let is_file = fs::metadata(format!("/proc/{tid}/fd/{descriptor}")).is_ok_and(|data| data.is_file());
    // a descriptor for writing would keep the file from being executed
    let own = || sys::own_descriptor(layout::process_of(tid)?, descriptor).filter(|own| own.as_raw_fd() < HIGHEST && is_for_reading(own));
    if is_file && let Some(own) = own() { Way::Own(own) } else { Way::Its(descriptor) }
}

fn is_for_reading(own: &OwnedFd) -> bool {
    rustix::fs::fcntl_getfl(own).is_ok_and(|flags| flags.intersection(OFlags::RWMODE) == OFlags::RDONLY)
}
