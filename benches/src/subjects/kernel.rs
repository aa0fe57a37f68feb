//! The running kernel: system calls that change this process's own layout. So this subject runs in a child process (`child`). A second subject
//! measures the cost of entering the kernel.

#![allow(unsafe_code, reason = "system calls on a part of the addresses that nothing else of the process is in, and a fork")]

use crate::calls::{Backing, Call, Flags, Place, Setup, Target, What};
use crate::subject::{Forks, Space};
use libc::{c_long, c_ulong};
use std::fs;
use std::io;
use std::time::{Duration, Instant};
use vmaple_host::{Host, Need};

/// The end of the addresses of a process.
const END: u64 = 0x7fff_ffff_f000;

/// The number of bytes left free below the stack of the process.
const BELOW_STACK: u64 = 64 << 20;

/// The process's own address space, from the window up.
#[derive(Debug)]
pub struct Kernel {
    /// The end of the window, below which searches find room.
    top: u64,
    /// The objects.
    files: Vec<i32>,
}

/// The cost of entering and leaving the kernel: a system call that does nothing.
#[inline]
pub fn enter() {
    call(libc::SYS_getppid, [0; 6]);
}

/// Returns how many VMAs a benchmark may make in a process; 0 if the process may not move its heap out of their way.
#[must_use]
pub fn room_for_vmas() -> usize {
    if !Host::probe().has(Need::SetMm) {
        return 0;
    }
    let most = Host::probe().max_map_count.unwrap_or(65_530);
    usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(1_000)
}

#[inline]
fn try_call(number: c_long, with: [u64; 6]) -> io::Result<u64> {
    // SAFETY: the arguments name addresses from the window up, where nothing of the process is, or no addresses at all.
    let result = unsafe { libc::syscall(number, with[0], with[1], with[2], with[3], with[4], with[5]) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result.cast_unsigned()) }
}

#[inline]
fn call(number: c_long, arguments: [u64; 6]) -> u64 {
    try_call(number, arguments).unwrap_or_else(|error| panic!("system call {number} with {arguments:#x?}: {error}"))
}

fn word(flag: i32) -> u64 {
    u64::from(flag.cast_unsigned())
}

/// The VMAs of this process: first address, end, and the rest of the line.
fn own_vmas() -> Vec<(u64, u64, String)> {
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux shows a process its own layout");
    let vma = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?, rest.to_owned()))
    };
    maps.lines().filter_map(vma).collect()
}

impl Kernel {
    /// All VMAs from the window up to its end: first address, end, access.
    #[cfg(test)]
    pub(super) fn layout(&self, window: std::ops::Range<u64>) -> Vec<(u64, u64, u8)> {
        let bits = |rest: &str| rest.bytes().zip(*b"rwx").zip([1, 2, 4]).filter(|((is, of), _)| is == of).map(|(_, bit)| bit).sum();
        let inside = own_vmas().into_iter().filter(|vma| window.contains(&vma.0));
        inside.map(|(start, end, rest)| (start, end, bits(&rest))).collect()
    }

    fn map(&self, at: u64, len: u64, what: What, how: i32) -> u64 {
        let (backing, file, offset) = match what.backing {
            Backing::Anonymous => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
            Backing::Private(object, offset) => (libc::MAP_PRIVATE, self.files[object as usize], offset),
            Backing::Shared(object, offset) => (libc::MAP_SHARED, self.files[object as usize], offset),
        };
        let reserve = if what.flags.contains(Flags::NORESERVE) { libc::MAP_NORESERVE } else { 0 };
        let flags = backing | how | reserve;
        call(libc::SYS_mmap, [at, len, u64::from(what.flags.access().0), word(flags), u64::from(file.cast_unsigned()), offset])
    }

    /// Fills the room above the window, so that searches end in the window. (The process's allocator may take some of the room first.)
    fn fill_above(&self) {
        while !self.try_fill_above() {}
    }

    fn try_fill_above(&self) -> bool {
        let vmas = own_vmas();
        let mut from = self.top;
        for (start, end, rest) in vmas.into_iter().filter(|vma| vma.1 > self.top && vma.1 <= END) {
            let is_stack = rest.ends_with("[stack]");
            let to = if is_stack { start.saturating_sub(BELOW_STACK) } else { start };
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
            if from < to && try_call(libc::SYS_mmap, [from, to - from, 0, word(flags), u64::from(u32::MAX), 0]).is_err() {
                return false;
            }
            if is_stack {
                break;
            }
            from = end;
        }
        true
    }

