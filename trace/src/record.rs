//! The records of a trace as data, one type for each form of line.
//!
//! Read by `line`, written by `show`. Nothing here depends on what a record means to an address space.

use super::{AreaFlags, Capabilities, Errno, Marks, Name, Object, Offset, Operation, Perm, Placement, With};

/// One record of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The number of its line, counted from 1.
    pub number: u64,
    /// Which thread made the call, and when, if the trace says it.
    pub stamp: Option<Stamp>,
    /// The record.
    pub record: Record,
}

/// `@TID TIME`: which thread made a call, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The number of the thread.
    pub tid: u32,
    /// Nanoseconds since the start of the recording.
    pub time_ns: u64,
}

/// A range of addresses, half-open. [`Extent::new`] makes none that is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Extent {
    /// Returns the range from `start` up to but not including `end`; `None` if it is empty or reversed.
    #[must_use]
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Returns the last byte.
    #[must_use]
    pub fn last(self) -> u64 {
        self.end - 1
    }

    /// Returns whether the range contains an address.
    #[must_use]
    pub fn contains(self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Returns whether the ranges have a byte in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// Returns the bytes that both ranges have; `None` if there are none.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// Returns the parts of `self` below and above `other`.
    #[must_use]
    pub fn without(self, other: Self) -> [Option<Self>; 2] {
        [Self::new(self.start, self.end.min(other.start)), Self::new(self.start.max(other.end), self.end)]
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len_bytes(self) -> u64 {
        self.end - self.start
    }
}

/// The content of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// `set`: changes a property of the address space.
    Set(Setting),
    /// `area`: puts one area in place, unchanged.
    Area(Area),
    /// `with`: what the arguments of the next operation do not show.
    With(With),
    /// A system call and its result.
    Operation(Operation, Outcome),
    /// `fork`: copies the address space.
    Fork(ForkOutcome),
    /// `as`: the following records apply to the address space of that name.
    As(Name),
    /// `exit`: the address space is destroyed.
    Exit,
    /// `grew`: an area was seen to have grown to this range without a call.
    Grew(Extent),
    /// `own`: private areas in this range have pages of their own that no fault brought.
    Own(Extent),
    /// `unrecorded`: something that may have changed the layout was done and is not recorded; the word names it.
    Unrecorded(Name),
    /// `fault`: a page fault, and the area that serves it.
    Fault {
        /// The address.
        addr: u64,
        /// The kind of access.
        access: Access,
        /// Who accessed it.
        context: Context,
        /// The area that contains the address afterwards.
        found: Found,
    },
    /// `lookup`: the area that contains an address, without growth.
    Lookup {
        /// The address.
        addr: u64,
        /// The result.
        found: Found,
    },
    /// `find`: the first area that ends above an address.
    Find {
        /// The address.
        addr: u64,
        /// The result.
        found: Found,
    },
    /// `gap`: a search for a free range.
    Gap {
        /// Which of the free ranges is the result.
        side: Side,
        /// The lowest byte that may be used.
        min: u64,
        /// The highest byte that may be used.
        max: u64,
        /// The length in bytes.
        len: u64,
        /// The alignment of the start.
        align: u64,
        /// The result.
        outcome: Outcome,
    },
    /// `maps`: the exact list of areas follows as [`Record::Expected`], up to [`Record::End`].
    Maps,
    /// `cover`: the mapped bytes and their permissions follow as [`Record::Expected`], up to [`Record::End`].
    Cover,
    /// A line of a `maps` or `cover` block. The lines of a block ascend and do not overlap.
    Expected(Expected),
    /// `end`: the end of a block.
    End,
    /// `count`: the number of areas.
    Count(u64),
    /// `vm`: the counters of the address space.
    Vm(VmCounts),
    /// `seq +N`: write cycles since the last `seq`.
    Seq(u64),
    /// `reset`: a new, empty address space with all defaults.
    Reset,
    /// `case`: the name of what follows. A word in it cannot begin with `#`, because that begins a comment.
    Case(String),
    /// `window`: from here on `maps`, `cover` and `count` are limited to this range.
    Window(Extent),
    /// `needs`: what the machine must have so that the rest of the case can be compared with its kernel, as words.
    Needs(Vec<Name>),
}

