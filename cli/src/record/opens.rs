//! Distinguishes several openings of one file, because the kernel merges two areas only if they map the same open file. Called by `calls`
//! when a descriptor is about to be mapped, while its owner is stopped.
//!
//! No file in /proc distinguishes open files, but the kernel compares two descriptors. Programs close theirs after mapping, so the recorder
//! keeps a descriptor of each regular file that is mapped by a descriptor for reading; a mapping keeps the file open anyway. When nothing
//! maps the file any more, the recorder closes it before the program continues, because an open file may hold a lock or keep a file system
//! busy. Of other files the number of the descriptor is kept, which may since belong to another file.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::unistd::Pid;
use rustix::fs::OFlags;

use super::layout::{FileId, Seen};
use super::{layout, objects, sys};
use vmaple_trace::{Extent, Name};

/// The recorder's descriptors stay below this number, so that enough are left for other uses.
const HIGHEST: i32 = 512;

/// The open files of one address space.
#[derive(Debug, Default)]
pub(super) struct Opens {
    files: HashMap<FileId, Opened>,
    /// Some may no longer be mapped, or may never have been.
    is_unsure: bool,
}

/// The openings of one file.
#[derive(Debug, Default)]
struct Opened {
    /// The number of openings so far.
    count: u32,
    /// Whether a layout has shown the file.
    was_shown: bool,
    known: Vec<Known>,
}

/// How an open file is recognized.
#[derive(Debug)]
struct Known {
    number: u32,
    /// The descriptor of the process.
    its: i32,
    /// The recorder's own descriptor of the file, if it has one.
    own: Option<OwnedFd>,
    /// The ranges in which it is mapped.
    places: Vec<Extent>,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    file: FileId,
    number: u32,
}

impl Open {
    /// Returns the mark of areas that map it, or `None` for the first opening of the file.
    pub(super) fn mark(self) -> Option<Name> {
        (self.number > 1).then(|| Name::new(self.number.to_string().as_bytes())).flatten()
    }
}

impl Opens {
    /// Returns the open files of a program that was just loaded. The kernel has opened them, so an opening by the program is the second.
    pub(super) fn of_program(seen: &[Seen]) -> Self {
        let loaded = || Opened { count: 1, ..Opened::default() };
        let files = seen.iter().filter(|area| area.file.inode != 0).map(|area| (area.file, loaded())).collect();
        Self { files, is_unsure: false }
    }

    /// Returns the open file of a descriptor that is about to be mapped.
    pub(super) fn open(&mut self, tid: Pid, descriptor: i32) -> Option<Open> {
        let file = objects::identity(tid, descriptor)?;
        let opened = self.files.entry(file).or_default();
        let is_same = |known: &Known| {
            let other = known.own.as_ref().map_or((tid, known.its), |own| (Pid::this(), own.as_raw_fd()));
            // if the kernel refuses to compare, the file is taken to be opened once, as nearly all are
            sys::same_file((tid, descriptor), other).unwrap_or(true)
        };
        let place = opened.known.iter().position(is_same).unwrap_or_else(|| {
            opened.count += 1;
            opened.known.push(Known { number: opened.count, its: descriptor, own: None, places: Vec::new() });
            opened.known.len() - 1
        });
        let known = &mut opened.known[place];
        if known.own.is_none() {
            known.own = own(tid, descriptor);
            self.is_unsure |= known.own.is_some();
        }
        Some(Open { file, number: known.number })
    }

    /// Follows a mapping of an open file.
    pub(super) fn mapped(&mut self, open: Open, extent: Extent) {
        for (file, opened) in &mut self.files {
            for known in &mut opened.known {
                self.is_unsure |= known.places.iter().any(|place| place.overlaps(extent));
                known.places = known.places.iter().flat_map(|place| place.without(extent)).flatten().collect();
                if (*file, known.number) == (open.file, open.number) {
                    known.places.push(extent);
                }
            }
        }
    }

    /// Returns the mark of the mapping at an address.
    pub(super) fn mark_at(&self, address: u64) -> Option<Name> {
        let mut all = self.files.iter().flat_map(|(file, opened)| opened.known.iter().map(|known| (*file, known)));
        let (file, known) = all.find(|(_, known)| known.places.iter().any(|place| place.contains(address)))?;
        Open { file, number: known.number }.mark()
    }

    /// Follows a move.
    pub(super) fn moved(&mut self, from: Extent, to: Extent) {
        for known in self.files.values_mut().flat_map(|opened| &mut opened.known) {
            if known.places.iter().any(|place| place.overlaps(from)) {
                known.places.push(to);
            }
        }
    }

    /// Returns whether the layout must be read after a call that may have unmapped something in these ranges.
    pub(super) fn must_follow(&self, unmapped: &[Extent]) -> bool {
        let held = self.files.values().flat_map(|opened| &opened.known).filter(|known| known.own.is_some());
        let mut places = held.flat_map(|known| &known.places);
        self.is_unsure || places.any(|place| unmapped.iter().any(|extent| place.overlaps(*extent)))
    }

    /// Closes the files that a layout does not show.
    pub(super) fn follow(&mut self, seen: &[Seen]) {
        self.is_unsure = false;
        let mut mapped: HashMap<FileId, Vec<Extent>> = HashMap::new();
        for area in seen {
            mapped.entry(area.file).or_default().push(area.extent);
        }
        for (file, opened) in &mut self.files {
            let areas = mapped.get(file).map_or(&[][..], Vec::as_slice);
            opened.was_shown |= !areas.is_empty();
            for known in &mut opened.known {
                let common = |place: &Extent| areas.iter().filter_map(|area| place.common(*area)).collect::<Vec<_>>();
                known.places = known.places.iter().flat_map(common).collect();
            }
            if opened.was_shown {
                opened.known.retain(|known| !known.places.is_empty());
            } else {
                // it was not mapped after all; or its file system shows other numbers in a layout, and never the descriptor's
                opened.known.iter_mut().for_each(|known| known.own = None);
            }
        }
    }
}

/// Returns a descriptor of the recorder's own for a regular file that was opened for reading alone.
fn own(tid: Pid, descriptor: i32) -> Option<OwnedFd> {
    let is_file = fs::metadata(format!("/proc/{tid}/fd/{descriptor}")).is_ok_and(|data| data.is_file());
    // a descriptor for writing would keep the file from being executed
    let own = || sys::own_descriptor(layout::process_of(tid)?, descriptor).filter(|own| own.as_raw_fd() < HIGHEST && is_for_reading(own));
    if is_file { own() } else { None }
}

fn is_for_reading(own: &OwnedFd) -> bool {
    rustix::fs::fcntl_getfl(own).is_ok_and(|flags| flags.intersection(OFlags::RWMODE) == OFlags::RDONLY)
}
