//! Reads from /proc the VMAs of a process with their flags, up to an address, and its counters. Called by `process` while the worker waits
//! for a command, so that nothing changes meanwhile.

use nix::unistd::Pid;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use vmaple::mm::ProtectionKey;
use vmaple::{PAGE_SIZE, VmaFlags};
use vmaple_trace::{Extent, VmCounts};

/// The files of one process.
#[derive(Debug)]
pub(super) struct ProcFiles {
    maps: File,
    smaps: File,
    status: File,
}

/// A VMA as /proc shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) extent: Extent,
    pub(super) flags: VmaFlags,
    pub(super) file: FileId,
    pub(super) offset: u64,
}

/// What identifies a file: the device, major and minor, and the inode on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) device: (u64, u64),
    pub(super) inode: u64,
}

/// The kernel's words for flags, in its `VmFlags` lines.
const WORDS: [(&str, VmaFlags); 26] = [
    ("rd", VmaFlags::READ),
    ("wr", VmaFlags::WRITE),
    ("ex", VmaFlags::EXEC),
    ("sh", VmaFlags::SHARED),
    ("mr", VmaFlags::MAYREAD),
    ("mw", VmaFlags::MAYWRITE),
    ("me", VmaFlags::MAYEXEC),
    ("ms", VmaFlags::MAYSHARE),
    ("gd", VmaFlags::GROWSDOWN),
    ("lo", VmaFlags::LOCKED),
    ("lf", VmaFlags::LOCKONFAULT),
    ("sr", VmaFlags::SEQ_READ),
    ("rr", VmaFlags::RAND_READ),
    ("dc", VmaFlags::DONTCOPY),
    ("de", VmaFlags::DONTEXPAND),
    ("ac", VmaFlags::ACCOUNT),
    ("nr", VmaFlags::NORESERVE),
    ("ht", VmaFlags::HUGETLB),
    ("wf", VmaFlags::WIPEONFORK),
    ("dd", VmaFlags::DONTDUMP),
    ("hg", VmaFlags::HUGEPAGE),
    ("nh", VmaFlags::NOHUGEPAGE),
    ("mg", VmaFlags::MERGEABLE),
    ("sl", VmaFlags::SEALED),
    ("dp", VmaFlags::DROPPABLE),
    ("sf", VmaFlags::SYNC),
];

impl ProcFiles {
    pub(super) fn open(pid: Pid) -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/{pid}/{name}"));
        Ok(Self { maps: open("maps")?, smaps: open("smaps")?, status: open("status")? })
    }

    /// The bounds of all VMAs.
    pub(super) fn extents(&self) -> io::Result<Vec<Extent>> {
        let mut extents = Vec::new();
        lines(&self.maps, |line| {
            extents.extend(head(line).map(|seen| seen.extent));
            Next::Line
        })?;
        Ok(extents)
    }

    /// The VMAs that begin below that address.
    pub(super) fn below(&self, end: u64) -> io::Result<Vec<Seen>> {
        let mut vmas: Vec<Seen> = Vec::new();
        lines(&self.smaps, |line| {
            if let Some(words) = line.strip_prefix("VmFlags:") {
                let known = |word: &str| WORDS.iter().find(|(known, _)| *known == word).map(|(_, flag)| *flag);
                if let Some(last) = vmas.last_mut() {
                    last.flags = words.split_ascii_whitespace().filter_map(known).fold(last.flags, VmaFlags::union);
                }
            } else if let Some(key) = line.strip_prefix("ProtectionKey:") {
                if let Some((last, key)) = vmas.last_mut().zip(key.trim().parse().ok().and_then(ProtectionKey::new)) {
                    last.flags = last.flags.with_pkey(key);
                }
            } else if let Some(size) = line.strip_prefix("KernelPageSize:") {
                let bytes = size.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok()).map_or(PAGE_SIZE, |kib| kib * 1024);
                if let Some(last) = vmas.last_mut().filter(|_| bytes > PAGE_SIZE) {
                    last.flags |= VmaFlags::of_huge_pages(bytes);
                }
            } else if !line.as_bytes().first().is_some_and(u8::is_ascii_uppercase)
                && let Some(seen) = head(line)
            {
                if seen.extent.start >= end {
                    return Next::End;
                }
                vmas.push(seen);
            }
            Next::Line
        })?;
        Ok(vmas)
    }

    /// The counters, in pages.
    pub(super) fn counts(&self) -> io::Result<VmCounts> {
        let (mut counts, mut code_kib) = (VmCounts::default(), 0);
        lines(&self.status, |line| {
            let Some((word, value)) = line.split_once(':') else { return Next::Line };
            let kib = || value.trim().strip_suffix(" kB").and_then(|kib| kib.parse::<u64>().ok());
            let pages = || kib().map(|kib| kib * 1024 / PAGE_SIZE);
            match word {
                "VmSize" => counts.total = pages(),
                "VmLck" => counts.locked = pages(),
                "VmData" => counts.data = pages(),
                "VmStk" => counts.stack = pages(),
                "VmExe" => code_kib = kib().unwrap_or(0),
                // the rest of what can be executed
                "VmLib" => counts.exec = kib().map(|kib| kib.wrapping_add(code_kib) * 1024 / PAGE_SIZE),
                "VmPTE" => return Next::End,
                _ => {}
            }
            Next::Line
        })?;
        Ok(counts)
    }
}

enum Next {
    Line,
    End,
}

/// Calls `read` with each line, until it returns [`Next::End`].
fn lines(file: &File, mut read: impl FnMut(&str) -> Next) -> io::Result<()> {
    let (mut buffer, mut at) = (Vec::new(), 0);
    let mut piece = [0; 4096];
    loop {
        let got = file.read_at(&mut piece, at)?;
        if got == 0 {
            return Ok(());
        }
        at += got as u64;
        buffer.extend_from_slice(&piece[..got]);
        let mut done = 0;
        while let Some(len) = buffer[done..].iter().position(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(&buffer[done..done + len]).map_err(io::Error::other)?;
            if matches!(read(line), Next::End) {
                return Ok(());
            }
            done += len + 1;
        }
        buffer.drain(..done);
    }
}

/// `START-END PERM OFFSET DEVICE INODE ...`
fn head(line: &str) -> Option<Seen> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    let extent = Extent::new(hex(start)?, hex(end)?)?;
    let (_, offset, device, inode) = (fields.next()?, hex(fields.next()?)?, fields.next()?.split_once(':')?, fields.next()?.parse().ok()?);
    let file = FileId { device: (hex(device.0)?, hex(device.1)?), inode };
    Some(Seen { extent, flags: VmaFlags::empty(), file, offset })
}
