//! What `mprotect` is asked for: the permissions, and what happens to the range and to the protection key.
//!
//! Called by embedders, who make the request, and by `mprotect` and `mmap`. Pure values: nothing is checked here that depends on an address
//! space.

use crate::key::ProtectionKey;
use crate::vma::VmaFlags;
use bitflags::bitflags;

bitflags! {
    /// What may be done to pages: Linux's `PROT_READ`, `PROT_WRITE` and `PROT_EXEC`, with Linux's numbers. Empty is `PROT_NONE`.
    ///
    /// # Examples
    /// ```
    /// use vmaple::VmaFlags;
    /// use vmaple::mm::Prot;
    /// assert_eq!(VmaFlags::from(Prot::READ | Prot::WRITE), VmaFlags::READ | VmaFlags::WRITE);
    /// assert_eq!((VmaFlags::READ | VmaFlags::SHARED).prot(), Prot::READ);
    /// ```
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct Prot: u32 {
        /// The pages may be read.
        const READ = 1;
        /// The pages may be written.
        const WRITE = 2;
        /// The pages may be executed.
        const EXEC = 4;
    }
}

impl From<Prot> for VmaFlags {
    fn from(prot: Prot) -> Self {
        let flag = |asked, flag| if prot.contains(asked) { flag } else { Self::empty() };
        flag(Prot::READ, Self::READ) | flag(Prot::WRITE, Self::WRITE) | flag(Prot::EXEC, Self::EXEC)
    }
}

impl VmaFlags {
    /// Returns what may be done to the pages.
    #[must_use]
    pub fn prot(self) -> Prot {
        let flag = |has, prot| if self.contains(has) { prot } else { Prot::empty() };
        flag(Self::READ, Prot::READ) | flag(Self::WRITE, Prot::WRITE) | flag(Self::EXEC, Prot::EXEC)
    }
}

/// What `mprotect` is asked for. A [`Prot`] converts to one.
///
/// Numbers in parentheses are [rules](crate::docs::semantics).
///
/// # Examples
/// ```
/// use vmaple::mm::{KeyDenial, Limits, MapRequest, Prot, ProtectRequest};
/// use vmaple::{Mm, VmaFlags, VmaSpec};
/// let mut limits = Limits::default();
/// limits.protection_keys = 16;
/// let mm: Mm = Mm::builder().limits(limits)?.build();
/// let mut writer = mm.write();
/// let at = writer.mmap(&MapRequest::new(0x1000, VmaSpec::anonymous(VmaFlags::READ)))?;
/// let key = writer.pkey_alloc(KeyDenial::empty())?;
/// writer.mprotect(at, 0x1000, ProtectRequest::new(Prot::READ).with_key(key))?;
/// assert_eq!(writer.lookup(at).map(|vma| vma.flags().pkey()), Some(key));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub struct ProtectRequest {
    pub(super) prot: Prot,
    pub(super) reach: Reach,
    pub(super) key: KeyChange,
    /// The raw argument, if it means nothing.
    pub(super) unknown: Option<u64>,
}

/// Which addresses the change affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reach {
    /// The range.
    Range,
    /// From the start of the first VMA, a stack that grows down, to the end of the range (`PROT_GROWSDOWN`).
    StackStart,
    /// From the start of the range to the end of the first VMA, a stack that grows up (`PROT_GROWSUP`).
    StackEnd,
    /// Both, which is refused.
    Both,
}

/// Which protection key the VMAs have afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum KeyChange {
    /// The key that follows from the permissions (8.3).
    Implied(ExecAlone),
    /// This key.
    To(ProtectionKey),
    /// A number that is not a key, which is refused.
    Unknown(i32),
}

/// Whether memory whose only permission is to execute becomes unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ExecAlone {
    /// It gets the execute-only key, if there is one.
    Unreadable,
    /// It does not get that key.
    Readable,
}

/// Linux's `PROT_SEM`, which changes nothing except that the request is not `PROT_EXEC` alone.
const PROT_SEM: u64 = 8;
const PROT_GROWSDOWN: u64 = 0x0100_0000;
const PROT_GROWSUP: u64 = 0x0200_0000;

impl ProtectRequest {
    /// Requests these permissions.
    ///
    /// The protection key follows from them: `EXEC` alone gives the execute-only key, execute-only memory that gets other permissions gets
    /// key 0 back, and other VMAs keep their keys (8.3).
    pub const fn new(prot: Prot) -> Self {
        Self { prot, reach: Reach::Range, key: KeyChange::Implied(ExecAlone::Unreadable), unknown: None }
    }

    /// Sets the protection key (`pkey_mprotect`).
    ///
    /// [Rule 8.4](crate::docs::semantics#8-protection-keys).
    pub const fn with_key(mut self, key: ProtectionKey) -> Self {
        self.key = KeyChange::To(key);
        self
    }

    /// Starts the range where the first VMA in it starts, which must grow down (`PROT_GROWSDOWN`).
    pub const fn from_stack_start(mut self) -> Self {
        self.reach = Reach::StackStart;
        self
    }

    /// Ends the range where the first VMA in it ends, which must grow up (`PROT_GROWSUP`).
    pub const fn to_stack_end(mut self) -> Self {
        self.reach = Reach::StackEnd;
        self
    }

    /// Reads the arguments of a system call, with Linux's numbers: `prot`, and the key of `pkey_mprotect`, which is -1 for `mprotect`.
    ///
    /// Arguments that mean nothing are accepted here. The operation refuses them, because the kernel has checked other arguments before.
    pub fn from_raw(prot: u64, key: i32) -> Self {
        let reach = match (prot & PROT_GROWSDOWN != 0, prot & PROT_GROWSUP != 0) {
            (false, false) => Reach::Range,
            (true, false) => Reach::StackStart,
            (false, true) => Reach::StackEnd,
            (true, true) => Reach::Both,
        };
        let flag = |flag: Prot| if prot & u64::from(flag.bits()) != 0 { flag } else { Prot::empty() };
        let access = flag(Prot::READ) | flag(Prot::WRITE) | flag(Prot::EXEC);
        let is_known = prot & !(u64::from(access.bits()) | PROT_SEM | PROT_GROWSDOWN | PROT_GROWSUP) == 0;
        let key = match u8::try_from(key).ok().and_then(ProtectionKey::new) {
            Some(key) => KeyChange::To(key),
            None if key != -1 => KeyChange::Unknown(key),
            None if prot & PROT_SEM != 0 => KeyChange::Implied(ExecAlone::Readable),
            None => KeyChange::Implied(ExecAlone::Unreadable),
        };
        let unknown = (!is_known || reach == Reach::Both).then_some(prot);
        Self { prot: access, reach, key, unknown }
    }
}

impl From<Prot> for ProtectRequest {
    fn from(prot: Prot) -> Self {
        Self::new(prot)
    }
}
