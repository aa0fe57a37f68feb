//! Reads one line of text as one record, with a match arm for each keyword.
//!
//! Called by `parse`, with the line and whether it is inside a block. It takes the line apart with `fields`.

use super::fields::{Fields, failure, number, signed};
use super::marks::{With, flags_and_marks};
use super::{
    Access, Advice, Area, AreaFlags, Capabilities, Context, Expected, ForkOutcome, Limit, LockAllFlags, LockFlags, MapFlags, MarkKind,
    Name, Object, Offset, Operation, Overcommit, Placement, Privilege, Prot, Record, RemapFlags, Resource, Setting, SharedHuge, Side,
    Stamp, TraceFault, VmCounts,
};

/// The place of a line in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Outside blocks.
    Outside,
    /// Inside a `maps` block.
    InMaps,
    /// Inside a `cover` block.
    InCover,
}

const ADDR: &str = "an address";
const LEN: &str = "a length in bytes";
const PERM: &str = "permissions like `rw-p`";
const AREA_FLAGS: &str = "`-` or flags of an area like `growsdown,locked`";
const WITH: &str = "flags of an area, marks like `open:2`, or `refused:CAUSE`";
const OBJECT: &str = "`anon`, `shm:NAME`, `file:NAME` or `special:NAME`";
const OFFSET: &str = "an offset in bytes, or `-`";
const PROT: &str = "`none`, or letters of `rwx`";
const KEY: &str = "a protection key, or -1";
const KEYWORD: &str = "a keyword of the trace format, version 1";

/// Reads one line; `None` if it is blank or a comment.
pub(super) fn record(text: &str, place: Place) -> Result<Option<(Option<Stamp>, Record)>, TraceFault> {
    let mut fields = Fields::of(text);
    let Some(first) = fields.peek() else {
        return Ok(None);
    };
    if place != Place::Outside {
        let record = match first {
            "end" => {
                fields.optional();
                Record::End
            }
            _ => Record::Expected(expected(&mut fields, place)?),
        };
        fields.done()?;
        return Ok(Some((None, record)));
    }
    let stamp = first.strip_prefix('@').map(|_| stamp(&mut fields)).transpose()?;
    let keyword = fields.next(KEYWORD)?;
    let record = match outside(keyword, &mut fields)? {
        Some(record) => record,
        None => match operation(keyword, &mut fields)? {
            Some(operation) => Record::Operation(operation, fields.outcome()?),
            None => return Err(TraceFault::unexpected(keyword, KEYWORD)),
        },
    };
    fields.done()?;
    Ok(Some((stamp, record)))
}

fn stamp(fields: &mut Fields<'_>) -> Result<Stamp, TraceFault> {
    let tid =
        fields.make("a thread like `@1234`", |field| field.strip_prefix('@').and_then(number).and_then(|tid| u32::try_from(tid).ok()))?;
    Ok(Stamp { tid, time_ns: fields.number("a time in nanoseconds")? })
}

/// Reads a record that is not a system call; `None` if no record has this keyword.
fn outside(keyword: &str, fields: &mut Fields<'_>) -> Result<Option<Record>, TraceFault> {
    Ok(Some(match keyword {
        "set" => Record::Set(setting(fields)?),
        "area" => Record::Area(area(fields)?),
        "with" => Record::With(fields.make(WITH, With::from_text)?),
        "fork" => Record::Fork(fork(fields)?),
        "as" => Record::As(fields.make("the name of an address space", Name::unescape)?),
        "exit" => Record::Exit,
        "grew" => Record::Grew(fields.extent()?),
        "own" => Record::Own(fields.extent()?),
        "unrecorded" => Record::Unrecorded(fields.make("a word for what was done", Name::unescape)?),
        "fault" => Record::Fault {
            addr: fields.number(ADDR)?,
            access: fields.make("an access: `r`, `w` or `x`", access)?,
            context: match fields.peek() {
                None | Some("=") => Context::default(),
                Some(_) => fields.make("a context: `user`, `kernel` or `kernel-nofixup`", context)?,
            },
            found: fields.found()?,
        },
        "lookup" => Record::Lookup { addr: fields.number(ADDR)?, found: fields.found()? },
        "find" => Record::Find { addr: fields.number(ADDR)?, found: fields.found()? },
        "gap" => Record::Gap {
            side: fields.make("`lowest` or `highest`", side)?,
            min: fields.number("the lowest address, inclusive")?,
            max: fields.number("the highest address, inclusive")?,
            len: fields.number(LEN)?,
            align: fields.number("an alignment in bytes")?,
            outcome: fields.outcome()?,
        },
        "maps" => Record::Maps,
        "cover" => Record::Cover,
        "count" => Record::Count(fields.number("a number of areas")?),
        "vm" => Record::Vm(vm(fields)?),
        "seq" => Record::Seq(fields.make("a difference like `+1`", |field| field.strip_prefix('+').and_then(number))?),
        "reset" => Record::Reset,
        "case" => match fields.rest() {
            "" => return Err(TraceFault::ends("line", "the name of a case")),
            words => Record::Case(words.to_owned()),
        },
        "window" => Record::Window(fields.extent()?),
        "needs" => Record::Needs(needs(fields)?),
        _ => return Ok(None),
    }))
}

