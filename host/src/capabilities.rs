//! Capabilities, a bit for each, with Linux's names in lower case and without `CAP_`.

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
    /// May lock memory beyond the limit.
    pub const IPC_LOCK: Self = Self(1 << 14);
    /// May map below the lowest address.
    pub const SYS_RAWIO: Self = Self(1 << 17);
    /// May trace the processes of others.
    pub const SYS_PTRACE: Self = Self(1 << 19);
    /// May mount, and much else.
    pub const SYS_ADMIN: Self = Self(1 << 21);
    /// May change memory policies of others and the order of scheduling.
    pub const SYS_NICE: Self = Self(1 << 23);
    /// May raise its limits.
    pub const SYS_RESOURCE: Self = Self(1 << 24);
    /// May watch the events of others.
    pub const PERFMON: Self = Self(1 << 38);

    /// The set with these bits, as the kernel numbers them.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits, as the kernel numbers them.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The one capability of this name (`ipc_lock`).
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|bit| Self(1 << bit))
    }

    /// Whether it has all of the others.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether it has one of the others.
    #[must_use]
    pub const fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn union(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// These without the others.
    #[must_use]
    pub const fn difference(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// A comma list of names, `-` if there are none; a capability without a name is its number.
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
