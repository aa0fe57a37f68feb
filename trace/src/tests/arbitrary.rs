//! Random traces for the property tests: every form of record, with extreme values more often than others.

use quickcheck::{Arbitrary, Gen};

use crate::{
    Access, Advice, Area, AreaFlags, Capabilities, Context, Errno, Expected, Extent, ForkOutcome, Found, Limit, LockAllFlags, LockFlags,
    MapFlags, MarkKind, Marks, Name, Object, Offset, Operation, Outcome, Overcommit, Perm, Placement, Privilege, Prot, Record, RemapFlags,
    Resource, Setting, SharedHuge, Side, Stamp, VmCounts, With,
};

/// Records in an order that a trace may have.
#[derive(Clone, Debug)]
pub(super) struct Lines(pub(super) Vec<(Option<Stamp>, Record)>);

impl Arbitrary for Lines {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut lines = Vec::new();
        for _ in 0..u8::arbitrary(g) % 16 {
            if u8::arbitrary(g).is_multiple_of(8) {
                block(g, &mut lines);
            } else {
                lines.push((stamp(g), record(g)));
            }
        }
        Self(lines)
    }

    fn shrink(&self) -> Box<dyn Iterator<Item = Self>> {
        let lines = self.0.clone();
        // removing half of the records would break blocks; removing single records outside blocks does not
        let whole = |record: &Record| !matches!(record, Record::Maps | Record::Cover | Record::Expected(_) | Record::End);
        Box::new((0..lines.len()).filter(move |place| whole(&lines[*place].1)).map({
            let lines = self.0.clone();
            move |place| {
                let mut fewer = lines.clone();
                fewer.remove(place);
                Self(fewer)
            }
        }))
    }
}

fn number(g: &mut Gen) -> u64 {
    let any = u64::arbitrary(g);
    *g.choose(&[0, 1, 4096, 0x7fff_ffff_f000, u64::MAX, any]).unwrap_or(&any)
}

fn maybe<T>(g: &mut Gen, make: impl FnOnce(&mut Gen) -> T) -> Option<T> {
    bool::arbitrary(g).then(|| make(g))
}

fn extent(g: &mut Gen) -> Extent {
    let (one, other) = (number(g), number(g));
    Extent::new(one.min(other), one.max(other)).unwrap_or(Extent { start: 0, end: 1 })
}

fn stamp(g: &mut Gen) -> Option<Stamp> {
    maybe(g, |g| Stamp { tid: u32::arbitrary(g), time_ns: number(g) })
}

fn name(g: &mut Gen) -> Name {
    let text = String::arbitrary(g);
    let bytes = Vec::arbitrary(g);
    let hostile: [&[u8]; 8] = [b"main", b"?", b"-EPERM", b"#1", b"=", b"%41 b", text.as_bytes(), &bytes];
    Name::new(g.choose(&hostile).unwrap_or(&hostile[0])).unwrap_or_else(|| Name::new(b"x").expect("not empty"))
}

fn object(g: &mut Gen) -> Object {
    match u8::arbitrary(g) % 4 {
        0 => Object::Anon,
        1 => Object::Shm(name(g)),
        2 => Object::File(name(g)),
        _ => Object::Special(name(g)),
    }
}

fn offset(g: &mut Gen) -> Offset {
    maybe(g, number).map_or(Offset::Default, Offset::Bytes)
}

fn perm(g: &mut Gen) -> Perm {
    Perm::from_bits(u8::arbitrary(g))
}

fn area_flags(g: &mut Gen) -> AreaFlags {
    AreaFlags::from_bits(u64::arbitrary(g)).0
}

fn kind(g: &mut Gen) -> MarkKind {
    *g.choose(&MarkKind::ALL).unwrap_or(&MarkKind::Open)
}

fn marks(g: &mut Gen) -> Marks {
    let mut marks = Marks::default();
    for _ in 0..u8::arbitrary(g) % 3 {
        marks.set(kind(g), maybe(g, name));
    }
    marks
}

