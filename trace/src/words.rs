//! Sets of bits with a word for each bit: protections, flags, capabilities. The bits are Linux's on x86-64, except those
//! of `AreaFlags`, which are the format's own.
//!
//! Called by `line` (from text), `show` (to text) and by recorders (from the arguments of system calls).

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// Defines a set of bits with a word for each.
macro_rules! word_set {
    ($(#[$about:meta])* $name:ident: $bits:ty { $($(#[$doc:meta])* $konst:ident = $value:literal, $word:literal;)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name($bits);

        impl $name {
            $($(#[$doc])* pub const $konst: Self = Self($value);)*

            /// The empty set.
            pub const EMPTY: Self = Self(0);

            /// Every word of the format with its bits.
            const WORDS: &'static [($bits, &'static str)] = &[$(($value, $word)),*];

            /// Returns the bits.
            #[must_use]
            pub const fn bits(self) -> $bits {
                self.0
            }

            /// Returns whether `self` contains all of `other`.
            #[must_use]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Returns the bits in either.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Returns whether the set is empty.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }
        }
    };
}

pub(super) use word_set;

/// Implements the text of a set in which every word is one bit: `-`, or words joined by commas.
macro_rules! comma_list {
    ($name:ident: $bits:ty) => {
        impl $name {
            /// Returns the bits that have a word, and the remaining bits.
            #[must_use]
            pub fn from_bits(bits: $bits) -> (Self, $bits) {
                let known = Self::WORDS.iter().fold(0, |known, (bit, _)| known | bit);
                (Self(bits & known), bits & !known)
            }

            /// Reads `-` or a comma list. Each word may occur once.
            pub(crate) fn from_text(text: &str) -> Option<Self> {
                read_list(text, |word| Self::WORDS.iter().find(|(_, known)| *known == word).map(|&(bit, _)| (bit, bit))).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_list(f, Self::WORDS.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, word)| *word))
            }
        }
    };
}

/// Reads `-` or a comma list. `of_word` returns the bits of a word and those of its field, which no other word may set.
pub(super) fn read_list<B>(text: &str, of_word: impl Fn(&str) -> Option<(B, B)>) -> Option<B>
where
    B: Copy + Default + PartialEq + BitAnd<Output = B> + BitOr<Output = B>,
{
    let (mut set, mut seen) = (B::default(), B::default());
    if text == "-" {
        return Some(set);
    }
    for word in text.split(',') {
        let (bits, field) = of_word(word)?;
        if seen & field != B::default() {
            return None;
        }
        (set, seen) = (set | bits, seen | field);
    }
    Some(set)
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
    /// The protection that a call asks for.
    Prot: u32 {
        /// Readable.
        READ = 1, "r";
        /// Writable.
        WRITE = 2, "w";
        /// Executable.
        EXEC = 4, "x";
        /// Usable for atomic operations; has no effect on most machines.
        SEM = 8, "sem";
        /// The change extends down to the start of the area, which must grow down.
        GROWSDOWN = 0x0100_0000, "growsdown";
        /// The change extends up to the end of the area, which must grow up.
        GROWSUP = 0x0200_0000, "growsup";
    }
}

impl Prot {
    /// Returns the bits that have a word, and the remaining bits.
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
        /// Shared. Contained in `shared_validate`, too: use [`MapFlags::is_shared`].
        SHARED = 1, "shared";
        /// Private. Contained in `shared_validate`, too: use [`MapFlags::is_private`].
        PRIVATE = 2, "private";
        /// Shared, and unknown flags are an error.
        SHARED_VALIDATE = 3, "shared_validate";
        /// Private, and the kernel may drop the pages.
        DROPPABLE = 8, "droppable";
        /// At exactly this address, replacing what is there.
        FIXED = 0x10, "fixed";
        /// Anonymous memory.
        ANONYMOUS = 0x20, "anonymous";
        /// In the lowest 2 GiB.
        LOW_32BIT = 0x40, "32bit";
        /// Above the lowest 4 GiB.
        ABOVE4G = 0x80, "above4g";
        /// Page faults grow it downward.
        GROWSDOWN = 0x100, "growsdown";
        /// Ignored by the kernel.
        DENYWRITE = 0x800, "denywrite";
        /// Ignored by the kernel.
        EXECUTABLE = 0x1000, "executable";
        /// Locked in memory.
        LOCKED = 0x2000, "locked";
        /// Not accounted.
        NORESERVE = 0x4000, "noreserve";
        /// With all pages present.
        POPULATE = 0x8000, "populate";
        /// With `populate`: only pages that need no waiting.
        NONBLOCK = 0x1_0000, "nonblock";
        /// Ignored by the kernel.
        STACK = 0x2_0000, "stack";
        /// Consists of huge pages. The size may follow as `huge_2mb` or similar.
        HUGETLB = 0x4_0000, "hugetlb";
        /// Writes reach persistent memory.
        SYNC = 0x8_0000, "sync";
        /// At exactly this address; an error if something is there.
        FIXED_NOREPLACE = 0x10_0000, "fixed_noreplace";
    }
}

