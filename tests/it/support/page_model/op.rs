//! The operations, and how bytes encode them. Their numbers are small, so that operations affect the same pages.

use super::hooks::Marked;
use super::page::{FRESH, PAGES, address};
use super::remap::RemapFlags;
use vmaple::mm::{Advice, Backing, LockAll, ObjectId};
use vmaple::{Access, PAGE_SIZE, VmaFlags};

/// One operation. Pages are counted from the first of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Mmap {
        at: u64,
        len: u64,
        what: What,
        place: Place,
        within: Within,
        populate: bool,
    },
    Munmap {
        at: u64,
        len: u64,
    },
    Mprotect {
        at: u64,
        len: u64,
        access: VmaFlags,
    },
    PkeyMprotect {
        at: u64,
        len: u64,
        access: VmaFlags,
        key: i32,
    },
    PkeyAlloc {
        denial: u32,
    },
    PkeyFree {
        key: u8,
    },
    Mremap {
        from: u64,
        old_len: u64,
        new_len: u64,
        flags: RemapFlags,
        to: u64,
    },
    Brk {
        brk: u64,
    },
    Madvise {
        at: u64,
        len: u64,
        advice: Advice,
    },
    Mlock {
        at: u64,
        len: u64,
        on_fault: bool,
    },
    Munlock {
        at: u64,
        len: u64,
    },
    Mlockall {
        what: LockAll,
    },
    Munlockall,
    Mseal {
        at: u64,
        len: u64,
    },
    ExpandDown {
        at: u64,
    },
    ExpandUp {
        at: u64,
    },
    /// A page fault, for which a stack may grow.
    Fault {
        at: u64,
        access: Access,
    },
    /// A write to a private page, which needs an owner.
    Own {
        at: u64,
    },
    /// Locks a VMA, which stays locked until four others were locked after it, or all are unlocked.
    LockVma {
        at: u64,
    },
    UnlockVmas,
    /// Creates a child, and checks it. With `child`, the sequence continues in it.
    Fork {
        child: bool,
    },
    Exit,
}

/// How an operation is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    Planned,
    /// Planned, dropped, and planned again.
    Twice,
}

/// What a mapping consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct What {
    pub(crate) flags: VmaFlags,
    /// An object, and an offset in it; `None` for anonymous memory.
    pub(crate) object: Option<(u64, u64)>,
    pub(crate) payload: Marked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Anywhere,
    Near,
    Fixed,
    NoReplace,
}

/// Where a place is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Within {
    All,
    /// `MAP_32BIT`
    Low,
    /// `MAP_ABOVE4G`
    AboveLow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) verb: Verb,
    pub(crate) way: Way,
}

/// The object that is shared memory.
pub(crate) const IN_MEMORY: u64 = 1;

pub(crate) fn named(object: u64) -> ObjectId {
    ObjectId::new(object).expect("the models name few objects")
}

impl What {
    /// Returns the backing of its pages.
    pub(crate) fn backing(&self) -> Backing {
        match self.object {
            Some((IN_MEMORY, _)) => Backing::SharedMemory(named(IN_MEMORY)),
            Some((object, _)) => Backing::Object(named(object)),
            None if self.flags.intersects(VmaFlags::SHARED | VmaFlags::HUGETLB) => FRESH,
            None => Backing::Anonymous,
        }
    }
}

/// Of eight, the one that the low bits choose.
fn one_of<T: Copy>(bits: u8, of: &[T]) -> T {
    of[usize::from(bits) % of.len()]
}

const R: VmaFlags = VmaFlags::READ;
const RW: VmaFlags = R.union(VmaFlags::WRITE);
const RX: VmaFlags = R.union(VmaFlags::EXEC);
const NONE: VmaFlags = VmaFlags::empty();
const X: VmaFlags = VmaFlags::EXEC;

/// Plain memory mostly, so that things are alike and merge.
fn what(kind: u8, more: u8) -> What {
    let access = if kind & 0xc8 == 0xc8 { X } else { one_of(kind, &[RW, RW, R, RW, RX, NONE, RW, VmaFlags::WRITE]) };
    let special = match more {
        120..140 => VmaFlags::GROWSDOWN,
        140..150 => VmaFlags::GROWSUP,
        150..165 => VmaFlags::LOCKED,
        165..185 => VmaFlags::SHARED,
        185..195 => VmaFlags::NORESERVE,
        195..200 => VmaFlags::MAYREAD,
        200..205 => VmaFlags::SHARED | VmaFlags::MAYREAD,
        205..208 => VmaFlags::DONTEXPAND,
        208..210 => VmaFlags::PFNMAP | VmaFlags::READ,
        210..212 => VmaFlags::MIXEDMAP,
        212..214 => VmaFlags::IO | VmaFlags::READ,
        214..216 => VmaFlags::HUGETLB,
        100..110 => VmaFlags::of_huge_pages(4 * PAGE_SIZE),
        110..114 => VmaFlags::of_huge_pages(8 * PAGE_SIZE) | VmaFlags::SHARED,
        114 => VmaFlags::of_huge_pages(2 * PAGE_SIZE),
        115..118 => VmaFlags::DROPPABLE,
        118 => VmaFlags::DROPPABLE | VmaFlags::LOCKED,
        119 => VmaFlags::DROPPABLE | VmaFlags::GROWSDOWN,
        216..218 => VmaFlags::GROWSDOWN | VmaFlags::SHARED,
        218..220 => VmaFlags::SEALED,
        // 0 to 100 and what is left.
        _ => NONE,
    };
    let object = (kind & 0x30 == 0x30).then(|| (u64::from(kind >> 6), u64::from(more % 8) * PAGE_SIZE));
    let payload = Marked(if more >= 220 { more % 4 } else { 0 });
    What { flags: access | special, object, payload }
}

