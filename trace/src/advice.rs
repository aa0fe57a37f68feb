//! The advices of `madvise`: their words and their numbers. Called by `line` (from text) and by recorders (from numbers).

use std::fmt;

/// An advice of `madvise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Advice(u8);

impl Advice {
    const WORDS: [(u8, &'static str); 27] = [
        (0, "normal"),
        (1, "random"),
        (2, "sequential"),
        (3, "willneed"),
        (4, "dontneed"),
        (8, "free"),
        (9, "remove"),
        (10, "dontfork"),
        (11, "dofork"),
        (12, "mergeable"),
        (13, "unmergeable"),
        (14, "hugepage"),
        (15, "nohugepage"),
        (16, "dontdump"),
        (17, "dodump"),
        (18, "wipeonfork"),
        (19, "keeponfork"),
        (20, "cold"),
        (21, "pageout"),
        (22, "populate_read"),
        (23, "populate_write"),
        (24, "dontneed_locked"),
        (25, "collapse"),
        (100, "hwpoison"),
        (101, "soft_offline"),
        (102, "guard_install"),
        (103, "guard_remove"),
    ];

    /// Returns the advice with this number; `None` if the format has no word for it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(known, _)| u64::from(*known) == number)?;
        Some(Self(found.0))
    }

    /// Returns Linux's number of the advice.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Returns whether the advice changes flags of areas, and so may split or merge them, or gives them pages of their own.
    #[must_use]
    pub fn changes_layout(self) -> bool {
        matches!(self.0, 0..=2 | 10..=19) || self.gives_owners()
    }

    /// Returns whether the advice gives pages of their own to private areas without a page fault: `populate_write`, `guard_install`.
    #[must_use]
    pub fn gives_owners(self) -> bool {
        matches!(self.0, 23 | 102)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let found = Self::WORDS.iter().find(|(_, word)| *word == text)?;
        Some(Self(found.0))
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(number, _)| *number == self.0);
        f.write_str(word.map_or("normal", |(_, word)| word))
    }
}