fn errno(g: &mut Gen) -> Errno {
    Errno::from_number(u64::from(u8::arbitrary(g)) % 40 + 1).expect("the first forty all have names")
}

fn outcome(g: &mut Gen) -> Outcome {
    match u8::arbitrary(g) % 3 {
        0 => Outcome::Unchecked,
        1 => Outcome::Value(number(g)),
        _ => Outcome::Failed(errno(g)),
    }
}

fn found(g: &mut Gen) -> Found {
    match u8::arbitrary(g) % 3 {
        0 => Found::Unchecked,
        1 => Found::Area(extent(g)),
        _ => Found::None,
    }
}

fn prot(g: &mut Gen) -> Prot {
    Prot::from_bits(u32::arbitrary(g)).0
}

fn record(g: &mut Gen) -> Record {
    match u8::arbitrary(g) % 29 {
        0 => Record::Set(setting(g)),
        1 => Record::Area(Area {
            extent: extent(g),
            perm: perm(g),
            flags: area_flags(g),
            marks: marks(g),
            object: object(g),
            offset: offset(g),
        }),
        2 => Record::Fork(match u8::arbitrary(g) % 3 {
            0 => ForkOutcome::Unchecked,
            1 => ForkOutcome::Child(name(g)),
            _ => ForkOutcome::Failed(errno(g)),
        }),
        3 => Record::As(name(g)),
        4 => Record::Exit,
        5 => Record::Grew(extent(g)),
        6 => Record::Fault {
            addr: number(g),
            access: *g.choose(&[Access::Read, Access::Write, Access::Exec]).unwrap_or(&Access::Read),
            context: *g.choose(&[Context::User, Context::Kernel, Context::KernelNofixup]).unwrap_or(&Context::User),
            found: found(g),
        },
        7 => Record::Lookup { addr: number(g), found: found(g) },
        8 => Record::Find { addr: number(g), found: found(g) },
        9 => Record::Gap {
            side: *g.choose(&[Side::Lowest, Side::Highest]).unwrap_or(&Side::Lowest),
            min: number(g),
            max: number(g),
            len: number(g),
            align: number(g),
            outcome: outcome(g),
        },
        10 => Record::Count(number(g)),
        11 => Record::Vm(VmCounts {
            // a `vm` without a counter is invalid
            total: Some(number(g)),
            locked: maybe(g, number),
            data: maybe(g, number),
            stack: maybe(g, number),
            exec: maybe(g, number),
        }),
        12 => Record::Seq(number(g)),
        13 => Record::Reset,
        14 => Record::Case("two  words".to_owned()),
        15 => Record::Window(extent(g)),
        16 => {
            // a `needs` without a word is invalid
            Record::Needs((0..=u8::arbitrary(g) % 3).map(|_| name(g)).collect())
        }
        17 => {
            let with = With { flags: area_flags(g), marks: marks(g), refused: maybe(g, name) };
            // a `with` that says nothing is invalid
            Record::With(if with.is_empty() { With { flags: AreaFlags::IO, ..with } } else { with })
        }
        18 => Record::Own(extent(g)),
        19 => Record::Unrecorded(name(g)),
        _ => Record::Operation(operation(g), outcome(g)),
    }
}

fn operation(g: &mut Gen) -> Operation {
    let (addr, len) = (number(g), number(g));
    match u8::arbitrary(g) % 16 {
        0 => Operation::Mmap {
            addr,
            len,
            prot: prot(g),
            flags: MapFlags::from_bits(u32::arbitrary(g)).0,
            object: object(g),
            offset: offset(g),
        },
        1 => Operation::Munmap { addr, len },
        2 => Operation::Mprotect { addr, len, prot: prot(g) },
        3 => Operation::Mremap {
            addr,
            old_len: len,
            new_len: number(g),
            flags: RemapFlags::from_bits(u32::arbitrary(g)).0,
            new_addr: maybe(g, number),
        },
        4 => Operation::Brk { addr },
        5 => {
            let advice = Advice::from_number(u64::from(u8::arbitrary(g) % 26));
            let advice = advice.unwrap_or_else(|| Advice::from_number(103).expect("guard_remove"));
            Operation::Madvise { addr, len, advice }
        }
        6 => Operation::Mlock { addr, len },
        7 => Operation::Munlock { addr, len },
        8 => Operation::Mseal { addr, len },
        9 => Operation::Mlockall { flags: LockAllFlags::from_bits(u32::arbitrary(g)).0 },
        10 => Operation::Mlock2 { addr, len, flags: LockFlags::from_bits(u32::arbitrary(g)).0 },
        11 => Operation::PkeyMprotect { addr, len, prot: prot(g), key: i32::arbitrary(g) },
        12 => Operation::PkeyAlloc { flags: number(g), rights: number(g) },
        13 => Operation::PkeyFree { key: i32::arbitrary(g) },
        14 => Operation::Mark { addr, len, kind: kind(g), word: maybe(g, name) },
        _ => Operation::Munlockall,
    }
}

