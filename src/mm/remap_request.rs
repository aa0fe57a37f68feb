//! What `mremap` is asked for.
//!
//! Called by embedders, who make the request, and by `mremap`. A pure value: nothing is checked here that depends on an address space.

use bitflags::bitflags;

bitflags! {
    /// Linux's `MREMAP_MAYMOVE` and so on, with Linux's numbers.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub(super) struct RemapFlags: u32 {
        const MAYMOVE = 1;
        /// Moved to the address given, replacing what is there.
        const FIXED = 2;
        /// The source stays mapped, without its pages.
        const DONTUNMAP = 4;
    }
}

/// What is to be resized or moved, and where to.
///
/// # Examples
/// ```
/// use vmaple::mm::{MapRequest, RemapRequest};
/// use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mm: Mm = Mm::new();
/// let mut writer = mm.write();
/// let at = writer.mmap(&MapRequest::new(0x4000, VmaSpec::anonymous(VmaFlags::READ)).fixed(0x10_0000))?;
/// // In place, because there is room above.
/// assert_eq!(writer.mremap(&RemapRequest::resize(at, 0x4000, 0x6000))?, at);
/// let moved = writer.mremap(&RemapRequest::resize(at, 0x6000, 0x6000).fixed(0x20_0000))?;
/// assert_eq!((moved, mm.len()), (0x20_0000, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct RemapRequest {
    pub(super) from: u64,
    pub(super) old_len: u64,
    pub(super) new_len: u64,
    pub(super) flags: RemapFlags,
    /// The target, or a hint, or an address that is not used, depending on the flags.
    pub(super) to: u64,
}

impl RemapRequest {
    /// Requests that the `old_len` bytes from `from` on become `new_len` bytes, in place. Lengths are in bytes, and rounded up to whole pages.
    pub const fn resize(from: u64, old_len: u64, new_len: u64) -> Self {
        Self { from, old_len, new_len, flags: RemapFlags::empty(), to: 0 }
    }

    /// Requests that the pages of the `len` bytes from `from` on move elsewhere and the VMA stays, without them (`MREMAP_DONTUNMAP`). They
    /// move to `near` if that is free, otherwise anywhere; 0 is no preference.
    pub const fn dont_unmap(from: u64, len: u64, near: u64) -> Self {
        let flags = RemapFlags::MAYMOVE.union(RemapFlags::DONTUNMAP);
        Self { from, old_len: len, new_len: len, flags, to: near }
    }

    /// Allows a move to any free place, if the mapping cannot grow in place (`MREMAP_MAYMOVE`).
    pub const fn may_move(mut self) -> Self {
        self.flags = self.flags.union(RemapFlags::MAYMOVE);
        self
    }

    /// Moves the mapping to this address, replacing what is mapped there (`MREMAP_FIXED`).
    ///
    /// If the size stays the same, the range may consist of several VMAs.
    ///
    /// [Rule 5.21](crate::docs::semantics#5-operations).
    pub const fn fixed(mut self, to: u64) -> Self {
        self.flags = self.flags.union(RemapFlags::MAYMOVE.union(RemapFlags::FIXED));
        self.to = to;
        self
    }

    /// Reads the arguments of a system call, with Linux's numbers.
    ///
    /// Flags that contradict each other are accepted here. The operation refuses them, because the kernel has checked other arguments before.
    /// `to` is kept even if the flags do not use it: for huge pages, Linux checks it all the same.
    pub const fn from_raw(from: u64, old_len: u64, new_len: u64, flags: u32, to: u64) -> Self {
        Self { from, old_len, new_len, flags: RemapFlags::from_bits_retain(flags), to }
    }
}
