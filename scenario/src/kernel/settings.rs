//! The properties of an address space that a process can change for itself: its limits, its capabilities, its heap, and where its searches
//! begin. Called by `kernel`.
//!
//! A property of the whole system is refused unless the system has that value; `vma_limit` is the exception. If another machine may have
//! the value, the refusal names what this machine lacks.

use super::process::KernelSpace;
use super::state::{GUARD_GAP_PAGES, MAP_WINDOW, MMAP_MIN_ADDR};
use crate::placement::{is_of_the_machine, task_size};
use crate::space::{Refusal, Space as _};
use nix::unistd::Pid;
use rustix::process::Resource;
use rustix::thread::CapabilitySet;
use std::io;
use std::sync::OnceLock;
use vmaple::PAGE_SIZE;
use vmaple_host::{Host, Need};
use vmaple_trace::{Capabilities, Extent, Limit, Overcommit, Placement, Setting};

/// The last word of `PR_SET_MM_MAP`'s argument: an auxiliary vector of 0 bytes, and -1 for no file.
const NO_FILE_NO_AUXV: u64 = 0xffff_ffff_0000_0000;

/// The sets of capabilities that a scenario can choose from.
const CHOICES: [Capabilities; 4] = [Capabilities::EMPTY, Capabilities::IPC_LOCK, Capabilities::SYS_RAWIO, Capabilities::ALL];

/// The arguments of `capset`, version 3, one for each choice. They exist before the first worker is forked, so they are at the same
/// address in each.
struct Sets {
    header: [u32; 2],
    choices: [[u32; 6]; CHOICES.len()],
    /// What a worker may choose from.
    permitted: Capabilities,
}

static SETS: OnceLock<Sets> = OnceLock::new();

/// Reads the capabilities that workers may have.
pub(super) fn read_capabilities() -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    let bits = |set: CapabilitySet| (set.bits() & 0xffff_ffff, set.bits() >> 32);
    let half = |word: u64| u32::try_from(word).unwrap_or(0);
    let set_of = |capabilities: Capabilities| CapabilitySet::from_bits_truncate(capabilities.bits());
    // a worker does not get a capability that `VMAPLE_WITHOUT` hides
    let hidden = Host::as_it_is().capabilities.difference(Host::probe().capabilities);
    let hidden = CapabilitySet::from_bits_retain(hidden.bits());
    let (permitted, others) = (own.permitted - hidden, own.effective - set_of(Capabilities::ALL) - hidden);
    let choices = CHOICES.map(|capabilities| {
        let (effective, permitted) = (bits(others | set_of(capabilities) & permitted), bits(permitted));
        [half(effective.0), half(permitted.0), 0, half(effective.1), half(permitted.1), 0]
    });
    let permitted = Capabilities::from_bits(permitted.bits()).0;
    _ = SETS.set(Sets { header: [0x2008_0522, 0], choices, permitted });
    Ok(())
}

impl KernelSpace {
    /// Returns the lowest address that this system lets a process map (`vm.mmap_min_addr`).
    pub(crate) fn mmap_min_addr() -> u64 {
        Host::probe().mmap_min_addr.unwrap_or(MMAP_MIN_ADDR)
    }

    /// Returns whether this system never overcommits (`vm.overcommit_memory` is 2).
    pub(super) fn never_overcommits() -> bool {
        Host::probe().overcommit.mode == Some(2)
    }

