//! The words of the format that stand for bits: protections, flags and advices, with Linux's values of x86-64.
//!
//! The recorder makes them from the arguments of system calls and the reader from text; nobody is called.

use std::fmt;

/// Makes a set of bits with a word for each.
macro_rules! word_set {
    ($(#[$about:meta])* $name:ident: $bits:ty { $($(#[$doc:meta])* $konst:ident = $value:literal, $word:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name($bits);

        impl $name {
            $($(#[$doc])* pub const $konst: Self = Self($value);)*

            /// Nothing set.
            pub const EMPTY: Self = Self(0);

            /// Every word of the format with its bits.
            const WORDS: &'static [($bits, &'static str)] = &[$(($value, $word)),*];

            /// The bits, with Linux's values.
            #[must_use]
            pub const fn bits(self) -> $bits {
                self.0
            }

            /// Whether all of `other` is in `self`.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// What is in either.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether nothing is set.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }
    };
}

pub(super) use word_set;

/// Gives a plain set of bits (every word one bit of its own) its text: `-` or words joined by commas.
macro_rules! comma_list {
    ($name:ident: $bits:ty) => {
        impl $name {
            /// The set of these bits, and the bits that have no word.
            #[must_use]
            pub fn from_bits(bits: $bits) -> (Self, $bits) {
                let known = Self::WORDS.iter().fold(0, |known, (bit, _)| known | bit);
                (Self(bits & known), bits & !known)
            }

            /// Reads `-` or a comma list; each word at most once.
            pub(crate) fn from_text(text: &str) -> Option<Self> {
                if text == "-" {
                    return Some(Self::EMPTY);
                }
                let mut set = Self::EMPTY;
                for word in text.split(',') {
                    let &(bit, _) = Self::WORDS.iter().find(|(_, known)| *known == word)?;
                    if set.0 & bit != 0 {
                        return None;
                    }
                    set.0 |= bit;
                }
                Some(set)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_list(f, Self::WORDS.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| *word))
            }
        }
    };
}

pub(super) fn write_list<'a>(f: &mut fmt::Formatter<'_>, words: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut before = "";
    for word in words {
        write!(f, "{before}{word}")?;
        before = ",";
    }
    if before.is_empty() { f.write_str("-") } else { Ok(()) }
}

word_set! {
    /// The protection that `mmap` and `mprotect` ask for.
    Prot: u32 {
        /// May be read.
        READ = 1, "r";
        /// May be written.
        WRITE = 2, "w";
        /// May be executed.
        EXEC = 4, "x";
        /// May hold atomic operations; means nothing on most machines.
        SEM = 8, "sem";
        /// The change reaches down to the start of the area, which must grow down.
        GROWSDOWN = 0x0100_0000, "growsdown";
        /// The change reaches up to the end of the area, which must grow up.
        GROWSUP = 0x0200_0000, "growsup";
    }
}

impl Prot {
    /// The protection of these bits, and the bits that have no word.
    #[must_use]
    pub fn from_bits(bits: u32) -> (Self, u32) {
        let known = Self::WORDS.iter().fold(0, |known, (bit, _)| known | bit);
        (Self(bits & known), bits & !known)
    }

    /// Reads `none` or letters of `rwx`, then other words after commas.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut set = 0;
        for (place, word) in text.split(',').enumerate() {
            let added = match word {
                "none" if place == 0 => continue,
                "sem" => Self::SEM.0,
                "growsdown" => Self::GROWSDOWN.0,
                "growsup" => Self::GROWSUP.0,
                letters if place == 0 && !letters.is_empty() => letters.chars().try_fold(0, |letters, letter| {
                    let bit = match letter {
                        'r' => Self::READ.0,
                        'w' => Self::WRITE.0,
                        'x' => Self::EXEC.0,
                        _ => return None,
                    };
                    (letters & bit == 0).then_some(letters | bit)
                })?,
                _ => return None,
            };
            if set & added != 0 {
                return None;
            }
            set |= added;
        }
        Some(Self(set))
    }
}

