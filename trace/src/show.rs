//! Records as the format writes them. Called by `write`, and by everyone who prints a record.

use std::fmt::{self, Display, Formatter};

use super::marks::write_flags_and_marks;
use super::{
    Access, Area, Context, Expected, Extent, ForkOutcome, Found, Limit, Name, Offset, Operation, Outcome, Privilege, Record, Resource,
    Setting, Side, Stamp, VmCounts,
};

impl Display for Stamp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "@{} {}", self.tid, self.time_ns)
    }
}

impl Display for Extent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}", self.start, self.end)
    }
}

impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("-"),
            Self::Bytes(0) => f.write_str("0"),
            Self::Bytes(bytes) => write!(f, "{bytes:#x}"),
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => f.write_str("?"),
            Self::Value(0) => f.write_str("0"),
            Self::Value(value) => write!(f, "{value:#x}"),
            Self::Failed(errno) => write!(f, "-{errno}"),
        }
    }
}

impl Display for Found {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => f.write_str("?"),
            Self::Area(extent) => write!(f, "{extent}"),
            Self::None => f.write_str("none"),
        }
    }
}

impl Display for ForkOutcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => f.write_str("?"),
            // escaped, because a leading `-` or a lone `?` has another meaning
            Self::Child(name) => {
                let text = name.to_string();
                match text.strip_prefix('-') {
                    Some(rest) => write!(f, "%2D{rest}"),
                    None if text == "?" => f.write_str("%3F"),
                    None => f.write_str(&text),
                }
            }
            Self::Failed(errno) => write!(f, "-{errno}"),
        }
    }
}

impl Display for Access {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::Exec => "x",
        })
    }
}

impl Display for Context {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Kernel => "kernel",
            Self::KernelNofixup => "kernel-nofixup",
        })
    }
}

impl Display for Side {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lowest => "lowest",
            Self::Highest => "highest",
        })
    }
}

impl Display for Limit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Unlimited => f.write_str("unlimited"),
        }
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(bytes) => write!(f, "page {bytes}"),
            Self::TaskSize(addr) => write!(f, "task_size {addr:#x}"),
            Self::MmapMinAddr(addr) => write!(f, "mmap_min_addr {addr:#x}"),
            Self::MmapBase(addr) => write!(f, "mmap_base {addr:#x}"),
            Self::MmapLegacyBase(addr) => write!(f, "mmap_legacy_base {addr:#x}"),
            Self::BrkStart(addr) => write!(f, "brk_start {addr:#x}"),
            Self::Brk(addr) => write!(f, "brk {addr:#x}"),
            Self::LoadedData(bytes) => write!(f, "loaded_data {bytes}"),
            Self::GuardGap(pages) => write!(f, "guard_gap {pages}"),
            Self::MaxMapCount(count) => write!(f, "max_map_count {count}"),
            Self::Overcommit(mode) => write!(f, "overcommit {}", mode.number()),
            Self::Limit(Resource::Stack, limit) => write!(f, "limit.stack {limit}"),
            Self::Limit(Resource::As, limit) => write!(f, "limit.as {limit}"),
            Self::Limit(Resource::Data, limit) => write!(f, "limit.data {limit}"),
            Self::Limit(Resource::Memlock, limit) => write!(f, "limit.memlock {limit}"),
            Self::Pkeys(count) => write!(f, "pkeys {count}"),
            Self::PkeysAllocated(keys) => write!(f, "pkeys.allocated {keys:#x}"),
            Self::PkeyExecuteOnly(Some(key)) => write!(f, "pkeys.execute_only {key}"),
            Self::PkeyExecuteOnly(None) => f.write_str("pkeys.execute_only none"),
            Self::Privileged(Privilege::Ordinary) => f.write_str("privileged 0"),
            Self::Privileged(Privilege::Privileged) => f.write_str("privileged 1"),
            Self::Capabilities(capabilities) => write!(f, "capabilities {capabilities}"),
            Self::Placement(placement) => placement.fmt(f),
        }
    }
}

impl Display for Area {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.extent, self.perm)?;
        write_flags_and_marks(f, self.flags, &self.marks)?;
        write!(f, " {} {}", self.object, self.offset)
    }
}

impl Display for Expected {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:08x}", self.extent.start, self.extent.end)?;
        // fields are omitted from the right only, so the first `None` ends the line
        let Some(perm) = self.perm else { return Ok(()) };
        write!(f, " {perm}")?;
        let Some(flags) = self.flags else {
            return Ok(());
        };
        write!(f, " {flags}")?;
        let Some(object) = &self.object else {
            return Ok(());
        };
        write!(f, " {object}")?;
        let Some(offset) = self.offset else {
            return Ok(());
        };
        write!(f, " {offset}")
    }
}

