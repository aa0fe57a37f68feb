//! What a VMA allows and is: Linux's names and meaning.

use crate::addr::Access;
use crate::key::ProtectionKey;
use bitflags::bitflags;

/// Where the four bits of the protection key begin: the highest ones.
const PKEY_SHIFT: u32 = 60;
/// Where the six bits of the size of huge pages begin.
const HUGE_SHIFT: u32 = 54;

bitflags! {
    /// A VMA's flags. The names and the meaning are Linux's (`VM_READ` and so on); the numbers are this crate's own.
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
        /// It may be read.
        const READ = 1;
        /// It may be written.
        const WRITE = 1 << 1;
        /// It may be executed.
        const EXEC = 1 << 2;
        /// What is written is seen by all who map the object.
        const SHARED = 1 << 3;
        /// `READ` may be given to it.
        const MAYREAD = 1 << 4;
        /// `WRITE` may be given to it.
        const MAYWRITE = 1 << 5;
        /// `EXEC` may be given to it.
        const MAYEXEC = 1 << 6;
        /// It may become shared.
        const MAYSHARE = 1 << 7;
        /// A stack that grows to lower addresses.
        const GROWSDOWN = 1 << 8;
        /// A stack that grows to higher addresses.
        const GROWSUP = 1 << 9;
        /// Its pages stay in memory.
        const LOCKED = 1 << 10;
        /// Its pages are promised, and so counted against what may be promised.
        const ACCOUNT = 1 << 11;
        /// It cannot be changed any more, but may grow.
        const SEALED = 1 << 12;
        /// A child does not get it.
        const DONTCOPY = 1 << 13;
        /// It cannot be grown by a remap.
        const DONTEXPAND = 1 << 14;
        /// A child gets it empty.
        const WIPEONFORK = 1 << 15;
        /// It is made of huge pages.
        const HUGETLB = 1 << 16;
        /// It maps a device.
        const IO = 1 << 17;
        /// It maps pages that the system does not manage.
        const PFNMAP = 1 << 18;
        /// The same, some of them.
        const MIXEDMAP = 1 << 19;
        /// Its pages are not promised.
        const NORESERVE = 1 << 20;
        /// It is read from low to high.
        const SEQ_READ = 1 << 21;
        /// It is read here and there.
        const RAND_READ = 1 << 22;
        /// It is not in a dump.
        const DONTDUMP = 1 << 23;
        /// Equal pages may be one.
        const MERGEABLE = 1 << 24;
        /// Huge pages are wanted.
        const HUGEPAGE = 1 << 25;
        /// Huge pages are not wanted.
        const NOHUGEPAGE = 1 << 26;
        /// Of what is `LOCKED`: its pages come when they are first touched, and not before.
        const LOCKONFAULT = 1 << 27;
        /// The lowest bit of its protection key (8.1).
        const PKEY_BIT0 = 1 << PKEY_SHIFT;
        /// The second bit of its protection key.
        const PKEY_BIT1 = 1 << (PKEY_SHIFT + 1);
        /// The third bit of its protection key.
        const PKEY_BIT2 = 1 << (PKEY_SHIFT + 2);
        /// The highest bit of its protection key.
        const PKEY_BIT3 = 1 << (PKEY_SHIFT + 3);
        /// The system may drop its pages when memory is short (`MAP_DROPPABLE`).
        const DROPPABLE = 1 << 28;
        /// What is written to it reaches persistent memory before the write ends (`MAP_SYNC`).
        const SYNC = 1 << 29;
        /// The size of its huge pages: [`huge_page_bytes`](Self::huge_page_bytes).
        const HUGE_SIZE = 0x3f << HUGE_SHIFT;

        /// What does not merge (5.7).
        const SPECIAL = Self::IO.bits() | Self::DONTEXPAND.bits() | Self::PFNMAP.bits() | Self::MIXEDMAP.bits();
        /// How its pages are locked in memory, if they are.
        const LOCKED_MASK = Self::LOCKED.bits() | Self::LOCKONFAULT.bits();
        /// Its protection key: [`pkey`](Self::pkey).
        const PKEY_MASK = 0xf << PKEY_SHIFT;
        /// What can be done to it.
        const ACCESS = Self::READ.bits() | Self::WRITE.bits() | Self::EXEC.bits();
    }
}

impl VmaFlags {
    /// Any way in at all. What has none is a guard, and is exempt from the guard gap (2.3).
    #[must_use]
    pub const fn is_accessible(self) -> bool {
        self.intersects(Self::READ.union(Self::WRITE).union(Self::EXEC))
    }

    /// Whether it grows, either way: it counts as stack.
    #[must_use]
    pub const fn is_stack(self) -> bool {
        self.intersects(Self::GROWSDOWN.union(Self::GROWSUP))
    }

    /// Whether it counts as data: writable, private, no stack.
    #[must_use]
    pub const fn is_data(self) -> bool {
        self.contains(Self::WRITE) && !self.contains(Self::SHARED) && !self.is_stack()
    }

    /// Whether it counts as code: executable, not writable, no stack.
    #[must_use]
    pub const fn is_exec(self) -> bool {
        self.contains(Self::EXEC) && !self.contains(Self::WRITE) && !self.is_stack()
    }

    /// Returns its protection key.
    #[must_use]
    pub const fn pkey(self) -> ProtectionKey {
        ProtectionKey::of_low_bits(self.bits() >> PKEY_SHIFT)
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

    /// Whether it is execute-only memory as far as its permissions tell: executable, and nothing else.
    #[must_use]
    pub(crate) const fn is_exec_alone(self) -> bool {
        self.intersection(Self::ACCESS).bits() == Self::EXEC.bits()
    }

    /// Returns the flags of memory that is made of huge pages of so many bytes, a power of two.
    ///
    /// `HUGETLB` alone is memory of the system's default size ([`Limits::hugetlb_bytes`](crate::mm::Limits::hugetlb_bytes)). The flags of a
    /// VMA always say the size.
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
        let power = (bytes.trailing_zeros() & 0x3f) as u64;
        Self::from_bits_retain(Self::HUGETLB.bits() | power << HUGE_SHIFT)
    }

    /// Returns how many bytes its huge pages have: `None` if it is not made of such, or if the size is the system's default.
    #[must_use]
    pub const fn huge_page_bytes(self) -> Option<u64> {
        let power = self.bits() >> HUGE_SHIFT & 0x3f;
        if self.contains(Self::HUGETLB) && power != 0 { Some(1 << power) } else { None }
    }

    /// What it allows and its `MAY` flags forbid; the first such, if any.
    #[must_use]
    pub(crate) fn beyond_may(self) -> Option<Access> {
        [(Self::READ, Self::MAYREAD, Access::Read), (Self::WRITE, Self::MAYWRITE, Access::Write), (Self::EXEC, Self::MAYEXEC, Access::Exec)]
            .into_iter()
            .find_map(|(has, may, access)| (self.contains(has) && !self.contains(may)).then_some(access))
    }

    /// Whether it may be done. To read, any way in will do, as the processors have it that Linux was written for first: there what can
    /// be written or executed can be read, unless a protection key denies it, which is another question:
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
