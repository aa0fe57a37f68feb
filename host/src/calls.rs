//! The answers of system calls. Each is tried with arguments with which it fails or does nothing if it exists and is permitted; the error number
//! distinguishes the cases. Called by `Host`.

#![allow(unsafe_code, reason = "system calls with arguments that make them fail")]

use crate::capabilities::Capabilities;
use crate::need::Need;
use std::collections::BTreeMap;
use std::io;

const PAGE: usize = 4096;

/// The argument with which `personality` only returns the value.
const PERSONALITY_QUERY: libc::c_ulong = 0xffff_ffff;

/// A page that was to be placed as low as possible and is above this was not: something else is there.
const LOW: usize = 16 << 20;

/// The answers of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Whether the processor has protection keys and the kernel uses them.
    pub(crate) has_keys: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) is_root: bool,
    pub(crate) personality: Option<u32>,
    pub(crate) lowest_address: Option<u64>,
    pub(crate) refused: BTreeMap<Need, i32>,
}

impl Answers {
    pub(crate) fn of_the_kernel() -> Self {
        // SAFETY: it reads a number of the process.
        let is_root = unsafe { libc::geteuid() } == 0;
        // SAFETY: this value only reads.
        let personality = u32::try_from(unsafe { libc::personality(PERSONALITY_QUERY) }).ok();
        let has_keys = keys_by_the_processor();
        Self { has_keys, capabilities: capabilities(), is_root, personality, lowest_address: lowest_address(), refused: refused() }
    }
}

/// Returns whether the processor says that the kernel has enabled protection keys.
#[cfg(target_arch = "x86_64")]
fn keys_by_the_processor() -> bool {
    const OSPKE: u32 = 1 << 4;
    std::arch::x86_64::__cpuid(0).eax >= 7 && std::arch::x86_64::__cpuid_count(7, 0).ecx & OSPKE != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn keys_by_the_processor() -> bool {
    false
}

/// Returns the effective capabilities of this thread.
fn capabilities() -> Capabilities {
    // `struct __user_cap_header_struct` of version 3, for the caller, and two of `struct __user_cap_data_struct`.
    let mut header = [0x2008_0522_u32, 0];
    let mut data = [0_u32; 6];
    // SAFETY: both are as large as that version of the structures.
    let result = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) };
    let [low, _, _, high, ..] = data;
    if result == 0 { Capabilities::from_bits(u64::from(low) | u64::from(high) << 32) } else { Capabilities::default() }
}

/// Returns where the kernel places a page whose hint is below everything that may be mapped.
fn lowest_address() -> Option<u64> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: nothing that exists is replaced.
    let at = unsafe { libc::mmap(std::ptr::without_provenance_mut(PAGE), PAGE, libc::PROT_NONE, flags, -1, 0) };
    if at == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: it was mapped just now, and nobody knows of it.
    unsafe { libc::munmap(at, PAGE) };
    (at.addr() < LOW).then_some(at.addr() as u64)
}

/// Returns the calls that do not exist or are not permitted.
fn refused() -> BTreeMap<Need, i32> {
    // an address inside a page, and a flag that does not exist
    const ODD: u64 = 1;
    const UNKNOWN: u64 = 1 << 30;
    let invalid = &[libc::EINVAL][..];
    let mut size = 0_u32;
    let size_at = (&raw mut size).expose_provenance() as u64;
    let word = |option: i32| u64::from(option.cast_unsigned());
    let tries: [(Need, libc::c_long, [u64; 5], &[i32]); 7] = [
        (Need::Keys, libc::SYS_pkey_alloc, [UNKNOWN, 0, 0, 0, 0], invalid),
        // without the flag for the program's own faults, so it asks for those of system calls, too
        (Need::Userfaultfd, libc::SYS_userfaultfd, [UNKNOWN, 0, 0, 0, 0], invalid),
        (Need::Perf, libc::SYS_perf_event_open, [0, 0, 0, 0, UNKNOWN], invalid),
        // no process can trace process 0
        (Need::Ptrace, libc::SYS_ptrace, [u64::from(libc::PTRACE_CONT), 0, 0, 0, 0], &[libc::ESRCH]),
        (Need::Mseal, libc::SYS_mseal, [ODD, 0, 0, 0, 0], invalid),
        (Need::Mbind, libc::SYS_mbind, [ODD, 0, 0, 0, 0], invalid),
        // returns the size of its argument
        (Need::SetMm, libc::SYS_prctl, [word(libc::PR_SET_MM), word(libc::PR_SET_MM_MAP_SIZE), size_at, 0, 0], &[]),
    ];
    let mut refused = BTreeMap::new();
    for (need, number, arguments, expected) in tries {
        let errno = errno_of(number, arguments);
        if errno.is_some_and(|errno| !expected.contains(&errno)) {
            refused.insert(need, errno.unwrap_or(0));
        }
    }
    refused
}

/// Makes a call that fails or does nothing. Returns the error number if it fails.
fn errno_of(number: libc::c_long, [first, second, third, fourth, fifth]: [u64; 5]) -> Option<i32> {
    // SAFETY: `refused` has the arguments: each call fails for them, does nothing, or writes the one word that it is given.
    let result = unsafe { libc::syscall(number, first, second, third, fourth, fifth, 0_u64) };
    (result == -1).then(|| io::Error::last_os_error().raw_os_error().unwrap_or(0))
}
