//! The flags of a VMA, with Linux's names and meaning.
//!
//! Called by all of `vma` and `mm`.

use crate::addr::{Access, PAGE_SIZE};
use crate::key::ProtectionKey;
use bitflags::bitflags;

/// The lowest of the four bits of the protection key, which are the highest bits.
const PKEY_SHIFT: u32 = 60;
/// The lowest of the six bits of the size of huge pages.
const HUGE_SHIFT: u32 = 54;

bitflags! {
    /// The flags of a VMA. The names and the meaning are Linux's (`VM_READ` and so on); the numbers are this crate's own.
    ///
    /// Numbers in parentheses are [rules](crate::docs::semantics).
    ///
    /// # Examples
    /// ```
    /// use vmaple::{Access, VmaFlags};
    /// let stack = VmaFlags::READ | VmaFlags::WRITE | VmaFlags::GROWSDOWN;
    /// assert!(stack.allows(Access::Write) && !stack.allows(Access::Exec));
    /// assert!(stack.is_stack() && !stack.is_data());
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct VmaFlags: u64 {
        /// The VMA may be read.
        const READ = 1;
        /// The VMA may be written.
        const WRITE = 1 << 1;
        /// The VMA may be executed.
        const EXEC = 1 << 2;
        /// What is written to the VMA is seen by everyone who maps the object.
        const SHARED = 1 << 3;
        /// The VMA may be made readable (`READ`).
        const MAYREAD = 1 << 4;
        /// The VMA may be made writable (`WRITE`).
        const MAYWRITE = 1 << 5;
        /// The VMA may be made executable (`EXEC`).
        const MAYEXEC = 1 << 6;
        /// The VMA may become shared.
        const MAYSHARE = 1 << 7;
        /// The VMA is a stack that grows to lower addresses.
        const GROWSDOWN = 1 << 8;
        /// The VMA is a stack that grows to higher addresses.
        const GROWSUP = 1 << 9;
        /// The VMA's pages stay in memory.
        const LOCKED = 1 << 10;
        /// The VMA's pages count against the limit on committed memory.
        const ACCOUNT = 1 << 11;
        /// The VMA is sealed: it cannot be changed any more, except that a stack may grow.
        const SEALED = 1 << 12;
        /// The VMA is not copied to a child in a fork.
        const DONTCOPY = 1 << 13;
        /// The VMA cannot be grown with `mremap`.
        const DONTEXPAND = 1 << 14;
        /// The VMA is empty in a child after a fork.
        const WIPEONFORK = 1 << 15;
        /// The VMA consists of huge pages.
        const HUGETLB = 1 << 16;
        /// The VMA maps a device.
        const IO = 1 << 17;
        /// The VMA maps pages that the kernel does not manage.
        const PFNMAP = 1 << 18;
        /// The VMA maps pages of both kinds: managed by the kernel and not.
        const MIXEDMAP = 1 << 19;
        /// The VMA's pages do not count against the limit on committed memory, if the system allows that.
        const NORESERVE = 1 << 20;
        /// The VMA will be read sequentially.
        const SEQ_READ = 1 << 21;
        /// The VMA will be read in random order.
        const RAND_READ = 1 << 22;
        /// The VMA is left out of core dumps.
        const DONTDUMP = 1 << 23;
        /// Equal pages of the VMA may be merged.
        const MERGEABLE = 1 << 24;
        /// Huge pages are wanted for the VMA.
        const HUGEPAGE = 1 << 25;
        /// Huge pages are not wanted for the VMA.
        const NOHUGEPAGE = 1 << 26;
        /// With `LOCKED`: the VMA's pages are brought into memory when they are first accessed, not before.
        const LOCKONFAULT = 1 << 27;
        /// The lowest bit of the VMA's protection key (8.1).
        const PKEY_BIT0 = 1 << PKEY_SHIFT;
        /// The second bit of the VMA's protection key.
        const PKEY_BIT1 = 1 << (PKEY_SHIFT + 1);
        /// The third bit of the VMA's protection key.
        const PKEY_BIT2 = 1 << (PKEY_SHIFT + 2);
        /// The highest bit of the VMA's protection key.
        const PKEY_BIT3 = 1 << (PKEY_SHIFT + 3);
        /// The kernel may drop the VMA's pages when memory is short (`MAP_DROPPABLE`).
        const DROPPABLE = 1 << 28;
        /// A page of the VMA is writable only once its metadata is in persistent memory (`MAP_SYNC`).
        const SYNC = 1 << 29;
        /// The size of the VMA's huge pages: [`huge_page_bytes`](Self::huge_page_bytes).
        const HUGE_SIZE = 0x3f << HUGE_SHIFT;

        /// The flags whose VMAs never merge (5.7).
        const SPECIAL = Self::IO.bits() | Self::DONTEXPAND.bits() | Self::PFNMAP.bits() | Self::MIXEDMAP.bits();
        /// The flags that say whether and how the VMA's pages are locked in memory.
        const LOCKED_MASK = Self::LOCKED.bits() | Self::LOCKONFAULT.bits();
        /// The VMA's protection key: [`pkey`](Self::pkey).
        const PKEY_MASK = 0xf << PKEY_SHIFT;
        /// The flags of access: read, write and execute.
        const ACCESS = Self::READ.bits() | Self::WRITE.bits() | Self::EXEC.bits();
    }
}

