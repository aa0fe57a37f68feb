//! The system calls, an arm for each: from the arguments as a program gave them to the library's operation. `model` comes in.

use super::area::Rider;
use super::model::MmSpace;
use super::space::{Failure, Refusal};
use vmaple::lock::Patience;
use vmaple::mm::{Advice, KeyChange, KeyDenial, LockAll, MapRequest, MmapError, MremapFlags, ProtectionKey};
use vmaple::{PAGE_SIZE, VmaFlags, VmaSpec};
use vmaple_trace::{LockAllFlags, LockFlags, MapFlags, Object, Offset, Operation, Prot, RemapFlags};

/// What came of it: an address or 0, or how it failed.
type Done = Result<u64, Failure>;

/// The library's answer as a system call's: each operation has an error of its own, all with an errno.
macro_rules! done {
    ($told:expr) => {
        $told.map_err(|error| Failure::new(error.errno(), error))
    };
}

/// Does it.
pub(super) fn apply(space: &mut MmSpace, operation: &Operation) -> Result<Done, Refusal> {
    let tag = mark_of(space, operation);
    let mut writer = space.writer();
    Ok(match operation {
        Operation::Mmap { addr, len, prot, flags, object, offset } => {
            drop(writer);
            return Ok(mmap(space, (*addr, *len), *prot, *flags, object, *offset));
        }
        Operation::Munmap { addr, len } => done!(writer.munmap(*addr, *len)),
        Operation::Mprotect { addr, len, prot } => done!(writer.pkey_mprotect(*addr, *len, flags_of(*prot), key_change_of(*prot, -1))),
        Operation::PkeyMprotect { addr, len, prot, key } => {
            done!(writer.pkey_mprotect(*addr, *len, flags_of(*prot), key_change_of(*prot, *key)))
        }
        Operation::PkeyAlloc { flags: 0, rights } => {
            let denial = denial_of(*rights);
            let told = done!(writer.pkey_alloc(denial));
            drop(writer);
            // The calling thread has these rights to it from then on.
            told.map(|key| {
                space.rights = space.rights.with(key, denial);
                key.number().into()
            })
        }
        Operation::PkeyAlloc { .. } => Err(Failure::invalid("no flags are known")),
        Operation::PkeyFree { key } => match u8::try_from(*key).ok().and_then(ProtectionKey::new) {
            Some(key) => done!(writer.pkey_free(key)),
            None => Err(Failure::invalid("there is no such key")),
        },
        Operation::Mremap { addr, old_len, new_len, flags, new_addr } => {
            done!(writer.mremap(*addr, *old_len, *new_len, remap_flags_of(*flags), new_addr.unwrap_or(0)))
        }
        Operation::Brk { addr } => Ok(writer.brk(*addr)),
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

/// The number of the word that an operation marks areas with.
pub(crate) fn mark_of(space: &mut MmSpace, operation: &Operation) -> (u32, bool) {
    match operation {
        Operation::Mark { kind, word, .. } => space.names.words.number_of(*kind, word.as_ref()),
        _ => (0, false),
    }
}

pub(crate) fn flags_of(prot: Prot) -> VmaFlags {
    [
        (Prot::READ, VmaFlags::READ),
        (Prot::WRITE, VmaFlags::WRITE),
        (Prot::EXEC, VmaFlags::EXEC),
        (Prot::GROWSDOWN, VmaFlags::GROWSDOWN),
        (Prot::GROWSUP, VmaFlags::GROWSUP),
    ]
    .into_iter()
    .filter(|(asked, _)| prot.contains(*asked))
    .fold(VmaFlags::empty(), |flags, (_, flag)| flags | flag)
}

/// The key that follows from the arguments of `mprotect`, whose key is -1, and `pkey_mprotect`: what asks for more than `PROT_EXEC` that is
/// no access is not execute-only.
pub(crate) fn key_change_of(prot: Prot, key: i32) -> KeyChange {
    if key == -1 && prot.contains(Prot::SEM) { KeyChange::IMPLIED_READABLE } else { KeyChange::of_argument(key) }
}

/// What `pkey_alloc` is asked to deny.
pub(crate) fn denial_of(rights: u64) -> KeyDenial {
    KeyDenial::from_bits_retain(u32::try_from(rights).unwrap_or(u32::MAX))
}

pub(crate) fn remap_flags_of(flags: RemapFlags) -> MremapFlags {
    MremapFlags::from_bits_retain(flags.bits())
}

pub(crate) fn lock_all_of(flags: LockAllFlags) -> Option<LockAll> {
    let has = |flag| flags.contains(flag);
    match (has(LockAllFlags::CURRENT), has(LockAllFlags::FUTURE), has(LockAllFlags::ONFAULT)) {
        (true, false, false) => Some(LockAll::Current),
        (false, true, false) => Some(LockAll::Future),
        (true, true, false) => Some(LockAll::CurrentAndFuture),
        (true, false, true) => Some(LockAll::CurrentOnFault),
        (false, true, true) => Some(LockAll::FutureOnFault),
        (true, true, true) => Some(LockAll::CurrentAndFutureOnFault),
        (false, false, _) => None,
    }
}

/// The advice of Linux's number, if it is one that changes flags.
pub(crate) fn advice_of(advice: vmaple_trace::Advice) -> Result<Advice, Refusal> {
    Ok(match advice.number() {
        0 => Advice::Normal,
        1 => Advice::Random,
        2 => Advice::Sequential,
        10 => Advice::DontFork,
        11 => Advice::DoFork,
        18 => Advice::WipeOnFork,
        19 => Advice::KeepOnFork,
        16 => Advice::DontDump,
        17 => Advice::DoDump,
        12 => Advice::Mergeable,
        13 => Advice::Unmergeable,
        14 => Advice::HugePage,
        15 => Advice::NoHugePage,
        _ => return Err(Refusal::Unsupported("an advice that changes no flags")),
    })
}

/// What is wrong with the kind of a mapping, which the library cannot be asked for: there it is private or shared.
pub(crate) fn kind_refused(flags: MapFlags, object: &Object) -> Option<Failure> {
    if !flags.is_private() && !flags.is_shared() {
        return Some(Failure::invalid("neither private nor shared"));
    }
    if !flags.contains(MapFlags::SHARED_VALIDATE) {
        return None;
    }
    // Huge pages have a file always.
    if *object == Object::Anon && !flags.contains(MapFlags::HUGETLB) {
        return Some(Failure::invalid("what maps no file validates no flags"));
    }
    // Of the flags that came with it, these are not among the old ones.
    let is_unknown = flags.contains(MapFlags::FIXED_NOREPLACE) || flags.contains(MapFlags::SYNC);
    is_unknown.then(|| Failure::new(libc::EOPNOTSUPP, "the file knows no such flag"))
}

/// Refuses an offset inside a page, which the library cannot be asked for where there is no object.
pub(crate) fn check_offset(offset: Offset) -> Result<(), Failure> {
    match offset {
        Offset::Bytes(bytes) if bytes % PAGE_SIZE != 0 => Err(Failure::invalid("the offset is not at a page's start")),
        _ => Ok(()),
    }
}

/// The flags of a mapping that the library can be asked for. The kind is looked at after the place: where it is refused, what is shared and
/// grows is refused at the same point, and what was requested before that stays.
pub(crate) fn with_kind(flags: MapFlags, object: &Object) -> MapFlags {
    if kind_refused(flags, object).is_some() { flags.union(MapFlags::SHARED).union(MapFlags::GROWSDOWN) } else { flags }
}

fn mmap(space: &mut MmSpace, (addr, len): (u64, u64), prot: Prot, flags: MapFlags, object: &Object, offset: Offset) -> Done {
    check_offset(offset)?;
    let refused = kind_refused(flags, object);
    let request = request_at(space, (addr, len), prot, with_kind(flags, object), object, offset);
    let mut writer = space.writer();
    match (writer.mmap(&request), refused) {
        (Err(MmapError::Growing), Some(refused)) => Err(refused),
        (told, _) => done!(told),
    }
}

/// Where a mapping would be placed now; `None` if nowhere.
pub(super) fn place_of(space: &mut MmSpace, operation: &Operation) -> Option<u64> {
    let Operation::Mmap { addr, len, prot, flags, object, offset } = operation else { return None };
    let request = request_at(space, (*addr, *len), *prot, *flags, object, *offset);
    space.writer().plan_mmap(&request, Patience::Forever).outcome().ok()
}

/// What a program asks to be mapped.
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

/// Returns what a program requests to be mapped, without the place.
pub(crate) fn request_of(space: &mut MmSpace, len: u64, prot: Prot, flags: MapFlags, object: &Object, offset: Offset) -> MapRequest<Rider> {
    let mut has = flags_of(prot).intersection(VmaFlags::READ | VmaFlags::WRITE | VmaFlags::EXEC);
    for (asked, flag) in [
        (MapFlags::GROWSDOWN, VmaFlags::GROWSDOWN),
        (MapFlags::LOCKED, VmaFlags::LOCKED),
        (MapFlags::NORESERVE, VmaFlags::NORESERVE),
        (MapFlags::DROPPABLE, VmaFlags::DROPPABLE),
        // also where nothing comes of it
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
    for (word, flag) in super::area::FLAGS {
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
        // An offset means something where there are huge pages, which have an object.
        Object::Anon if flags.contains(MapFlags::HUGETLB) => VmaSpec::anonymous(has).at_offset(bytes),
        Object::Anon => VmaSpec::anonymous(has),
        // The object is made for it.
        object if flags.contains(MapFlags::ANONYMOUS) && flags.is_shared() => {
            let spec = VmaSpec::shared_anonymous(space.number_of(object), has);
            if flags.contains(MapFlags::HUGETLB) { spec.at_offset(bytes) } else { spec }
        }
        object if space.names.is_in_memory(object) => VmaSpec::of_shared_memory(space.number_of(object), bytes, has),
        object => VmaSpec::of_object(space.number_of(object), bytes, has),
    };
    let request = MapRequest::new(len, spec.with_payload(Rider::with(tags, space.with.flags)));
    // Whatever else is asked for, it is not execute-only memory then.
    let request = if prot == Prot::EXEC { request } else { request.readable() };
    let request = if flags.contains(MapFlags::LOW_32BIT) { request.in_low_addresses() } else { request };
    let request = if flags.contains(MapFlags::ABOVE4G) { request.above_low_addresses() } else { request };
    if flags.contains(MapFlags::POPULATE) && !flags.contains(MapFlags::NONBLOCK) { request.populated() } else { request }
}