impl MapFlags {
    /// The bits of the kind of mapping, which hold one value.
    const KIND: u32 = 15;
    /// The lowest of the bits with the size of huge pages, as a power of two.
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

    /// Returns the requested size of huge pages in bytes; `None` if no size is given.
    #[must_use]
    pub fn huge_page_bytes(self) -> Option<u64> {
        let power = self.0 >> Self::HUGE_SHIFT;
        (self.contains(Self::HUGETLB) && power != 0).then(|| 1 << power)
    }

    /// Returns these flags without huge pages.
    #[must_use]
    pub const fn without_huge_pages(self) -> Self {
        Self(self.0 & !(Self::HUGETLB.0 | !0 << Self::HUGE_SHIFT))
    }

    /// Returns the flags of a mapping of huge pages of this size in bytes, a power of two.
    #[must_use]
    pub const fn of_huge_pages(bytes: u64) -> Self {
        Self(Self::HUGETLB.0 | bytes.trailing_zeros() << Self::HUGE_SHIFT)
    }

    /// Returns the flags that have a word, and the remaining bits.
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

    /// Returns whether every mapping of the object sees writes.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self.0 & Self::KIND, 1 | 3)
    }

    /// Returns whether writes stay private to this mapping.
    #[must_use]
    pub fn is_private(self) -> bool {
        matches!(self.0 & Self::KIND, 2 | 8)
    }

    /// Returns whether the kernel may drop its pages.
    #[must_use]
    pub fn is_droppable(self) -> bool {
        self.0 & Self::KIND == Self::DROPPABLE.0
    }

    /// Reads `-` or a comma list with at most one kind and at most one size of huge pages.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let of_word = |word: &str| {
            if let Some(&(value, _)) = Self::WORDS.iter().find(|(_, known)| *known == word) {
                return Some((value, if value & Self::KIND == 0 { value } else { Self::KIND }));
            }
            let &(power, _) = Self::HUGE_SIZES.iter().find(|(_, known)| *known == word)?;
            Some((u32::try_from(u64::from(power) << Self::HUGE_SHIFT).ok()?, !0 << Self::HUGE_SHIFT))
        };
        read_list(text, of_word).map(Self)
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
        /// The area may be moved.
        MAYMOVE = 1, "maymove";
        /// The area is moved to the given address.
        FIXED = 2, "fixed";
        /// The old range stays mapped, without pages.
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
        /// Each page at its first access.
        ONFAULT = 4, "onfault";
    }
}
comma_list!(LockAllFlags: u32);

word_set! {
    /// The flags of `mlock2`.
    LockFlags: u32 {
        /// Each page at its first access.
        ONFAULT = 1, "onfault";
    }
}
comma_list!(LockFlags: u32);

word_set! {
    /// The capabilities that the rules of an address space ask for.
    Capabilities: u64 {
        /// May lock any amount of memory.
        IPC_LOCK = 0x4000, "ipc_lock";
        /// May map below the lowest address.
        SYS_RAWIO = 0x2_0000, "sys_rawio";
    }
}
comma_list!(Capabilities: u64);

impl Capabilities {
    /// All capabilities that have a word.
    pub const ALL: Self = Self::IPC_LOCK.union(Self::SYS_RAWIO);
}