fn setting(g: &mut Gen) -> Setting {
    let value = number(g);
    match u8::arbitrary(g) % 18 {
        0 => Setting::Page(1 << (value % 64)),
        1 => Setting::TaskSize(value),
        2 => Setting::MmapMinAddr(value),
        3 => Setting::MmapBase(value),
        4 => Setting::BrkStart(value),
        5 => Setting::GuardGap(value),
        6 => Setting::MaxMapCount(value),
        7 => Setting::Privileged(if bool::arbitrary(g) { Privilege::Privileged } else { Privilege::Ordinary }),
        12 => Setting::Overcommit(Overcommit::from_number(value % 3).unwrap_or_default()),
        13 => Setting::Pkeys(u8::arbitrary(g) % 17),
        14 => Setting::PkeysAllocated(u16::arbitrary(g)),
        15 => Setting::PkeyExecuteOnly(maybe(g, |g| u8::arbitrary(g) % 16)),
        8 => Setting::Capabilities(Capabilities::from_bits(u64::arbitrary(g)).0),
        9 => Setting::MmapLegacyBase(value),
        10 => Setting::Brk(value),
        11 => Setting::LoadedData(value),
        16 => Setting::Placement(placement(g)),
        _ => {
            let resource = [Resource::Stack, Resource::As, Resource::Data, Resource::Memlock];
            let limit = maybe(g, |_| value).map_or(Limit::Unlimited, Limit::Bytes);
            Setting::Limit(*g.choose(&resource).unwrap_or(&Resource::Stack), limit)
        }
    }
}

fn placement(g: &mut Gen) -> Placement {
    let (value, size) = (number(g), 1 << (u8::arbitrary(g) % 64));
    match u8::arbitrary(g) % 8 {
        0 => Placement::MapWindow(value),
        1 => Placement::LowSearchBase(value),
        2 => Placement::HugePage(size),
        3 => Placement::SharedHuge(*g.choose(&SharedHuge::ALL).unwrap_or(&SharedHuge::Never)),
        4 => Placement::SharedSizes(value),
        5 => Placement::SharedInheriting(value),
        6 => Placement::Hugetlb(size),
        _ => Placement::HugetlbSizes(value),
    }
}

fn block(g: &mut Gen, lines: &mut Vec<(Option<Stamp>, Record)>) {
    let maps = bool::arbitrary(g);
    lines.push((stamp(g), if maps { Record::Maps } else { Record::Cover }));
    let mut start = u64::from(u32::arbitrary(g));
    for _ in 0..u8::arbitrary(g) % 4 {
        let end = start + 1 + u64::from(u16::arbitrary(g));
        let mut line = Expected { extent: Extent { start, end }, perm: maybe(g, perm), flags: None, object: None, offset: None };
        // fields are omitted from the right only
        if maps && line.perm.is_some() {
            line.flags = maybe(g, area_flags);
            line.object = line.flags.and_then(|_| maybe(g, object));
            line.offset = line.object.as_ref().and_then(|_| maybe(g, offset));
        }
        lines.push((None, Record::Expected(line)));
        start = end + u64::from(u16::arbitrary(g) % 2);
    }
    lines.push((None, Record::End));
}
