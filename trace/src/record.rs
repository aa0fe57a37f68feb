//! The records of a trace, one type for each shape of line.
//!
//! Only data: the reader fills it, `show` and the writer print it, `record` and `replay` work with it.

use super::{AreaFlags, Capabilities, Errno, Marks, Name, Object, Operation, Perm, Placement, With};

/// One line of a trace that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it stands, from 1.
    pub number: u64,
    /// Who did it and when, if the trace tells.
    pub stamp: Option<Stamp>,
    /// What it says.
    pub record: Record,
}

/// `@TID TIME`: who did it and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The thread.
    pub tid: u32,
    /// Nanoseconds since the start of the recording.
    pub time_ns: u64,
}

/// A range of addresses, half-open and never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Extent {
    /// The first byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl Extent {
    /// The range from `start` up to but not including `end`; none if that is empty or reversed.
    #[must_use]
    pub fn new(start: u64, end: u64) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// The last byte that belongs to it.
    #[must_use]
    pub fn last(self) -> u64 {
        self.end - 1
    }

    /// Whether that byte belongs to it.
    #[must_use]
    pub fn contains(self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// Whether a byte belongs to both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// What belongs to both; none if nothing does.
    #[must_use]
    pub fn common(self, other: Self) -> Option<Self> {
        Self::new(self.start.max(other.start), self.end.min(other.end))
    }

    /// What belongs to it and not to the other: below and above that.
    #[must_use]
    pub fn without(self, other: Self) -> [Option<Self>; 2] {
        [Self::new(self.start, self.end.min(other.start)), Self::new(self.start.max(other.end), self.end)]
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len_bytes(self) -> u64 {
        self.end - self.start
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// `set`: a property of the address space, from here on.
    Set(Setting),
    /// `area`: one area put in place as it stands.
    Area(Area),
    /// `with`: what the arguments of the next operation do not tell.
    With(With),
    /// A system call and how it ended.
    Operation(Operation, Outcome),
    /// `fork`: the address space was copied.
    Fork(ForkOutcome),
    /// `as`: later operations act on that address space.
    As(Name),
    /// `exit`: the address space is torn down.
    Exit,
    /// `grew`: a growable area was seen to have grown to this without a call.
    Grew(Extent),
    /// `own`: private areas in this range have pages of their own that no fault brought.
    Own(Extent),
    /// `unrecorded`: something was done that may have changed the layout in a way that is not told; the word names it.
    Unrecorded(Name),
    /// `fault`: a page fault and the area that serves it.
    Fault {
        /// Where.
        addr: u64,
        /// How it was touched.
        access: Access,
        /// By whom.
        context: Context,
        /// The area that contains the address afterwards.
        found: Found,
    },
    /// `lookup`: the area that contains an address, without growth.
    Lookup {
        /// Where.
        addr: u64,
        /// The answer.
        found: Found,
    },
    /// `find`: the first area that ends above an address.
    Find {
        /// Where.
        addr: u64,
        /// The answer.
        found: Found,
    },
    /// `gap`: a search for free room.
    Gap {
        /// From which side.
        side: Side,
        /// The lowest byte that may be used.
        min: u64,
        /// The highest byte that may be used.
        max: u64,
        /// Bytes wanted.
        len: u64,
        /// The start is a multiple of this.
        align: u64,
        /// The answer.
        outcome: Outcome,
    },
    /// `maps`: the exact list of areas follows as [`Record::Expected`], up to [`Record::End`].
    Maps,
    /// `cover`: the mapped bytes and their permissions follow as [`Record::Expected`], up to [`Record::End`].
    Cover,
    /// A line of a `maps` or `cover` block; the lines of a block ascend and do not overlap.
    Expected(Expected),
    /// `end` of a block.
    End,
    /// `count`: so many areas.
    Count(u64),
    /// `vm`: the counters of the address space.
    Vm(VmCounts),
    /// `seq +N`: write cycles since the last `seq`.
    Seq(u64),
    /// `reset`: a new, empty address space with all defaults.
    Reset,
    /// `case`: the name of what follows, in words; a word that begins with `#` would be read as a comment.
    Case(String),
    /// `window`: `maps`, `cover` and `count` are limited to this range from here on.
    Window(Extent),
    /// `needs`: what the machine must have for the rest of the case to be asked of its kernel.
    Needs(Vec<Name>),
}

/// A property of the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setting {
    /// Bytes of a page, a power of two.
    Page(u64),
    /// One past the highest usable byte.
    TaskSize(u64),
    /// The lowest address for mappings.
    MmapMinAddr(u64),
    /// Top of the top-down search.
    MmapBase(u64),
    /// Bottom of the bottom-up search, which comes where the other finds nothing.
    MmapLegacyBase(u64),
    /// Where the heap begins.
    BrkStart(u64),
    /// The break, which a call other than `brk` set.
    Brk(u64),
    /// Bytes of data that the program was loaded with: they count for `limit.data` where `brk` asks.
    LoadedData(u64),
    /// Pages kept free below what grows down.
    GuardGap(u64),
    /// The most areas.
    MaxMapCount(u64),
    /// Whether more memory is promised than there is.
    Overcommit(Overcommit),
    /// A limit of the process.
    Limit(Resource, Limit),
    /// How many protection keys the machine has.
    Pkeys(u8),
    /// Which of them are allocated: a bit for each, key 0 among them.
    PkeysAllocated(u16),
    /// Which of them is the execute-only key, if any.
    PkeyExecuteOnly(Option<u8>),
    /// Whether callers may do all that the capabilities of a trace allow, or nothing of it.
    Privileged(Privilege),
    /// Which of it they may do.
    Capabilities(Capabilities),
    /// Where mappings are placed, and of what pages they are made.
    Placement(Placement),
}

/// Whether more memory is promised than there is, as `vm.overcommit_memory` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overcommit {
    /// `0`: up to what looks reasonable.
    #[default]
    Heuristic,
    /// `1`: always.
    Always,
    /// `2`: never. A program cannot ask for memory that is not promised then: `noreserve` means nothing.
    Never,
}

