//! The address at which searches for room begin. No file shows it. It is where the loader was placed, because the loader is mapped first;
//! in a program without a loader it follows from the first mapping. Called by `space` at the beginning, and by `effect` for each call.

use std::fs;

use nix::unistd::Pid;
use vmaple_host::Host;

use super::abi::PAGE;
use super::layout::{self, Seen};
use vmaple_trace::{MapFlags, Operation, Setting};

/// Keys of the auxiliary vector.
const AT_BASE: u64 = 7;
const AT_ENTRY: u64 = 9;
/// A program above this address was placed by a search.
const LOWEST_BY_SEARCH: u64 = 0x7000_0000_0000;
/// Mappings from here on may be aligned.
const HUGE_PAGE: u64 = 2 << 20;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Base {
    #[default]
    Unknown,
    /// Unknown until the first search. Searches go up in the legacy layout.
    Awaited { is_legacy: bool },
    /// Searches go down from here.
    Down(u64),
    /// Searches go up from here.
    Up(u64),
}

impl Base {
    /// Returns the base of a program that was just loaded.
    pub(super) fn of_program(tid: Pid, seen: &[Seen]) -> Self {
        let Ok(auxv) = fs::read(format!("/proc/{tid}/auxv")) else { return Self::Unknown };
        let is_legacy = is_legacy(tid);
        let loader = word_of(&auxv, AT_BASE).filter(|at| *at != 0);
        match loader.or(word_of(&auxv, AT_ENTRY).filter(|at| *at >= LOWEST_BY_SEARCH)) {
            None => Self::Awaited { is_legacy },
            Some(at) => {
                run_around(seen, at).map_or(Self::Unknown, |(start, end)| if is_legacy { Self::Up(start) } else { Self::Down(end) })
            }
        }
    }

    /// Returns the base of a program that has been running for some time.
    pub(super) fn of_running(tid: Pid, seen: &[Seen]) -> Self {
        match Self::of_program(tid, seen) {
            Self::Awaited { .. } => Self::Unknown,
            known => known,
        }
    }

    /// Checks whether a call that has ended is the first search. If so, returns the settings that follow from it.
    pub(super) fn learn(&mut self, operation: &Operation, result: Result<u64, u64>) -> Vec<Setting> {
        let (Self::Awaited { is_legacy }, Operation::Mmap { addr: 0, len, flags, .. }, Ok(at)) = (*self, operation, result) else {
            return Vec::new();
        };
        let is_elsewhere = [MapFlags::FIXED, MapFlags::LOW_32BIT, MapFlags::HUGETLB].into_iter().any(|flag| flags.contains(flag));
        if *len >= HUGE_PAGE || is_elsewhere {
            return Vec::new();
        }
        let end = at.saturating_add(len.next_multiple_of(PAGE));
        *self = if is_legacy { Self::Up(at) } else { Self::Down(end) };
        self.settings()
    }

    /// Returns the settings of the base for a trace.
    pub(super) fn settings(self) -> Vec<Setting> {
        match self {
            Self::Unknown | Self::Awaited { .. } => Vec::new(),
            Self::Down(base) => vec![Setting::MmapBase(base)],
            Self::Up(base) => vec![Setting::MmapBase(0), Setting::MmapLegacyBase(base)],
        }
    }
}

/// Returns whether searches go up in a program that was just loaded.
fn is_legacy(tid: Pid) -> bool {
    layout::personality(tid) & libc::ADDR_COMPAT_LAYOUT != 0 || Host::as_it_is().legacy_va_layout == Some(true)
}

/// Returns the value of an entry of the auxiliary vector.
fn word_of(auxv: &[u8], word: u64) -> Option<u64> {
    let words: Vec<u64> = auxv.chunks_exact(8).filter_map(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))).collect();
    words.chunks_exact(2).find(|pair| pair[0] == word).map(|pair| pair[1])
}

/// Returns the adjacent areas around an address, without special ones.
fn run_around(seen: &[Seen], at: u64) -> Option<(u64, u64)> {
    let mut run: Option<(u64, u64)> = None;
    for area in seen.iter().filter(|area| !area.path.starts_with(b"[")) {
        match &mut run {
            Some((_, end)) if *end == area.extent.start => *end = area.extent.end,
            Some((_, end)) if *end > at => break,
            _ => run = Some((area.extent.start, area.extent.end)),
        }
    }
    run.filter(|(start, end)| (*start..*end).contains(&at))
}

#[cfg(test)]
mod tests {
    use super::{Base, run_around, word_of};
    use crate::record::layout::{FileId, Seen};
    use vmaple_trace::{AreaFlags, Extent, MapFlags, Object, Offset, Operation, Perm, Prot, Setting};

    fn mmap(len: u64, flags: MapFlags) -> Operation {
        Operation::Mmap { addr: 0, len, prot: Prot::READ, flags, object: Object::Anon, offset: Offset::Default }
    }

    fn seen(start: u64, end: u64, path: &str) -> Seen {
        let extent = Extent::new(start, end).expect("a range");
        Seen {
            extent,
            perm: Perm::READ,
            offset: 0,
            file: FileId::default(),
            path: path.into(),
            flags: AreaFlags::EMPTY,
            userfault: Vec::new(),
        }
    }

    #[test]
    fn the_loader_and_what_touches_it_end_at_the_base() {
        let areas = [
            seen(0x1000, 0x2000, "/bin/a"),
            seen(0x7000, 0x8000, "/lib/ld"),
            seen(0x8000, 0x9000, "/lib/ld"),
            seen(0x9000, 0xa000, ""),
            seen(0xa000, 0xb000, "[vvar]"),
            seen(0xc000, 0xd000, "[stack]"),
        ];
        assert_eq!(run_around(&areas, 0x7000), Some((0x7000, 0xa000)));
        assert_eq!(run_around(&areas, 0x1800), Some((0x1000, 0x2000)));
        assert_eq!(run_around(&areas, 0x3000), None);
        assert_eq!(run_around(&areas, 0xc000), None);
    }

    #[test]
    fn words_are_pairs() {
        let auxv: Vec<u8> = [6_u64, 7, 7, 0x7000, 9, 6, 0, 0].into_iter().flat_map(u64::to_le_bytes).collect();
        assert_eq!((word_of(&auxv, 7), word_of(&auxv, 9), word_of(&auxv, 5)), (Some(0x7000), Some(6), None));
    }

    #[test]
    fn the_first_search_shows_the_base_of_a_program_without_a_loader() {
        for (is_legacy, settings) in
            [(false, vec![Setting::MmapBase(0x7000_2000)]), (true, vec![Setting::MmapBase(0), Setting::MmapLegacyBase(0x7000_0000)])]
        {
            let mut base = Base::Awaited { is_legacy };
            let plain = MapFlags::PRIVATE.union(MapFlags::ANONYMOUS);
            for (operation, result) in [
                (mmap(0x1001, plain), Err(12)),
                (mmap(0x1001, plain.union(MapFlags::FIXED)), Ok(0x7000_0000)),
                (mmap(0x20_0000, plain), Ok(0x7000_0000)),
                (Operation::Brk { addr: 0 }, Ok(0x7000_0000)),
            ] {
                assert_eq!(base.learn(&operation, result), [], "{operation}");
            }
            assert_eq!(base.learn(&mmap(0x1001, plain), Ok(0x7000_0000)), settings);
            assert_eq!(base.learn(&mmap(0x1001, plain), Ok(0x6000_0000)), [], "once");
        }
    }
}
