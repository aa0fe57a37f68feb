//! A running process's layout from /proc: its areas with what `smaps` shows of them, and the properties for a trace's header. Called by
//! `space` and others while the process is stopped.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};

use nix::unistd::Pid;

use super::abi::PAGE;
use vmaple_trace::{AreaFlags, Capabilities, Extent, Limit, Perm, Resource, VmCounts};

/// One area as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) extent: Extent,
    pub(super) perm: Perm,
    pub(super) offset: u64,
    pub(super) file: FileId,
    /// The path, or a name in brackets; empty for anonymous memory.
    pub(super) path: Vec<u8>,
    /// Only with [`Detail::Flags`].
    pub(super) flags: AreaFlags,
    /// Which faults a userfaultfd handles, by the two letters of each kind; only with [`Detail::Flags`].
    pub(super) userfault: Vec<u8>,
}

/// What identifies a file: the device as `major:minor` and the inode on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) inode: u64,
}

/// How much of a layout is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Ranges, permissions and objects. Quick.
    Plain,
    /// The flags, too. Slow, because the kernel walks all pages.
    Flags,
}

/// Reads the layout of the process that `tid` belongs to. It is an error if the thread has left its address space.
pub(super) fn read(tid: Pid, detail: Detail) -> io::Result<Vec<Seen>> {
    let file = match detail {
        Detail::Plain => "maps",
        Detail::Flags => "smaps",
    };
    let areas = parse(BufReader::new(File::open(format!("/proc/{tid}/{file}"))?))?;
    if areas.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "no address space")) } else { Ok(areas) }
}

fn parse(mut input: impl BufRead) -> io::Result<Vec<Seen>> {
    let mut areas: Vec<Seen> = Vec::new();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? != 0 {
        let text = line.trim_ascii_end();
        let first = text.split(|byte| *byte == b' ').next().unwrap_or(text);
        if let Some(name) = first.strip_suffix(b":") {
            if let Some(area) = areas.last_mut() {
                property(area, name, &String::from_utf8_lossy(text.get(first.len()..).unwrap_or(b"")));
            }
        } else {
            areas.push(header(text).ok_or_else(|| {
                let text = String::from_utf8_lossy(text);
                io::Error::new(io::ErrorKind::InvalidData, format!("read `{text}`, expected an area of a layout"))
            })?);
        }
        line.clear();
    }
    Ok(areas)
}

/// `START-END PERM OFFSET MAJOR:MINOR INODE   PATH`
fn header(text: &[u8]) -> Option<Seen> {
    let mut rest = text;
    let mut field = || {
        rest = rest.trim_ascii_start();
        let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let (field, after) = rest.split_at(length);
        rest = after;
        std::str::from_utf8(field).ok()
    };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = field()?.split_once('-')?;
    let extent = Extent::new(hex(start)?, hex(end)?)?;
    let perm = field()?.parse().ok()?;
    let offset = hex(field()?)?;
    let (major, minor) = field()?.split_once(':')?;
    let file = FileId { major: hex(major)?, minor: hex(minor)?, inode: field()?.parse().ok()? };
    Some(Seen { extent, perm, offset, file, path: unescape(rest.trim_ascii_start()), flags: AreaFlags::EMPTY, userfault: Vec::new() })
}

/// The kernel writes a line feed in a path as `\012`, and nothing else in this way.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(br"\012") {
            plain.push(b'\n');
            rest = after;
        } else {
            plain.push(byte);
            rest = after;
        }
    }
    plain
}

fn property(area: &mut Seen, name: &[u8], value: &str) {
    match name {
        // pages of its own: what keeps two neighbours from merging
        b"Anonymous" | b"Swap" if value.split_ascii_whitespace().next().is_some_and(|size| size != "0") => {
            area.flags = area.flags.union(AreaFlags::FAULTED);
        }
        // the size of its huge pages, if it consists of them
        b"KernelPageSize" => {
            let kib = value.split_ascii_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
            if let Some(bytes) = kib.and_then(|kib| kib.checked_mul(1024)).filter(|bytes| *bytes > PAGE && bytes.is_power_of_two()) {
                area.flags = area.flags.union(AreaFlags::of_huge_pages(bytes));
            }
        }
        b"ProtectionKey" => area.flags = area.flags.union(pkey(value)),
        b"VmFlags" => {
            for flag in value.split_ascii_whitespace() {
                if matches!(flag, "um" | "uw" | "ui") {
                    area.userfault.extend(flag.bytes());
                }
                let known = match flag {
                    "gd" => AreaFlags::GROWSDOWN,
                    "lo" => AreaFlags::LOCKED,
                    "lf" => AreaFlags::LOCKONFAULT,
                    "nr" => AreaFlags::NORESERVE,
                    "dc" => AreaFlags::DONTCOPY,
                    "de" => AreaFlags::DONTEXPAND,
                    "sl" => AreaFlags::SEALED,
                    "io" => AreaFlags::IO,
                    "pf" => AreaFlags::PFNMAP,
                    "ac" => AreaFlags::ACCOUNT,
                    "sr" => AreaFlags::SEQREAD,
                    "rr" => AreaFlags::RANDREAD,
                    "dd" => AreaFlags::DONTDUMP,
                    "mg" => AreaFlags::MERGEABLE,
                    "hg" => AreaFlags::HUGEPAGE,
                    "nh" => AreaFlags::NOHUGEPAGE,
                    "wf" => AreaFlags::WIPEONFORK,
                    "ht" => AreaFlags::HUGETLB,
                    "mm" => AreaFlags::MIXEDMAP,
                    "dp" => AreaFlags::DROPPABLE,
                    "sf" => AreaFlags::SYNC,
                    _ => AreaFlags::EMPTY,
                };
                area.flags = area.flags.union(known);
            }
            if area.flags.is_promised(area.perm) {
                // the trace's default
                area.flags = area.flags.without(AreaFlags::ACCOUNT);
            }
        }
        _ => {}
    }
}

