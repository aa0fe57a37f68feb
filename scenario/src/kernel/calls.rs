//! Makes the system calls of a scenario, one arm for each operation. Called by `kernel`.

use super::process::{KernelSpace, locks_droppable};
use super::state::{GUARD_GAP_PAGES, MAP_WINDOW, MMAP_MIN_ADDR};
use crate::placement::task_size;
use crate::space::{Failure, Refusal, Space as _};
use vmaple::{PAGE_SIZE, VmaFlags};
use vmaple_host::{Host, Need};
use vmaple_trace::{Capabilities, Errno, LockAllFlags, MapFlags, Object, Offset, Operation, RemapFlags};

/// The number of addresses in which the kernel searches upward if it finds nothing below its base. It begins at a third of all addresses.
const FALLBACK_BYTES: u64 = MAP_WINDOW - MAP_WINDOW / 3;

/// Where a call puts what it maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the given address, or the call fails.
    Given,
    /// Where the kernel finds room.
    Searched,
}

/// The result of a call.
type Done = Result<u64, Failure>;

/// Returns the size in bytes of the huge pages that a mapping requests. `None` if it requests none, or the system has none of that size.
fn huge_page_of(flags: MapFlags) -> Option<u64> {
    let host = Host::probe();
    let asked = flags.huge_page_bytes().or(host.default_huge_page_bytes).filter(|_| flags.contains(MapFlags::HUGETLB))?;
    host.huge_pools.iter().map(|pool| pool.page_bytes).find(|bytes| *bytes == asked)
}

