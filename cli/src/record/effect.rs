//! The effect of a finished call on an address space: the record for the trace, and the change of the model. Called by `calls`, while the
//! caller and every thread that could interfere are stopped.

use nix::unistd::Pid;
use vmaple_host::Host;

use super::abi::PAGE;
use super::call::Known;
use super::layout::{self, Detail, GIVEN};
use super::objects::Source;
use super::objects::{self, Objects};
use super::opens::Open;
use super::space::{Reason, Space};
use vmaple_trace::{AreaFlags, Errno, Extent, MapFlags, MarkKind, Name, Operation, Outcome, Perm, Prot, Record, RemapFlags, Stamp, With};

impl Space {
    /// Writes a call to the trace and applies its effect to the model.
    pub(super) fn complete(&mut self, tid: Pid, stamp: Stamp, known: Known, result: Result<u64, u64>, objects: &mut Objects) {
        let Known { mut operation, source, open, odd } = known;
        self.calls_since_snapshot += 1;
        let outcome = match result {
            Ok(value) => Outcome::Value(value),
            Err(number) => match Errno::from_number(number) {
                Some(errno) => Outcome::Failed(errno),
                // internal numbers of the kernel: the call is restarted, or a signal ended it
                None => return,
            },
        };
        if odd && result.is_err() {
            self.image.comment(&format!("{operation} = {outcome}, with bits that the format has no word for"));
            return;
        }
        let mut with = With {
            flags: name_object(&mut operation, source, tid, result, objects),
            refused: want_of_memory(&operation, result),
            ..With::default()
        };
        // a failed call maps nothing
        with.marks.set(MarkKind::Open, open.filter(|_| result.is_ok()).and_then(Open::mark));
        for setting in self.base.learn(&operation, result) {
            self.image.record(&Record::Set(setting));
        }
        if !with.is_empty() {
            self.image.record(&Record::With(with));
        }
        let effect = self.in_whole_pages(tid, &operation, result);
        let look = match result {
            Ok(value) => {
                if let Some(setting) = self.keys.follow(&operation, value) {
                    self.image.record(&Record::Set(setting));
                }
                self.apply(effect.as_ref().unwrap_or(&operation), value)
            }
            Err(_) => may_leave_traces(&operation),
        };
        let touched = touched(&operation, result);
        let must_follow = self.opens.must_follow(&touched);
        match (&operation, open, &touched[..]) {
            (Operation::Mmap { .. }, Some(open), [extent]) => self.opens.mapped(open, *extent),
            (Operation::Mremap { .. }, _, [from, to]) => self.opens.moved(*from, *to),
            _ => {}
        }
        self.image.operation(Some(stamp), operation, outcome);
        if look == Look::Needed
            && let Err(error) = self.look(tid, objects, Reason::Call(stamp))
        {
            self.image.comment(&format!("the layout after the call above cannot be read: {error}"));
        }
        if must_follow && let Ok(seen) = layout::read(tid, Detail::Plain) {
            self.opens.follow(&seen);
        }
    }

    /// Rounds the lengths of an `mremap` up to whole huge pages, if the area in which it ends consists of them.
    fn in_whole_pages(&self, tid: Pid, operation: &Operation, result: Result<u64, u64>) -> Option<Operation> {
        let Operation::Mremap { addr, old_len, new_len, flags, new_addr } = *operation else { return None };
        let last = result.ok()?.checked_add(round_up(new_len))?.checked_sub(1).filter(|_| self.has_huge_pages)?;
        let areas = layout::read(tid, Detail::Flags).ok()?;
        let page = areas.iter().find(|area| area.extent.contains(last))?.flags.huge_page_bytes()?;
        let whole = |len: u64| Some(addr.checked_add(len)?.checked_next_multiple_of(page)? - addr);
        Some(Operation::Mremap { addr, old_len: whole(old_len)?, new_len: whole(new_len)?, flags, new_addr })
    }

