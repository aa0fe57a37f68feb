//! Performs operations with their recorded outcome: plans each with the library, and commits the plan if its result is the recorded one. A
//! mapping is put at its recorded place, and the place that the library would have chosen is returned, too. Called by `exact`.

use vmaple::ErrorCode;
use vmaple::lock::Patience;
use vmaple::mm::{ChangePayloadsError, MmapError, ProtectionKey, RemapRequest};
use vmaple_scenario::apply::{mark_of, request_of};
use vmaple_scenario::convert::{Answer, advice_of, check_offset, denial_of, kind_refused, lock_all_of, protect_request_of, with_kind};
use vmaple_scenario::low;
use vmaple_scenario::mm_space::MmSpace;
use vmaple_scenario::space::{Failure, Space as _};
use vmaple_trace::{Errno, Extent, LockFlags, MapFlags, Name, Object, Operation, Outcome, Prot, RemapFlags};

/// The library's result: an address, 0, or an error.
type Planned = Result<u64, Failure>;

/// The recorded place of a mapping, and the place that the library would have chosen.
pub(super) struct Place {
    pub(super) recorded: u64,
    pub(super) own: Planned,
}

/// The outcome of following an operation.
pub(super) enum Followed {
    /// Done. The recording gives no result.
    Unchecked,
    /// Done, because its result is the recorded one.
    Alike { place: Option<Place> },
    /// Not done: the kernel refused it for a cause that no layout decides.
    Refused(String),
    /// Not done: the library does not support it.
    Unsupported,
    /// Not done, because its result differs from the recorded one.
    Differs { expected: String, found: String, at: Option<u64> },
}

/// Commits a plan if its result is the recorded one. Evaluates to its result.
macro_rules! settle {
    ($recorded:expr, $plan:expr) => {{
        let plan = $plan;
        let own: Planned = plan.outcome().map(Answer::answer).map_err(|error| Failure::new(error.errno(), error));
        if is_alike($recorded, &own) {
            // its result is the plan's
            _ = plan.commit();
        }
        own
    }};
}

/// Plans an operation, and commits the plan if its result is the recorded one. Evaluates to its result.
macro_rules! follow {
    ($recorded:expr, $writer:expr, $operation:ident($($argument:expr),*)) => {{
        #[allow(unused_mut, reason = "a borrowed guard needs no `mut`")]
        let mut writer = $writer;
        settle!($recorded, writer.plan(Patience::Forever).$operation($($argument),*))
    }};
}

/// Returns whether a result is the recorded one.
fn is_alike(recorded: Outcome, own: &Planned) -> bool {
    match (recorded, own) {
        (Outcome::Unchecked, _) => true,
        (Outcome::Value(value), Ok(own)) => value == *own,
        (Outcome::Failed(errno), Err(failure)) => errno == failure.errno,
        _ => false,
    }
}

/// Performs one operation. `refused` is the recorded cause of a refusal.
pub(super) fn follow(
    space: &mut MmSpace,
    operation: &Operation,
    recorded: Outcome,
    refused: Option<&Name>,
    heap_known: &mut bool,
) -> Followed {
    let mut place = None;
    let (own, at) = match operation {
        Operation::Mmap { addr, flags, .. } => {
            let own = mmap(space, operation, recorded, &mut place);
            (own, Some(if flags.contains(MapFlags::FIXED) { *addr } else { value_of(recorded) }))
        }
        Operation::Mremap { addr, .. } => (mremap(space, operation, recorded, &mut place), Some(*addr)),
        Operation::Brk { addr } => (brk(space, *addr, recorded, heap_known), Some(*addr)),
        Operation::Munmap { addr, len } => (follow!(recorded, space.writer(), munmap(*addr, *len)), Some(*addr)),
        Operation::Mprotect { addr, len, prot } => (protect(space, recorded, (*addr, *len), *prot, -1), Some(*addr)),
        Operation::PkeyMprotect { addr, len, prot, key } => (protect(space, recorded, (*addr, *len), *prot, *key), Some(*addr)),
        Operation::PkeyAlloc { flags, rights } => (pkey_alloc(space, recorded, *flags, *rights), None),
        Operation::PkeyFree { key } => (pkey_free(space, recorded, *key), None),
        Operation::Madvise { addr, len, advice } if advice.gives_owners() => {
            if let (Outcome::Value(_), Some(extent)) = (recorded, Extent::new(*addr, addr.saturating_add(*len))) {
                // owners are the only effect that the library has of it
                _ = space.own(extent);
            }
            return if matches!(recorded, Outcome::Value(_)) { Followed::Alike { place: None } } else { Followed::Unsupported };
        }
        Operation::Madvise { addr, len, advice } => match advice_of(*advice) {
            Ok(advice) => (follow!(recorded, space.writer(), madvise(*addr, *len, advice)), Some(*addr)),
            Err(_) => return Followed::Unsupported,
        },
        Operation::Mlock2 { addr, len, flags } if flags.contains(LockFlags::ONFAULT) => {
            (follow!(recorded, space.writer(), mlock_on_fault(*addr, *len)), Some(*addr))
        }
        Operation::Mlock { addr, len } | Operation::Mlock2 { addr, len, .. } => (lock(space, *addr, *len, recorded), Some(*addr)),
        Operation::Munlock { addr, len } => (follow!(recorded, space.writer(), munlock(*addr, *len)), Some(*addr)),
        Operation::Mseal { addr, len } => (follow!(recorded, space.writer(), mseal(*addr, *len)), Some(*addr)),
        Operation::Mlockall { flags } => match lock_all_of(*flags) {
            Some(what) => (follow!(recorded, space.writer(), mlockall(what)), None),
            None => return Followed::Unsupported,
        },
        Operation::Munlockall => (follow!(recorded, space.writer(), munlockall()), None),
        Operation::Mark { addr, .. } => (mark(space, operation, recorded), Some(*addr)),
    };
    match recorded {
        Outcome::Unchecked => Followed::Unchecked,
        recorded if is_alike(recorded, &own) => Followed::Alike { place },
        recorded if let Some(cause) = cause_of(space, operation, recorded, &own, refused) => Followed::Refused(cause),
        recorded => {
            let found =
                own.map_or_else(|failure| format!("-{}: {}", failure.errno, failure.why), |value| Outcome::Value(value).to_string());
            Followed::Differs { expected: recorded.to_string(), found, at }
        }
    }
}