    pub(super) fn set_one(&mut self, setting: Setting) -> Result<(), Refusal> {
        let of_the_system = |what: &str, is: u64| Err(Refusal::Host(format!("{what} belongs to the whole system, where it is {is}")));
        match setting {
            Setting::Page(PAGE_SIZE) | Setting::GuardGap(GUARD_GAP_PAGES) => Ok(()),
            Setting::TaskSize(end) if end == task_size(Host::probe()) => Ok(()),
            Setting::Page(_) => of_the_system("the size of a page", PAGE_SIZE),
            Setting::TaskSize(_) => of_the_system("the end of the addresses", task_size(Host::probe())),
            Setting::MmapMinAddr(addr) if addr == Self::mmap_min_addr() => Ok(()),
            Setting::MmapMinAddr(addr) => Err(Refusal::Lacks(format!("vm.mmap_min_addr {addr}"))),
            Setting::GuardGap(_) => of_the_system("the guard gap", GUARD_GAP_PAGES),
            // modes 0 and 1 differ only in which requests the system refuses
            Setting::Overcommit(mode) if (mode == Overcommit::Never) == Self::never_overcommits() => Ok(()),
            Setting::Overcommit(Overcommit::Never) => Err(Refusal::Lacks("vm.overcommit_memory 2".to_owned())),
            Setting::Overcommit(_) => Err(Refusal::Lacks(Need::Overcommit.to_string())),
            Setting::MaxMapCount(count) => self.leave_room_for(count),
            Setting::Pkeys(count) => self.set_keys(count),
            Setting::PkeysAllocated(_) | Setting::PkeyExecuteOnly(_) => {
                Err(Refusal::Host("a process allocates its protection keys itself".to_owned()))
            }
            Setting::MmapBase(base) => self.fill_from(base),
            Setting::BrkStart(start) => self.move_heap(start),
            Setting::MmapLegacyBase(_) | Setting::Brk(_) | Setting::LoadedData(_) => {
                Err(Refusal::Host(format!("the loader decides `{setting}`")))
            }
            Setting::Limit(resource, limit) => {
                let bytes = match limit {
                    Limit::Bytes(bytes) => bytes,
                    Limit::Unlimited => u64::MAX,
                };
                let bounds = &mut self.bounds;
                let (name, limited, beside, bound) = match resource {
                    vmaple_trace::Resource::Stack => ("RLIMIT_STACK", Resource::Stack, 0, &mut bounds.stack),
                    vmaple_trace::Resource::As => ("RLIMIT_AS", Resource::As, bounds.base_total, &mut bounds.address_space),
                    vmaple_trace::Resource::Data => ("RLIMIT_DATA", Resource::Data, bounds.base_data, &mut bounds.data),
                    vmaple_trace::Resource::Memlock => ("RLIMIT_MEMLOCK", Resource::Memlock, 0, &mut bounds.memlock),
                };
                if let Some(most) = rustix::process::getrlimit(limited).maximum.filter(|most| bytes.saturating_add(beside) > *most) {
                    return Err(Refusal::Lacks(format!("{name} beyond {most}")));
                }
                *bound = bytes;
                self.set_limits()
            }
            Setting::Privileged(privilege) => self.set_capabilities(privilege.capabilities()),
            Setting::Capabilities(capabilities) => self.set_capabilities(capabilities),
            Setting::Placement(placement) if is_of_the_machine(placement, Host::probe()) => Ok(()),
            // Linux on x86-64 has one value on every machine
            Setting::Placement(placement @ (Placement::MapWindow(_) | Placement::LowSearchBase(_))) => {
                Err(Refusal::Host(format!("`{placement}` belongs to the whole system, which has another value")))
            }
            Setting::Placement(placement) => Err(Refusal::Lacks(format!("`{placement}`"))),
        }
    }

    pub(super) fn set_limits(&self) -> Result<(), Refusal> {
        let pid = self.worker.pid();
        self.bounds
            .own()
            .into_iter()
            .try_for_each(|(resource, bytes)| limit(pid, resource, bytes))
            .map_err(|error| Refusal::Host(format!("the limits cannot be set: {error}")))
    }