    /// Applies a call that succeeded to the model.
    fn apply(&mut self, operation: &Operation, result: u64) -> Look {
        match operation {
            Operation::Mmap { len, prot, flags, .. } => {
                self.has_huge_pages |= flags.contains(MapFlags::HUGETLB);
                if let Some(extent) = pages(result, *len) {
                    self.coverage.map(extent, perm(*prot, *flags));
                    if flags.contains(MapFlags::GROWSDOWN) {
                        self.stacks.push(extent);
                    }
                }
            }
            Operation::Munmap { addr, len } => {
                if let Some(extent) = pages(*addr, *len) {
                    self.coverage.unmap(extent);
                }
            }
            Operation::Mprotect { addr, len, prot } | Operation::PkeyMprotect { addr, len, prot, .. } => {
                if prot.contains(Prot::GROWSDOWN) || prot.contains(Prot::GROWSUP) {
                    // its range reached to the end of an area, which only the layout shows
                    return Look::Needed;
                }
                if let Some(extent) = pages(*addr, *len) {
                    self.coverage.protect(extent, access(*prot));
                }
            }
            Operation::Mremap { addr, old_len, new_len, flags, .. } => {
                let of_stack = |stack: &Extent| pages(*addr, *old_len).is_some_and(|old| stack.overlaps(old));
                if self.stacks.iter().any(of_stack) {
                    self.stacks.extend(pages(result, *new_len));
                }
                return self.apply_remap(*addr, round_up(*old_len), round_up(*new_len), *flags, result);
            }
            Operation::Brk { .. } => {
                self.apply_brk(result);
                if self.implies_exec {
                    return Look::Needed;
                }
            }
            Operation::Madvise { .. }
            | Operation::Mlock { .. }
            | Operation::Mlock2 { .. }
            | Operation::Munlock { .. }
            | Operation::Mseal { .. }
            | Operation::Mlockall { .. }
            | Operation::Munlockall
            | Operation::PkeyAlloc { .. }
            | Operation::PkeyFree { .. }
            | Operation::Mark { .. } => {}
        }
        Look::Unneeded
    }

    fn apply_remap(&mut self, from: u64, old_len: u64, new_len: u64, flags: RemapFlags, to: u64) -> Look {
        let Some(new) = pages(to, new_len) else {
            return Look::Needed;
        };
        if to == from {
            let Some(&(_, perm)) = self.coverage.pieces(new).first() else {
                return Look::Needed;
            };
            if new_len < old_len {
                if let Some(tail) = pages(from + new_len, old_len - new_len) {
                    self.coverage.unmap(tail);
                }
            } else if let Some(tail) = pages(from + old_len, new_len - old_len) {
                self.coverage.map(tail, perm);
            }
            return Look::Unneeded;
        }
        // an old length of 0 maps shared memory a second time
        let Some(old) = pages(from, old_len) else {
            return Look::Needed;
        };
        if new_len <= old_len {
            if let Some(tail) = pages(from + new_len, old_len - new_len) {
                self.coverage.unmap(tail);
            }
            // one area, or several with the holes between them
            let pieces = self.coverage.pieces(old);
            if pieces.first().is_none_or(|(first, _)| first.start != from) {
                return Look::Needed;
            }
            for (piece, perm) in pieces {
                let Some(moved) = pages(to + (piece.start - from), piece.len_bytes()) else { return Look::Needed };
                if !flags.contains(RemapFlags::DONTUNMAP) {
                    self.coverage.unmap(piece);
                }
                self.coverage.map(moved, perm);
            }
            return Look::Unneeded;
        }
        // in the model an area that grew in place may be several ranges with equal permissions
        let Some(perm) = self.coverage.perm_of(old) else {
            return Look::Needed;
        };
        if !flags.contains(RemapFlags::DONTUNMAP) {
            self.coverage.unmap(old);
        }
        self.coverage.map(new, perm);
        Look::Unneeded
    }

    fn apply_brk(&mut self, brk: u64) {
        let before = self.brk.replace(brk);
        let (Some(before), brk) = (before.map(round_up), round_up(brk)) else {
            // the first call usually only asks for the break; if it moved it, the next layout shows that
            return;
        };
        if let Some(grown) = Extent::new(before, brk) {
            self.coverage.map(grown, Perm::READ.union(Perm::WRITE));
        } else if let Some(shrunk) = Extent::new(brk, before) {
            self.coverage.unmap(shrunk);
        }
    }
}

/// Returns the ranges in which a call that succeeded may have unmapped something.
fn touched(operation: &Operation, result: Result<u64, u64>) -> Vec<Extent> {
    let Ok(result) = result else { return Vec::new() };
    let extents = match *operation {
        Operation::Mmap { len, .. } => [pages(result, len), None],
        Operation::Munmap { addr, len } => [pages(addr, len), None],
        Operation::Mremap { addr, old_len, new_len, .. } => [pages(addr, old_len), pages(result, new_len)],
        _ => [None, None],
    };
    extents.into_iter().flatten().collect()
}

/// Returns whether only the layout shows the effect of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Needed,
    Unneeded,
}

/// Returns whether a call that failed may have had an effect before.
fn may_leave_traces(operation: &Operation) -> Look {
    match operation {
        Operation::Mprotect { .. } | Operation::PkeyMprotect { .. } | Operation::Munmap { .. } | Operation::Mremap { .. } => Look::Needed,
        Operation::Mmap { flags, .. } if flags.contains(MapFlags::FIXED) => Look::Needed,
        _ => Look::Unneeded,
    }
}

