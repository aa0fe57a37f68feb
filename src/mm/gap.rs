//! Unmapped ranges, as the index finds them. The rules by which `mmap` places a mapping are in `place.rs`.
//!
//! Called by embedders through the write guard.

use super::MmWriteGuard;
use crate::addr::Span;
use crate::error::GapError;
use crate::lock::RawMmLock;
use crate::tree::GapQuery;

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Returns an unmapped range that fits the query, in whole pages or not. The guard gaps of stacks nearby are not kept free.
    ///
    /// The search is exact: an aligned range that fits is found. Linux searches for the length plus the alignment, and so misses a gap that
    /// fits only because it starts at an aligned address. [`mmap`](Self::mmap) places mappings as Linux does; this search is deliberately
    /// better.
    ///
    /// # Complexity
    /// As [`WriteGuard::find_gap`](crate::map::WriteGuard::find_gap).
    ///
    /// # Errors
    /// [`GapError`]: the query is invalid, or nothing fits.
    ///
    /// # Examples
    /// ```
    /// use vmaple::map::GapQuery;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.insert(0x10_0000, 0x4_0000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// let room = writer.find_gap(&GapQuery::new(0x1000).within(0x10_0000..0x20_0000))?;
    /// assert_eq!(room.start(), 0x14_0000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_gap(&self, query: &GapQuery) -> Result<Span, GapError> {
        self.guard.find_gap(query)
    }
}
