//! The flags of an area, apart from its permissions: their words and bits. Called by `line`, `marks`, `show` and recorders.

use super::Perm;
use super::words::{MapFlags, read_list, word_set, write_list};
use std::fmt;

/// The default size of a huge page in bytes.
const USUAL_HUGE_PAGE: u64 = 2 << 20;

/// The prefix of a protection key among an area's flags.
const PKEY: &str = "pkey:";

word_set! {
    /// The properties of an area that its permissions do not show.
    AreaFlags: u64 {
        /// Page faults grow it downward.
        GROWSDOWN = 1, "growsdown";
        /// Page faults grow it upward.
        GROWSUP = 2, "growsup";
        /// Its pages are locked in memory.
        LOCKED = 4, "locked";
        /// Its pages are not accounted.
        NORESERVE = 8, "noreserve";
        /// A forked child does not get it.
        DONTCOPY = 0x10, "dontcopy";
        /// `mremap` may not make it longer.
        DONTEXPAND = 0x20, "dontexpand";
        /// It may not be changed (`mseal`).
        SEALED = 0x40, "sealed";
        /// It has private pages of its own.
        FAULTED = 0x80, "faulted";
        /// It maps memory of a device.
        IO = 0x100, "io";
        /// Its pages have no `struct page`.
        PFNMAP = 0x200, "pfnmap";
        /// Its driver has a close hook.
        HOOK = 0x400, "hook";
        /// Its pages are accounted although its permissions do not show why: it was writable before.
        ACCOUNT = 0x800, "account";
        /// It shares its pages with the parent that it was forked from.
        INHERITED = 0x1000, "inherited";
        /// Pages are expected to be read in order.
        SEQREAD = 0x2000, "seqread";
        /// Pages are expected to be read in random order.
        RANDREAD = 0x4000, "randread";
        /// It is left out of core dumps.
        DONTDUMP = 0x8000, "dontdump";
        /// Equal pages may be merged.
        MERGEABLE = 0x1_0000, "mergeable";
        /// Huge pages are preferred.
        HUGEPAGE = 0x2_0000, "hugepage";
        /// Huge pages are not allowed.
        NOHUGEPAGE = 0x4_0000, "nohugepage";
        /// A forked child gets it empty.
        WIPEONFORK = 0x8_0000, "wipeonfork";
        /// It consists of huge pages.
        HUGETLB = 0x10_0000, "hugetlb";
        /// Some of its pages have no `struct page`.
        MIXEDMAP = 0x20_0000, "mixedmap";
        /// The kernel may drop its pages.
        DROPPABLE = 0x40_0000, "droppable";
        /// Each page is locked in memory at its first access.
        LOCKONFAULT = 0x80_0000, "lockonfault";
        /// Writes reach persistent memory before they complete.
        SYNC = 0x1_0000_0000, "sync";
    }
}

impl AreaFlags {
    /// The lowest of the bits with the index of the size of huge pages, from 1; 0 is the default size, or no huge pages.
    const HUGE_SHIFT: u32 = 24;
    /// The bits with the size of its huge pages.
    pub const HUGE: Self = Self(0xf << Self::HUGE_SHIFT);

    /// The lowest of the bits with the protection key.
    const PKEY_SHIFT: u32 = 28;
    /// The bits with its protection key.
    pub const PKEY: Self = Self(0xf << Self::PKEY_SHIFT);

    /// Returns the flags that have a word, and the remaining bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> (Self, u64) {
        let size = Self(bits).huge_size();
        let sized = if size.is_some_and(|(power, _)| USUAL_HUGE_PAGE != 1 << power) { Self::HUGE } else { Self::EMPTY };
        let known = Self::WORDS.iter().fold(sized.union(Self::PKEY).0, |known, (bit, _)| known | bit);
        (Self(bits & known), bits & !known)
    }

    /// Returns the flags of an area with this protection key, which is below 16, and without other flags.
    #[must_use]
    pub const fn of_pkey(key: u8) -> Self {
        Self((key as u64) << Self::PKEY_SHIFT)
    }

    /// Returns the number of its protection key.
    #[must_use]
    pub const fn pkey(self) -> u8 {
        (self.0 >> Self::PKEY_SHIFT & 0xf) as u8
    }

    /// Returns the flags of an area of huge pages of this size in bytes. A size other than the default, 2 MiB, has a word of its own.
    #[must_use]
    pub fn of_huge_pages(bytes: u64) -> Self {
        let is_it = |(_, (power, _)): &(u64, (u32, &str))| bytes == 1 << power && bytes != USUAL_HUGE_PAGE;
        let which = (1..).zip(MapFlags::HUGE_SIZES).find(is_it).map_or(0, |(which, _)| which);
        Self(Self::HUGETLB.0 | which << Self::HUGE_SHIFT)
    }

    /// Returns the size of its huge pages in bytes; `None` if it has none.
    #[must_use]
    pub fn huge_page_bytes(self) -> Option<u64> {
        self.contains(Self::HUGETLB).then(|| self.huge_size().map_or(USUAL_HUGE_PAGE, |(power, _)| 1 << power))
    }

    /// Returns the size of its huge pages if it is not the default: the power of two, and the word.
    fn huge_size(self) -> Option<(u32, &'static str)> {
        let which = usize::try_from(self.intersection(Self::HUGE).0 >> Self::HUGE_SHIFT).ok()?.checked_sub(1)?;
        MapFlags::HUGE_SIZES.get(which).copied()
    }

    /// Reads `-` or a comma list. Each word may occur once, and so may a size of huge pages and a protection key, which must not be 0.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        read_list(text, |word| Self::of_word(word).map(|(bits, field)| (bits.0, field.0))).map(Self)
    }

    /// Returns the bits of one word, and the bits of the field that it sets.
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

    /// Returns the flags in `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the flags in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns whether pages of an area with these flags and permissions are always accounted, so that `account` adds nothing.
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
