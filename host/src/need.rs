//! What a test, a scenario or a tool needs of the machine, by its word.

use crate::capabilities::Capabilities;
use std::fmt::{self, Display};
use std::str::FromStr;

/// Something that one machine has and another lacks. Its `Display` and its `FromStr` are the word that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Need {
    /// `keys`: protection keys that a program can allocate.
    Keys,
    /// `hugetlb`, `hugetlb:N`: so many huge pages of the default size that can be had, 1 unless said.
    Hugetlb(u64),
    /// `thp`: transparent huge pages for private memory, always or where a program asks for them.
    Thp,
    /// `shmem_thp`: transparent huge pages for shared anonymous memory.
    ShmemThp,
    /// `overcommit`: the kernel promises more memory than it has (`vm.overcommit_memory` is not 2).
    Overcommit,
    /// `aslr`: a randomized layout.
    Aslr,
    /// `bottom_up`: the legacy layout, in which searches go up.
    BottomUp,
    /// `la57`: addresses of 56 bits.
    La57,
    /// `perf`: the trace points of page faults.
    Perf,
    /// `ptrace`: children can be traced.
    Ptrace,
    /// `attach`: a process of the same user can be traced that is no child.
    Attach,
    /// `userfaultfd`: page faults can be served by a program, those of system calls included.
    Userfaultfd,
    /// `mseal`: the system call.
    Mseal,
    /// `mbind`: memory policies.
    Mbind,
    /// `memfd_secret`: the system call.
    MemfdSecret,
    /// `anon_names`: names for anonymous memory (`PR_SET_VMA_ANON_NAME`).
    AnonNames,
    /// `set_mm`: a process can move its heap (`PR_SET_MM_MAP`).
    SetMm,
    /// `soft_dirty`: the soft-dirty bit of VMAs.
    SoftDirty,
    /// `root`: the process is root's. What needs one capability names that instead.
    Root,
    /// `cap:NAME`: an effective capability, `cap:ipc_lock`.
    Capability(Capabilities),
}

/// The words without an argument.
const WORDS: [(&str, Need); 19] = [
    ("keys", Need::Keys),
    ("hugetlb", Need::Hugetlb(1)),
    ("thp", Need::Thp),
    ("shmem_thp", Need::ShmemThp),
    ("overcommit", Need::Overcommit),
    ("aslr", Need::Aslr),
    ("bottom_up", Need::BottomUp),
    ("la57", Need::La57),
    ("perf", Need::Perf),
    ("ptrace", Need::Ptrace),
    ("attach", Need::Attach),
    ("userfaultfd", Need::Userfaultfd),
    ("mseal", Need::Mseal),
    ("mbind", Need::Mbind),
    ("memfd_secret", Need::MemfdSecret),
    ("anon_names", Need::AnonNames),
    ("set_mm", Need::SetMm),
    ("soft_dirty", Need::SoftDirty),
    ("root", Need::Root),
];

/// A word that names no need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNeed(String);

impl Display for UnknownNeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not one of ", self.0)?;
        for (word, _) in WORDS {
            write!(f, "{word}, ")?;
        }
        f.write_str("hugetlb:N, cap:NAME")
    }
}

impl std::error::Error for UnknownNeed {}

impl Need {
    /// Every need without an argument.
    pub fn all() -> impl Iterator<Item = Self> {
        WORDS.into_iter().map(|(_, need)| need)
    }
}

impl Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capability(capabilities) => write!(f, "cap:{capabilities}"),
            Self::Hugetlb(count) if *count != 1 => write!(f, "hugetlb:{count}"),
            other => f.write_str(WORDS.iter().find(|(_, need)| need == other).map_or("", |(word, _)| word)),
        }
    }
}

impl FromStr for Need {
    type Err = UnknownNeed;

    fn from_str(text: &str) -> Result<Self, UnknownNeed> {
        let need = match text.split_once(':') {
            None => WORDS.iter().find(|(word, _)| *word == text).map(|(_, need)| *need),
            Some(("hugetlb", count)) => count.parse().ok().filter(|count| *count > 0).map(Self::Hugetlb),
            Some(("cap", name)) => Capabilities::named(name).map(Self::Capability),
            Some(_) => None,
        };
        need.ok_or_else(|| UnknownNeed(text.escape_debug().to_string()))
    }
}
