//! The kernel's side of the pager: a region of real memory, empty at first, whose page faults are read from a file descriptor
//! (`userfaultfd(2)`). Called by the pager, which reads faults and answers them, and by the guests, which use the memory.
//!
//! The region is accessed only by atomic words and system calls, never by a reference to its bytes, because pages come and go during an
//! access.
#![allow(unsafe_code, reason = "memory that is mapped, registered and filled by system calls, and reached by its address")]
#![allow(clippy::cast_possible_truncation, reason = "an address of this process is a usize")]

use linux_raw_sys::general as raw;
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::{Pid, read};
use std::fs::File;
use std::io::{IoSlice, IoSliceMut, PipeReader};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{NonNull, with_exposed_provenance_mut};
use std::sync::atomic::AtomicU64;
use vmaple::{Access, PAGE_SIZE};
use vmaple_host::{Host, Need};

/// The content of a page.
pub(crate) type Page = [u8; PAGE_BYTES];
pub(crate) const PAGE_BYTES: usize = PAGE_SIZE as usize;

/// The requests of `ioctl_userfaultfd(2)`. Whether one is safe depends on its effect on memory.
mod request {
    use super::raw;
    nix::ioctl_write_int_bad!(new, nix::request_code_none!(raw::USERFAULTFD_IOC, 0));
    nix::ioctl_readwrite!(api, raw::UFFDIO, raw::_UFFDIO_API, raw::uffdio_api);
    nix::ioctl_readwrite!(register, raw::UFFDIO, raw::_UFFDIO_REGISTER, raw::uffdio_register);
    nix::ioctl_readwrite!(copy, raw::UFFDIO, raw::_UFFDIO_COPY, raw::uffdio_copy);
    nix::ioctl_readwrite!(zero, raw::UFFDIO, raw::_UFFDIO_ZEROPAGE, raw::uffdio_zeropage);
    nix::ioctl_readwrite!(poison, raw::UFFDIO, raw::_UFFDIO_POISON, raw::uffdio_poison);
    nix::ioctl_read!(wake, raw::UFFDIO, raw::_UFFDIO_WAKE, raw::uffdio_range);
}

/// A feature of the system that is missing.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A page fault, as the kernel reports it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultEvent {
    /// The address of the page.
    pub(crate) page: u64,
    pub(crate) access: Access,
}

/// Whether a page was installed, or one was there before. If two threads fault on a page, both faults are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    Now,
    Before,
}

/// Why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Fault,
    Stop,
}

/// The region. It is never unmapped.
#[derive(Debug)]
pub(crate) struct Memory {
    range: Range<u64>,
    uffd: OwnedFd,
}

impl Memory {
    /// Maps `pages` pages, and registers for their faults.
    pub(crate) fn new(pages: u64) -> Result<Self, Missing> {
        let failed = |what: &str, error: Errno| Missing(format!("{what}: {error}"));
        let uffd = open()?;
        // The request that refuses a fault exists since Linux 6.6.
        let features = u64::from(raw::UFFD_FEATURE_POISON);
        let mut api = raw::uffdio_api { api: raw::UFFD_API.into(), features, ioctls: 0 };
        // SAFETY: the descriptor is a userfaultfd, the structure the one that the request takes.
        unsafe { request::api(uffd.as_raw_fd(), &raw mut api) }
            .map_err(|error| failed("UFFDIO_POISON, of Linux 6.6, is missing", error))?;
        let bytes = usize::try_from(pages * PAGE_SIZE).ok().and_then(NonZeroUsize::new).expect("a region of some size");
        let (prot, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE);
        // SAFETY: the kernel chooses the address; nothing that exists is replaced.
        let base = unsafe { mmap_anonymous(None, bytes, prot, flags) }.map_err(|error| failed("mmap of the region", error))?;
        let start = base.as_ptr().expose_provenance() as u64;
        let memory = Self { range: start..start + pages * PAGE_SIZE, uffd };
        let mode = raw::UFFDIO_REGISTER_MODE_MISSING.into();
        let mut register = raw::uffdio_register { range: memory.raw_range(&memory.range), mode, ioctls: 0 };
        // SAFETY: as above; the range is the region, which no thread uses yet.
        unsafe { request::register(memory.fd(), &raw mut register) }.map_err(|error| failed("UFFDIO_REGISTER of the region", error))?;
        Ok(memory)
    }

    /// Returns the start of the region.
    pub(crate) fn start(&self) -> u64 {
        self.range.start
    }

