//! What else is known of an area than its permissions, as words and as bits. The recorder and the reader make them; nobody is called.

use super::Perm;
use super::words::{MapFlags, word_set, write_list};
use std::fmt;

/// Bytes of a huge page where nothing else is said.
const USUAL_HUGE_PAGE: u64 = 2 << 20;

/// A protection key in the text of an area's flags.
const PKEY: &str = "pkey:";

word_set! {
    /// What else is known of an area.
    AreaFlags: u64 {
        /// Grows down by faults.
        GROWSDOWN = 1, "growsdown";
        /// Grows up by faults.
        GROWSUP = 2, "growsup";
        /// Locked in memory.
        LOCKED = 4, "locked";
        /// Not accounted for.
        NORESERVE = 8, "noreserve";
        /// Not given to children.
        DONTCOPY = 0x10, "dontcopy";
        /// May not be made longer by `mremap`.
        DONTEXPAND = 0x20, "dontexpand";
        /// May not be changed any more.
        SEALED = 0x40, "sealed";
        /// Has pages of its own.
        FAULTED = 0x80, "faulted";
        /// Memory of a device.
        IO = 0x100, "io";
        /// Pages without a description.
        PFNMAP = 0x200, "pfnmap";
        /// The driver wants to know when it goes.
        HOOK = 0x400, "hook";
        /// Its pages are promised, though its permissions do not tell: it could be written to once.
        ACCOUNT = 0x800, "account";
        /// Shares its pages with the parent that it was forked from.
        INHERITED = 0x1000, "inherited";
        /// Read from low to high.
        SEQREAD = 0x2000, "seqread";
        /// Read here and there.
        RANDREAD = 0x4000, "randread";
        /// Not in a dump.
        DONTDUMP = 0x8000, "dontdump";
        /// Equal pages may be one.
        MERGEABLE = 0x1_0000, "mergeable";
        /// Huge pages are wanted.
        HUGEPAGE = 0x2_0000, "hugepage";
        /// Huge pages are not wanted.
        NOHUGEPAGE = 0x4_0000, "nohugepage";
        /// Empty in a child.
        WIPEONFORK = 0x8_0000, "wipeonfork";
        /// Made of huge pages.
        HUGETLB = 0x10_0000, "hugetlb";
        /// Some pages without a description.
        MIXEDMAP = 0x20_0000, "mixedmap";
        /// Its pages may be dropped.
        DROPPABLE = 0x40_0000, "droppable";
        /// Locked in memory, each page when it is touched.
        LOCKONFAULT = 0x80_0000, "lockonfault";
        /// What is written to it reaches persistent memory before the write ends.
        SYNC = 0x1_0000_0000, "sync";
    }
}

impl AreaFlags {
    /// The bits that hold which of the sizes of huge pages it is, from 1; 0 is the usual size, or no huge pages.
    const HUGE_SHIFT: u32 = 24;
    /// The size of its huge pages.
    pub const HUGE: Self = Self(0xf << Self::HUGE_SHIFT);

    /// The bits that hold the number of a protection key.
    const PKEY_SHIFT: u32 = 28;
    /// Its protection key.
    pub const PKEY: Self = Self(0xf << Self::PKEY_SHIFT);

    /// The set of these bits, and the bits that have no word.
    #[must_use]
    pub fn from_bits(bits: u64) -> (Self, u64) {
        let size = Self(bits).huge_size();
        let sized = if size.is_some_and(|(power, _)| USUAL_HUGE_PAGE != 1 << power) { Self::HUGE } else { Self::EMPTY };
        let known = Self::WORDS.iter().fold(sized.union(Self::PKEY).0, |known, (bit, _)| known | bit);
        (Self(bits & known), bits & !known)
    }

    /// The flags of an area that has this protection key, below 16, and no other flag.
    #[must_use]
    pub const fn of_pkey(key: u8) -> Self {
        Self((key as u64) << Self::PKEY_SHIFT)
    }

    /// The number of its protection key.
    #[must_use]
    pub const fn pkey(self) -> u8 {
        (self.0 >> Self::PKEY_SHIFT & 0xf) as u8
    }

    /// The flags of an area of huge pages of so many bytes: a word more where they are not of the usual size, 2 MiB.
    #[must_use]
    pub fn of_huge_pages(bytes: u64) -> Self {
        let is_it = |(_, (power, _)): &(u64, (u32, &str))| bytes == 1 << power && bytes != USUAL_HUGE_PAGE;
        let which = (1..).zip(MapFlags::HUGE_SIZES).find(is_it).map_or(0, |(which, _)| which);
        Self(Self::HUGETLB.0 | which << Self::HUGE_SHIFT)
    }

    /// How many bytes its huge pages have; `None` if it has none.
    #[must_use]
    pub fn huge_page_bytes(self) -> Option<u64> {
        self.contains(Self::HUGETLB).then(|| self.huge_size().map_or(USUAL_HUGE_PAGE, |(power, _)| 1 << power))
    }

    /// The size that has a word of its own.
    fn huge_size(self) -> Option<(u32, &'static str)> {
        let which = usize::try_from(self.intersection(Self::HUGE).0 >> Self::HUGE_SHIFT).ok()?.checked_sub(1)?;
        MapFlags::HUGE_SIZES.get(which).copied()
    }

    /// Reads `-` or a comma list; each word at most once, at most one size of huge pages, and a protection key that is not 0.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self::EMPTY);
        }
        let (mut set, mut seen) = (Self::EMPTY, 0);
        for word in text.split(',') {
            let (bits, field) = Self::of_word(word)?;
            if seen & field.0 != 0 {
                return None;
            }
            (set, seen) = (set.union(bits), seen | field.0);
        }
        Some(set)
    }

    /// The bits of one word, and all those that it is about.
    fn of_word(word: &str) -> Option<(Self, Self)> {
        if let Some(key) = word.strip_prefix(PKEY) {
            let is_canonical = !key.starts_with(['0', '+']);
            let key = key.parse().ok().filter(|key| *key < 16_u8 && is_canonical)?;
            return Some((Self::of_pkey(key), Self::PKEY));
        }
        if let Some((power, _)) = MapFlags::HUGE_SIZES.into_iter().find(|(_, known)| *known == word) {
            return Some((Self::of_huge_pages(1 << power).intersection(Self::HUGE), Self::HUGE));
        }
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|&(bit, _)| (Self(bit), Self(bit)))
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the pages of an area like this are promised always: `account` says nothing new then.
    #[must_use]
    pub const fn is_promised(self, perm: Perm) -> bool {
        perm.contains(Perm::WRITE) && !perm.contains(Perm::SHARED) && self.0 & (Self::NORESERVE.0 | Self::HUGETLB.0) == 0
    }
}

impl fmt::Display for AreaFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Self::WORDS.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| *word);
        let key = (self.pkey() != 0).then(|| format!("{PKEY}{}", self.pkey()));
        write_list(f, words.chain(self.huge_size().map(|(_, word)| word)).chain(key.as_deref()))
    }
}
