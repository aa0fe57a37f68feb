//! Capabilities, one bit each, with Linux's names in lower case and without `CAP_`. Called by `Host` and by [`Need`](crate::Need).

use std::fmt::{self, Display};

/// A set of capabilities (`capabilities(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities(u64);

/// The names, in the order of their bits.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

impl Capabilities {
    /// Lock memory beyond the limit.
    pub const IPC_LOCK: Self = Self(1 << 14);
    /// Map below the lowest address.
    pub const SYS_RAWIO: Self = Self(1 << 17);
    /// Trace processes of others.
    pub const SYS_PTRACE: Self = Self(1 << 19);
    /// Mount, and much else.
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// Observe events of others.
    pub const PERFMON: Self = Self(1 << 38);

    /// Returns the set with these bits, numbered as in the kernel.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits, numbered as in the kernel.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the capability with this name (`ipc_lock`); `None` if there is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|bit| Self(1 << bit))
    }

    /// Returns whether `self` has all of `other`.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns whether `self` has any of `other`.
    #[must_use]
    pub const fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Returns the capabilities in either.
    #[must_use]
    pub const fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Returns the capabilities in `self` that are not in `other`.
    #[must_use]
    pub const fn difference(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// Writes a comma list of names, or `-` if there are none. A capability without a name is written as its number.
impl Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = (0..64_usize).filter(|bit| self.0 >> bit & 1 != 0).peekable();
        if bits.peek().is_none() {
            return f.write_str("-");
        }
        while let Some(bit) = bits.next() {
            match NAMES.get(bit) {
                Some(name) => f.write_str(name)?,
                None => write!(f, "{bit}")?,
            }
            if bits.peek().is_some() {
                f.write_str(",")?;
            }
        }
        Ok(())
    }
}