    /// Waits until there is a fault to serve, or the other end of the pipe is closed.
    pub(crate) fn wait(&self, stop: &PipeReader) -> nix::Result<Wake> {
        let mut fds = [PollFd::new(self.uffd.as_fd(), PollFlags::POLLIN), PollFd::new(stop.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::NONE)?;
        Ok(if fds[0].any() == Some(true) { Wake::Fault } else { Wake::Stop })
    }

    /// Returns the next fault, or `None` if another thread took it first.
    pub(crate) fn next_fault(&self) -> nix::Result<Option<FaultEvent>> {
        // `struct uffd_msg`: a byte with the kind of event, and from the second word on the fault's flags and its address.
        let mut message = [0; 32];
        match read(&self.uffd, &mut message) {
            Err(Errno::EAGAIN) => return Ok(None),
            result => result?,
        };
        let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| message[at * 8 + i]));
        assert_eq!(u32::from(message[0]), raw::UFFD_EVENT_PAGEFAULT, "no other event was asked for");
        let access = if word(1) & u64::from(raw::UFFD_PAGEFAULT_FLAG_WRITE) == 0 { Access::Read } else { Access::Write };
        Ok(Some(FaultEvent { page: word(2) & !(PAGE_SIZE - 1), access }))
    }

    /// Installs a page, and wakes the threads that wait for it.
    pub(crate) fn copy(&self, page: u64, content: &Page) -> nix::Result<Filled> {
        let dst = self.raw_page(page).start;
        let mut copy = raw::uffdio_copy { dst, src: content.as_ptr().expose_provenance() as u64, len: PAGE_SIZE, mode: 0, copy: 0 };
        // SAFETY: the descriptor and the structure are the request's; it writes a page of the region where there is none.
        self.filled(page, unsafe { request::copy(self.fd(), &raw mut copy) })
    }

    /// Installs a page of zeros, and wakes the threads that wait for it.
    pub(crate) fn zero(&self, page: u64) -> nix::Result<Filled> {
        let mut zero = raw::uffdio_zeropage { range: self.raw_page(page), mode: 0, zeropage: 0 };
        // SAFETY: as in `copy`.
        self.filled(page, unsafe { request::zero(self.fd(), &raw mut zero) })
    }

    /// Refuses a page: until it is discarded, an access raises `SIGBUS`, and a system call that accesses it returns `EFAULT`.
    pub(crate) fn poison(&self, page: u64) -> nix::Result<Filled> {
        let mut poison = raw::uffdio_poison { range: self.raw_page(page), mode: 0, updated: 0 };
        // SAFETY: as in `copy`; a signal is no undefined behaviour.
        self.filled(page, unsafe { request::poison(self.fd(), &raw mut poison) })
    }

    fn filled(&self, page: u64, result: nix::Result<libc::c_int>) -> nix::Result<Filled> {
        match result {
            Ok(_) => Ok(Filled::Now),
            // A page is there, so this call woke no thread, and one may have begun to wait just before that page was installed.
            Err(Errno::EEXIST) => {
                let mut range = self.raw_page(page);
                // SAFETY: the descriptor and the structure are the request's; it changes no memory.
                unsafe { request::wake(self.fd(), &raw mut range) }?;
                Ok(Filled::Before)
            }
            Err(error) => Err(error),
        }
    }

    /// Drops pages and refusals: the next access faults.
    pub(crate) fn discard(&self, range: &Range<u64>) -> nix::Result<()> {
        let raw::uffdio_range { start, len } = self.raw_range(range);
        let at = NonNull::new(with_exposed_provenance_mut(start as usize)).expect("the region is not at 0");
        // SAFETY: it is in the region, to whose words no reference exists.
        unsafe { madvise(at, len as usize, MmapAdvise::MADV_DONTNEED) }
    }

    /// Returns a word for ordinary loads and stores. They fault, and if the fault is refused, `SIGBUS` ends the process.
    pub(crate) fn word(&self, at: u64) -> &AtomicU64 {
        assert!(self.range.contains(&at) && at.is_multiple_of(8), "{at:#x} is no word of the region");
        // SAFETY: aligned, in the region, which outlives `self`; every access in this process is atomic.
        unsafe { AtomicU64::from_ptr(with_exposed_provenance_mut(at as usize)) }
    }

    /// Reads a page by a system call, which faults like a load, and returns `EFAULT` if the fault is refused.
    pub(crate) fn try_read(&self, page: u64, into: &mut Page) -> nix::Result<()> {
        let remote = [RemoteIoVec { base: self.raw_page(page).start as usize, len: into.len() }];
        process_vm_readv(Pid::this(), &mut [IoSliceMut::new(into)], &remote).map(drop)
    }

    /// Writes by a system call, which returns `EFAULT` if the fault is refused.
    pub(crate) fn try_write(&self, page: u64, from: &Page) -> nix::Result<()> {
        let remote = [RemoteIoVec { base: self.raw_page(page).start as usize, len: from.len() }];
        process_vm_writev(Pid::this(), &[IoSlice::new(from)], &remote).map(drop)
    }

    fn fd(&self) -> RawFd {
        self.uffd.as_raw_fd()
    }

    fn raw_page(&self, page: u64) -> raw::uffdio_range {
        self.raw_range(&(page..page + PAGE_SIZE))
    }

    fn raw_range(&self, range: &Range<u64>) -> raw::uffdio_range {
        assert!(self.range.start <= range.start && range.end <= self.range.end, "{range:#x?} is not in the region");
        raw::uffdio_range { start: range.start, len: range.end - range.start }
    }
}

/// Opens a userfaultfd that also reports faults inside system calls: by the system call, or else by the device.
fn open() -> Result<OwnedFd, Missing> {
    if Host::probe().hides(Need::Userfaultfd) {
        return Err(Missing(format!("userfaultfd: hidden by {}", vmaple_host::WITHOUT)));
    }
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: it takes flags and makes a descriptor.
    let called = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
    let fd = match Errno::result(called) {
        Ok(fd) => RawFd::try_from(fd).expect("a descriptor is an int"),
        Err(Errno::ENOSYS) => return Err(Missing("userfaultfd: this kernel has none (CONFIG_USERFAULTFD)".into())),
        Err(refused) => {
            let missing = |device: &dyn std::fmt::Display| {
                Missing(format!(
                    "userfaultfd: {refused}; /dev/userfaultfd: {device}\nOne of these is needed: the capability CAP_SYS_PTRACE (as root), \
                     or `sysctl vm.unprivileged_userfaultfd=1`, or the right to read /dev/userfaultfd (Linux 6.1)"
                ))
            };
            let device = File::open("/dev/userfaultfd").map_err(|error| missing(&error))?;
            // SAFETY: the descriptor is the device's, whose one request takes flags and makes a descriptor.
            unsafe { request::new(device.as_raw_fd(), flags) }.map_err(|error| missing(&error))?
        }
    };
    // SAFETY: it was made just now, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