fn operation(keyword: &str, fields: &mut Fields<'_>) -> Result<Option<Operation>, TraceFault> {
    Ok(Some(match keyword {
        "mmap" => Operation::Mmap {
            addr: fields.number(ADDR)?,
            len: fields.number(LEN)?,
            prot: fields.make(PROT, Prot::from_text)?,
            flags: fields.make("`-` or flags of mmap like `private,anonymous`", MapFlags::from_text)?,
            object: fields.make(OBJECT, Object::from_text)?,
            offset: fields.make(OFFSET, offset)?,
        },
        "munmap" => Operation::Munmap { addr: fields.number(ADDR)?, len: fields.number(LEN)? },
        "mprotect" => {
            Operation::Mprotect { addr: fields.number(ADDR)?, len: fields.number(LEN)?, prot: fields.make(PROT, Prot::from_text)? }
        }
        "pkey_mprotect" => Operation::PkeyMprotect {
            addr: fields.number(ADDR)?,
            len: fields.number(LEN)?,
            prot: fields.make(PROT, Prot::from_text)?,
            key: fields.make(KEY, signed)?,
        },
        "pkey_alloc" => {
            Operation::PkeyAlloc { flags: fields.number("the flags of pkey_alloc")?, rights: fields.number("rights to a protection key")? }
        }
        "pkey_free" => Operation::PkeyFree { key: fields.make(KEY, signed)? },
        "mremap" => Operation::Mremap {
            addr: fields.number(ADDR)?,
            old_len: fields.number("the old length in bytes")?,
            new_len: fields.number("the new length in bytes")?,
            flags: fields.make("`-` or flags of mremap like `maymove,fixed`", RemapFlags::from_text)?,
            new_addr: match fields.peek() {
                None | Some("=") => None,
                Some(_) => Some(fields.number("the new address, or `=`")?),
            },
        },
        "brk" => Operation::Brk { addr: fields.number(ADDR)? },
        "madvise" => Operation::Madvise {
            addr: fields.number(ADDR)?,
            len: fields.number(LEN)?,
            advice: fields.make("an advice like `dontfork`", Advice::from_text)?,
        },
        "mlock" => Operation::Mlock { addr: fields.number(ADDR)?, len: fields.number(LEN)? },
        "mlock2" => Operation::Mlock2 {
            addr: fields.number(ADDR)?,
            len: fields.number(LEN)?,
            flags: fields.make("`-` or `onfault`", LockFlags::from_text)?,
        },
        "munlock" => Operation::Munlock { addr: fields.number(ADDR)?, len: fields.number(LEN)? },
        "mseal" => Operation::Mseal { addr: fields.number(ADDR)?, len: fields.number(LEN)? },
        "mlockall" => {
            Operation::Mlockall { flags: fields.make("`-` or flags of mlockall like `current,future`", LockAllFlags::from_text)? }
        }
        "munlockall" => Operation::Munlockall,
        "mark" => Operation::Mark {
            addr: fields.number(ADDR)?,
            len: fields.number(LEN)?,
            kind: fields.make("a kind: `open`, `policy`, `userfault` or `name`", MarkKind::from_text)?,
            word: match fields.next("a word, or `-`")? {
                "-" => None,
                word => Some(Name::unescape(word).ok_or_else(|| TraceFault::unexpected(word, "a word, or `-`"))?),
            },
        },
        _ => return Ok(None),
    }))
}

