//! Writes the properties of the machine, one per line. Called by `vmaple host`.

use crate::{Host, HugePool, Need};
use std::fmt::{self, Display};
use std::io;

const UNKNOWN: &str = "unknown";

fn or_unknown<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

fn hex(value: Option<u64>) -> String {
    or_unknown(value.map(|value| format!("{value:#x}")))
}

fn words<'a>(words: impl Iterator<Item = String> + 'a) -> String {
    let all: Vec<String> = words.collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}

impl Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &str| writeln!(f, "{name:<26} {value}");
        line("release", &or_unknown(self.release.as_ref()))?;
        line("protection keys", &self.protection_keys.to_string())?;
        line("address bits", &or_unknown(self.address_bits))?;
        line("max_map_count", &or_unknown(self.max_map_count))?;
        line("mmap_min_addr", &hex(self.mmap_min_addr))?;
        line("lowest address", &hex(self.lowest_address))?;
        let overcommit = &self.overcommit;
        line("overcommit_memory", &or_unknown(overcommit.mode))?;
        line("overcommit_ratio", &or_unknown(overcommit.ratio_percent))?;
        line("overcommit_kbytes", &or_unknown(overcommit.kbytes))?;
        line("commit limit", &or_unknown(overcommit.limit_bytes))?;
        line("memory and swap", &or_unknown(self.memory_bytes))?;
        line("default huge page", &or_unknown(self.default_huge_page_bytes))?;
        for HugePool { page_bytes, reserved, free, surplus } in &self.huge_pools {
            line(&format!("huge pages of {page_bytes}"), &format!("{reserved} reserved, {free} free, {surplus} more allowed"))?;
        }
        let transparent = &self.transparent;
        line("transparent, private", &or_unknown(transparent.private.as_ref()))?;
        line("transparent, shmem", &or_unknown(transparent.shmem.as_ref()))?;
        line("transparent huge page", &or_unknown(transparent.page_bytes))?;
        for size in &transparent.sizes {
            let text = format!("private {}, shmem {}", or_unknown(size.private.as_ref()), or_unknown(size.shmem.as_ref()));
            line(&format!("transparent of {}", size.page_bytes), &text)?;
        }
        line("legacy_va_layout", &or_unknown(self.legacy_va_layout.map(u8::from)))?;
        line("randomize_va_space", &or_unknown(self.randomize_va_space))?;
        line("personality", &or_unknown(self.personality.map(|bits| format!("{bits:#x}"))))?;
        line("perf_event_paranoid", &or_unknown(self.perf_event_paranoid))?;
        line("ptrace_scope", &or_unknown(self.ptrace_scope))?;
        let or_unlimited = |most: Option<u64>| most.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
        line("RLIMIT_STACK, at most", &or_unlimited(self.most_stack_bytes))?;
        line("RLIMIT_MEMLOCK, at most", &or_unlimited(self.most_locked_bytes))?;
        line("user", if self.is_root { "root" } else { "ordinary" })?;
        line("capabilities", &self.capabilities.to_string())?;
        for (need, errno) in &self.refused {
            line(&format!("refused: {need}"), &io::Error::from_raw_os_error(*errno).to_string())?;
        }
        line("hidden by VMAPLE_WITHOUT", &words(self.without.iter().map(ToString::to_string)))?;
        line("has", &words(Need::all().filter(|need| self.has(*need)).map(|need| need.to_string())))?;
        line("lacks", &words(Need::all().filter(|need| !self.has(*need)).map(|need| need.to_string())))
    }
}