impl KernelSpace {
    /// Makes the system call of an operation.
    pub(super) fn make(&mut self, operation: &Operation) -> Result<Done, Refusal> {
        match *operation {
            Operation::Mmap { addr, len, prot, flags, ref object, offset } => {
                let huge = huge_page_of(flags);
                // the length that the mapping gets
                let whole = len.checked_next_multiple_of(huge.unwrap_or(PAGE_SIZE)).unwrap_or(len);
                if huge.is_some() && huge == Host::probe().default_huge_page_bytes {
                    self.needs(&[Need::Hugetlb(1)])?;
                }
                if flags.contains(MapFlags::FIXED) || flags.contains(MapFlags::FIXED_NOREPLACE) {
                    // the kernel refuses a fixed address inside a huge page, so the length stays as it is
                    self.check_in_region(addr, if addr.is_multiple_of(huge.unwrap_or(1)) { whole } else { len })?;
                }
                self.check_key_zero(prot)?;
                self.check_droppable(flags)?;
                let file = match object {
                    Object::Anon => u64::MAX,
                    Object::Special(_) => return Err(Refusal::Host("only the kernel maps special areas".to_owned())),
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
                // A search in the low addresses does not begin at the base.
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
                self.check_in_region(addr, len)?;
                self.call(libc::SYS_munmap, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mprotect { addr, len, prot } => {
                self.check_in_region(addr, len)?;
                self.check_key_zero(prot)?;
                self.call(libc::SYS_mprotect, [addr, len, u64::from(prot.bits()), 0, 0, 0])
            }
            Operation::PkeyMprotect { addr, len, prot, key } => {
                self.check_in_region(addr, len)?;
                self.check_key_zero(prot)?;
                self.pkey_mprotect(addr, len, prot, key)
            }
            Operation::PkeyAlloc { flags, rights } => self.pkey_alloc(flags, rights),
            Operation::PkeyFree { key } => self.pkey_free(key),
            Operation::Mremap { addr, old_len, new_len, flags, new_addr } => {
                let to = new_addr.unwrap_or(0);
                let fixed_to = flags.contains(RemapFlags::FIXED).then_some(to);
                let (old_whole, new_whole) = self.in_whole_pages(addr, old_len, new_len, fixed_to)?;
                self.check_in_region(addr, old_whole)?;
                if fixed_to.is_some() {
                    self.check_in_region(to, new_whole)?;
                }
                let may_search = flags.contains(RemapFlags::MAYMOVE) && fixed_to.is_none();
                let place = if may_search { Place::Searched } else { Place::Given };
                self.placed(libc::SYS_mremap, [addr, old_len, new_len, u64::from(flags.bits()), to, 0], new_len, place)
            }
            Operation::Brk { addr } => {
                if self.bounds.brk_start.is_none() {
                    return Err(Refusal::Host("the heap of the process is its own: `set brk_start` gives the scenario one".to_owned()));
                }
                self.check_in_region(0, addr)?;
                self.call(libc::SYS_brk, [addr, 0, 0, 0, 0, 0])
            }
            Operation::Madvise { addr, len, advice } => {
                self.check_in_region(addr, len)?;
                self.call(libc::SYS_madvise, [addr, len, u64::from(advice.number()), 0, 0, 0])
            }
            Operation::Mlock { addr, len } => {
                self.check_in_region(addr, len)?;
                self.call(libc::SYS_mlock, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mlock2 { addr, len, flags } => {
                self.check_in_region(addr, len)?;
                self.call(libc::SYS_mlock2, [addr, len, u64::from(flags.bits()), 0, 0, 0])
            }
            Operation::Munlock { addr, len } => {
                self.check_in_region(addr, len)?;
                self.call(libc::SYS_munlock, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mseal { addr, len } => {
                self.check_in_region(addr, len)?;
                self.call(libc::SYS_mseal, [addr, len, 0, 0, 0, 0])
            }
            Operation::Mlockall { flags } => self.lock_all(flags),
            Operation::Munlockall => self.unlock_all(),
            Operation::Mark { kind, .. } => Err(Refusal::Host(format!("no single system call sets the {} of areas", kind.word()))),
        }
    }

    /// Makes a call that returns an address. A mapping outside the region is unmapped again and refused.
    ///
    /// `set mmap_base` fills the addresses above the region. A search that finds no room in the region then fails, although the kernel would
    /// continue above it in another process. So this failure is refused, too.
    fn placed(&mut self, number: libc::c_long, arguments: [u64; 6], len: u64, place: Place) -> Result<Done, Refusal> {
        let result = self.call(number, arguments)?;
        let is_at_its_end = place == Place::Searched && len <= FALLBACK_BYTES && !self.filled.is_empty();
        if is_at_its_end && result.as_ref().is_err_and(|failure| failure.errno == Errno::NO_MEMORY) && !self.has_room(len)? {
            let end = self.end;
            return Err(Refusal::Host(format!("no {len:#x} bytes are free below {end:#x}, and above it are the process's own areas")));
        }
        if let Ok(at) = result
            && at >= self.end
        {
            _ = self.call(libc::SYS_munmap, [at, len, 0, 0, 0, 0])?;
            let base = "`set mmap_base` makes searches end in the region";
            return Err(Refusal::Host(format!("the kernel placed it at {at:#x}, outside the region: {base}")));
        }
        Ok(result)
    }

    /// Returns whether a search finds room in the region.
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

    /// Returns the old and the new length of an `mremap` as the kernel takes them. `to` is the target if it is fixed.
    ///
    /// The kernel rounds both ends up to whole huge pages if the VMA consists of them. A move to a fixed place without a change of length may
    /// take several VMAs, and the last one decides. The kernel refuses a target at another offset inside a huge page, and unmaps nothing
    /// there, so then the lengths stay as they are.
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

    /// Refuses a range that reaches beyond the region, where the process has areas of its own. A range that wraps around or ends beyond the
    /// end of all addresses is not refused here, because the kernel refuses it.
    fn check_in_region(&self, addr: u64, len: u64) -> Result<(), Refusal> {
        let end = len.checked_next_multiple_of(PAGE_SIZE).and_then(|len| addr.checked_add(len));
        match end {
            Some(end) if end > self.end && end <= task_size(Host::probe()) => {
                Err(Refusal::Host(format!("{len:#x} bytes at {addr:#x} reach beyond {:#x}, to the process's own areas", self.end)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses droppable memory that this kernel would lock.
    fn check_droppable(&self, flags: MapFlags) -> Result<(), Refusal> {
        if self.locks_future && flags.contains(MapFlags::DROPPABLE) && locks_droppable()? {
            return Err(Refusal::Lacks("droppable memory that is never locked".to_owned()));
        }
        Ok(())
    }

    fn unlock_all(&mut self) -> Result<Done, Refusal> {
        self.locks_future = false;
        self.call(libc::SYS_munlockall, [0; 6])
    }

    /// Locks everything that is mapped. Areas outside the region must not count, neither against the limit nor afterwards. So if the areas of
    /// the region are within the limit, the process gets `CAP_IPC_LOCK` for this call, and unlocks the areas outside the region after it.
    /// `MCL_FUTURE` concerns none of these areas.
    fn lock_all(&mut self, flags: LockAllFlags) -> Result<Done, Refusal> {
        let own = self.bounds.capabilities;
        let is_lent = flags.contains(LockAllFlags::CURRENT)
            && self.bounds.allows_locked(self.vm()?.total.unwrap_or(0))
            && !own.contains(Capabilities::IPC_LOCK);
        if is_lent {
            self.set_capabilities(own.union(Capabilities::IPC_LOCK))?;
        }
        let result = self.call(libc::SYS_mlockall, [u64::from(flags.bits()), 0, 0, 0, 0, 0])?;
        if result.is_ok() {
            self.locks_future = flags.contains(LockAllFlags::FUTURE);
        }
        if is_lent {
            self.set_capabilities(own)?;
        }
        for extents in self.outside.chunk_by(|one, next| one.end == next.start) {
            let (Some(first), Some(last)) = (extents.first(), extents.last()) else { continue };
            _ = self.call(libc::SYS_munlock, [first.start, last.end - first.start, 0, 0, 0, 0])?;
        }
        Ok(result)
    }
}