fn area(fields: &mut Fields<'_>) -> Result<Area, TraceFault> {
    let (extent, perm) = (fields.extent()?, fields.parse(PERM)?);
    let (flags, marks) = fields.make(AREA_FLAGS, flags_and_marks)?;
    Ok(Area { extent, perm, flags, marks, object: fields.make(OBJECT, Object::from_text)?, offset: fields.make(OFFSET, offset)? })
}

fn expected(fields: &mut Fields<'_>, place: Place) -> Result<Expected, TraceFault> {
    let extent = fields.make("an area START-END, or `end`", |field| Fields::of(field).extent().ok())?;
    let mut line = Expected { extent, perm: None, flags: None, object: None, offset: None };
    if fields.peek().is_some() {
        line.perm = Some(fields.parse(PERM)?);
    }
    if place == Place::InCover {
        return Ok(line);
    }
    if fields.peek().is_some() {
        line.flags = Some(fields.make(AREA_FLAGS, AreaFlags::from_text)?);
    }
    if fields.peek().is_some() {
        line.object = Some(fields.make(OBJECT, Object::from_text)?);
    }
    if fields.peek().is_some() {
        line.offset = Some(fields.make(OFFSET, offset)?);
    }
    Ok(line)
}

fn setting(fields: &mut Fields<'_>) -> Result<Setting, TraceFault> {
    const NAME: &str = "the name of a setting: page, task_size, mmap_min_addr, mmap_base, mmap_legacy_base, brk_start, brk, loaded_data, \
        guard_gap, max_map_count, overcommit, limit.stack, limit.as, limit.data, limit.memlock, pkeys, pkeys.allocated, pkeys.execute_only, \
        privileged or capabilities";
    let name = fields.next(NAME)?;
    Ok(match name {
        "page" => Setting::Page(fields.make("the bytes of a page, a power of two", |field| number(field).filter(|n| n.is_power_of_two()))?),
        "task_size" => Setting::TaskSize(fields.number(ADDR)?),
        "mmap_min_addr" => Setting::MmapMinAddr(fields.number(ADDR)?),
        "mmap_base" => Setting::MmapBase(fields.number(ADDR)?),
        "mmap_legacy_base" => Setting::MmapLegacyBase(fields.number(ADDR)?),
        "brk_start" => Setting::BrkStart(fields.number(ADDR)?),
        "brk" => Setting::Brk(fields.number(ADDR)?),
        "loaded_data" => Setting::LoadedData(fields.number(LEN)?),
        "guard_gap" => Setting::GuardGap(fields.number("a number of pages")?),
        "max_map_count" => Setting::MaxMapCount(fields.number("a number of areas")?),
        "overcommit" => Setting::Overcommit(fields.make("0, 1 or 2", |field| number(field).and_then(Overcommit::from_number))?),
        "pkeys" => {
            let most = |field| number(field).and_then(|count| u8::try_from(count).ok()).filter(|count| *count <= 16);
            Setting::Pkeys(fields.make("a number of protection keys, at most 16", most)?)
        }
        "pkeys.allocated" => {
            Setting::PkeysAllocated(fields.make("a bit for each of 16 protection keys", |field| number(field)?.try_into().ok())?)
        }
        "pkeys.execute_only" => Setting::PkeyExecuteOnly(fields.make("a protection key below 16, or `none`", |field| match field {
            "none" => Some(None),
            key => number(key).and_then(|key| u8::try_from(key).ok()).filter(|key| *key < 16).map(Some),
        })?),
        "privileged" => Setting::Privileged(fields.make("0 or 1", |field| match number(field)? {
            0 => Some(Privilege::Ordinary),
            1 => Some(Privilege::Privileged),
            _ => None,
        })?),
        "capabilities" => Setting::Capabilities(fields.make("`-` or capabilities like `ipc_lock,sys_rawio`", Capabilities::from_text)?),
        _ => {
            if let Some(placement) = placement(name, fields)? {
                return Ok(Setting::Placement(placement));
            }
            let resource = match name {
                "limit.stack" => Resource::Stack,
                "limit.as" => Resource::As,
                "limit.data" => Resource::Data,
                "limit.memlock" => Resource::Memlock,
                _ => return Err(TraceFault::unexpected(name, format!("{NAME}; {}", Placement::NAMES))),
            };
            let limit = fields.make("a limit in bytes, or `unlimited`", |field| match field {
                "unlimited" => Some(Limit::Unlimited),
                _ => number(field).map(Limit::Bytes),
            })?;
            Setting::Limit(resource, limit)
        }
    })
}

