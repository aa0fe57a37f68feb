//! Performs the system calls of a trace with the library, one arm for each.
//!
//! Called by `model`; `low` and the program's `replay` use the requests for mappings.

use crate::area::{FLAGS, Rider};
use crate::convert::{
    Answer as _, access_of, advice_of, check_offset, denial_of, kind_refused, lock_all_of, protect_request_of, with_kind,
};
use crate::mm_space::MmSpace;
use crate::space::{Failure, Refusal};
use vmaple::lock::Patience;
use vmaple::mm::{MapRequest, MmapError, ProtectionKey, RemapRequest};
use vmaple::{ErrorCode, VmaFlags, VmaSpec};
use vmaple_trace::{LockFlags, MapFlags, Object, Offset, Operation, Prot};

/// The result of a system call: an address or 0, or how it failed.
type Done = Result<u64, Failure>;

/// Converts the library's result to a system call's. Each operation has its own error type, all with an errno.
macro_rules! done {
    ($result:expr) => {
        $result.map(|value| value.answer()).map_err(|error| Failure::new(error.errno(), error))
    };
}

/// Performs a system call.
pub(super) fn apply(space: &mut MmSpace, operation: &Operation) -> Result<Done, Refusal> {
    let tag = mark_of(space, operation);
    let mut writer = space.writer();
    Ok(match operation {
        Operation::Mmap { addr, len, prot, flags, object, offset } => {
            drop(writer);
            return Ok(mmap(space, (*addr, *len), *prot, *flags, object, *offset));
        }
        Operation::Munmap { addr, len } => done!(writer.munmap(*addr, *len)),
        Operation::Mprotect { addr, len, prot } => done!(writer.mprotect(*addr, *len, protect_request_of(*prot, -1))),
        Operation::PkeyMprotect { addr, len, prot, key } => {
            done!(writer.mprotect(*addr, *len, protect_request_of(*prot, *key)))
        }
        Operation::PkeyAlloc { flags: 0, rights } => {
            let denial = denial_of(*rights);
            let result = writer.pkey_alloc(denial);
            drop(writer);
            // from now on the calling thread has these rights to the key
            if let Ok(key) = result {
                space.rights = space.rights.with(key, denial);
            }
            done!(result)
        }
        Operation::PkeyAlloc { .. } => Err(Failure::invalid("no flags are known")),
        Operation::PkeyFree { key } => match u8::try_from(*key).ok().and_then(ProtectionKey::new) {
            Some(key) => done!(writer.pkey_free(key)),
            None => Err(Failure::invalid("there is no such key")),
        },
        Operation::Mremap { addr, old_len, new_len, flags, new_addr } => {
            done!(writer.mremap(&RemapRequest::from_raw(*addr, *old_len, *new_len, flags.bits(), new_addr.unwrap_or(0))))
        }
        // the system call returns the break in effect, and no error
        Operation::Brk { addr } => Ok(writer.brk(*addr).unwrap_or_else(|_| writer.mm().program_break())),
        Operation::Madvise { addr, len, advice } => done!(writer.madvise(*addr, *len, advice_of(*advice)?)),
        Operation::Mlock { addr, len } => done!(writer.mlock(*addr, *len)),
        Operation::Mlock2 { addr, len, flags } if flags.contains(LockFlags::ONFAULT) => done!(writer.mlock_on_fault(*addr, *len)),
        Operation::Mlock2 { addr, len, .. } => done!(writer.mlock(*addr, *len)),
        Operation::Munlock { addr, len } => done!(writer.munlock(*addr, *len)),
        Operation::Mseal { addr, len } => done!(writer.mseal(*addr, *len)),
        Operation::Mlockall { flags } => match lock_all_of(*flags) {
            Some(what) => done!(writer.mlockall(what)),
            None => Err(Failure::invalid("neither what is mapped nor what will be")),
        },
        Operation::Munlockall => done!(writer.munlockall()),
        Operation::Mark { addr, len, kind, .. } => done!(writer.change_payloads(*addr, *len, |rider| rider.marked(*kind, tag))),
    })
}

/// Returns the number of the word that `mark` gives to areas, and whether the mark stays with pages that move.
pub fn mark_of(space: &mut MmSpace, operation: &Operation) -> (u32, bool) {
    match operation {
        Operation::Mark { kind, word, .. } => space.names.words.number_of(*kind, word.as_ref()),
        _ => (0, false),
    }
}