    /// Fills all free room above the base, so that a search finds room below it, unless it goes up from there.
    fn fill_from(&mut self, base: u64) -> Result<(), Refusal> {
        self.needs(&[Need::TopDown])?;
        if base > self.end || !base.is_multiple_of(PAGE_SIZE) {
            return Err(Refusal::Host(format!("searches can begin at {:#x} or below", self.end)));
        }
        if self.filler.is_some() {
            return Err(Refusal::Host("`set mmap_base` must come before `set max_map_count`".to_owned()));
        }
        let mut at = base;
        let mut gaps = Vec::new();
        for extent in &self.outside {
            if extent.start > at {
                gaps.push((at, extent.start - at));
            }
            at = extent.end;
        }
        if MAP_WINDOW > at {
            gaps.push((at, MAP_WINDOW - at));
        }
        // Of a file, so that no area of the scenario merges with it; private and without access, so that no memory is promised.
        let flags = libc::MAP_PRIVATE | libc::MAP_FIXED_NOREPLACE;
        for (at, len) in gaps {
            let flags = u64::from(flags.cast_unsigned());
            self.arrange("a mapping that fills a gap", libc::SYS_mmap, [at, len, 0, flags, self.page, 0])?;
            self.filled.push(Extent { start: at, end: at + len });
        }
        self.survey()?;
        self.set_limits()
    }

    /// Gives the scenario a heap, empty, that begins there.
    fn move_heap(&mut self, start: u64) -> Result<(), Refusal> {
        // What a program was loaded with counts as data for `brk`: as much as the process has beside the region, so that limits agree.
        // The other bounds do not matter to a scenario, and get a page each.
        let low = Self::mmap_min_addr().max(MMAP_MIN_ADDR).next_multiple_of(PAGE_SIZE);
        let page = low + PAGE_SIZE;
        self.needs(&[Need::SetMm])?;
        let words = [low, page, low, low + self.bounds.base_data, start, start, low, low, page, low, page, 0, NO_FILE_NO_AUXV];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.write_page(&bytes)?;
        let [set_mm, map] = [libc::PR_SET_MM, libc::PR_SET_MM_MAP].map(|word| u64::from(word.cast_unsigned()));
        self.arrange("to move the heap", libc::SYS_prctl, [set_mm, map, self.page_at, bytes.len() as u64, 0, 0])?;
        if self.call(libc::SYS_brk, [0; 6])?.ok() != Some(start) {
            return Err(Refusal::Host("the heap is not where it was moved to".to_owned()));
        }
        self.bounds.brk_start = Some(start);
        Ok(())
    }

    /// Returns the capabilities that a process of this user can have.
    pub(crate) fn permitted() -> Capabilities {
        SETS.get().map_or(Capabilities::EMPTY, |sets| sets.permitted)
    }

    /// Gives the process these capabilities, and takes the others that a scenario can name.
    pub(super) fn set_capabilities(&mut self, capabilities: Capabilities) -> Result<(), Refusal> {
        let Some(sets) = SETS.get() else { return Err(Refusal::Host("the capabilities were not read".to_owned())) };
        if !sets.permitted.contains(capabilities) {
            let missing = vmaple_host::Capabilities::from_bits(capabilities.bits() & !sets.permitted.bits());
            return Err(Refusal::Lacks(Need::Capability(missing).to_string()));
        }
        let choice = CHOICES.iter().zip(&sets.choices).find(|(choice, _)| **choice == capabilities).map(|(_, data)| data);
        let Some(data) = choice else { return Err(Refusal::Host(format!("a scenario cannot have the capabilities {capabilities}"))) };
        let [header, data] = [sets.header.as_ptr() as u64, data.as_ptr() as u64];
        self.arrange("capset", libc::SYS_capset, [header, data, 0, 0, 0, 0])?;
        self.bounds.capabilities = capabilities;
        Ok(())
    }
}

/// Sets a limit of a process; `u64::MAX` raises it as far as allowed.
fn limit(pid: Pid, resource: Resource, bytes: u64) -> io::Result<()> {
    let maximum = rustix::process::getrlimit(resource).maximum;
    let current = if bytes == u64::MAX { maximum } else { Some(bytes) };
    let pid = rustix::process::Pid::from_raw(pid.as_raw());
    rustix::process::prlimit(pid, resource, rustix::process::Rlimit { current, maximum })?;
    Ok(())
}
