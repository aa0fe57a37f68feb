//! A process that makes the system calls of a scenario, and what is known about it.
//!
//! Called by the other files of `kernel`, each of which adds what it does to a [`KernelSpace`]. Only this file talks to the `worker` and
//! reads /proc (`proc`).

use super::proc::{FileId, ProcFiles, Seen};
use super::state::{Bounds, Keys, MAP_WINDOW};
use super::worker::Worker;
use crate::exact::{Exact, nameless};
use crate::space::{Failure, Refusal};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::OnceLock;
use vmaple::PAGE_SIZE;
use vmaple_trace::{Access, Extent, LockAllFlags, MapFlags, Object, VmCounts};

/// The length in bytes of the objects that scenarios map.
const OBJECT_BYTES: u64 = 1 << 40;

/// A process of the scenario, seen from the process that runs the scenario.
pub(crate) struct KernelSpace {
    pub(super) worker: Worker,
    pub(super) files: ProcFiles,
    /// The end of the region.
    pub(super) end: u64,
    /// The areas that the process has outside the region.
    pub(super) outside: Vec<Extent>,
    /// Of those, the ones that fill gaps below the base of searches.
    pub(super) filled: Vec<Extent>,
    /// Of those, the one whose many VMAs leave room for only a few in the region.
    pub(super) filler: Option<Extent>,
    /// The process's counters outside the region.
    pub(super) base: VmCounts,
    pub(super) bounds: Bounds,
    pub(super) keys: Keys,
    /// `mlockall` with `MCL_FUTURE` is in effect.
    pub(super) locks_future: bool,
    /// The worker's file descriptor for each object.
    pub(super) objects: HashMap<(Object, Option<u64>), u64>,
    /// The object of each inode, shared with forked children.
    pub(super) inodes: Rc<RefCell<HashMap<FileId, Object>>>,
    /// The descriptor of a file of one page, which calls read from and write to.
    pub(super) page: u64,
    /// Where that file is mapped.
    pub(super) page_at: u64,
}

/// Returns the refusal for a process that no longer answers.
pub(super) fn lost(error: &io::Error) -> Refusal {
    Refusal::Host(format!("the process that makes the system calls does not answer: {error}"))
}

/// Returns whether this kernel locks droppable memory that is mapped after `mlockall` with `MCL_FUTURE`: 6.18.15 does, 6.18.44 does not.
/// A separate process tries it, once.
pub(super) fn locks_droppable() -> Result<bool, Refusal> {
    static LOCKS: OnceLock<bool> = OnceLock::new();
    let ask = || {
        let worker = Worker::start()?;
        let future = LockAllFlags::FUTURE.union(LockAllFlags::ONFAULT);
        _ = worker.call(libc::SYS_mlockall, [u64::from(future.bits()), 0, 0, 0, 0, 0])?;
        let flags = MapFlags::DROPPABLE.union(MapFlags::ANONYMOUS);
        _ = worker.call(libc::SYS_mmap, [0, PAGE_SIZE, 0, u64::from(flags.bits()), u64::MAX, 0])?;
        let locked = ProcFiles::open(worker.pid())?.counts()?.locked;
        Ok(locked.is_some_and(|pages| pages > 0))
    };
    if let Some(locks) = LOCKS.get() {
        return Ok(*locks);
    }
    let locks = ask().map_err(|error| lost(&error))?;
    Ok(*LOCKS.get_or_init(|| locks))
}

impl KernelSpace {
    /// Makes a system call of the scenario.
    pub(super) fn call(&self, number: libc::c_long, arguments: [u64; 6]) -> Result<Result<u64, Failure>, Refusal> {
        let result = self.worker.call(number, arguments).map_err(|error| lost(&error))?;
        Ok(match u64::try_from(result) {
            Ok(value) => Ok(value),
            Err(_) => Err(Failure::new(i32::try_from(-result).unwrap_or(0), "the kernel refused it")),
        })
    }

    /// Makes a system call that prepares the process. Refuses if it fails.
    pub(super) fn arrange(&self, what: &str, number: libc::c_long, arguments: [u64; 6]) -> Result<u64, Refusal> {
        let result = self.call(number, arguments)?;
        result.map_err(|failure| Refusal::Host(format!("this system refuses {what}: {}", failure.errno)))
    }

