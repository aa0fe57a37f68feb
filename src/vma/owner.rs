//! The owners of private pages, and whether two owners allow a merge (5.9 in `docs/semantics.md`).
//!
//! Called by `spec` and `record`, which keep an owner, and by the operations of `mm`, which compare owners.

use crate::error::IdError;
use crate::sync::unique_numbers;

/// Identifies an owner of private pages: Linux's `anon_vma`.
///
/// The embedder's ids are below 2^61. From there on are the library's own, which [`unique`](Self::unique) returns.
///
/// # Examples
/// ```
/// use vmaple::mm::AnonOwner;
/// assert_eq!(AnonOwner::new(3)?.number(), 3);
/// assert!(AnonOwner::new(1 << 61).is_err());
/// # Ok::<(), vmaple::mm::IdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnonOwner(pub(crate) u64);

impl AnonOwner {
    /// The first of the library's own ids. They are below 2^62, because a record keeps an id and two more bits in one word.
    const OWN: u64 = 1 << 61;

    /// Creates an id of the embedder's.
    ///
    /// # Errors
    /// [`IdError`]: the number is 2^61 or larger.
    pub const fn new(number: u64) -> Result<Self, IdError> {
        if number < Self::OWN { Ok(Self(number)) } else { Err(IdError::new(number, Self::OWN)) }
    }

    /// Returns an id that no other call returns.
    #[must_use]
    pub fn unique() -> Self {
        Self::uniques(1)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the first of `count` consecutive ids that no other call returns.
    pub(crate) fn uniques(count: usize) -> Self {
        Self(Self::OWN | unique_numbers(count as u64))
    }
}

impl From<u32> for AnonOwner {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

/// An owner, and whether the VMA inherited it in a fork. If so, it shares pages with a parent, and merges with fewer VMAs (5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: AnonOwner,
    pub(crate) inherited: bool,
}

impl Owner {
    /// Returns an owner that was not inherited.
    pub(crate) fn of(id: AnonOwner) -> Self {
        Self { id, inherited: false }
    }

    /// Returns an owner as a word. 0 is no owner.
    pub(super) fn to_bits(owner: Option<Self>) -> u64 {
        owner.map_or(0, |Self { id, inherited }| id.0 << 2 | u64::from(inherited) << 1 | 1)
    }

    /// Returns the owner of a word, or `None` if it is 0.
    pub(super) fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self { id: AnonOwner(bits >> 2), inherited: bits & 2 != 0 })
    }

    /// Returns whether the owners of two adjacent VMAs allow a merge (5.9).
    #[inline]
    pub(crate) fn allow_merge(one: Option<Self>, other: Option<Self>) -> bool {
        match (one, other) {
            (None, None) => true,
            (Some(owner), None) | (None, Some(owner)) => !owner.inherited,
            (Some(one), Some(other)) => one.id == other.id,
        }
    }

    /// Returns whether the owners of two VMAs allow that both merge with a third one between them (5.9).
    #[inline]
    pub(crate) fn agree(prev: Option<Self>, next: Option<Self>) -> bool {
        prev.zip(next).is_none_or(|(prev, next)| prev.id == next.id)
    }
}