impl VmaFlags {
    /// Returns whether these flags allow any access. A VMA that allows none does not need the guard gap between it and a stack.
    ///
    /// [Rule 2.3](crate::docs::semantics#2-growth).
    #[must_use]
    pub const fn is_accessible(self) -> bool {
        self.intersects(Self::READ.union(Self::WRITE).union(Self::EXEC))
    }

    /// Returns whether a VMA with these flags counts as stack: it grows, in either direction.
    #[must_use]
    pub const fn is_stack(self) -> bool {
        self.intersects(Self::GROWSDOWN.union(Self::GROWSUP))
    }

    /// Returns whether a VMA with these flags counts as data: writable, private, and not a stack.
    #[must_use]
    pub const fn is_data(self) -> bool {
        self.contains(Self::WRITE) && !self.contains(Self::SHARED) && !self.is_stack()
    }

    /// Returns whether a VMA with these flags counts as code: executable, not writable, and not a stack.
    #[must_use]
    pub const fn is_exec(self) -> bool {
        self.contains(Self::EXEC) && !self.contains(Self::WRITE) && !self.is_stack()
    }

    /// Returns the protection key in these flags.
    #[must_use]
    pub const fn pkey(self) -> ProtectionKey {
        ProtectionKey::from_low_bits(self.bits() >> PKEY_SHIFT)
    }

    /// Returns these flags with another protection key.
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::ProtectionKey;
    /// use vmaple::VmaFlags;
    /// let key = ProtectionKey::new(5).expect("a key");
    /// let flags = VmaFlags::READ.with_pkey(key);
    /// assert_eq!((flags.pkey(), flags - VmaFlags::PKEY_MASK), (key, VmaFlags::READ));
    /// ```
    #[must_use]
    pub const fn with_pkey(self, key: ProtectionKey) -> Self {
        Self::from_bits_retain(self.difference(Self::PKEY_MASK).bits() | (key.number() as u64) << PKEY_SHIFT)
    }

    /// Returns whether the only permission in these flags is to execute.
    #[must_use]
    pub(crate) const fn is_exec_alone(self) -> bool {
        self.intersection(Self::ACCESS).bits() == Self::EXEC.bits()
    }

    /// Returns the flags of memory that consists of huge pages of this size in bytes.
    ///
    /// `HUGETLB` alone is memory of the system's default size ([`Limits::hugetlb_bytes`](crate::mm::Limits::hugetlb_bytes)). The flags of a
    /// VMA always say the size.
    ///
    /// # Panics
    /// If the size is not a power of two, or less than a page.
    ///
    /// # Examples
    /// ```
    /// use vmaple::VmaFlags;
    /// let flags = VmaFlags::READ | VmaFlags::of_huge_pages(1 << 30);
    /// assert_eq!(flags.huge_page_bytes(), Some(1 << 30));
    /// assert_eq!(VmaFlags::HUGETLB.huge_page_bytes(), None);
    /// ```
    #[must_use]
    pub const fn of_huge_pages(bytes: u64) -> Self {
        assert!(bytes.is_power_of_two() && bytes >= PAGE_SIZE, "the size of huge pages is a power of two, of a page at least");
        let power = bytes.trailing_zeros() as u64;
        Self::from_bits_retain(Self::HUGETLB.bits() | power << HUGE_SHIFT)
    }

    /// Returns the size of the VMA's huge pages in bytes, or `None` if it has none or their size is the system's default.
    #[must_use]
    pub const fn huge_page_bytes(self) -> Option<u64> {
        let power = self.bits() >> HUGE_SHIFT & 0x3f;
        if self.contains(Self::HUGETLB) && power != 0 { Some(1 << power) } else { None }
    }

    /// Returns the first access that these flags allow although their `MAY` flags forbid it.
    #[must_use]
    pub(crate) fn beyond_may(self) -> Option<Access> {
        [(Self::READ, Self::MAYREAD, Access::Read), (Self::WRITE, Self::MAYWRITE, Access::Write), (Self::EXEC, Self::MAYEXEC, Access::Exec)]
            .into_iter()
            .find_map(|(has, may, access)| (self.contains(has) && !self.contains(may)).then_some(access))
    }

    /// Returns whether these flags allow this access.
    ///
    /// A VMA that can be written or executed can be read, as on x86. A protection key may deny the access nevertheless; see
    /// [`KeyRights::allows`](crate::mm::KeyRights::allows).
    #[must_use]
    pub const fn allows(self, access: Access) -> bool {
        match access {
            Access::Read => self.is_accessible(),
            Access::Write => self.contains(Self::WRITE),
            Access::Exec => self.contains(Self::EXEC),
        }
    }
}
