//! The running kernel as the address space that scenarios are executed in: a process (`worker`) makes each system call as it stands, and
//! what /proc says of that process (`proc`) is the layout. The runner comes in, through [`Space`], and `diff` and `fuzz`.
//!
//! The scenario has the addresses below what the process needs for itself, its *region*: nothing is there when it begins. What reaches
//! beyond is refused, and so is whatever one process cannot have to itself: the properties of the whole system. What is counted leaves
//! out what the process has beside the region.

mod calls;
mod crowd;
mod keys;
mod place;
mod proc;
mod release;
mod settings;
mod worker;

pub(super) use release::name_another;

use super::exact::{Exact, nameless};
use super::space::{Answer, Failure, Gap, OnRefusal, Refusal, Space};
use proc::{FileId, ProcFiles};
use settings::Bounds;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use vmaple::VmaFlags;
use vmaple_host::{Host, Need};
use vmaple_trace::{Access, Area, Capabilities, Context, Extent, Object, Operation, Setting, VmCounts};
use worker::Worker;

/// How long the objects are that scenarios map.
const OBJECT_BYTES: u64 = 1 << 40;

/// A process of the scenario.
pub(super) struct KernelSpace {
    worker: Worker,
    files: ProcFiles,
    /// Where the region ends.
    end: u64,
    /// What the process has beside the region.
    outside: Vec<Extent>,
    /// Of that, what fills gaps, and where VMAs are many so that few may be in the region.
    filled: Vec<Extent>,
    crowd: Option<Extent>,
    /// What it counts there.
    base: VmCounts,
    bounds: Bounds,
    keys: keys::Keys,
    /// The worker's file for each object, and the object of each inode.
    objects: HashMap<(Object, Option<u64>), u64>,
    inodes: Rc<RefCell<HashMap<FileId, Object>>>,
    /// A file of one page, to read from and to write to, and where it is mapped.
    page: u64,
    page_at: u64,
}

/// The process cannot be asked any more.
pub(super) fn lost(error: &io::Error) -> Refusal {
    Refusal::Host(format!("the process that makes the system calls is lost: {error}"))
}

impl KernelSpace {
    /// A system call of the scenario.
    fn call(&self, number: libc::c_long, arguments: [u64; 6]) -> Result<Result<u64, Failure>, Refusal> {
        let told = self.worker.call(number, arguments).map_err(|error| lost(&error))?;
        Ok(match u64::try_from(told) {
            Ok(value) => Ok(value),
            Err(_) => Err(Failure::new(i32::try_from(-told).unwrap_or(0), "the kernel says so")),
        })
    }

    /// A system call that sets the scene: it must succeed.
    fn arrange(&self, what: &str, number: libc::c_long, arguments: [u64; 6]) -> Result<u64, Refusal> {
        let told = self.call(number, arguments)?;
        told.map_err(|failure| Refusal::Host(format!("{what} is not allowed here: {}", failure.errno)))
    }

    /// Many system calls that set the scene, each beginning a step further than the one before.
    fn each(&self, what: &str, number: libc::c_long, arguments: [u64; 3], step: u64, times: u64) -> Result<(), Refusal> {
        let done = self.worker.call_each(number, arguments, step, times).map_err(|error| lost(&error))?;
        if u64::try_from(done) == Ok(times) { Ok(()) } else { Err(Refusal::Host(format!("{what}: {done} of {times} are allowed here"))) }
    }

    /// Returns the worker's file for an object; `huge` is the size of its pages in bytes if it consists of huge pages.
    fn file_of(&mut self, object: &Object, huge: Option<u64>) -> Result<u64, Refusal> {
        if let Some(file) = self.objects.get(&(object.clone(), huge)) {
            return Ok(*file);
        }
        let of_huge = huge.map_or(0, |bytes| libc::MFD_HUGETLB | bytes.trailing_zeros() << libc::MFD_HUGE_SHIFT);
        let file = self.arrange("memfd_create", libc::SYS_memfd_create, [c"vmaple".as_ptr() as u64, of_huge.into(), 0, 0, 0, 0])?;
        self.arrange("ftruncate", libc::SYS_ftruncate, [file, OBJECT_BYTES, 0, 0, 0, 0])?;
        let path = format!("/proc/{}/fd/{file}", self.worker.pid());
        let told = nix::sys::stat::stat(path.as_str()).map_err(|error| lost(&error.into()))?;
        let device = (nix::sys::stat::major(told.st_dev), nix::sys::stat::minor(told.st_dev));
        self.inodes.borrow_mut().insert(FileId { device, inode: told.st_ino }, object.clone());
        self.objects.insert((object.clone(), huge), file);
        Ok(file)
    }