fn value_of(recorded: Outcome) -> u64 {
    if let Outcome::Value(value) = recorded { value } else { 0 }
}

/// Returns why the kernel refused an operation that the library would do, if no layout decides that: the recorded cause, or the one that the
/// error shows. Otherwise `None`.
fn cause_of(space: &MmSpace, operation: &Operation, recorded: Outcome, own: &Planned, refused: Option<&Name>) -> Option<String> {
    let is_refused = match (operation, recorded) {
        // `brk` returns no error: the break is not the requested one
        (Operation::Brk { addr }, Outcome::Value(brk)) => brk != *addr,
        (_, Outcome::Failed(_)) => true,
        _ => false,
    };
    if let Some(cause) = refused.filter(|_| is_refused && own.is_ok()) {
        return Some(cause.to_string());
    }
    let Outcome::Failed(errno) = recorded else { return None };
    let cause = match (operation, errno.name()) {
        (_, "EINTR") => "a signal",
        (_, "ENOSYS") => "not in that kernel",
        // the descriptor is checked before everything else
        (Operation::Mmap { object: Object::File(_), .. }, "EBADF") => "the file",
        // `mprotect` goes from area to area, so an area comes before a hole
        (Operation::Mprotect { addr, .. } | Operation::PkeyMprotect { addr, .. }, "EACCES")
            if matches!(own, Err(failure) if failure.errno.name() == "ENOMEM") && space.mm.pin().lookup(*addr).is_some() =>
        {
            "a permission"
        }
        // the library refuses it for a cause of its own, which comes first in the kernel, too
        _ if own.is_err() => return None,
        // these errors do not come from the file
        (Operation::Mmap { object: Object::File(_), .. }, name) if !matches!(name, "EEXIST" | "EOVERFLOW" | "ENOMEM") => "the file",
        // the file was opened for less than is requested, or a security module refuses
        (Operation::Mmap { .. } | Operation::Mprotect { .. } | Operation::PkeyMprotect { .. }, "EACCES") => "a permission",
        (Operation::Mark { .. }, _) => "not decided by the layout",
        (Operation::Mlock { .. }, "ENOMEM" | "EAGAIN") => "pages that could not be brought in",
        (Operation::Mlock2 { flags, .. }, "ENOMEM" | "EAGAIN") if !flags.contains(LockFlags::ONFAULT) => {
            "pages that could not be brought in"
        }
        _ => return None,
    };
    Some(cause.to_owned())
}

/// Performs an `mlock`. If the kernel failed only because it could not bring pages in, the call is done, because the kernel does that last.
fn lock(space: &mut MmSpace, addr: u64, len: u64, recorded: Outcome) -> Planned {
    let mut writer = space.writer();
    let plan = writer.plan(Patience::Forever).mlock(addr, len);
    let own: Planned = plan.outcome().map(Answer::answer).map_err(|error| Failure::new(error.errno(), error));
    let is_without_pages = |errno: Errno| matches!(errno.name(), "ENOMEM" | "EAGAIN") && own.is_ok();
    if is_alike(recorded, &own) || matches!(recorded, Outcome::Failed(errno) if is_without_pages(errno)) {
        // its result is the plan's
        _ = plan.commit();
    }
    own
}

