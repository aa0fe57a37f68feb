//! Where there is room: the index's own answer. What rules a mapping is placed by is for who asks.

use super::MmWriteGuard;
use crate::addr::Span;
use crate::error::GapError;
use crate::lock::RawMmLock;
use crate::tree::GapQuery;

impl<P, L: RawMmLock> MmWriteGuard<'_, P, L> {
    /// Finds unmapped room, in whole pages or not. The guard gaps of stacks nearby are not kept free.
    ///
    /// # Complexity
    /// As [`WriteGuard::find_gap`](crate::map::WriteGuard::find_gap).
    ///
    /// # Errors
    /// [`GapError`]: the query makes no sense, or nothing fits.
    ///
    /// # Examples
    /// ```
    /// use vmaple::map::GapQuery;
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mm = Mm::new();
    /// let mut writer = mm.write();
    /// writer.map(0x10_0000..0x14_0000, VmaSpec::anonymous(VmaFlags::READ))?;
    /// let room = writer.find_gap(&GapQuery::new(0x1000).within(0x10_0000..0x20_0000))?;
    /// assert_eq!(room.start(), 0x14_0000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn find_gap(&self, query: &GapQuery) -> Result<Span, GapError> {
        self.guard.find_gap(query)
    }
}
