//! vmaple's address space under system calls. The mm lock is taken for each call, as in a kernel.

use crate::calls::{Backing, Call, Flags, Place, Setup, Target, What};
use crate::subject::{Forks, Resolves, Space};
use std::fmt;
use std::time::{Duration, Instant};
use vmaple::map::BudgetPolicy;
use vmaple::mm::{Limits, MapRequest, ObjectId, RemapRequest};
use vmaple::{Mm, VmaFlags, VmaSpec};

/// The address space, with a word as each VMA's payload.
pub struct VmapleSpace {
    mm: Mm<u64>,
}

impl fmt::Debug for VmapleSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmapleSpace").field("mm", &self.mm).finish()
    }
}

fn access_of(flags: Flags) -> VmaFlags {
    VmaFlags::from_bits_truncate(u64::from(flags.access().0))
}

fn spec_of(what: What) -> VmaSpec<u64> {
    let mut flags = access_of(what.flags);
    if what.flags.contains(Flags::NORESERVE) {
        flags |= VmaFlags::NORESERVE;
    }
    let spec = match what.backing {
        Backing::Anonymous => VmaSpec::anonymous(flags),
        Backing::Private(object, offset) => VmaSpec::of_object(ObjectId::from(object), offset, flags),
        Backing::Shared(object, offset) => VmaSpec::of_object(ObjectId::from(object), offset, flags | VmaFlags::SHARED),
    };
    spec.with_payload(0)
}

impl VmapleSpace {
    /// All VMAs: first address, end, access.
    #[cfg(test)]
    pub(super) fn layout(&self) -> Vec<(u64, u64, u8)> {
        let access = |flags: VmaFlags| u8::try_from(flags.bits() & 7).expect("three bits");
        self.mm.read().iter().map(|vma| (vma.start(), vma.last() + 1, access(vma.flags()))).collect()
    }
}

impl Space for VmapleSpace {
    const NAME: &'static str = "vmaple-mm";

    fn new(setup: &Setup) -> Self {
        let mut limits = Limits::default();
        limits.max_map_count = usize::MAX;
        limits.mmap_base = setup.top;
        // A pinned reader that does not run must not make a write fail.
        Self { mm: Mm::builder().policy(BudgetPolicy::Wait).limits(limits).expect("limits that mean something").build() }
    }

    #[inline]
    fn call(&self, call: &Call) -> u64 {
        let mut writer = self.mm.write();
        match *call {
            Call::Map(place, len, what) => {
                let request = MapRequest::new(len, spec_of(what));
                let request = match place {
                    Place::Anywhere => request,
                    Place::Near(at) => request.near(at),
                    Place::Fixed(at) => request.fixed(at),
                };
                writer.mmap(&request).expect("it may be mapped")
            }
            Call::Unmap(at, len) => {
                writer.munmap(at, len).expect("it may be unmapped");
                0
            }
            Call::Protect(at, len, access) => {
                writer.mprotect(at, len, access_of(access).prot()).expect("it may be protected");
                0
            }
            Call::Remap(at, old, new, target) => {
                let request = RemapRequest::resize(at, old, new);
                let request = match target {
                    Target::Here => request,
                    Target::There(to) => request.fixed(to),
                };
                writer.mremap(&request).expect("it may be remapped")
            }
            // As the system call does: a history calls it with 0 to get the break.
            Call::Brk(brk) => writer.brk(brk).unwrap_or_else(|_| self.mm.program_break()),
            Call::Heap(start) => {
                writer.set_heap(start, start).expect("a heap in the address space");
                start
            }
        }
    }

    fn settle(&self) {
        self.mm.reclaim();
    }
}

impl Resolves for VmapleSpace {
    #[inline]
    fn is_mapped(&self, address: u64) -> bool {
        self.mm.pin().lookup(address).is_some()
    }
}

impl Forks for VmapleSpace {
    fn fork(&self) -> Duration {
        let mut writer = self.mm.write();
        let begin = Instant::now();
        let child = writer.fork().expect("there is memory");
        let took = begin.elapsed();
        drop(writer);
        drop(child);
        took
    }
}
