//! What the callers of an address space may do beyond its limits.
//!
//! Called by `limits`, which keeps them and answers the operations' questions.

use bitflags::bitflags;

bitflags! {
    /// What the callers of an address space may do that others may not: those of Linux's capabilities that an address space asks for, with
    /// Linux's numbers. So a mask as in the `CapEff` line of `/proc/PID/status` becomes one by
    /// [`from_bits_truncate`](Self::from_bits_truncate).
    ///
    /// # Examples
    /// ```
    /// use vmaple::mm::{Capabilities, Limits, MapRequest};
    /// use vmaple::{Mm, VmaFlags, VmaSpec};
    /// let mut limits = Limits::default();
    /// limits.capabilities = Capabilities::SYS_RAWIO;
    /// let mm: Mm = Mm::builder().limits(limits)?.build();
    /// let lowest = MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)).fixed(0);
    /// assert_eq!(mm.write().mmap(&lowest), Ok(0));
    /// # Ok::<(), vmaple::mm::LimitsError>(())
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Capabilities: u64 {
        /// `CAP_IPC_LOCK`: any amount of memory may be locked, whatever [`Limits::locked_bytes`](crate::mm::Limits::locked_bytes) says.
        const IPC_LOCK = 1 << 14;
        /// `CAP_SYS_RAWIO`: what is placed at a given address may lie below
        /// [`Limits::mmap_min_addr`](crate::mm::Limits::mmap_min_addr). Searches, hints of `mmap` and stacks stay above it all the same.
        const SYS_RAWIO = 1 << 17;
    }
}