    /// Has the object that the kernel made for the VMA there known by its name in the scenario.
    fn name_at(&mut self, start: u64, object: &Object) -> Result<(), Refusal> {
        let seen = self.files.below(start + 1).map_err(|error| lost(&error))?;
        if let Some(vma) = seen.last().filter(|vma| vma.extent.contains(start)) {
            self.inodes.borrow_mut().insert(vma.file, object.clone());
        }
        Ok(())
    }

    /// All of the region, with all flags.
    pub(super) fn exact(&self) -> Result<Vec<Exact>, Refusal> {
        let seen = self.files.below(self.end).map_err(|error| lost(&error))?;
        let inodes = self.inodes.borrow();
        let exact = |vma: proc::Seen| Exact {
            extent: vma.extent,
            flags: vma.flags,
            object: inodes.get(&vma.file).cloned().or_else(|| nameless(vma.flags)).map(|object| (object, vma.offset)),
        };
        Ok(seen.into_iter().map(exact).collect())
    }

    /// The VMA at an address.
    fn at(&self, addr: u64) -> Result<Option<Extent>, Refusal> {
        Ok(self.exact()?.into_iter().map(|vma| vma.extent).find(|extent| extent.contains(addr)))
    }

    /// Touches a byte, as a system call does that reads or writes there.
    fn touch(&self, addr: u64, access: Access) -> Result<bool, Refusal> {
        let number = match access {
            Access::Read => libc::SYS_pwrite64,
            Access::Write => libc::SYS_pread64,
            Access::Exec => return Err(Refusal::Host("a process cannot execute just anything".to_owned())),
        };
        Ok(self.call(number, [self.page, addr, 1, 0, 0, 0])?.is_ok())
    }

    /// Has the worker find these bytes in its page.
    fn write_page(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let path = format!("/proc/{}/fd/{}", self.worker.pid(), self.page);
        let file = File::options().write(true).open(path);
        file.and_then(|file| file.write_all_at(bytes, 0)).map_err(|error| lost(&error))
    }

    /// What it needs beside the region, as it is now: where the region ends, and what is counted there.
    fn survey(&mut self) -> Result<(), Refusal> {
        self.outside = self.files.extents().map_err(|error| lost(&error))?;
        // nobody maps beyond the end
        self.outside.retain(|extent| extent.end <= settings::TASK_SIZE);
        self.end = self.outside.iter().map(|extent| extent.start).min().unwrap_or(settings::TASK_SIZE);
        self.base = self.files.counts().map_err(|error| lost(&error))?;
        self.bounds.count_outside(self.base);
        Ok(())
    }
}

impl Space for KernelSpace {
    fn begin() -> Result<Self, Refusal> {
        let host = |error: io::Error| Refusal::Host(format!("no process for the system calls: {error}"));
        settings::read_capabilities().map_err(host)?;
        let worker = Worker::start().map_err(host)?;
        let files = ProcFiles::open(worker.pid()).map_err(host)?;
        let mut space = Self {
            worker,
            files,
            end: 0,
            outside: Vec::new(),
            filled: Vec::new(),
            crowd: None,
            base: VmCounts::default(),
            bounds: Bounds::default(),
            keys: keys::Keys::default(),
            objects: HashMap::new(),
            inodes: Rc::default(),
            page: 0,
            page_at: 0,
        };
        space.page = space.arrange("memfd_create", libc::SYS_memfd_create, [c"page".as_ptr() as u64, 0, 0, 0, 0, 0])?;
        space.arrange("ftruncate", libc::SYS_ftruncate, [space.page, vmaple::PAGE_SIZE, 0, 0, 0, 0])?;
        let (prot, flags) = (libc::PROT_READ.cast_unsigned().into(), libc::MAP_SHARED.cast_unsigned().into());
        space.page_at = space.arrange("the page", libc::SYS_mmap, [0, vmaple::PAGE_SIZE, prot, flags, space.page, 0])?;
        // its stack is as deep as it needs, and what it counts is settled
        space.survey()?;
        if Host::probe().protection_keys == 0 {
            // hidden by `VMAPLE_WITHOUT`, or not there
            space.hide_keys()?;
        }
        space.set_capabilities(Capabilities::EMPTY)?;
        space.set_limits()?;
        Ok(space)
    }

