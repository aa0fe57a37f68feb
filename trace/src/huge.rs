//! The settings that decide where mappings are placed and which pages they consist of: their names and values. Called by `line` and `show`.

use std::fmt::{self, Display, Formatter};

/// A setting that decides where a mapping is placed, or which pages it consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// `map_window`: the end of searches for room, unless a hint asks for more.
    MapWindow(u64),
    /// `low_search_base`: the address at which the search for the low 2 GiB begins, upward.
    LowSearchBase(u64),
    /// `huge_page`: the size of a transparent huge page in bytes; 1 if there are none.
    HugePage(u64),
    /// `huge_page.shared`: when shared memory gets transparent huge pages.
    SharedHuge(SharedHuge),
    /// `huge_page.shared.sizes`: the sum of the sizes in bytes that have a setting of their own.
    SharedSizes(u64),
    /// `huge_page.shared.inheriting`: the sum of the sizes in bytes that inherit the setting for all.
    SharedInheriting(u64),
    /// `hugetlb`: the size in bytes of a `hugetlb` page whose size is not given.
    Hugetlb(u64),
    /// `hugetlb.sizes`: the sum of the sizes in bytes that exist.
    HugetlbSizes(u64),
}

/// When shared memory gets transparent huge pages, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SharedHuge {
    /// `deny`
    Deny,
    /// `never`
    Never,
    /// `advise`
    Advise,
    /// `within_size`
    WithinSize,
    /// `always`
    Always,
    /// `force`
    Force,
}

impl SharedHuge {
    /// All values.
    pub const ALL: [Self; 6] = [Self::Deny, Self::Never, Self::Advise, Self::WithinSize, Self::Always, Self::Force];

    /// Returns the value with this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Never => "never",
            Self::Advise => "advise",
            Self::WithinSize => "within_size",
            Self::Always => "always",
            Self::Force => "force",
        }
    }
}

impl Display for SharedHuge {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Placement {
    /// The names of all these settings, for messages.
    pub(super) const NAMES: &'static str = "map_window, low_search_base, huge_page, huge_page.shared, huge_page.shared.sizes, \
        huge_page.shared.inheriting, hugetlb, hugetlb.sizes";
}

impl Display for Placement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MapWindow(addr) => write!(f, "map_window {addr:#x}"),
            Self::LowSearchBase(addr) => write!(f, "low_search_base {addr:#x}"),
            Self::HugePage(bytes) => write!(f, "huge_page {bytes}"),
            Self::SharedHuge(policy) => write!(f, "huge_page.shared {policy}"),
            Self::SharedSizes(bytes) => write!(f, "huge_page.shared.sizes {bytes:#x}"),
            Self::SharedInheriting(bytes) => write!(f, "huge_page.shared.inheriting {bytes:#x}"),
            Self::Hugetlb(bytes) => write!(f, "hugetlb {bytes}"),
            Self::HugetlbSizes(bytes) => write!(f, "hugetlb.sizes {bytes:#x}"),
        }
    }
}