/// A property of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// The size of a page in bytes, a power of two.
    Page(u64),
    /// One past the highest usable byte.
    TaskSize(u64),
    /// The lowest address that may be mapped.
    MmapMinAddr(u64),
    /// The top of the search for room, which goes down.
    MmapBase(u64),
    /// The bottom of the search that goes up, used if the other finds nothing.
    MmapLegacyBase(u64),
    /// The start of the heap.
    BrkStart(u64),
    /// The break, if a call other than `brk` set it.
    Brk(u64),
    /// The bytes of data that the program was loaded with. `brk` counts them against `limit.data`.
    LoadedData(u64),
    /// The number of pages kept free below an area that grows down.
    GuardGap(u64),
    /// The largest number of areas.
    MaxMapCount(u64),
    /// How much memory the kernel promises.
    Overcommit(Overcommit),
    /// A resource limit of the process.
    Limit(Resource, Limit),
    /// The number of protection keys that the machine has.
    Pkeys(u8),
    /// The protection keys that are allocated, one bit each, key 0 included.
    PkeysAllocated(u16),
    /// The execute-only protection key, if there is one.
    PkeyExecuteOnly(Option<u8>),
    /// All capabilities that have a word in a trace, or none.
    Privileged(Privilege),
    /// The capabilities of the callers.
    Capabilities(Capabilities),
    /// Where mappings are placed, and which pages they consist of.
    Placement(Placement),
}

/// How much memory the kernel promises, as in `vm.overcommit_memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overcommit {
    /// `0`: more than there is, up to a heuristic limit.
    #[default]
    Heuristic,
    /// `1`: any amount.
    Always,
    /// `2`: never more than there is. `noreserve` has no effect.
    Never,
}

impl Overcommit {
    /// Returns the mode with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Heuristic, Self::Always, Self::Never].into_iter().find(|mode| mode.number() == number)
    }

    /// Returns the number of the mode.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Heuristic => 0,
            Self::Always => 1,
            Self::Never => 2,
        }
    }
}

/// A resource that has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `limit.stack`: the size that a stack may grow to.
    Stack,
    /// `limit.as`: the size of the address space.
    As,
    /// `limit.data`: the size of private writable memory.
    Data,
    /// `limit.memlock`: the size of locked memory.
    Memlock,
}

/// The value of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// That many bytes.
    Bytes(u64),
    /// No limit.
    Unlimited,
}

/// All capabilities that have a word in a trace, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// No capabilities.
    Ordinary,
    /// All capabilities that have a word.
    Privileged,
}

impl Privilege {
    /// Returns these capabilities.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        match self {
            Self::Ordinary => Capabilities::EMPTY,
            Self::Privileged => Capabilities::ALL,
        }
    }
}

/// One area of a layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The range.
    pub extent: Extent,
    /// The permissions.
    pub perm: Perm,
    /// The other flags.
    pub flags: AreaFlags,
    /// The marks.
    pub marks: Marks,
    /// The object that it maps.
    pub object: Object,
    /// The offset at which it begins in the object.
    pub offset: Offset,
}

/// A line of a block. Fields that are `None` are not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The range.
    pub extent: Extent,
    /// The permissions.
    pub perm: Option<Perm>,
    /// The other flags; only in `maps`.
    pub flags: Option<AreaFlags>,
    /// The object; only in `maps`.
    pub object: Option<Object>,
    /// The offset in the object; only in `maps`.
    pub offset: Option<Offset>,
}

/// The result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// `?` or nothing: unknown, and not checked.
    Unchecked,
    /// An address, a number, or 0.
    Value(u64),
    /// The error with which it failed.
    Failed(Errno),
}

/// The result of `fork`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForkOutcome {
    /// Unknown, and not checked. The child has no name.
    Unchecked,
    /// The name of the child's address space.
    Child(Name),
    /// The error with which it failed.
    Failed(Errno),
}

/// The result of a question for an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// Unknown, and not checked.
    Unchecked,
    /// This area.
    Area(Extent),
    /// No area.
    None,
}

/// A kind of access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `r`
    Read,
    /// `w`
    Write,
    /// `x`
    Exec,
}

/// Who accessed memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Context {
    /// The program.
    #[default]
    User,
    /// The kernel on the program's behalf, where it can handle a failure.
    Kernel,
    /// The kernel, where it cannot.
    KernelNofixup,
}

/// Which of the free ranges a search returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The lowest.
    Lowest,
    /// The highest.
    Highest,
}

/// The counters of an address space, in pages. Those that are `None` are not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VmCounts {
    /// All pages.
    pub total: Option<u64>,
    /// Locked pages.
    pub locked: Option<u64>,
    /// Pages of private writable areas, without stacks.
    pub data: Option<u64>,
    /// Pages of areas that grow.
    pub stack: Option<u64>,
    /// Pages of executable areas that are not writable.
    pub exec: Option<u64>,
}