/// Completes an `mmap` with the arguments that are known only at the end of the call.
fn name_object(operation: &mut Operation, source: Source, tid: Pid, result: Result<u64, u64>, objects: &mut Objects) -> AreaFlags {
    let Operation::Mmap { len, flags, object, .. } = operation else {
        return AreaFlags::EMPTY;
    };
    if flags.contains(MapFlags::HUGETLB) && result.is_ok() {
        // the kernel maps whole huge pages, and the trace must not depend on this machine's default size
        *len = len.next_multiple_of(huge_page(*flags));
    }
    if source == Source::Nothing {
        return AreaFlags::EMPTY;
    }
    let may_give = given_by(tid, source);
    let detail = if may_give == AreaFlags::EMPTY { Detail::Plain } else { Detail::Flags };
    let seen = result.ok().and_then(|address| {
        let areas = layout::read(tid, detail).ok()?;
        areas.into_iter().find(|area| area.extent.contains(address))
    });
    let Some(area) = seen else {
        // the file's name is not known, and no later mapping of the file gets this one
        *object = objects::failed(source);
        return AreaFlags::EMPTY;
    };
    *object = objects.of_area(&area);
    if let Source::Descriptor(descriptor) = source {
        objects.learn(tid, descriptor, object);
    }
    area.flags.intersection(may_give)
}

/// Returns the flags that a descriptor may add to a mapping: none for a plain file, some for a driver, `locked` for `memfd_secret`.
fn given_by(tid: Pid, source: Source) -> AreaFlags {
    let Source::Descriptor(descriptor) = source else { return AreaFlags::EMPTY };
    let path = format!("/proc/{tid}/fd/{descriptor}");
    if std::fs::read_link(&path).is_ok_and(|name| name.as_os_str().as_encoded_bytes().starts_with(b"/secretmem")) {
        AreaFlags::LOCKED.union(AreaFlags::DONTDUMP)
    } else if std::fs::metadata(path).is_ok_and(|data| !data.is_file()) {
        GIVEN
    } else {
        AreaFlags::EMPTY
    }
}

/// The error of a call for which memory was short.
const ENOMEM: u64 = 12;

/// Returns the cause of a refusal because memory was short, if it is known. No layout decides it.
fn want_of_memory(operation: &Operation, result: Result<u64, u64>) -> Option<Name> {
    let asked = match operation {
        // `brk` returns no error: the break has not moved
        Operation::Brk { addr } => result.ok().and_then(|brk| addr.checked_sub(brk)).filter(|more| *more > 0)?,
        _ if result != Err(ENOMEM) => return None,
        Operation::Mmap { flags, .. } if flags.contains(MapFlags::HUGETLB) => return Name::new(b"hugepages"),
        Operation::Mmap { len, prot, flags, .. } if is_promised(*prot, *flags) => *len,
        Operation::Mprotect { len, prot, .. } | Operation::PkeyMprotect { len, prot, .. } if prot.contains(Prot::WRITE) => *len,
        Operation::Mremap { old_len, new_len, .. } => new_len.saturating_sub(*old_len),
        _ => return None,
    };
    let host = Host::as_it_is();
    let is_refused = match host.overcommit.mode {
        // more than the system has in total
        Some(0) => host.memory_bytes.is_some_and(|memory| asked > memory),
        Some(2) => match (vmaple_host::committed_bytes(), host.overcommit.limit_bytes) {
            (Some(committed), Some(limit)) => committed.saturating_add(asked).saturating_add(host.overcommit.reserved_bytes) > limit,
            _ => false,
        },
        _ => false,
    };
    is_refused.then(|| Name::new(b"overcommit")).flatten()
}

/// Returns whether the system promises the pages of a mapping.
fn is_promised(prot: Prot, flags: MapFlags) -> bool {
    let is_reserved = !flags.contains(MapFlags::NORESERVE) || Host::as_it_is().overcommit.mode == Some(2);
    let is_of_memory = if flags.is_shared() { flags.contains(MapFlags::ANONYMOUS) } else { prot.contains(Prot::WRITE) };
    is_reserved && is_of_memory
}

/// Returns the size in bytes of the huge pages that a mapping requests.
fn huge_page(flags: MapFlags) -> u64 {
    flags.huge_page_bytes().or(Host::as_it_is().default_huge_page_bytes).unwrap_or(PAGE)
}

fn round_up(address: u64) -> u64 {
    address.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX - (PAGE - 1))
}

/// Returns the range of whole pages from `start` on that holds `len` bytes.
fn pages(start: u64, len: u64) -> Option<Extent> {
    Extent::new(start, start.checked_add(round_up(len))?)
}

fn access(prot: Prot) -> Perm {
    let [bits, ..] = prot.bits().to_le_bytes();
    Perm::from_bits(bits & 7)
}

fn perm(prot: Prot, flags: MapFlags) -> Perm {
    if flags.is_shared() { access(prot).union(Perm::SHARED) } else { access(prot) }
}
