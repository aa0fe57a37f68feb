//! What the kernel shows in files below /proc, /sys and /dev. A file that is missing, unreadable or not understood is `None`. Called by `Host`.

use crate::memory::{FolioSize, HugePool, Transparent};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The files below a root; tests have a root of their own.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
}

impl Files {
    pub(crate) fn of_the_system() -> Self {
        Self::below(Path::new("/"))
    }

    pub(crate) fn below(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Returns the text of a small file, without blanks around it.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(crate) fn number<T: FromStr>(&self, path: &str) -> Option<T> {
        self.text(path)?.parse().ok()
    }

    /// Returns the word in brackets: `always [madvise] never`.
    fn chosen(&self, path: &str) -> Option<String> {
        let text = self.text(path)?;
        let (_, rest) = text.split_once('[')?;
        let (word, _) = rest.split_once(']')?;
        Some(word.to_owned())
    }

    /// Returns a value of /proc/meminfo in bytes; the file has units of 1024 bytes.
    pub(crate) fn meminfo_bytes(&self, name: &str) -> Option<u64> {
        let text = self.text("proc/meminfo")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }

    /// Returns the value of a file in bytes; the file has units of 1024 bytes. 0 if there is none.
    pub(crate) fn kbytes(&self, path: &str) -> u64 {
        self.number::<u64>(path).unwrap_or(0).saturating_mul(1024)
    }

    /// Returns the hard limit with this name in /proc/self/limits; `None` if it is unlimited.
    pub(crate) fn hard_limit(&self, name: &str) -> Option<u64> {
        let text = self.text("proc/self/limits")?;
        let values = text.lines().find_map(|line| line.strip_prefix(name))?;
        values.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    pub(crate) fn address_bits(&self) -> Option<u8> {
        let text = self.text("proc/cpuinfo")?;
        let flags = text.lines().find_map(|line| line.strip_prefix("flags")?.trim_start().strip_prefix(':'))?;
        Some(if flags.split_ascii_whitespace().any(|flag| flag == "la57") { 56 } else { 47 })
    }

    /// Returns the folders `PREFIX-SIZEkB` of a directory with their sizes in bytes, the smallest first.
    fn sizes(&self, directory: &str) -> Vec<(u64, String)> {
        let Ok(entries) = fs::read_dir(self.root.join(directory)) else { return Vec::new() };
        let size = |name: &str| name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024);
        let mut sizes: Vec<(u64, String)> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some((size(&name)?, format!("{directory}/{name}"))))
            .collect();
        sizes.sort_unstable();
        sizes
    }

    pub(crate) fn huge_pools(&self) -> Vec<HugePool> {
        let pool = |(page_bytes, folder): (u64, String)| {
            let count = |name: &str| self.number::<u64>(&format!("{folder}/{name}")).unwrap_or(0);
            let (reserved, free) = (count("nr_hugepages"), count("free_hugepages").saturating_sub(count("resv_hugepages")));
            let surplus = count("nr_overcommit_hugepages").saturating_sub(count("surplus_hugepages"));
            HugePool { page_bytes, reserved, free, surplus }
        };
        self.sizes("sys/kernel/mm/hugepages").into_iter().map(pool).collect()
    }

    pub(crate) fn transparent(&self) -> Transparent {
        const FOLDER: &str = "sys/kernel/mm/transparent_hugepage";
        let size = |(page_bytes, folder): (u64, String)| FolioSize {
            page_bytes,
            private: self.chosen(&format!("{folder}/enabled")),
            shmem: self.chosen(&format!("{folder}/shmem_enabled")),
        };
        Transparent {
            private: self.chosen(&format!("{FOLDER}/enabled")),
            shmem: self.chosen(&format!("{FOLDER}/shmem_enabled")),
            page_bytes: self.number(&format!("{FOLDER}/hpage_pmd_size")),
            sizes: self.sizes(FOLDER).into_iter().map(size).collect(),
        }
    }

    pub(crate) fn has_trace_points(&self) -> bool {
        const EVENT: &str = "events/exceptions/page_fault_user/id";
        ["sys/kernel/tracing", "sys/kernel/debug/tracing"].iter().any(|folder| self.text(&format!("{folder}/{EVENT}")).is_some())
    }

    /// Returns whether a process is in another user namespace than the system's, where its capabilities count for nothing.
    pub(crate) fn is_in_a_user_namespace(&self, process: &str) -> bool {
        // the inode of the first user namespace, which is fixed in the kernel
        const OF_THE_SYSTEM: &str = "user:[4026531837]";
        fs::read_link(self.root.join(format!("proc/{process}/ns/user"))).is_ok_and(|name| name.as_os_str() != OF_THE_SYSTEM)
    }

    /// Returns whether a device can be opened.
    pub(crate) fn is_usable(&self, path: &str) -> bool {
        File::open(self.root.join(path)).is_ok()
    }
}
