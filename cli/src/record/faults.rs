//! Page faults of the traced threads, as the tracepoints `exceptions:page_fault_user` and `page_fault_kernel` report them: those of the
//! program itself, and those of the kernel when it reads or writes the program's memory for it.
//!
//! There are two rings per processor and thread, inherited by everything that the command starts. Called by `tracer`, which opens them
//! before the command starts and then drains them often.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use nix::unistd::{Pid, SysconfVar, sysconf};
use perf_event::events::Tracepoint;
use perf_event::{Builder, Clock, SampleFlag, Sampler};
use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use vmaple_trace::{Access, Context};

/// The size of a ring in bytes, a power of two. A ring is smaller if the system does not allow this size.
const RING_BYTES: usize = 4 << 20;
const SMALLEST_RING_BYTES: usize = 64 << 10;

/// Kinds of records in a ring.
const RECORD_LOST: u32 = 2;
const RECORD_SAMPLE: u32 = 9;

/// Bits of a fault's error code on x86.
const CODE_WRITE: u64 = 1 << 1;
const CODE_FETCH: u64 = 1 << 4;

/// The tracepoints, and the context of their faults.
const EVENTS: [(&str, Context); 2] =
    [("events/exceptions/page_fault_user", Context::User), ("events/exceptions/page_fault_kernel", Context::Kernel)];

/// The lowest address of the kernel.
const KERNEL_START: u64 = 1 << 63;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) tid: u32,
    pub(super) monotonic_ns: u64,
    pub(super) address: u64,
    pub(super) access: Access,
    pub(super) context: Context,
}

/// The rings.
pub(super) struct Faults {
    rings: Vec<Ring>,
    lost: u64,
}

/// The ring of one tracepoint on one processor.
struct Ring {
    sampler: Sampler,
    fields: Fields,
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").field("rings", &self.rings.len()).field("lost", &self.lost).finish_non_exhaustive()
    }
}

/// The offsets of the tracepoint's fields in its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    address: usize,
    error_code: usize,
    context: Context,
}