impl fmt::Display for Prot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letters, others) = Self::WORDS.split_at(3);
        let mut text: String = letters.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, letter)| *letter).collect();
        if text.is_empty() {
            text.push_str("none");
        }
        f.write_str(&text)?;
        for (_, word) in others.iter().filter(|(bit, _)| self.0 & bit != 0) {
            write!(f, ",{word}")?;
        }
        Ok(())
    }
}

word_set! {
    /// The flags of `mmap`.
    MapFlags: u32 {
        /// Shared. Also a part of `shared_validate`: ask with [`MapFlags::is_shared`].
        SHARED = 1, "shared";
        /// Private. Also a part of `shared_validate`: ask with [`MapFlags::is_private`].
        PRIVATE = 2, "private";
        /// Shared, and unknown flags are refused.
        SHARED_VALIDATE = 3, "shared_validate";
        /// Private, and the kernel may drop the pages.
        DROPPABLE = 8, "droppable";
        /// At that address, whatever was there.
        FIXED = 0x10, "fixed";
        /// No file.
        ANONYMOUS = 0x20, "anonymous";
        /// In the lowest 2 GiB.
        LOW_32BIT = 0x40, "32bit";
        /// Above the lowest 4 GiB.
        ABOVE4G = 0x80, "above4g";
        /// Grows down by faults.
        GROWSDOWN = 0x100, "growsdown";
        /// Ignored by the kernel.
        DENYWRITE = 0x800, "denywrite";
        /// Ignored by the kernel.
        EXECUTABLE = 0x1000, "executable";
        /// Locked in memory.
        LOCKED = 0x2000, "locked";
        /// Not accounted for.
        NORESERVE = 0x4000, "noreserve";
        /// Faulted in at once.
        POPULATE = 0x8000, "populate";
        /// With `populate`: only what needs no waiting.
        NONBLOCK = 0x1_0000, "nonblock";
        /// Ignored by the kernel.
        STACK = 0x2_0000, "stack";
        /// Huge pages; the size may follow as `huge_2mb` or the like.
        HUGETLB = 0x4_0000, "hugetlb";
        /// Writes reach persistent memory.
        SYNC = 0x8_0000, "sync";
        /// At that address, and only if nothing is there.
        FIXED_NOREPLACE = 0x10_0000, "fixed_noreplace";
    }
}

impl MapFlags {
    /// The bits that hold one value of the kind of mapping.
    const KIND: u32 = 15;
    /// The bits that hold the size of huge pages, as the power of two.
    const HUGE_SHIFT: u32 = 26;
    pub(super) const HUGE_SIZES: [(u32, &'static str); 13] = [
        (14, "huge_16kb"),
        (16, "huge_64kb"),
        (19, "huge_512kb"),
        (20, "huge_1mb"),
        (21, "huge_2mb"),
        (23, "huge_8mb"),
        (24, "huge_16mb"),
        (25, "huge_32mb"),
        (28, "huge_256mb"),
        (29, "huge_512mb"),
        (30, "huge_1gb"),
        (31, "huge_2gb"),
        (34, "huge_16gb"),
    ];

    /// How many bytes the huge pages have that are asked for, if a size is.
    #[must_use]
    pub fn huge_page_bytes(self) -> Option<u64> {
        let power = self.0 >> Self::HUGE_SHIFT;
        (self.contains(Self::HUGETLB) && power != 0).then(|| 1 << power)
    }

    /// The same mapping, of ordinary pages.
    #[must_use]
    pub const fn without_huge_pages(self) -> Self {
        Self(self.0 & !(Self::HUGETLB.0 | !0 << Self::HUGE_SHIFT))
    }

    /// The flags of a mapping of huge pages of so many bytes, a power of two.
    #[must_use]
    pub const fn of_huge_pages(bytes: u64) -> Self {
        Self(Self::HUGETLB.0 | bytes.trailing_zeros() << Self::HUGE_SHIFT)
    }

    /// The flags of these bits, and the bits that have no word.
    #[must_use]
    pub fn from_bits(bits: u32) -> (Self, u32) {
        let kind = bits & Self::KIND;
        let size = bits >> Self::HUGE_SHIFT << Self::HUGE_SHIFT;
        let mut known = 0;
        for &(value, _) in Self::WORDS {
            if value & Self::KIND == 0 || value == kind {
                known |= value;
            }
        }
        if Self::HUGE_SIZES.iter().any(|&(power, _)| u64::from(power) << Self::HUGE_SHIFT == u64::from(size)) {
            known |= size;
        }
        (Self(bits & known), bits & !known)
    }

    /// Whether writes are seen by every mapping of the object.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self.0 & Self::KIND, 1 | 3)
    }

