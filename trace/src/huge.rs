//! The system's settings for huge pages, and the addresses that searches keep to, in the words of the format. `record` has them as a kind
//! of setting; nobody is called.

use super::TraceFault;
use super::fields::{Fields, number};
use std::fmt::{self, Display, Formatter};

/// A setting that decides where a mapping is placed, or of what pages it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placement {
    /// `map_window`: where searched mappings end unless a hint asks for more.
    MapWindow(u64),
    /// `low_search_base`: where the search for the low 2 GiB begins, upward.
    LowSearchBase(u64),
    /// `huge_page`: bytes of a transparent huge page; 1 where there are none.
    HugePage(u64),
    /// `huge_page.shared`: whether shared memory has such pages.
    SharedHuge(SharedHuge),
    /// `huge_page.shared.sizes`: the sizes, added up, that have a setting of their own.
    SharedSizes(u64),
    /// `huge_page.shared.inheriting`: the sizes, added up, that have the setting for all.
    SharedInheriting(u64),
    /// `hugetlb`: bytes of a page of `hugetlb` memory whose size is not said.
    Hugetlb(u64),
    /// `hugetlb.sizes`: the sizes that there are, added up.
    HugetlbSizes(u64),
}

/// Whether shared memory has transparent huge pages, in the kernel's words.
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
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Deny, Self::Never, Self::Advise, Self::WithinSize, Self::Always, Self::Force];

    /// The one of this word.
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
    /// The names that its settings have, for messages.
    pub(super) const NAMES: &'static str = "map_window, low_search_base, huge_page, huge_page.shared, huge_page.shared.sizes, \
        huge_page.shared.inheriting, hugetlb, hugetlb.sizes";

    /// The one of this name, with the value that follows; `None` if it has another name.
    pub(super) fn read(name: &str, fields: &mut Fields<'_>) -> Result<Option<Self>, TraceFault> {
        const ADDR: &str = "an address";
        const SIZE: &str = "the bytes of a page, a power of two";
        const SIZES: &str = "sizes of pages, in bytes and added up";
        let power = |field: &str| number(field).filter(|bytes| bytes.is_power_of_two());
        Ok(Some(match name {
            "map_window" => Self::MapWindow(fields.number(ADDR)?),
            "low_search_base" => Self::LowSearchBase(fields.number(ADDR)?),
            "huge_page" => Self::HugePage(fields.make(SIZE, power)?),
            "huge_page.shared" => {
                Self::SharedHuge(fields.make("deny, never, advise, within_size, always or force", SharedHuge::from_word)?)
            }
            "huge_page.shared.sizes" => Self::SharedSizes(fields.number(SIZES)?),
            "huge_page.shared.inheriting" => Self::SharedInheriting(fields.number(SIZES)?),
            "hugetlb" => Self::Hugetlb(fields.make(SIZE, power)?),
            "hugetlb.sizes" => Self::HugetlbSizes(fields.number(SIZES)?),
            _ => return Ok(None),
        }))
    }
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