    /// Makes many system calls that prepare the process, each `step` bytes above the one before. Refuses if one fails.
    pub(super) fn each(&self, what: &str, number: libc::c_long, arguments: [u64; 3], step: u64, times: u64) -> Result<(), Refusal> {
        let done = self.worker.call_each(number, arguments, step, times).map_err(|error| lost(&error))?;
        if u64::try_from(done) == Ok(times) { Ok(()) } else { Err(Refusal::Host(format!("{what}: this system allows {done} of {times}"))) }
    }

    /// Returns the worker's file for an object; `huge` is the size of its pages in bytes if it consists of huge pages.
    pub(super) fn file_of(&mut self, object: &Object, huge: Option<u64>) -> Result<u64, Refusal> {
        if let Some(file) = self.objects.get(&(object.clone(), huge)) {
            return Ok(*file);
        }
        let of_huge = huge.map_or(0, |bytes| libc::MFD_HUGETLB | bytes.trailing_zeros() << libc::MFD_HUGE_SHIFT);
        let file = self.arrange("memfd_create", libc::SYS_memfd_create, [c"vmaple".as_ptr() as u64, of_huge.into(), 0, 0, 0, 0])?;
        self.arrange("ftruncate", libc::SYS_ftruncate, [file, OBJECT_BYTES, 0, 0, 0, 0])?;
        let path = format!("/proc/{}/fd/{file}", self.worker.pid());
        let stat = nix::sys::stat::stat(path.as_str()).map_err(|error| lost(&error.into()))?;
        let device = (nix::sys::stat::major(stat.st_dev), nix::sys::stat::minor(stat.st_dev));
        self.inodes.borrow_mut().insert(FileId { device, inode: stat.st_ino }, object.clone());
        self.objects.insert((object.clone(), huge), file);
        Ok(file)
    }

    /// Records the scenario's name of the object that the kernel made for the VMA at `start`.
    pub(super) fn name_at(&mut self, start: u64, object: &Object) -> Result<(), Refusal> {
        let seen = self.files.below(start + 1).map_err(|error| lost(&error))?;
        if let Some(vma) = seen.last().filter(|vma| vma.extent.contains(start)) {
            self.inodes.borrow_mut().insert(vma.file, object.clone());
        }
        Ok(())
    }

    /// Returns the VMAs of the region with all flags.
    pub(crate) fn exact(&self) -> Result<Vec<Exact>, Refusal> {
        let seen = self.files.below(self.end).map_err(|error| lost(&error))?;
        let inodes = self.inodes.borrow();
        let exact = |vma: Seen| Exact {
            extent: vma.extent,
            flags: vma.flags,
            object: inodes.get(&vma.file).cloned().or_else(|| nameless(vma.flags)).map(|object| (object, vma.offset)),
        };
        Ok(seen.into_iter().map(exact).collect())
    }

    /// Returns the VMA that contains the address.
    pub(super) fn at(&self, addr: u64) -> Result<Option<Extent>, Refusal> {
        Ok(self.exact()?.into_iter().map(|vma| vma.extent).find(|extent| extent.contains(addr)))
    }

    /// Accesses a byte by a system call that reads or writes it; returns whether that succeeds.
    pub(super) fn touch(&self, addr: u64, access: Access) -> Result<bool, Refusal> {
        let number = match access {
            Access::Read => libc::SYS_pwrite64,
            Access::Write => libc::SYS_pread64,
            Access::Exec => return Err(Refusal::Host("no system call makes a fault to execute".to_owned())),
        };
        Ok(self.call(number, [self.page, addr, 1, 0, 0, 0])?.is_ok())
    }

    /// Writes bytes to the worker's page.
    pub(super) fn write_page(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let path = format!("/proc/{}/fd/{}", self.worker.pid(), self.page);
        let file = File::options().write(true).open(path);
        file.and_then(|file| file.write_all_at(bytes, 0)).map_err(|error| lost(&error))
    }

    /// Reads the areas outside the region again: from them follow the end of the region and the counters outside it.
    pub(super) fn survey(&mut self) -> Result<(), Refusal> {
        self.outside = self.files.extents().map_err(|error| lost(&error))?;
        // the kernel's own areas beyond the end do not count
        self.outside.retain(|extent| extent.end <= MAP_WINDOW);
        self.end = self.outside.iter().map(|extent| extent.start).min().unwrap_or(MAP_WINDOW);
        self.base = self.files.counts().map_err(|error| lost(&error))?;
        self.bounds.count_outside(self.base);
        Ok(())
    }
}
