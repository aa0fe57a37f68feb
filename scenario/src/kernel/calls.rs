//! The system calls, one arm for each, with the arguments of the scenario. Called by `kernel`.

use super::process::{KernelSpace, locks_droppable};
use super::state::{GUARD_GAP_PAGES, MAP_WINDOW, MMAP_MIN_ADDR};
use crate::placement::task_size;
use crate::space::{Failure, Refusal, Space as _};
use vmaple::{PAGE_SIZE, VmaFlags};
use vmaple_host::{Host, Need};
use vmaple_trace::{Capabilities, Errno, LockAllFlags, MapFlags, Object, Offset, Operation, RemapFlags};

/// The addresses in which the kernel searches, upward, when it has found nothing below its base: a third of all is below them.
const FALLBACK_BYTES: u64 = MAP_WINDOW - MAP_WINDOW / 3;

/// Where a call puts what it maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the given address, or nowhere.
    Given,
    /// Where the kernel finds room.
    Searched,
}

/// The result of a call.
type Done = Result<u64, Failure>;

/// Bytes of the huge pages that a mapping asks for; `None` if it does not, or the system has none of that size.
fn huge_page_of(flags: MapFlags) -> Option<u64> {
    let host = Host::probe();
    let asked = flags.huge_page_bytes().or(host.default_huge_page_bytes).filter(|_| flags.contains(MapFlags::HUGETLB))?;
    host.huge_pools.iter().map(|pool| pool.page_bytes).find(|bytes| *bytes == asked)
}