const ADVICE: [Advice; 16] = [
    Advice::Normal,
    Advice::Random,
    Advice::Sequential,
    Advice::DontFork,
    Advice::DoFork,
    Advice::WipeOnFork,
    Advice::KeepOnFork,
    Advice::DontDump,
    Advice::DoDump,
    Advice::Mergeable,
    Advice::Unmergeable,
    Advice::HugePage,
    Advice::NoHugePage,
    Advice::WipeOnFork,
    Advice::DontFork,
    Advice::Normal,
];

/// The operation that six bytes stand for.
#[expect(clippy::many_single_char_names, reason = "bytes that are nothing yet")]
pub(crate) fn op(bytes: [u8; 6]) -> Op {
    let [verb, a, b, c, d, e] = bytes;
    // Rarely a little off, beyond, or huge.
    let at = match a {
        250 => address(usize::from(b) % PAGES) + 8,
        251 => address(PAGES),
        252 => 0,
        253 => u64::MAX - 0xfff,
        _ => address(usize::from(a) % PAGES),
    };
    let len = match b {
        240..244 => u64::from(b - 240),
        244..248 => PAGE_SIZE * 3 + 1,
        248 => u64::MAX,
        249 => (PAGES as u64 + 1) * PAGE_SIZE,
        250 => u64::MAX - 0xfff,
        _ => u64::from(b % 32 % 11 + u8::from(b % 64 != 0)) * PAGE_SIZE,
    };
    let other = address(usize::from(d) % PAGES) + if d == 255 { 8 } else { 0 };
    let way = one_of(verb >> 6, &[Way::Direct, Way::Planned, Way::Twice, Way::Planned]);
    let place = one_of(e, &[Place::Fixed, Place::Fixed, Place::Anywhere, Place::NoReplace, Place::Near, Place::Fixed]);
    let within = match e {
        190..205 => Within::Low,
        205..210 => Within::AboveLow,
        _ => Within::All,
    };
    let grows = one_of(d, &[NONE, NONE, NONE, NONE, NONE, VmaFlags::GROWSDOWN, VmaFlags::GROWSUP, NONE]);
    let remap = RemapFlags::from_bits_retain(one_of(e, &[0, 1, 1, 3, 3, 3, 5, 7, 3, 1, 2, 4, 7, 8]));
    let new_len = if c % 4 == 0 { len } else { u64::from(c / 4 % 12) * PAGE_SIZE };
    let verb = match verb % 64 {
        0..16 => Verb::Mmap { at, len, what: what(c, d), place, within, populate: e >= 220 },
        16..23 => Verb::Munmap { at, len },
        23..31 => {
            let access = if c >= 216 { X } else { one_of(c, &[RW, R, RW, NONE, RX, RW, R, VmaFlags::SHARED]) } | grows;
            // Allocated or not, none at all, or no key.
            let key = one_of(e / 8, &[1, 2, 0, 1, 2, 3, 1, -1, 2, 15, 1, 16, 0, -2, 1, 2]);
            if e < 112 { Verb::Mprotect { at, len, access } } else { Verb::PkeyMprotect { at, len, access, key } }
        }
        31..42 => Verb::Mremap { from: at, old_len: len, new_len, flags: remap, to: other },
        42..44 => Verb::Brk { brk: other + u64::from(c) },
        44..48 => Verb::Madvise { at, len, advice: one_of(c, &ADVICE) },
        48..50 => Verb::Mlock { at: at + u64::from(c % 2), len, on_fault: c & 6 == 6 },
        50 => Verb::Munlock { at: at + u64::from(c % 2), len },
        51 => match c % 8 {
            0 => Verb::Mlockall { what: LockAll::Current },
            1 => Verb::Mlockall { what: LockAll::Future },
            2 => Verb::Mlockall { what: LockAll::CurrentAndFuture },
            3 => Verb::Mlockall { what: LockAll::CurrentOnFault },
            4 => Verb::Mlockall { what: LockAll::FutureOnFault },
            5 => Verb::Mlockall { what: LockAll::CurrentAndFutureOnFault },
            _ => Verb::Munlockall,
        },
        52 => Verb::Mseal { at, len: if c < 128 { PAGE_SIZE } else { len } },
        53 => Verb::ExpandDown { at },
        54 => Verb::ExpandUp { at },
        56..59 => Verb::Own { at },
        59 | 60 => Verb::LockVma { at },
        61 if c >= 192 => Verb::PkeyFree { key: one_of(d, &[1, 2, 1, 3, 2, 0, 16 - 1, 4]) },
        61 if c >= 96 => Verb::PkeyAlloc { denial: one_of(d, &[0, 0, 1, 2, 0, 3, 0, 4]) },
        61 => Verb::UnlockVmas,
        62 if c < 250 => Verb::Fork { child: c % 4 == 0 },
        62 => Verb::Exit,
        // 5.21: as many pages as may be, usually of several VMAs with gaps between them.
        63 => {
            let len = u64::from(4 + b % 16) * PAGE_SIZE;
            let flags = RemapFlags::from_bits_retain(if e >= 224 { 7 } else { 3 });
            Verb::Mremap { from: at, old_len: len, new_len: len, flags, to: other }
        }
        // 55
        _ => Verb::Fault { at, access: one_of(c, &[Access::Read, Access::Read, Access::Write, Access::Exec]) },
    };
    Op { verb, way }
}