impl Faults {
    /// Opens the rings for the stopped threads of a process, and for all threads and processes that they will start.
    pub(super) fn open(threads: &BTreeSet<Pid>) -> io::Result<Self> {
        let folder = Folder::find()?;
        let processors = sysconf(SysconfVar::_NPROCESSORS_CONF)?;
        let processors = processors.and_then(|count| usize::try_from(count).ok()).unwrap_or(1);
        let mut rings = Vec::new();
        for (event, context) in EVENTS {
            let id = folder.read(event, "id")?;
            let id = id.trim().parse().map_err(|_| unreadable(event, "id", &id))?;
            let format = folder.read(event, "format")?;
            let fields = Fields::parse(&format, context).ok_or_else(|| unreadable(event, "format", &format))?;
            for (thread, processor) in threads.iter().flat_map(|thread| (0..processors).map(move |processor| (*thread, processor))) {
                match ring(id, thread, processor, RING_BYTES / threads.len().next_power_of_two()) {
                    Ok(sampler) => rings.push(Ring { sampler, fields }),
                    // the processor is offline, or the thread has ended
                    Err(error) if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ESRCH)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self { rings, lost: 0 })
    }

    /// Removes the faults from the rings, and returns them in the order of time.
    pub(super) fn drain(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for ring in &mut self.rings {
            while let Some(record) = ring.sampler.next_record() {
                let data = record.to_contiguous();
                match record.ty() {
                    RECORD_SAMPLE => faults.extend(ring.fields.fault(&data).filter(|fault| fault.address < KERNEL_START)),
                    // after the number of the event: how many
                    RECORD_LOST => self.lost += word(&data, 8).unwrap_or(1),
                    _ => {}
                }
            }
        }
        faults.sort_by_key(|fault| fault.monotonic_ns);
        faults
    }

    /// Returns the number of faults that did not fit into a ring.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

fn ring(id: u64, thread: Pid, processor: usize, bytes: usize) -> io::Result<Sampler> {
    let mut bytes = bytes.max(SMALLEST_RING_BYTES);
    loop {
        let mut builder = Builder::new(Tracepoint::with_id(id));
        builder
            .observe_pid(thread.as_raw())
            .one_cpu(processor)
            .inherit(true)
            // the tracepoint itself is in the kernel
            .include_kernel()
            .sample_period(1)
            .sample(SampleFlag::TID | SampleFlag::TIME | SampleFlag::RAW)
            .clockid(Clock::MONOTONIC)
            .enabled(true);
        match builder.build()?.sampled(bytes) {
            Ok(ring) => return Ok(ring),
            // the size of locked memory is limited
            Err(error) if bytes <= SMALLEST_RING_BYTES => return Err(error),
            Err(_) => bytes /= 2,
        }
    }
}

impl Fields {
    /// Reads the description of the tracepoint.
    fn parse(format: &str, context: Context) -> Option<Self> {
        let offset = |name: &str| {
            let line = format.lines().find(|line| {
                let declared = line.trim_start().strip_prefix("field:").and_then(|line| line.split(';').next());
                declared.is_some_and(|declared| declared.split_ascii_whitespace().next_back() == Some(name))
            })?;
            let (_, offset) = line.split_once("offset:")?;
            offset.split(';').next()?.parse().ok()
        };
        Some(Self { address: offset("address")?, error_code: offset("error_code")?, context })
    }

    /// Reads a sample: process and thread, time, and the length and bytes of the tracepoint's own data.
    fn fault(self, data: &[u8]) -> Option<Fault> {
        const RAW: usize = 8 + 8 + 4;
        let tid = u32::from_ne_bytes(data.get(4..8)?.try_into().ok()?);
        let code = word(data, RAW + self.error_code)?;
        let access = if code & CODE_FETCH != 0 {
            Access::Exec
        } else if code & CODE_WRITE != 0 {
            Access::Write
        } else {
            Access::Read
        };
        Some(Fault { tid, monotonic_ns: word(data, 8)?, address: word(data, RAW + self.address)?, access, context: self.context })
    }
}

fn word(data: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(data.get(offset..offset + 8)?.try_into().ok()?))
}

fn unreadable(event: &str, file: &str, text: &str) -> io::Error {
    let shown: String = text.chars().take(100).collect();
    io::Error::new(io::ErrorKind::InvalidData, format!("read {shown:?} in {event}/{file}, which is no description"))
}

/// The file system in which the kernel describes its tracepoints.
enum Folder {
    /// Mounted by the system.
    Path(String),
    /// Mounted for this program alone, so that nothing changes for others.
    Detached(OwnedFd),
}

impl Folder {
    fn find() -> io::Result<Self> {
        for root in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            match fs::metadata(format!("{root}/events")) {
                Ok(_) => return Ok(Self::Path(root.to_owned())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let context = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        Ok(Self::Detached(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?))
    }

    fn read(&self, event: &str, file: &str) -> io::Result<String> {
        match self {
            Self::Path(path) => fs::read_to_string(format!("{path}/{event}/{file}")),
            Self::Detached(root) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                let mut text = String::new();
                fs::File::from(openat(root, format!("{event}/{file}"), flags, Mode::empty())?).read_to_string(&mut text)?;
                Ok(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Context, Fault, Fields};

    const FORMAT: &str = "name: page_fault_user\nID: 190\nformat:\n\
        \tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\n\
        \tfield:unsigned long address;\toffset:8;\tsize:8;\tsigned:0;\n\
        \tfield:unsigned long ip;\toffset:16;\tsize:8;\tsigned:0;\n\
        \tfield:unsigned long error_code;\toffset:24;\tsize:8;\tsigned:0;\n\n\
        print fmt: \"address=%ps\"\n";

    #[test]
    fn samples_are_read_by_their_description() {
        let fields = Fields::parse(FORMAT, Context::Kernel).expect("a description");
        assert_eq!(fields, Fields { address: 8, error_code: 24, context: Context::Kernel });
        for (code, access) in [(4_u64, Access::Read), (6, Access::Write), (7, Access::Write), (0x14, Access::Exec)] {
            let mut data = Vec::new();
            data.extend(1_u32.to_ne_bytes());
            data.extend(2_u32.to_ne_bytes());
            data.extend(3_u64.to_ne_bytes());
            data.extend(36_u32.to_ne_bytes());
            for word in [0, 0x7fff_0000, 0x40_0000, code] {
                data.extend(word.to_ne_bytes());
            }
            let fault = Fault { tid: 2, monotonic_ns: 3, address: 0x7fff_0000, access, context: Context::Kernel };
            assert_eq!(fields.fault(&data), Some(fault));
            assert_eq!(fields.fault(&data[..data.len() - 1]), None, "cut short");
        }
        assert_eq!(Fields::parse("field:unsigned long address;\toffset:x;", Context::User), None);
    }
}
