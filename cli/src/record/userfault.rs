//! The requests of a userfaultfd that change areas or give them pages of their own.
//!
//! Called by `filter` and `call` for the numbers, and by `calls` when a request has ended. Which areas are registered is read from the
//! layout (`space`), because closing the descriptor unregisters them without a call that stops the program.

use nix::unistd::Pid;

use super::abi::low;
use super::memory;
use vmaple_trace::{Extent, Name};

/// `UFFDIO_REGISTER` and `UFFDIO_UNREGISTER`: they split and join areas.
const REGISTER: u32 = 0xc020_aa00;
const UNREGISTER: u32 = 0x8010_aa01;
/// `UFFDIO_COPY`, `_ZEROPAGE`, `_MOVE` and `_POISON`: they give an area its first page of its own.
const COPY: u32 = 0xc028_aa03;
const ZEROPAGE: u32 = 0xc020_aa04;
const MOVE: u32 = 0xc028_aa05;
const POISON: u32 = 0xc020_aa08;

/// All these requests.
pub(super) const REQUESTS: [u32; 6] = [REGISTER, UNREGISTER, COPY, ZEROPAGE, MOVE, POISON];

/// Set in the features of a userfaultfd: moved pages stay registered (`UFFD_FEATURE_EVENT_REMAP`).
const EVENT_REMAP: u64 = 1 << 2;

/// A request that was entered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request {
    /// Registers areas with this descriptor, or unregisters them.
    Registers { descriptor: i32 },
    /// Gives pages to the area there.
    Fills { destination: Extent },
}

/// Decodes a request. Returns `None` if its argument cannot be read.
pub(super) fn request(tid: Pid, descriptor: i32, number: u32, argument: u64) -> Option<Request> {
    if matches!(number, REGISTER | UNREGISTER) {
        return Some(Request::Registers { descriptor });
    }
    let [first, second, third] = memory::words(tid, argument)?;
    // the target and the source, or a range
    let len = if matches!(number, COPY | MOVE) { third } else { second };
    Extent::new(first, first.checked_add(len)?).map(|destination| Request::Fills { destination })
}

/// Returns whether a thread that stopped at the entry of a call is about to bring pages. It is never held, because other threads may wait for
/// the pages inside their calls, and it changes no bounds.
pub(super) fn brings_pages(tid: Pid) -> bool {
    let is_fill = |number: u32| matches!(number, COPY | ZEROPAGE | MOVE | POISON);
    let registers = nix::sys::ptrace::getregs(tid);
    registers.is_ok_and(|registers| registers.orig_rax.cast_signed() == libc::SYS_ioctl && is_fill(low(registers.rsi)))
}

/// Identifies the userfaultfd of an area, and says whether it stays with pages that are moved.
pub(super) fn word(tid: Pid, descriptor: i32) -> Option<Name> {
    let inode = std::fs::metadata(format!("/proc/{tid}/fd/{descriptor}")).map(|data| std::os::unix::fs::MetadataExt::ino(&data)).ok()?;
    let text = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{descriptor}")).ok()?;
    // `API:  VERSION:FEATURES:ALL FEATURES`
    let features = text.lines().find_map(|line| line.strip_prefix("API:")?.split(':').nth(1));
    let features = features.and_then(|features| u64::from_str_radix(features.trim(), 16).ok()).unwrap_or(0);
    let moves = if features & EVENT_REMAP == 0 { "" } else { "+remap" };
    Name::new(format!("{inode}{moves}").as_bytes())
}
