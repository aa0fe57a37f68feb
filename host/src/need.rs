//! The features that a test, a scenario or a tool may need of the machine, and their words.

use crate::capabilities::Capabilities;
use std::fmt::{self, Display};
use std::str::FromStr;

/// A feature that one machine has and another lacks. `Display` and `FromStr` use the word that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Need {
    /// `keys`: protection keys that a program can allocate.
    Keys,
    /// `hugetlb`, `hugetlb:N`: at least N huge pages of the default size are available, 1 if not given.
    Hugetlb(u64),
    /// `overcommit`: the kernel promises more memory than there is (`vm.overcommit_memory` is not 2).
    Overcommit,
    /// `perf`: the trace points of page faults.
    Perf,
    /// `ptrace`: children can be traced.
    Ptrace,
    /// `attach`: a process of the same user that is not a child can be traced.
    Attach,
    /// `userfaultfd`: a program can serve page faults, those of system calls included.
    Userfaultfd,
    /// `mseal`: the system call.
    Mseal,
    /// `mbind`: memory policies.
    Mbind,
    /// `set_mm`: a process can move its heap (`PR_SET_MM_MAP`).
    SetMm,
    /// `topdown`: searches for room go down from the base, not up as in the legacy layout (`vm.legacy_va_layout`, `ADDR_COMPAT_LAYOUT`).
    TopDown,
    /// `root`: the process belongs to root. What needs a single capability names that instead.
    Root,
    /// `cap:NAME`: an effective capability, for example `cap:ipc_lock`.
    Capability(Capabilities),
}

/// The words without an argument.
const WORDS: [(&str, Need); 12] = [
    ("keys", Need::Keys),
    ("hugetlb", Need::Hugetlb(1)),
    ("overcommit", Need::Overcommit),
    ("perf", Need::Perf),
    ("ptrace", Need::Ptrace),
    ("attach", Need::Attach),
    ("userfaultfd", Need::Userfaultfd),
    ("mseal", Need::Mseal),
    ("mbind", Need::Mbind),
    ("set_mm", Need::SetMm),
    ("topdown", Need::TopDown),
    ("root", Need::Root),
];

/// The error for a word that names no need.
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
    /// Returns every need without an argument.
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

/// Reads a comma list of needs. Blanks around a word are ignored, and an empty list has none.
pub(crate) fn parse_list(text: &str) -> Result<Vec<Need>, UnknownNeed> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::parse).collect()
}