fn mmap(space: &mut MmSpace, (addr, len): (u64, u64), prot: Prot, flags: MapFlags, object: &Object, offset: Offset) -> Done {
    check_offset(offset)?;
    let refused = kind_refused(flags, object);
    let request = request_at(space, (addr, len), prot, with_kind(flags, object), object, offset);
    let mut writer = space.writer();
    match (writer.mmap(&request), refused) {
        (Err(MmapError::Growing), Some(refused)) => Err(refused),
        (result, _) => done!(result),
    }
}

/// Returns where the library would place a mapping now; `None` if nowhere.
pub(super) fn place_of(space: &mut MmSpace, operation: &Operation) -> Option<u64> {
    let Operation::Mmap { addr, len, prot, flags, object, offset } = operation else { return None };
    let request = request_at(space, (*addr, *len), *prot, *flags, object, *offset);
    space.writer().plan(Patience::Forever).mmap(&request).outcome().ok()
}

/// Returns the request of an `mmap`.
fn request_at(
    space: &mut MmSpace,
    (addr, len): (u64, u64),
    prot: Prot,
    flags: MapFlags,
    object: &Object,
    offset: Offset,
) -> MapRequest<Rider> {
    let request = request_of(space, len, prot, flags, object, offset);
    if flags.contains(MapFlags::FIXED_NOREPLACE) {
        request.fixed_no_replace(addr)
    } else if flags.contains(MapFlags::FIXED) {
        request.fixed(addr)
    } else {
        request.near(addr)
    }
}

/// Returns the request of an `mmap`, without the place.
pub fn request_of(space: &mut MmSpace, len: u64, prot: Prot, flags: MapFlags, object: &Object, offset: Offset) -> MapRequest<Rider> {
    let mut has = access_of(prot);
    for (asked, flag) in [
        (MapFlags::GROWSDOWN, VmaFlags::GROWSDOWN),
        (MapFlags::LOCKED, VmaFlags::LOCKED),
        (MapFlags::NORESERVE, VmaFlags::NORESERVE),
        (MapFlags::DROPPABLE, VmaFlags::DROPPABLE),
        // even if it has no effect
        (MapFlags::SYNC, VmaFlags::SYNC),
        // huge pages would make threads' stacks large
        (MapFlags::STACK, VmaFlags::NOHUGEPAGE),
    ] {
        if flags.contains(asked) {
            has |= flag;
        }
    }
    if !space.settings.allows_noreserve(flags) {
        has.remove(VmaFlags::NORESERVE);
    }
    if flags.contains(MapFlags::HUGETLB) {
        has |= flags.huge_page_bytes().map_or(VmaFlags::HUGETLB, VmaFlags::of_huge_pages);
    }
    if flags.is_shared() {
        has |= VmaFlags::SHARED;
    }
    for (word, flag) in FLAGS {
        if space.with.flags.contains(word) {
            has |= flag;
        }
    }
    let tags = space.names.words.tags_of(&space.with.marks);
    let bytes = match offset {
        Offset::Bytes(bytes) => bytes,
        Offset::Default => 0,
    };
    let spec = match object {
        // huge pages have an object, so the offset matters
        Object::Anon if flags.contains(MapFlags::HUGETLB) => VmaSpec::anonymous(has).at_offset(bytes),
        Object::Anon => VmaSpec::anonymous(has),
        // the kernel makes an object for it
        object if flags.contains(MapFlags::ANONYMOUS) && flags.is_shared() => {
            let spec = VmaSpec::shared_anonymous(space.number_of(object), has);
            if flags.contains(MapFlags::HUGETLB) { spec.at_offset(bytes) } else { spec }
        }
        object if space.names.is_in_memory(object) => VmaSpec::of_shared_memory(space.number_of(object), bytes, has),
        object => VmaSpec::of_object(space.number_of(object), bytes, has),
    };
    let request = MapRequest::new(len, spec.with_payload(Rider::with(tags, space.with.flags)));
    // only PROT_EXEC alone requests execute-only memory
    let request = if prot == Prot::EXEC { request } else { request.readable() };
    let request = if flags.contains(MapFlags::LOW_32BIT) { request.in_low_addresses() } else { request };
    let request = if flags.contains(MapFlags::ABOVE4G) { request.above_low_addresses() } else { request };
    if flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK) { request.populated() } else { request }
}