/// Reads the value of the setting with this name; `None` if it is another setting's name.
fn placement(name: &str, fields: &mut Fields<'_>) -> Result<Option<Placement>, TraceFault> {
    const ADDR: &str = "an address";
    const SIZE: &str = "the bytes of a page, a power of two";
    const SIZES: &str = "sizes of pages, in bytes and added up";
    let power = |field: &str| number(field).filter(|bytes| bytes.is_power_of_two());
    Ok(Some(match name {
        "map_window" => Placement::MapWindow(fields.number(ADDR)?),
        "low_search_base" => Placement::LowSearchBase(fields.number(ADDR)?),
        "huge_page" => Placement::HugePage(fields.make(SIZE, power)?),
        "huge_page.shared" => {
            Placement::SharedHuge(fields.make("deny, never, advise, within_size, always or force", SharedHuge::from_word)?)
        }
        "huge_page.shared.sizes" => Placement::SharedSizes(fields.number(SIZES)?),
        "huge_page.shared.inheriting" => Placement::SharedInheriting(fields.number(SIZES)?),
        "hugetlb" => Placement::Hugetlb(fields.make(SIZE, power)?),
        "hugetlb.sizes" => Placement::HugetlbSizes(fields.number(SIZES)?),
        _ => return Ok(None),
    }))
}

fn vm(fields: &mut Fields<'_>) -> Result<VmCounts, TraceFault> {
    const COUNT: &str = "total=, locked=, data=, stack= or exec= and a number of pages, each at most once";
    let mut counts = VmCounts::default();
    loop {
        let field = fields.next(COUNT)?;
        let fault = || TraceFault::unexpected(field, COUNT);
        let (name, pages) = field.split_once('=').ok_or_else(fault)?;
        let count = match name {
            "total" => &mut counts.total,
            "locked" => &mut counts.locked,
            "data" => &mut counts.data,
            "stack" => &mut counts.stack,
            "exec" => &mut counts.exec,
            _ => return Err(fault()),
        };
        let pages = number(pages).ok_or_else(fault)?;
        if count.replace(pages).is_some() {
            return Err(fault());
        }
        if fields.peek().is_none() {
            return Ok(counts);
        }
    }
}

fn needs(fields: &mut Fields<'_>) -> Result<Vec<Name>, TraceFault> {
    const NEED: &str = "what a case needs of the machine, as a word like `keys`";
    let mut needs = vec![fields.make(NEED, Name::unescape)?];
    while fields.peek().is_some() {
        needs.push(fields.make(NEED, Name::unescape)?);
    }
    Ok(needs)
}

fn fork(fields: &mut Fields<'_>) -> Result<ForkOutcome, TraceFault> {
    let Some(word) = fields.result_word()? else {
        return Ok(ForkOutcome::Unchecked);
    };
    if word.starts_with('-') {
        return failure(word)
            .map(ForkOutcome::Failed)
            .ok_or_else(|| TraceFault::unexpected(word, "a name for the child, or a negative error like `-ENOMEM`"));
    }
    Name::unescape(word).map(ForkOutcome::Child).ok_or_else(|| TraceFault::unexpected(word, "a name for the child"))
}

fn offset(text: &str) -> Option<Offset> {
    if text == "-" { Some(Offset::Default) } else { number(text).map(Offset::Bytes) }
}

fn access(text: &str) -> Option<Access> {
    match text {
        "r" => Some(Access::Read),
        "w" => Some(Access::Write),
        "x" => Some(Access::Exec),
        _ => None,
    }
}

fn context(text: &str) -> Option<Context> {
    match text {
        "user" => Some(Context::User),
        "kernel" => Some(Context::Kernel),
        "kernel-nofixup" => Some(Context::KernelNofixup),
        _ => None,
    }
}

fn side(text: &str) -> Option<Side> {
    match text {
        "lowest" => Some(Side::Lowest),
        "highest" => Some(Side::Highest),
        _ => None,
    }
}