    /// Whether writes stay with this mapping.
    #[must_use]
    pub fn is_private(self) -> bool {
        matches!(self.0 & Self::KIND, 2 | 8)
    }

    /// Whether the kernel may drop its pages.
    #[must_use]
    pub fn is_droppable(self) -> bool {
        self.0 & Self::KIND == Self::DROPPABLE.0
    }

    /// Reads `-` or a comma list: one word for the kind at most, and one for the size of huge pages.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        if text == "-" {
            return Some(Self::EMPTY);
        }
        let mut set = 0;
        for word in text.split(',') {
            let field = if let Some(&(value, _)) = Self::WORDS.iter().find(|(_, known)| *known == word) {
                if value & Self::KIND == 0 { (value, value) } else { (value, Self::KIND) }
            } else {
                let &(power, _) = Self::HUGE_SIZES.iter().find(|(_, known)| *known == word)?;
                (u32::try_from(u64::from(power) << Self::HUGE_SHIFT).ok()?, !0 << Self::HUGE_SHIFT)
            };
            if set & field.1 != 0 {
                return None;
            }
            set |= field.0;
        }
        Some(Self(set))
    }
}

impl fmt::Display for MapFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = Self::WORDS.iter().filter(
            |&&(value, _)| {
                if value & Self::KIND == 0 { self.0 & value != 0 } else { self.0 & Self::KIND == value }
            },
        );
        let power = self.0 >> Self::HUGE_SHIFT;
        let sizes = Self::HUGE_SIZES.iter().filter(|&&(known, _)| known == power);
        write_list(f, words.chain(sizes).map(|(_, word)| *word))
    }
}

word_set! {
    /// The flags of `mremap`.
    RemapFlags: u32 {
        /// May be moved elsewhere.
        MAYMOVE = 1, "maymove";
        /// Must be moved to the new address.
        FIXED = 2, "fixed";
        /// The old range stays, empty.
        DONTUNMAP = 4, "dontunmap";
    }
}
comma_list!(RemapFlags: u32);

word_set! {
    /// The flags of `mlockall`.
    LockAllFlags: u32 {
        /// What is mapped now.
        CURRENT = 1, "current";
        /// What will be mapped.
        FUTURE = 2, "future";
        /// Only when a page is touched.
        ONFAULT = 4, "onfault";
    }
}
comma_list!(LockAllFlags: u32);

word_set! {
    /// The flags of `mlock2`.
    LockFlags: u32 {
        /// Only when a page is touched.
        ONFAULT = 1, "onfault";
    }
}
comma_list!(LockFlags: u32);

word_set! {
    /// What the callers of an address space may do beyond its limits: the capabilities of Linux that an address space asks for.
    Capabilities: u64 {
        /// Locks any amount of memory.
        IPC_LOCK = 0x4000, "ipc_lock";
        /// Maps below the lowest address.
        SYS_RAWIO = 0x2_0000, "sys_rawio";
    }
}
comma_list!(Capabilities: u64);

impl Capabilities {
    /// All that have a word.
    pub const ALL: Self = Self::IPC_LOCK.union(Self::SYS_RAWIO);
}
