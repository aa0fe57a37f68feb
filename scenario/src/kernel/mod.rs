//! The running kernel as a [`Space`] for the runner: a process makes each system call unchanged, and /proc shows its layout.
//!
//! Called by `runner`, `diff` and `fuzz`, through [`Space`].
//!
//! A scenario acts in the *region*: the addresses below the areas that the process needs for itself. The region is empty when the scenario
//! begins. Operations that reach beyond it are refused, and so are properties that belong to the whole system, because a process cannot
//! change them. The counters do not count the areas outside the region.

mod calls;
mod keys;
mod place;
mod proc;
mod process;
mod release;
mod settings;
mod state;
mod vma_limit;
mod worker;

pub(crate) use process::KernelSpace;
pub use release::other_release;

use crate::exact::Exact;
use crate::space::{Answer, Failure, Gap, OnRefusal, Refusal, Space};
use proc::ProcFiles;
use process::lost;
use state::{Bounds, Keys};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use vmaple::VmaFlags;
use vmaple_host::{Host, Need};
use vmaple_trace::{Access, Area, Capabilities, Context, Extent, Operation, Setting, VmCounts};
use worker::{MAX_WORKERS, Worker};

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
            filler: None,
            base: VmCounts::default(),
            bounds: Bounds::default(),
            keys: Keys::default(),
            locks_future: false,
            objects: HashMap::new(),
            inodes: Rc::default(),
            page: 0,
            page_at: 0,
        };
        space.page = space.arrange("memfd_create", libc::SYS_memfd_create, [c"page".as_ptr() as u64, 0, 0, 0, 0, 0])?;
        space.arrange("ftruncate", libc::SYS_ftruncate, [space.page, vmaple::PAGE_SIZE, 0, 0, 0, 0])?;
        let (prot, flags) = (libc::PROT_READ.cast_unsigned().into(), libc::MAP_SHARED.cast_unsigned().into());
        // A read that a huge page serves gives its area an owner, but a trace reports only writes to the library. Without transparent huge
        // pages the kernel has no such call, or it does nothing.
        _ = space.call(libc::SYS_prctl, [libc::PR_SET_THP_DISABLE.cast_unsigned().into(), 1, 0, 0, 0, 0])?;
        space.page_at = space.arrange("mmap of a page", libc::SYS_mmap, [0, vmaple::PAGE_SIZE, prot, flags, space.page, 0])?;
        // the process's stack is as deep as it will be, and its counters no longer change
        space.survey()?;
        if Host::probe().protection_keys == 0 {
            // `VMAPLE_WITHOUT` hides them, or the machine has none
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
            return Err(Refusal::Host("every system call that accesses memory has a fixup".to_owned()));
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
        Err(Refusal::Host("no system call searches for a gap alone".to_owned()))
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
            return Err(Refusal::Host(format!("a scenario has at most {MAX_WORKERS} processes here")));
        };
        let files = ProcFiles::open(worker.pid()).map_err(|error| lost(&error))?;
        let Self { end, ref outside, ref filled, filler, base, ref bounds, ref keys, ref objects, ref inodes, page, page_at, .. } = *self;
        let (outside, filled, bounds, keys) = (outside.clone(), filled.clone(), bounds.clone(), keys.clone());
        let (objects, inodes) = (objects.clone(), Rc::clone(inodes));
        Ok(Ok(Self {
            worker,
            files,
            end,
            outside,
            filled,
            filler,
            base,
            bounds,
            keys,
            locks_future: false,
            objects,
            inodes,
            page,
            page_at,
        }))
    }

    fn verdict(&self) -> Result<(), Failure> {
        Ok(())
    }

    fn on_refusal() -> OnRefusal {
        OnRefusal::SkipsTheCase
    }
}