/// Returns the limits of a process that matter to its layout.
pub(super) fn limits(pid: Pid) -> io::Result<Vec<(Resource, Limit)>> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let known = [
        ("Max stack size", Resource::Stack),
        ("Max address space", Resource::As),
        ("Max data size", Resource::Data),
        ("Max locked memory", Resource::Memlock),
    ];
    let soft = |(title, resource)| {
        let value = text.lines().find_map(|line| line.strip_prefix(title))?.split_ascii_whitespace().next()?;
        let limit = if value == "unlimited" { Limit::Unlimited } else { Limit::Bytes(value.parse().ok()?) };
        Some((resource, limit))
    };
    Ok(known.into_iter().filter_map(soft).collect())
}

/// Returns where the heap of a process begins, or `None` if the kernel does not say.
pub(super) fn brk_start(pid: Pid) -> Option<u64> {
    let start = status_field(pid, 47)?.parse().ok()?;
    (start != 0).then_some(start)
}

/// Returns the bytes of data that a process's program was loaded with, or `None` if the kernel does not say.
pub(super) fn loaded_data(pid: Pid) -> Option<u64> {
    let number = |field| status_field(pid, field)?.parse::<u64>().ok();
    number(46)?.checked_sub(number(45)?)
}

/// Returns whether a thread has ended, also if its end was not reported yet.
pub(super) fn is_dead(tid: Pid) -> bool {
    matches!(status_field(tid, 3).as_deref(), None | Some("Z" | "X"))
}

/// Returns a field of `stat`, from the third on. Fields are counted from 1.
fn status_field(pid: Pid, number: usize) -> Option<String> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // the name, the second field, may hold anything, but the last `)` ends it
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let text = String::from_utf8_lossy(text.get(end + 1..)?);
    text.split_ascii_whitespace().nth(number.checked_sub(3)?).map(str::to_owned)
}

/// Returns the capabilities of a process that matter to its address space.
pub(super) fn capabilities(pid: Pid) -> Capabilities {
    if vmaple_host::is_in_a_user_namespace(pid.as_raw().cast_unsigned()) {
        return Capabilities::default();
    }
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let effective = text.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    Capabilities::from_bits(bits.unwrap_or(0)).0
}

/// The flags of a thread's personality.
pub(super) fn personality(tid: Pid) -> i32 {
    let text = fs::read_to_string(format!("/proc/{tid}/personality")).unwrap_or_default();
    u32::from_str_radix(text.trim(), 16).unwrap_or(0).cast_signed()
}

/// Returns whether a thread may execute what it may read.
pub(super) fn reading_implies_executing(tid: Pid) -> bool {
    personality(tid) & libc::READ_IMPLIES_EXEC != 0
}

/// The counters of an address space, in pages.
pub(super) fn counts(tid: Pid) -> io::Result<VmCounts> {
    Ok(parse_counts(&fs::read_to_string(format!("/proc/{tid}/status"))?))
}

fn parse_counts(status: &str) -> VmCounts {
    let pages = |title: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(title))?;
        line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib / 4)
    };
    // the kernel counts what is executable in two parts: the program, and all else
    let exec = pages("VmExe:").zip(pages("VmLib:")).map(|(program, rest)| program + rest);
    VmCounts { total: pages("VmSize:"), locked: pages("VmLck:"), data: pages("VmData:"), stack: pages("VmStk:"), exec }
}

/// How many threads a process has.
pub(super) fn thread_count(process: Pid) -> Option<usize> {
    status_number(process, "Threads:").and_then(|count| usize::try_from(count).ok())
}

