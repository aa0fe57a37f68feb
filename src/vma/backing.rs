//! What a VMA maps: nothing but memory of its own, or an object.
//!
//! Called by `attrs` and `spec`, and by `mm` for mappings without an object of the caller's.

use super::flags::VmaFlags;
use crate::error::IdError;
use crate::sync::unique_numbers;

/// Identifies an object that VMAs map: a file, a device, shared memory.
///
/// The embedder's ids are below 2^63. From there on are the ids that the library gives to mappings without an object of the embedder's.
///
/// # Examples
/// ```
/// use vmaple::mm::ObjectId;
/// let inode = 0x1234_5678_9abc_u64;
/// assert_eq!(ObjectId::new(inode)?.number(), inode);
/// assert_eq!(ObjectId::from(7), ObjectId::new(7)?);
/// assert!(ObjectId::new(1 << 63).is_err());
/// # Ok::<(), vmaple::mm::IdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(u64);

impl ObjectId {
    /// The first of the library's own ids.
    const OWN: u64 = 1 << 63;

    /// Creates an id of the embedder's.
    ///
    /// # Errors
    /// [`IdError`]: the number is 2^63 or larger.
    pub const fn new(number: u64) -> Result<Self, IdError> {
        if number < Self::OWN { Ok(Self(number)) } else { Err(IdError::new(number, Self::OWN)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl From<u32> for ObjectId {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

/// What a VMA maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backing {
    /// Anonymous memory: its pages belong to the VMA alone.
    #[default]
    Anonymous,
    /// An object: the embedder's, or one that the library made for a private mapping of huge pages, whose id has the top bit set.
    Object(ObjectId),
    /// An object of shared memory: the embedder's, or one that the library made for a shared anonymous mapping, whose id has the top bit
    /// set. Its mappings are placed according to [`Limits::shared_huge_pages`](crate::mm::Limits::shared_huge_pages).
    SharedMemory(ObjectId),
}

impl Backing {
    /// Creates an object that no other mapping has, for a mapping with these flags.
    pub(crate) fn unnamed(flags: VmaFlags) -> Self {
        let object = ObjectId(ObjectId::OWN | unique_numbers(1));
        if flags.contains(VmaFlags::SHARED) { Self::SharedMemory(object) } else { Self::Object(object) }
    }
}
