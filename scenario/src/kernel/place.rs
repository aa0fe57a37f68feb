//! Puts an area in place unchanged, with the system calls that make such an area. Called by `kernel`.

use super::process::KernelSpace;
use crate::space::Refusal;
use vmaple_host::Need;
use vmaple_trace::{Access, Area, AreaFlags, Capabilities, MapFlags, Object, Offset, Perm, Prot};

/// The flags that no system call gives an area.
const DRIVERS: [(AreaFlags, &str); 5] = [
    (AreaFlags::GROWSUP, "growsup"),
    (AreaFlags::DONTEXPAND, "dontexpand"),
    (AreaFlags::IO, "io"),
    (AreaFlags::PFNMAP, "pfnmap"),
    (AreaFlags::HOOK, "hook"),
];

impl KernelSpace {
    /// Puts an area in place, also below the lowest address that may be mapped.
    pub(super) fn place_area(&mut self, area: &Area) -> Result<(), Refusal> {
        if area.extent.start >= Self::mmap_min_addr() {
            return self.put(area);
        }
        let own = self.bounds.capabilities;
        self.set_capabilities(own.union(Capabilities::SYS_RAWIO))?;
        let put = self.put(area);
        self.set_capabilities(own)?;
        put
    }

    /// Puts an area in place, and checks the result, because the kernel may have merged it.
    fn put(&mut self, area: &Area) -> Result<(), Refusal> {
        let Area { extent, perm, flags, ref marks, ref object, offset } = *area;
        if !marks.is_empty() {
            return Err(Refusal::Host(format!("no system call makes an area with `{marks}`")));
        }
        // Memory of huge pages has `dontexpand` always, so then the flag needs no driver.
        let drivers = if flags.contains(AreaFlags::HUGETLB) { flags.without(AreaFlags::DONTEXPAND) } else { flags };
        if let Some((_, word)) = DRIVERS.into_iter().find(|(flag, _)| drivers.contains(*flag)) {
            return Err(Refusal::Host(format!("no system call makes an area {word}")));
        }
        if extent.end > self.end {
            return Err(Refusal::Host(format!("{extent} reaches beyond {:#x}, to the process's own areas", self.end)));
        }
        if flags.contains(AreaFlags::NORESERVE) && Self::never_overcommits() {
            return Err(Refusal::Lacks(Need::Overcommit.to_string()));
        }
        let (file, offset) = match (object, offset) {
            (Object::Special(_), _) => return Err(Refusal::Host("only the kernel maps special areas".to_owned())),
            (Object::Anon, Offset::Bytes(bytes)) if flags.contains(AreaFlags::HUGETLB) => (u64::MAX, bytes),
            (Object::Anon, Offset::Bytes(bytes)) if bytes != extent.start => {
                return Err(Refusal::Host("an area without an object has another offset only if it was moved".to_owned()));
            }
            (Object::Anon, _) => (u64::MAX, 0),
            (object, Offset::Default) => (self.file_of(object, flags.huge_page_bytes())?, 0),
            (object, Offset::Bytes(bytes)) => (self.file_of(object, flags.huge_page_bytes())?, bytes),
        };
        let (start, len) = (extent.start, extent.end - extent.start);
        let prots = [(Perm::READ, libc::PROT_READ), (Perm::WRITE, libc::PROT_WRITE), (Perm::EXEC, libc::PROT_EXEC)];
        let prot = prots.into_iter().filter(|(bit, _)| perm.contains(*bit)).fold(0, |prot, (_, bit)| prot | bit.cast_unsigned());
        let is_droppable = flags.contains(AreaFlags::DROPPABLE);
        let kinds = [
            (perm.contains(Perm::SHARED), libc::MAP_SHARED),
            (!perm.contains(Perm::SHARED) && !is_droppable, libc::MAP_PRIVATE),
            (is_droppable, libc::MAP_DROPPABLE),
            (*object == Object::Anon, libc::MAP_ANONYMOUS),
            (flags.contains(AreaFlags::GROWSDOWN), libc::MAP_GROWSDOWN),
            (flags.contains(AreaFlags::NORESERVE), libc::MAP_NORESERVE),
            (true, libc::MAP_FIXED_NOREPLACE),
        ];
        let kind = kinds.into_iter().filter(|(is_so, _)| *is_so).fold(0, |kind, (_, bit)| kind | bit.cast_unsigned());
        // `PROT_EXEC` alone would request the execute-only key.
        let prot = if prot == libc::PROT_EXEC.cast_unsigned() { prot | Prot::SEM.bits() } else { prot };
        let kind = flags.huge_page_bytes().map_or(kind, |bytes| kind | MapFlags::of_huge_pages(bytes).bits());
        let is_faulted = flags.contains(AreaFlags::FAULTED);
        let first_prot = if is_faulted { prot | libc::PROT_WRITE.cast_unsigned() } else { prot };
        self.arrange("the area", libc::SYS_mmap, [start, len, u64::from(first_prot), u64::from(kind), file, offset])?;
        if is_faulted && !self.touch(start, Access::Write)? {
            return Err(Refusal::Area("it cannot be written to".to_owned()));
        }
        if first_prot != prot {
            self.arrange("mprotect", libc::SYS_mprotect, [start, len, u64::from(prot), 0, 0, 0])?;
        }
        if flags.pkey() != 0 {
            self.place_key(extent, perm, flags, prot & !Prot::SEM.bits())?;
        }
        if flags.contains(AreaFlags::DONTCOPY) {
            self.arrange("madvise", libc::SYS_madvise, [start, len, libc::MADV_DONTFORK.cast_unsigned().into(), 0, 0, 0])?;
        }
        if flags.contains(AreaFlags::LOCKED) {
            // it locks the area also if it fails because no page can be brought in
            let flags = if flags.contains(AreaFlags::LOCKONFAULT) { u64::from(libc::MLOCK_ONFAULT) } else { 0 };
            _ = self.call(libc::SYS_mlock2, [start, len, flags, 0, 0, 0])?;
        }
        if flags.contains(AreaFlags::SEALED) {
            self.arrange("mseal", libc::SYS_mseal, [start, len, 0, 0, 0, 0])?;
        }
        if self.at(start)? != Some(extent) {
            return Err(Refusal::Area("the kernel merges it with its neighbour".to_owned()));
        }
        Ok(())
    }
}
