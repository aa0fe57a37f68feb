//! The system calls that matter to a recording, as data.
//!
//! Made by `decode` and `prctl`, read by `tracer`, `calls`, `effect` and `ends`.

use super::objects::Source;
use super::opens::Open;
use super::userfault::Request;
use nix::unistd::Pid;
use vmaple_trace::{Advice, Operation};

/// A call that was entered.
#[derive(Debug)]
pub(super) enum Call {
    /// A call that the trace format has.
    Known(Known),
    /// A call that the trace format does not have: the layout afterwards shows its effect.
    Opaque(&'static str),
    /// `remap_file_pages`: the layout afterwards shows what is mapped in that range.
    Remapped { addr: u64, len: u64 },
    /// `shmat`: the layout afterwards shows what is mapped at the returned address.
    Attached,
    /// A request of a userfaultfd.
    Userfault(Request),
    /// `process_madvise`: each of these parts, as far as the result reaches.
    Advised { parts: Vec<(u64, u64)>, advice: Advice },
    /// A move of the heap, with its new end if the call gives one.
    Heap { brk: Option<u64> },
    /// A call that a recording does not contain, and whether its effect lasts.
    LeftOut { what: &'static str, lasts: bool },
    /// A change of the personality, which decides whether reading implies executing.
    Personality,
    /// A change of the thread's capabilities.
    Credentials,
    /// `clone` of a thread that no tracer was to follow, which is followed all the same. The caller's flags are restored at the end.
    Followed { flags: u64 },
    /// `execve`: if it succeeds, another program begins.
    Exec,
    /// A change of the limits of a process; 0 is the caller's.
    Limits(Pid),
}

/// A call with a record of its own.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) operation: Operation,
    pub(super) source: Source,
    /// Which open file it maps.
    pub(super) open: Option<Open>,
    /// The arguments have bits that the trace format does not have. The kernel refuses or ignores them.
    pub(super) odd: bool,
}