    /// Moves the process's heap.
    fn set_heap(start: u64) {
        // The words of Linux's `struct prctl_mm_map`: code, data, heap, stack, arguments, environment, no auxiliary vector, no file. What
        // is not the heap only shows in /proc.
        let low = [0x1_0000, 0x1_1000, 0x1_1000, 0x1_2000];
        let rest = [0x1_3000, 0x1_3000, 0x1_3000, 0x1_3000, 0x1_3000, 0, 0xffff_ffff_0000_0000];
        let map: Vec<u64> = [&low[..], &[start, start], &rest].concat();
        let bytes = size_of_val(&map[..]) as u64;
        call(libc::SYS_prctl, [word(libc::PR_SET_MM), word(libc::PR_SET_MM_MAP), map.as_ptr().addr() as u64, bytes, 0, 0]);
    }
}

impl Space for Kernel {
    const NAME: &'static str = "kernel-calls";

    fn new(setup: &Setup) -> Self {
        let file = |&bytes: &u64| {
            let name = c"object".as_ptr().addr() as u64;
            let file = call(libc::SYS_memfd_create, [name, 0, 0, 0, 0, 0]);
            call(libc::SYS_ftruncate, [file, bytes, 0, 0, 0, 0]);
            i32::try_from(file).expect("it is a file's number")
        };
        let kernel = Self { top: setup.top, files: setup.objects.iter().map(file).collect() };
        kernel.fill_above();
        kernel
    }

    #[inline]
    fn call(&self, asked: &Call) -> u64 {
        match *asked {
            Call::Map(Place::Anywhere, len, what) => {
                let at = self.map(0, len, what, 0);
                assert!(at < self.top, "the kernel found room at {at:#x}, above the window");
                at
            }
            Call::Map(Place::Near(near), len, what) => {
                let at = self.map(near, len, what, 0);
                assert_eq!(at, near, "the place is free");
                at
            }
            Call::Map(Place::Fixed(at), len, what) => self.map(at, len, what, libc::MAP_FIXED),
            Call::Unmap(at, len) => call(libc::SYS_munmap, [at, len, 0, 0, 0, 0]),
            Call::Protect(at, len, access) => call(libc::SYS_mprotect, [at, len, u64::from(access.access().0), 0, 0, 0]),
            Call::Remap(at, old, new, Target::Here) => call(libc::SYS_mremap, [at, old, new, 0, 0, 0]),
            Call::Remap(at, old, new, Target::There(to)) => {
                call(libc::SYS_mremap, [at, old, new, word(libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED), to, 0])
            }
            Call::Brk(brk) => call(libc::SYS_brk, [brk, 0, 0, 0, 0, 0]),
            Call::Heap(start) => {
                Self::set_heap(start);
                start
            }
        }
    }
}

impl Forks for Kernel {
    fn fork(&self) -> Duration {
        let begin = Instant::now();
        // SAFETY: the child ends at once and touches nothing.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: as above.
            unsafe { libc::_exit(0) }
        }
        let took = begin.elapsed();
        assert!(child > 0, "the process cannot fork: {}", io::Error::last_os_error());
        wait_for(child);
        took
    }
}

/// Waits until a child has ended.
pub(super) fn wait_for(child: i32) {
    // SAFETY: no status is asked for.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
}

/// Forks this process. The child calls `run` and ends, at the latest with the calling thread.
pub(super) fn in_child(run: impl FnOnce()) -> i32 {
    // SAFETY: the C library keeps its allocator usable in a child, and the child uses nothing else that another thread may have locked.
    let child = unsafe { libc::fork() };
    if child == 0 {
        call(libc::SYS_prctl, [word(libc::PR_SET_PDEATHSIG), word(libc::SIGKILL), 0, 0, 0, 0]);
        let is_well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_ok();
        // SAFETY: the child ends here, without what the parent has set up for its own end.
        unsafe { libc::_exit(i32::from(!is_well)) }
    }
    assert!(child > 0, "this process cannot fork: {}", io::Error::last_os_error());
    child
}

const _: () = assert!(size_of::<c_ulong>() == 8, "addresses are words of 64 bits");