impl Overcommit {
    /// The mode of this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Heuristic, Self::Always, Self::Never].into_iter().find(|mode| mode.number() == number)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            Self::Heuristic => 0,
            Self::Always => 1,
            Self::Never => 2,
        }
    }
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// `limit.stack`: the size of a stack that grows.
    Stack,
    /// `limit.as`: the size of the address space.
    As,
    /// `limit.data`: private writable memory.
    Data,
    /// `limit.memlock`: locked memory.
    Memlock,
}

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// So many bytes.
    Bytes(u64),
    /// As much as there is.
    Unlimited,
}

/// Whether callers may do what others may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// They have no capability.
    Ordinary,
    /// They have all that a trace has words for.
    Privileged,
}

impl Privilege {
    /// The capabilities that it stands for.
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
    /// Where.
    pub extent: Extent,
    /// What may be done with it.
    pub perm: Perm,
    /// What else is known.
    pub flags: AreaFlags,
    /// What keeps it apart from its like.
    pub marks: Marks,
    /// What it maps.
    pub object: Object,
    /// Where in the object it begins.
    pub offset: Offset,
}

/// A line of a block: fields that were left off are not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Where.
    pub extent: Extent,
    /// What may be done with it.
    pub perm: Option<Perm>,
    /// What else is known; only in `maps`.
    pub flags: Option<AreaFlags>,
    /// What it maps; only in `maps`.
    pub object: Option<Object>,
    /// Where in the object it begins; only in `maps`.
    pub offset: Option<Offset>,
}

/// Where in its object a mapping begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offset {
    /// `-`: the address itself for private anonymous memory, else 0.
    Default,
    /// So many bytes in.
    Bytes(u64),
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// `?` or nothing: not known, nothing is checked.
    Unchecked,
    /// An address, or 0.
    Value(u64),
    /// It was refused.
    Failed(Errno),
}

/// How a fork ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForkOutcome {
    /// Not known; the child has no name.
    Unchecked,
    /// The name of the child's address space.
    Child(Name),
    /// It was refused.
    Failed(Errno),
}

/// The answer to a question for an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// Not known, nothing is checked.
    Unchecked,
    /// This one.
    Area(Extent),
    /// None.
    None,
}

/// How memory was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `r`
    Read,
    /// `w`
    Write,
    /// `x`
    Exec,
}

/// Who touched it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Context {
    /// The program.
    #[default]
    User,
    /// The kernel on its behalf, where it can deal with a failure.
    Kernel,
    /// The kernel, where it cannot.
    KernelNofixup,
}

/// From which side free room is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The lowest that fits.
    Lowest,
    /// The highest that fits.
    Highest,
}

/// The counters of an address space in pages; what is absent is not checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct VmCounts {
    /// All.
    pub total: Option<u64>,
    /// Locked.
    pub locked: Option<u64>,
    /// Private and writable, without stacks.
    pub data: Option<u64>,
    /// What grows.
    pub stack: Option<u64>,
    /// Executable, not writable.
    pub exec: Option<u64>,
}