/// Performs a call that changed a mark. Some of these calls fail at a hole and others do not, so a hole is no error here.
fn mark(space: &mut MmSpace, operation: &Operation, recorded: Outcome) -> Planned {
    let Operation::Mark { addr, len, kind, .. } = operation else {
        return Err(Failure::invalid("no mark"));
    };
    let number = mark_of(space, operation);
    let mut writer = space.writer();
    let plan = writer.plan(Patience::Forever).change_payloads(*addr, *len, |rider| rider.marked(*kind, number));
    let own: Planned = match plan.outcome() {
        Err(ChangePayloadsError::Gap { .. }) => Ok(0),
        planned => planned.map(Answer::answer).map_err(|error| Failure::new(error.errno(), error)),
    };
    if is_alike(recorded, &own) {
        _ = plan.commit();
    }
    own
}

fn mmap(space: &mut MmSpace, operation: &Operation, recorded: Outcome, place: &mut Option<Place>) -> Planned {
    let Operation::Mmap { addr, len, prot, flags, object, offset } = operation else {
        return Err(Failure::invalid("no mapping"));
    };
    check_offset(*offset)?;
    match recorded {
        Outcome::Value(at) => low::follow(space, operation, Some(at)),
        Outcome::Failed(_) => low::follow(space, operation, None),
        Outcome::Unchecked => {}
    }
    let request = request_of(space, *len, *prot, with_kind(*flags, object), object, *offset);
    let mut writer = space.writer();
    let is_fixed = flags.contains(MapFlags::FIXED) || flags.contains(MapFlags::FIXED_NOREPLACE);
    let placed = match request.clone() {
        request if flags.contains(MapFlags::FIXED_NOREPLACE) => request.fixed_no_replace(*addr),
        request if is_fixed => request.fixed(*addr),
        request => request.near(*addr),
    };
    if let Some(refused) = kind_refused(*flags, object) {
        let plan = writer.plan(Patience::Forever).mmap(&placed);
        let own = match plan.outcome() {
            // the kernel refuses at the same point
            Err(MmapError::Growing) => Err(refused),
            planned => planned.map(Answer::answer).map_err(|error| Failure::new(error.errno(), error)),
        };
        if is_alike(recorded, &own) {
            // the plan may have an effect: an execute-only key is allocated before the refusal
            _ = plan.commit();
        }
        return own;
    }
    let own = follow!(recorded, &mut writer, mmap(&placed));
    let Outcome::Value(at) = recorded else { return own };
    if is_fixed {
        return own;
    }
    let planned = if is_alike(recorded, &own) { Ok(at) } else { follow!(recorded, &mut writer, mmap(&request.fixed(at))) };
    *place = Some(Place { recorded: at, own });
    planned
}

fn protect(space: &MmSpace, recorded: Outcome, (addr, len): (u64, u64), prot: Prot, key: i32) -> Planned {
    follow!(recorded, space.writer(), mprotect(addr, len, protect_request_of(prot, key)))
}

fn pkey_alloc(space: &MmSpace, recorded: Outcome, flags: u64, rights: u64) -> Planned {
    if flags != 0 {
        return Err(Failure::invalid("no flags are known"));
    }
    let mut writer = space.writer();
    settle!(recorded, writer.plan(Patience::Forever).pkey_alloc(denial_of(rights)))
}

fn pkey_free(space: &MmSpace, recorded: Outcome, key: i32) -> Planned {
    let Some(key) = u8::try_from(key).ok().and_then(ProtectionKey::new) else { return Err(Failure::invalid("there is no such key")) };
    let mut writer = space.writer();
    settle!(recorded, writer.plan(Patience::Forever).pkey_free(key))
}

fn mremap(space: &mut MmSpace, operation: &Operation, recorded: Outcome, place: &mut Option<Place>) -> Planned {
    let &Operation::Mremap { addr, old_len, new_len, flags, new_addr } = operation else {
        return Err(Failure::invalid("no remapping"));
    };
    let request = RemapRequest::from_raw(addr, old_len, new_len, flags.bits(), new_addr.unwrap_or(0));
    let mut writer = space.writer();
    let own = follow!(recorded, &mut writer, mremap(&request));
    let Outcome::Value(at) = recorded else { return own };
    if at == addr || flags.contains(RemapFlags::FIXED) || !flags.contains(RemapFlags::MAYMOVE) {
        return own;
    }
    // it was moved to a place that the kernel chose
    let planned = if is_alike(recorded, &own) { Ok(at) } else { follow!(recorded, &mut writer, mremap(&request.fixed(at))) };
    *place = Some(Place { recorded: at, own });
    planned
}

/// Performs a `brk`, and returns the break in effect afterwards.
fn brk(space: &mut MmSpace, addr: u64, recorded: Outcome, heap_known: &mut bool) -> Planned {
    let mut writer = space.writer();
    let before = writer.mm().program_break();
    if let Outcome::Value(brk) = recorded
        && !std::mem::replace(heap_known, true)
        && addr == 0
        && brk != before
    {
        // a child inherits the heap that its parent has grown
        return writer.set_heap(before.min(brk), brk).map(|()| brk).map_err(|error| Failure::new(error.errno(), error));
    }
    let plan = writer.plan(Patience::Forever).brk(addr);
    let own = Ok(plan.outcome().unwrap_or(before));
    if is_alike(recorded, &own) {
        _ = plan.commit();
    }
    own
}