impl Display for Operation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mmap { addr, len, prot, flags, object, offset } => {
                write!(f, "mmap {addr:#x} {len:#x} {prot} {flags} {object} {offset}")
            }
            Self::Munmap { addr, len } => write!(f, "munmap {addr:#x} {len:#x}"),
            Self::Mprotect { addr, len, prot } => write!(f, "mprotect {addr:#x} {len:#x} {prot}"),
            Self::PkeyMprotect { addr, len, prot, key } => write!(f, "pkey_mprotect {addr:#x} {len:#x} {prot} {key}"),
            Self::PkeyAlloc { flags, rights } => write!(f, "pkey_alloc {flags:#x} {rights:#x}"),
            Self::PkeyFree { key } => write!(f, "pkey_free {key}"),
            Self::Mremap { addr, old_len, new_len, flags, new_addr } => {
                write!(f, "mremap {addr:#x} {old_len:#x} {new_len:#x} {flags}")?;
                new_addr.map_or(Ok(()), |new_addr| write!(f, " {new_addr:#x}"))
            }
            Self::Brk { addr } => write!(f, "brk {addr:#x}"),
            Self::Madvise { addr, len, advice } => write!(f, "madvise {addr:#x} {len:#x} {advice}"),
            Self::Mlock { addr, len } => write!(f, "mlock {addr:#x} {len:#x}"),
            Self::Mlock2 { addr, len, flags } => write!(f, "mlock2 {addr:#x} {len:#x} {flags}"),
            Self::Munlock { addr, len } => write!(f, "munlock {addr:#x} {len:#x}"),
            Self::Mseal { addr, len } => write!(f, "mseal {addr:#x} {len:#x}"),
            Self::Mlockall { flags } => write!(f, "mlockall {flags}"),
            Self::Munlockall => f.write_str("munlockall"),
            Self::Mark { addr, len, kind, word } => {
                write!(f, "mark {addr:#x} {len:#x} {} ", kind.word())?;
                match word.as_ref().map(Name::to_string) {
                    None => f.write_str("-"),
                    // escaped, because `-` removes the mark
                    Some(word) if word == "-" => f.write_str("%2D"),
                    Some(word) => f.write_str(&word),
                }
            }
        }
    }
}

impl Display for VmCounts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("vm")?;
        for (name, count) in
            [("total", self.total), ("locked", self.locked), ("data", self.data), ("stack", self.stack), ("exec", self.exec)]
        {
            if let Some(pages) = count {
                write!(f, " {name}={pages}")?;
            }
        }
        Ok(())
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(setting) => write!(f, "set {setting}"),
            Self::Area(area) => write!(f, "area {area}"),
            Self::With(with) => write!(f, "with {with}"),
            // a key is written as a decimal number, not as an address
            Self::Operation(operation @ Operation::PkeyAlloc { .. }, Outcome::Value(key)) => write!(f, "{operation} = {key}"),
            Self::Operation(operation, outcome) => write!(f, "{operation} = {outcome}"),
            Self::Fork(outcome) => write!(f, "fork = {outcome}"),
            Self::As(name) => write!(f, "as {name}"),
            Self::Exit => f.write_str("exit"),
            Self::Grew(extent) => write!(f, "grew {extent}"),
            Self::Own(extent) => write!(f, "own {extent}"),
            Self::Unrecorded(what) => write!(f, "unrecorded {what}"),
            Self::Fault { addr, access, context, found } => {
                write!(f, "fault {addr:#x} {access}")?;
                if *context != Context::User {
                    write!(f, " {context}")?;
                }
                // nearly every line of a recording has this form, so it is kept short
                if *found == Found::Unchecked { Ok(()) } else { write!(f, " = {found}") }
            }
            Self::Lookup { addr, found } => write!(f, "lookup {addr:#x} = {found}"),
            Self::Find { addr, found } => write!(f, "find {addr:#x} = {found}"),
            Self::Gap { side, min, max, len, align, outcome } => {
                write!(f, "gap {side} {min:#x} {max:#x} {len:#x} {align:#x} = {outcome}")
            }
            Self::Maps => f.write_str("maps"),
            Self::Cover => f.write_str("cover"),
            Self::Expected(line) => write!(f, "  {line}"),
            Self::End => f.write_str("end"),
            Self::Count(count) => write!(f, "count {count}"),
            Self::Vm(counts) => write!(f, "{counts}"),
            Self::Seq(cycles) => write!(f, "seq +{cycles}"),
            Self::Reset => f.write_str("reset"),
            Self::Case(words) => write!(f, "case {words}"),
            Self::Window(extent) => write!(f, "window {extent}"),
            Self::Needs(needs) => {
                f.write_str("needs")?;
                needs.iter().try_for_each(|need| write!(f, " {need}"))
            }
        }
    }
}