impl KernelSpace {
    /// Makes it.
    pub(super) fn make(&mut self, operation: &Operation) -> Result<Done, Refusal> {
        match *operation {
            Operation::Mmap { addr, len, prot, flags, ref object, offset } => {
                let huge = huge_page_of(flags);
                // as long as it will be
                let whole = len.checked_next_multiple_of(huge.unwrap_or(PAGE_SIZE)).unwrap_or(len);
                if huge.is_some() && huge == Host::probe().default_huge_page_bytes {
                    self.needs(&[Need::Hugetlb(1)])?;
                }
                if flags.contains(MapFlags::FIXED) || flags.contains(MapFlags::FIXED_NOREPLACE) {
                    // from elsewhere than the start of one it is refused
                    self.keep_out(addr, if addr.is_multiple_of(huge.unwrap_or(1)) { whole } else { len })?;
                }
                self.keep_key_zero(prot)?;
                self.keep_droppable(flags)?;
                let file = match object {
                    Object::Anon => u64::MAX,
                    Object::Special(_) => return Err(Refusal::Host("the kernel alone maps what is special".to_owned())),
                    // The kernel makes the object.
                    _ if flags.contains(MapFlags::ANONYMOUS) && flags.is_shared() => u64::MAX,
                    object if flags.contains(MapFlags::ANONYMOUS) => {
                        return Err(Refusal::Host(format!("private anonymous memory maps no object, and `{object}` is one")));
                    }
                    object => self.file_of(object, huge)?,
                };
                let offset = match offset {
                    Offset::Default => 0,
                    Offset::Bytes(bytes) => bytes,
                };
                let bits = u64::from(flags.bits());
                // Among the low addresses it searches elsewhere.
                let is_given =
                    [MapFlags::FIXED, MapFlags::FIXED_NOREPLACE, MapFlags::LOW_32BIT].into_iter().any(|flag| flags.contains(flag));
                let place = if is_given { Place::Given } else { Place::Searched };
                let done = self.placed(libc::SYS_mmap, [addr, len, u64::from(prot.bits()), bits, file, offset], whole, place)?;
                if let Ok(start) = done
                    && file == u64::MAX
                    && *object != Object::Anon
                {
                    self.name_at(start, object)?;
                }
                Ok(done)
            }
            Operation::Munmap { addr, len } => {
                self.keep_out(addr, len)?;
                self.call(libc::SYS_munmap, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mprotect { addr, len, prot } => {
                self.keep_out(addr, len)?;
                self.keep_key_zero(prot)?;
                self.call(libc::SYS_mprotect, [addr, len, u64::from(prot.bits()), 0, 0, 0])
            }
            Operation::PkeyMprotect { addr, len, prot, key } => {
                self.keep_out(addr, len)?;
                self.keep_key_zero(prot)?;
                self.pkey_mprotect(addr, len, prot, key)
            }
            Operation::PkeyAlloc { flags, rights } => self.pkey_alloc(flags, rights),
            Operation::PkeyFree { key } => self.pkey_free(key),
            Operation::Mremap { addr, old_len, new_len, flags, new_addr } => {
                let to = new_addr.unwrap_or(0);
                let fixed_to = flags.contains(RemapFlags::FIXED).then_some(to);
                let (old_whole, new_whole) = self.in_whole_pages(addr, old_len, new_len, fixed_to)?;
                self.keep_out(addr, old_whole)?;
                if fixed_to.is_some() {
                    self.keep_out(to, new_whole)?;
                }
                let may_search = flags.contains(RemapFlags::MAYMOVE) && fixed_to.is_none();
                let place = if may_search { Place::Searched } else { Place::Given };
                self.placed(libc::SYS_mremap, [addr, old_len, new_len, u64::from(flags.bits()), to, 0], new_len, place)
            }
            Operation::Brk { addr } => {
                if self.bounds.brk_start.is_none() {
                    return Err(Refusal::Host("the heap of the process is its own: `set brk_start` gives the scenario one".to_owned()));
                }
                self.keep_out(0, addr)?;
                self.call(libc::SYS_brk, [addr, 0, 0, 0, 0, 0])
            }
            Operation::Madvise { addr, len, advice } => {
                self.keep_out(addr, len)?;
                self.call(libc::SYS_madvise, [addr, len, u64::from(advice.number()), 0, 0, 0])
            }
            Operation::Mlock { addr, len } => {
                self.keep_out(addr, len)?;
                self.call(libc::SYS_mlock, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mlock2 { addr, len, flags } => {
                self.keep_out(addr, len)?;
                self.call(libc::SYS_mlock2, [addr, len, u64::from(flags.bits()), 0, 0, 0])
            }
            Operation::Munlock { addr, len } => {
                self.keep_out(addr, len)?;
                self.call(libc::SYS_munlock, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mseal { addr, len } => {
                self.keep_out(addr, len)?;
                self.call(libc::SYS_mseal, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mlockall { flags } => self.lock_all(flags),
            Operation::Munlockall => self.unlock_all(),
            Operation::Mark { kind, .. } => Err(Refusal::Host(format!("no one call sets the {} of areas", kind.word()))),
        }
    }

    /// Makes a call that returns an address, which must be in the region; else it is undone. If nothing is free
    /// in the region the kernel's search would continue above it, which is filled so that the search ends below: that it finds nothing
    /// there says nothing.
    fn placed(&mut self, number: libc::c_long, arguments: [u64; 6], len: u64, place: Place) -> Result<Done, Refusal> {
        let told = self.call(number, arguments)?;
        let is_at_its_end = place == Place::Searched && len <= FALLBACK_BYTES && !self.filled.is_empty();
        if is_at_its_end && told.as_ref().is_err_and(|failure| failure.errno == Errno::NO_MEMORY) && !self.has_room(len)? {
            let end = self.end;
            return Err(Refusal::Host(format!("{len:#x} bytes are free nowhere below {end:#x}, and above it the process has its own")));
        }
        if let Ok(at) = told
            && at >= self.end
        {
            _ = self.call(libc::SYS_munmap, [at, len, 0, 0, 0, 0])?;
            let base = "`set mmap_base` has searches end in the region";
            return Err(Refusal::Host(format!("the kernel placed it at {at:#x}, beside what the process needs: {base}")));
        }
        Ok(told)
    }

    /// Whether a search finds room in the region.
    fn has_room(&self, len: u64) -> Result<bool, Refusal> {
        let mut free = MMAP_MIN_ADDR;
        for vma in self.exact()? {
            let gap = if vma.flags.contains(VmaFlags::GROWSDOWN) { GUARD_GAP_PAGES * PAGE_SIZE } else { 0 };
            if vma.extent.start.saturating_sub(gap).saturating_sub(free) >= len {
                return Ok(true);
            }
            free = free.max(vma.extent.end);
        }
        Ok(self.end.saturating_sub(free) >= len)
    }

    /// The lengths of an `mremap` as the kernel takes them; `to` is the target if it is fixed. Memory of huge pages is taken in whole ones,
    /// so that both ends may lie beyond the lengths that are asked for. What is moved without a change of its length may be several VMAs,
    /// and the last one decides. A target that is not at the same place inside a huge page is refused, and nothing is unmapped there.
    fn in_whole_pages(&self, addr: u64, old_len: u64, new_len: u64, to: Option<u64>) -> Result<(u64, u64), Refusal> {
        let is_move_only = to.is_some() && old_len == new_len;
        let decides = if is_move_only { addr.saturating_add(old_len).saturating_sub(1) } else { addr };
        let vma = self.exact()?.into_iter().find(|vma| vma.extent.contains(decides));
        let Some(page) = vma.and_then(|vma| vma.flags.huge_page_bytes()) else { return Ok((old_len, new_len)) };
        if !to.is_none_or(|to| to.abs_diff(addr).is_multiple_of(page)) {
            return Ok((old_len, new_len));
        }
        let whole = |len: u64| addr.checked_add(len).and_then(|end| end.checked_next_multiple_of(page)).map_or(len, |end| end - addr);
        Ok((whole(old_len), whole(new_len)))
    }

    /// Refuses a range that could reach what the process needs. What comes round or ends beyond all addresses is the kernel's to refuse.
    fn keep_out(&self, addr: u64, len: u64) -> Result<(), Refusal> {
        let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|len| addr.checked_add(len));
        match end {
            Some(end) if end > self.end && end <= task_size(Host::probe()) => {
                Err(Refusal::Host(format!("{addr:#x} and {len:#x} bytes reach beyond {:#x}, where the process has its own", self.end)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses droppable memory that this kernel would lock.
    fn keep_droppable(&self, flags: MapFlags) -> Result<(), Refusal> {
        if self.locks_future && flags.contains(MapFlags::DROPPABLE) && locks_droppable()? {
            return Err(Refusal::Lacks("droppable memory that is never locked".to_owned()));
        }
        Ok(())
    }

    fn unlock_all(&mut self) -> Result<Done, Refusal> {
        self.locks_future = false;
        self.call(libc::SYS_munlockall, [0; 6])
    }

    /// All of the process. What it has beside the region is not to count, neither before nor after: where what is in the region is within
    /// the limit the process has leave to lock the rest, too. What will be mapped is none of the rest.
    fn lock_all(&mut self, flags: LockAllFlags) -> Result<Done, Refusal> {
        let own = self.bounds.capabilities;
        let is_lent = flags.contains(LockAllFlags::CURRENT)
            && self.bounds.allows_locked(self.vm()?.total.unwrap_or(0))
            && !own.contains(Capabilities::IPC_LOCK);
        if is_lent {
            self.set_capabilities(own.union(Capabilities::IPC_LOCK))?;
        }
        let told = self.call(libc::SYS_mlockall, [u64::from(flags.bits()), 0, 0, 0, 0, 0])?;
        if told.is_ok() {
            self.locks_future = flags.contains(LockAllFlags::FUTURE);
        }
        if is_lent {
            self.set_capabilities(own)?;
        }
        for extents in self.outside.chunk_by(|one, next| one.end == next.start) {
            let (Some(first), Some(last)) = (extents.first(), extents.last()) else { continue };
            _ = self.call(libc::SYS_munlock, [first.start, last.end - first.start, 0, 0, 0, 0])?;
        }
        Ok(told)
    }
}
