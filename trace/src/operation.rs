//! The system calls of a trace; only data, as in `record`.

use super::{Advice, LockAllFlags, LockFlags, MapFlags, MarkKind, Name, Object, Offset, Prot, RemapFlags};

/// A system call that changes an address space. The arguments are as the program gave them: any of them may be
/// nonsense that the kernel refused, and sums of them may wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `mmap`
    Mmap {
        /// Where, or where about.
        addr: u64,
        /// Bytes.
        len: u64,
        /// What may be done with it.
        prot: Prot,
        /// How.
        flags: MapFlags,
        /// What is mapped.
        object: Object,
        /// From where in it.
        offset: Offset,
    },
    /// `munmap`
    Munmap {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// `mprotect`
    Mprotect {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
        /// What may be done with it from now on.
        prot: Prot,
    },
    /// `pkey_mprotect`
    PkeyMprotect {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
        /// What may be done with it from now on.
        prot: Prot,
        /// The protection key, or -1.
        key: i32,
    },
    /// `pkey_alloc`; its outcome is the key.
    PkeyAlloc {
        /// Nothing yet.
        flags: u64,
        /// What is denied to the thread: 1 is every access, 2 is writing.
        rights: u64,
    },
    /// `pkey_free`
    PkeyFree {
        /// The protection key.
        key: i32,
    },
    /// `mremap`
    Mremap {
        /// Where.
        addr: u64,
        /// Bytes before.
        old_len: u64,
        /// Bytes after.
        new_len: u64,
        /// How.
        flags: RemapFlags,
        /// Where to, if told.
        new_addr: Option<u64>,
    },
    /// `brk`; its outcome is the resulting break, also when nothing was done.
    Brk {
        /// The end of the heap that is asked for.
        addr: u64,
    },
    /// `madvise`
    Madvise {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
        /// What.
        advice: Advice,
    },
    /// `mlock`
    Mlock {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// `mlock2`
    Mlock2 {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
        /// How.
        flags: LockFlags,
    },
    /// `munlock`
    Munlock {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// `mseal`
    Mseal {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// `mlockall`
    Mlockall {
        /// What.
        flags: LockAllFlags,
    },
    /// `munlockall`
    Munlockall,
    /// `mark`: a call that changed an attribute of all that is mapped in a range. Holes are passed over.
    Mark {
        /// Where.
        addr: u64,
        /// Bytes.
        len: u64,
        /// Which attribute.
        kind: MarkKind,
        /// What it is from now on.
        word: Option<Name>,
    },
}