    fn needs(&mut self, needs: &[Need]) -> Result<(), Refusal> {
        let missing = Host::probe().first_missing(needs.iter().copied());
        missing.map_or(Ok(()), |need| Err(Refusal::Lacks(need.to_string())))
    }

    fn set(&mut self, setting: Setting) -> Result<(), Refusal> {
        self.set_one(setting)
    }

    fn place(&mut self, area: &Area) -> Result<(), Refusal> {
        self.place_area(area)
    }

    fn apply(&mut self, operation: &Operation) -> Result<Result<u64, Failure>, Refusal> {
        self.make(operation)
    }

    fn fault(&mut self, addr: u64, access: Access, context: Context) -> Result<Answer, Refusal> {
        if context == Context::KernelNofixup {
            return Err(Refusal::Host("no system call touches memory without a way out".to_owned()));
        }
        if !self.touch(addr, access)? {
            return Ok(Err(Some("EFAULT".to_owned())));
        }
        Ok(self.at(addr)?.ok_or(None))
    }

    fn grow(&mut self, to: Extent) -> Result<Answer, Refusal> {
        let found = self.exact()?.into_iter().find(|vma| vma.extent.overlaps(to));
        if found.is_none_or(|vma| !vma.flags.contains(VmaFlags::GROWSDOWN)) {
            return Ok(Err(None));
        }
        self.fault(to.start, Access::Read, Context::User)
    }

    fn lookup(&self, addr: u64) -> Result<Answer, Refusal> {
        Ok(self.at(addr)?.ok_or(None))
    }

    fn find(&self, addr: u64) -> Result<Answer, Refusal> {
        let above = self.exact()?.into_iter().map(|vma| vma.extent).find(|extent| extent.end > addr);
        Ok(above.ok_or(None))
    }

    fn gap(&mut self, _: &Gap) -> Result<Result<u64, Failure>, Refusal> {
        Err(Refusal::Host("the kernel's index cannot be asked for a gap".to_owned()))
    }

    fn layout(&self) -> Result<Vec<Area>, Refusal> {
        Ok(self.exact()?.iter().map(Exact::area).collect())
    }

    fn vm(&self) -> Result<VmCounts, Refusal> {
        let (now, base) = (self.files.counts().map_err(|error| lost(&error))?, self.base);
        let more = |now: Option<u64>, base: Option<u64>| now.zip(base).map(|(now, base)| now.wrapping_sub(base));
        Ok(VmCounts {
            total: more(now.total, base.total),
            locked: more(now.locked, base.locked),
            data: more(now.data, base.data),
            stack: more(now.stack, base.stack),
            exec: more(now.exec, base.exec),
        })
    }

    fn write_cycles(&mut self) -> Result<u64, Refusal> {
        Err(Refusal::Host("the kernel does not show its write sequence".to_owned()))
    }

    fn fork(&mut self) -> Result<Result<Self, Failure>, Refusal> {
        let Some(worker) = self.worker.fork().map_err(|error| lost(&error))? else {
            return Err(Refusal::Host("more processes than lines to them".to_owned()));
        };
        let files = ProcFiles::open(worker.pid()).map_err(|error| lost(&error))?;
        let Self { end, ref outside, ref filled, crowd, base, ref bounds, ref keys, ref objects, ref inodes, page, page_at, .. } = *self;
        let (outside, filled, bounds, keys) = (outside.clone(), filled.clone(), bounds.clone(), keys.clone());
        let (objects, inodes) = (objects.clone(), Rc::clone(inodes));
        Ok(Ok(Self { worker, files, end, outside, filled, crowd, base, bounds, keys, objects, inodes, page, page_at }))
    }

    fn verdict(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn on_refusal() -> OnRefusal {
        OnRefusal::SkipsTheCase
    }
}
