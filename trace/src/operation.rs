//! The system calls of a trace, as data.

use super::{Advice, LockAllFlags, LockFlags, MapFlags, MarkKind, Name, Object, Offset, Prot, RemapFlags};

/// A system call that changes an address space. The arguments are as the program gave them: they may be invalid, and their sums may
/// overflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `mmap`
    Mmap {
        /// The address, or a hint.
        addr: u64,
        /// The length in bytes.
        len: u64,
        /// The protection.
        prot: Prot,
        /// The flags.
        flags: MapFlags,
        /// The object that is mapped.
        object: Object,
        /// The offset in the object.
        offset: Offset,
    },
    /// `munmap`
    Munmap {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
    },
    /// `mprotect`
    Mprotect {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
        /// The new protection.
        prot: Prot,
    },
    /// `pkey_mprotect`
    PkeyMprotect {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
        /// The new protection.
        prot: Prot,
        /// The protection key, or -1 for the behaviour of `mprotect`.
        key: i32,
    },
    /// `pkey_alloc`; its result is the key.
    PkeyAlloc {
        /// The flags. Linux defines none.
        flags: u64,
        /// The rights that the thread loses: 1 denies every access, 2 denies writing.
        rights: u64,
    },
    /// `pkey_free`
    PkeyFree {
        /// The protection key.
        key: i32,
    },
    /// `mremap`
    Mremap {
        /// The first address.
        addr: u64,
        /// The length before, in bytes.
        old_len: u64,
        /// The length after, in bytes.
        new_len: u64,
        /// The flags.
        flags: RemapFlags,
        /// The new address, if one is given.
        new_addr: Option<u64>,
    },
    /// `brk`; its result is the break afterwards, even if it did not move.
    Brk {
        /// The requested break.
        addr: u64,
    },
    /// `madvise`
    Madvise {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
        /// The advice.
        advice: Advice,
    },
    /// `mlock`
    Mlock {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
    },
    /// `mlock2`
    Mlock2 {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
        /// The flags.
        flags: LockFlags,
    },
    /// `munlock`
    Munlock {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
    },
    /// `mseal`
    Mseal {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
    },
    /// `mlockall`
    Mlockall {
        /// The flags.
        flags: LockAllFlags,
    },
    /// `munlockall`
    Munlockall,
    /// `mark`: a call that changed a mark of everything mapped in a range. It ignores holes.
    Mark {
        /// The first address.
        addr: u64,
        /// The length in bytes.
        len: u64,
        /// The kind of the mark.
        kind: MarkKind,
        /// The new mark; `None` removes it.
        word: Option<Name>,
    },
}

impl Operation {
    /// Returns the keyword of its record.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Mmap { .. } => "mmap",
            Self::Munmap { .. } => "munmap",
            Self::Mprotect { .. } => "mprotect",
            Self::PkeyMprotect { .. } => "pkey_mprotect",
            Self::PkeyAlloc { .. } => "pkey_alloc",
            Self::PkeyFree { .. } => "pkey_free",
            Self::Mremap { .. } => "mremap",
            Self::Brk { .. } => "brk",
            Self::Madvise { .. } => "madvise",
            Self::Mlock { .. } => "mlock",
            Self::Mlock2 { .. } => "mlock2",
            Self::Munlock { .. } => "munlock",
            Self::Mseal { .. } => "mseal",
            Self::Mlockall { .. } => "mlockall",
            Self::Munlockall => "munlockall",
            Self::Mark { .. } => "mark",
        }
    }
}
