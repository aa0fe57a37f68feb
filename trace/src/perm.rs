//! The permissions of an area, as /proc/PID/maps shows them. Called by `line` and `show`.

use std::fmt;
use std::str::FromStr;

/// The permissions of an area, and whether it is shared: `rw-p`, `r-xs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Perm(u8);

impl Perm {
    /// Private, with no access: `---p`.
    pub const NONE: Self = Self(0);
    /// Readable.
    pub const READ: Self = Self(1);
    /// Writable.
    pub const WRITE: Self = Self(2);
    /// Executable.
    pub const EXEC: Self = Self(4);
    /// Shared: every mapping of the object sees writes.
    pub const SHARED: Self = Self(8);

    /// Returns the permissions with these bits. Unknown bits are dropped.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 15)
    }

    /// Returns the bits: 1 for read, 2 for write, 4 for execute, 8 for shared.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Returns whether `self` has all permissions of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the permissions in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Perm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |bit, set, clear| if self.contains(bit) { set } else { clear };
        let text: String =
            [letter(Self::READ, 'r', '-'), letter(Self::WRITE, 'w', '-'), letter(Self::EXEC, 'x', '-'), letter(Self::SHARED, 's', 'p')]
                .into_iter()
                .collect();
        f.pad(&text)
    }
}

/// The error for text that is not four letters like `rw-p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsePermError;

impl fmt::Display for ParsePermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected permissions like `rw-p`")
    }
}

impl std::error::Error for ParsePermError {}

impl FromStr for Perm {
    type Err = ParsePermError;

    fn from_str(text: &str) -> Result<Self, ParsePermError> {
        let &[read, write, exec, shared] = text.as_bytes() else {
            return Err(ParsePermError);
        };
        let mut bits = 0;
        for (found, set, clear, bit) in [(read, b'r', b'-', 1), (write, b'w', b'-', 2), (exec, b'x', b'-', 4), (shared, b's', b'p', 8)] {
            if found == set {
                bits |= bit;
            } else if found != clear {
                return Err(ParsePermError);
            }
        }
        Ok(Self(bits))
    }
}
