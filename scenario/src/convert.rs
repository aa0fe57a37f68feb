//! The arguments of system calls as a trace has them, converted to the library's types. Pure functions.
//!
//! Called by `apply` and by the program's `replay`.

use crate::space::{Failure, Refusal};
use vmaple::mm::{Advice, KeyDenial, LockAll, ProtectRequest, ProtectionKey};
use vmaple::{PAGE_SIZE, VmaFlags};
use vmaple_trace::{LockAllFlags, MapFlags, Object, Offset, Prot};

/// Converts a result of the library to the value that the system call returns.
pub trait Answer {
    /// Returns an address, the number of a key, or 0.
    fn answer(self) -> u64;
}

impl Answer for u64 {
    fn answer(self) -> u64 {
        self
    }
}

impl Answer for () {
    fn answer(self) -> u64 {
        0
    }
}

impl Answer for ProtectionKey {
    fn answer(self) -> u64 {
        self.number().into()
    }
}

/// Returns the permissions of a mapping.
#[must_use]
pub fn access_of(prot: Prot) -> VmaFlags {
    vmaple::mm::Prot::from_bits_truncate(prot.bits()).into()
}

/// Returns the request of a `pkey_mprotect`; the key -1 stands for `mprotect`.
pub fn protect_request_of(prot: Prot, key: i32) -> ProtectRequest {
    ProtectRequest::from_raw(prot.bits().into(), key)
}

/// Returns the rights that a `pkey_alloc` denies; an invalid value for unknown bits.
#[must_use]
pub fn denial_of(rights: u64) -> KeyDenial {
    KeyDenial::from_bits_retain(u32::try_from(rights).unwrap_or(u32::MAX))
}

/// Returns what `mlockall` locks; `None` if the flags select nothing.
#[must_use]
pub fn lock_all_of(flags: LockAllFlags) -> Option<LockAll> {
    let has = |flag| flags.contains(flag);
    match (has(LockAllFlags::CURRENT), has(LockAllFlags::FUTURE), has(LockAllFlags::ONFAULT)) {
        (true, false, false) => Some(LockAll::Current),
        (false, true, false) => Some(LockAll::Future),
        (true, true, false) => Some(LockAll::CurrentAndFuture),
        (true, false, true) => Some(LockAll::CurrentOnFault),
        (false, true, true) => Some(LockAll::FutureOnFault),
        (true, true, true) => Some(LockAll::CurrentAndFutureOnFault),
        (false, false, _) => None,
    }
}

/// Returns the advice as the library has it.
///
/// # Errors
/// [`Refusal::Unsupported`] if the advice changes no flags.
pub fn advice_of(advice: vmaple_trace::Advice) -> Result<Advice, Refusal> {
    Ok(match advice.number() {
        0 => Advice::Normal,
        1 => Advice::Random,
        2 => Advice::Sequential,
        10 => Advice::DontFork,
        11 => Advice::DoFork,
        18 => Advice::WipeOnFork,
        19 => Advice::KeepOnFork,
        16 => Advice::DontDump,
        17 => Advice::DoDump,
        12 => Advice::Mergeable,
        13 => Advice::Unmergeable,
        14 => Advice::HugePage,
        15 => Advice::NoHugePage,
        _ => return Err(Refusal::Unsupported("an advice that changes no flags")),
    })
}

/// Returns the kernel's error for a kind of mapping that is neither private nor shared, which a request to the library cannot express.
#[must_use]
pub fn kind_refused(flags: MapFlags, object: &Object) -> Option<Failure> {
    if !flags.is_private() && !flags.is_shared() {
        return Some(Failure::invalid("neither private nor shared"));
    }
    if !flags.contains(MapFlags::SHARED_VALIDATE) {
        return None;
    }
    // Huge pages always have a file.
    if *object == Object::Anon && !flags.contains(MapFlags::HUGETLB) {
        return Some(Failure::invalid("a mapping without a file has no flags to validate"));
    }
    // These two are not among the flags that every file supports.
    let is_unknown = flags.contains(MapFlags::FIXED_NOREPLACE) || flags.contains(MapFlags::SYNC);
    is_unknown.then(|| Failure::new(libc::EOPNOTSUPP, "the file does not support the flag"))
}

/// Checks that the offset is a multiple of a page. A request to the library for memory without an object has no offset.
///
/// # Errors
/// `EINVAL` if it is not.
pub fn check_offset(offset: Offset) -> Result<(), Failure> {
    match offset {
        Offset::Bytes(bytes) if bytes % PAGE_SIZE != 0 => Err(Failure::invalid("the offset is not at a page's start")),
        _ => Ok(()),
    }
}

/// Returns flags that a request to the library can express. The kernel checks the kind after the place, so a kind that it refuses becomes a shared
/// mapping that grows, which the library refuses at the same point.
#[must_use]
pub fn with_kind(flags: MapFlags, object: &Object) -> MapFlags {
    if kind_refused(flags, object).is_some() { flags.union(MapFlags::SHARED).union(MapFlags::GROWSDOWN) } else { flags }
}