/// The process that a thread belongs to.
pub(super) fn process_of(tid: Pid) -> Option<Pid> {
    status_number(tid, "Tgid:").map(Pid::from_raw)
}

/// Who traces a thread.
pub(super) fn tracer_of(tid: Pid) -> Option<Pid> {
    status_number(tid, "TracerPid:").map(Pid::from_raw)
}

/// The process that made the process of a thread.
pub(super) fn parent_of(tid: Pid) -> Option<Pid> {
    status_number(tid, "PPid:").map(Pid::from_raw)
}

fn status_number(tid: Pid, title: &str) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let number = text.lines().find_map(|line| line.strip_prefix(title))?;
    number.trim().parse().ok()
}

/// Flags that drivers give to what maps their objects.
pub(super) const GIVEN: AreaFlags = AreaFlags::IO
    .union(AreaFlags::PFNMAP)
    .union(AreaFlags::MIXEDMAP)
    .union(AreaFlags::DONTCOPY)
    .union(AreaFlags::DONTEXPAND)
    .union(AreaFlags::DONTDUMP);

/// Returns the flag of a protection key as `smaps` writes it.
fn pkey(value: &str) -> AreaFlags {
    value.trim().parse().ok().filter(|key| *key < 16).map_or(AreaFlags::EMPTY, AreaFlags::of_pkey)
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_counts};
    use vmaple_trace::{AreaFlags, Extent, Perm, VmCounts};

    #[test]
    fn areas_and_their_flags_are_read() {
        let text = b"00400000-00402000 r-xp 00001000 fe:0a 1234                     /a b\\012c (deleted)\n\
            Size:                  8 kB\nAnonymous:             4 kB\nProtectionKey:        12\nVmFlags: rd ex mr mw me sl \n\
            7ffde17aa000-7ffde17cb000 rw-s 00000000 00:00 0                          [stack]\n\
            Anonymous:             0 kB\nVmFlags: rd wr gd ac lo nr dc de io pf \n\
            7ffde17cc000-7ffde17cd000 ---p 00000000 00:00 0 \n\
            7fffc0000000-800000000000 rw-p 00000000 00:0f 9 /anon_hugepage (deleted)\nKernelPageSize:  1048576 kB\nVmFlags: rd wr de ht \n";
        let areas = parse(&text[..]).expect("a good layout");
        assert_eq!(areas.len(), 4);
        assert_eq!(areas[3].flags.to_string(), "dontexpand,hugetlb,huge_1gb");
        assert_eq!(areas[0].extent, Extent { start: 0x40_0000, end: 0x40_2000 });
        assert_eq!((areas[0].perm, areas[0].offset), (Perm::READ.union(Perm::EXEC), 0x1000));
        assert_eq!((areas[0].file.major, areas[0].file.minor, areas[0].file.inode), (0xfe, 10, 1234));
        assert_eq!(areas[0].path, b"/a b\nc (deleted)");
        assert_eq!(areas[0].flags, AreaFlags::FAULTED.union(AreaFlags::SEALED).union(AreaFlags::of_pkey(12)));
        assert_eq!(areas[1].path, b"[stack]");
        assert_eq!(areas[1].flags.to_string(), "growsdown,locked,noreserve,dontcopy,dontexpand,io,pfnmap,account");
        assert_eq!((areas[2].perm, areas[2].path.len()), (Perm::NONE, 0));
    }

    #[test]
    fn what_permissions_promise_is_not_said_again() {
        let text = b"1000-2000 rw-p 0 0:0 0\nVmFlags: rd wr mr mw me ac nh \n2000-3000 r--p 0 0:0 0\nVmFlags: rd mr mw me ac \n\
            3000-4000 rw-p 0 0:0 0\nVmFlags: rd wr nr ac \n";
        let areas = parse(&text[..]).expect("a good layout");
        let shown: Vec<String> = areas.iter().map(|area| area.flags.to_string()).collect();
        assert_eq!(shown, ["nohugepage", "account", "noreserve,account"]);
    }

    #[test]
    fn counters_are_in_pages() {
        let status = "VmSize:\t    8000 kB\nVmLck:\t       4 kB\nVmData:\t     400 kB\nVmStk:\t     132 kB\nVmExe:\t      20 kB\n\
            VmLib:\t    1900 kB\n";
        assert_eq!(parse_counts(status).to_string(), "vm total=2000 locked=1 data=100 stack=33 exec=480");
        assert_eq!(parse_counts("Name:\tkernel\n"), VmCounts::default());
    }

    #[test]
    fn what_is_no_layout_is_refused() {
        for text in [&b"x\n"[..], b"1000-0 rw-p 0 0:0 0\n", b"1000-2000 rw-p 0 0:0\n", b"1000-2000 rwp 0 0:0 0\n"] {
            parse(text).expect_err("no layout");
        }
    }
}
