//! What a VMA is but for its bounds and its lock, and when two that touch are one: part 5 of `docs/semantics.md`, 5.7 to 5.9.

use super::flags::VmaFlags;
use super::record::Backing;
use crate::error::NameError;
use crate::sync::unique_numbers;

/// The name of an owner of the private pages of VMAs: Linux's `anon_vma`. The embedder's names are below 2^61. The library's own, which
/// [`unique`](Self::unique) returns, begin there.
///
/// # Examples
/// ```
/// use vmaple::mm::AnonOwner;
/// assert_eq!(AnonOwner::new(3)?.number(), 3);
/// assert!(AnonOwner::new(1 << 61).is_err());
/// # Ok::<(), vmaple::mm::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnonOwner(pub(crate) u64);

impl AnonOwner {
    /// Where the library's own names begin. They end at 2^62: two bits of a record's word are not the name's.
    const OWN: u64 = 1 << 61;

    /// Makes a name of the embedder's.
    ///
    /// # Errors
    /// [`NameError`]: the number is 2^61 or larger.
    pub const fn new(number: u64) -> Result<Self, NameError> {
        if number < Self::OWN { Ok(Self(number)) } else { Err(NameError::new(number, Self::OWN)) }
    }

    /// Returns a name that no other call returns.
    #[must_use]
    pub fn unique() -> Self {
        Self::uniques(1)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the first of `count` consecutive names that no other call returns.
    pub(crate) fn uniques(count: usize) -> Self {
        Self(Self::OWN | unique_numbers(count as u64))
    }
}

impl From<u32> for AnonOwner {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

/// An owner, and whether the VMA has it by a fork: then it shares pages with a parent, and merges less (5.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) id: AnonOwner,
    pub(crate) inherited: bool,
}

impl Owner {
    pub(crate) fn of(id: AnonOwner) -> Self {
        Self { id, inherited: false }
    }

    /// As a word; 0 is nobody.
    pub(super) fn word(owner: Option<Self>) -> u64 {
        owner.map_or(0, |Self { id, inherited }| id.0 << 2 | u64::from(inherited) << 1 | 1)
    }

    pub(super) fn of_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Self { id: AnonOwner(word >> 2), inherited: word & 2 != 0 })
    }

    /// 5.9: whether a VMA with the owner `target` can take in pages of `source`.
    pub(crate) fn takes_in(target: Option<Self>, source: Option<Self>) -> bool {
        match (target, source) {
            (None, None) => true,
            (Some(one), None) | (None, Some(one)) => !one.inherited,
            (Some(target), Some(source)) => target.id == source.id,
        }
    }

    /// 5.9: whether two VMAs agree that become one with a third between them.
    pub(crate) fn agree(prev: Option<Self>, next: Option<Self>) -> bool {
        prev.zip(next).is_none_or(|(prev, next)| prev.id == next.id)
    }
}

/// What a VMA is but for its bounds and its lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind<P> {
    pub(crate) flags: VmaFlags,
    pub(crate) backing: Backing,
    /// Offset minus address, in bytes, wrapping.
    pub(crate) linear_offset: u64,
    pub(crate) owner: Option<Owner>,
    pub(crate) payload: P,
}

impl<P> Kind<P> {
    /// The same with another payload.
    pub(crate) fn with<Q>(self, payload: Q) -> Kind<Q> {
        let Self { flags, backing, linear_offset, owner, payload: _ } = self;
        Kind { flags, backing, linear_offset, owner, payload }
    }

    /// The offset in what backs it, in bytes, of one of its addresses.
    pub(crate) fn offset_of(&self, address: u64) -> u64 {
        address.wrapping_add(self.linear_offset)
    }
}
