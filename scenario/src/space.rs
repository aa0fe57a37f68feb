//! The interface between the runner and what executes a scenario: the trait [`Space`], its answers and its refusals.
//!
//! Called by `runner` and by every implementation: `model`, `kernel` and `diff`. It depends on no implementation.

use crate::layout::{around, within};
use crate::report::Difference;
use std::fmt::Display;
use thiserror::Error;
use vmaple_host::Need;
use vmaple_trace::{Access, Area, Context, Errno, Extent, Operation, Setting, Side, VmCounts, With};

/// An address space in which scenarios are executed.
///
/// Every method fails with a [`Refusal`] if this space cannot execute the record at all. A refusal is not an outcome to compare; it ends the
/// scenario or the case ([`Space::on_refusal`]).
#[expect(clippy::missing_errors_doc, reason = "the trait's documentation says it for all methods")]
pub trait Space: Sized {
    /// Returns an empty address space with the default properties.
    fn begin() -> Result<Self, Refusal>;

    /// `needs`: refuses the rest of the case if the machine lacks one of the needs. Only spaces that use the kernel depend on the machine.
    fn needs(&mut self, _: &[Need]) -> Result<(), Refusal> {
        Ok(())
    }

    /// `set`: changes a property.
    fn set(&mut self, setting: Setting) -> Result<(), Refusal>;

    /// `area`: puts an area in place unchanged, ignoring the limits. Counts no write cycle.
    fn place(&mut self, area: &Area) -> Result<(), Refusal>;

    /// `with`: gives the next operation what its arguments do not.
    fn note(&mut self, with: &With) -> Result<(), Refusal> {
        Err(Refusal::Host(format!("no process can get `{with}`")))
    }

    /// `own`: gives the private areas in a range pages of their own.
    fn own(&mut self, extent: Extent) -> Result<(), Refusal> {
        Err(Refusal::Host(format!("only page faults give {extent} pages of its own")))
    }

    /// Performs a system call.
    fn apply(&mut self, operation: &Operation) -> Result<Result<u64, Failure>, Refusal>;

    /// `fault`: handles a page fault and returns the area that serves it.
    fn fault(&mut self, addr: u64, access: Access, context: Context) -> Result<Answer, Refusal>;

    /// `grew`: grows an area to this range and returns what it is then.
    fn grow(&mut self, to: Extent) -> Result<Answer, Refusal>;

    /// `lookup`: returns the area that contains the address.
    fn lookup(&self, addr: u64) -> Result<Answer, Refusal>;

    /// `find`: returns the first area that ends above the address.
    fn find(&self, addr: u64) -> Result<Answer, Refusal>;

    /// `gap`: returns the start of a free range. Counts no write cycle.
    fn gap(&mut self, gap: &Gap) -> Result<Result<u64, Failure>, Refusal>;

    /// Returns all areas, in order.
    fn layout(&self) -> Result<Vec<Area>, Refusal>;

    /// Returns the number of areas, or of those that overlap the window.
    fn count(&self, window: Option<Extent>) -> Result<u64, Refusal> {
        Ok(within(self.layout()?, window).len() as u64)
    }

    /// Returns lines that show the layout around an address, or its first areas if there is no address.
    fn around(&self, addr: Option<u64>) -> Result<Vec<String>, Refusal> {
        Ok(around(&self.layout()?, addr))
    }

    /// Returns all five counters of pages.
    fn vm(&self) -> Result<VmCounts, Refusal>;

    /// Returns the number of write cycles since the last call.
    fn write_cycles(&mut self) -> Result<u64, Refusal>;

    /// `fork`: returns a copy.
    fn fork(&mut self) -> Result<Result<Self, Failure>, Refusal>;

    /// Checks the invariants, at the end of the address space.
    fn verdict(&self) -> Result<(), Failure>;

    /// Returns the differences since the last call, if this space compares two.
    fn divergences(&mut self) -> Vec<Difference> {
        Vec::new()
    }

    /// Returns what follows from a refusal.
    #[must_use]
    fn on_refusal() -> OnRefusal {
        OnRefusal::Ends
    }
}

/// What follows when a space refuses a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefusal {
    /// The scenario ends there.
    Ends,
    /// The rest of the case is left out and reported; the next `reset` begins a new case.
    SkipsTheCase,
}

/// The arguments of a search for a free range.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Which of the free ranges is returned.
    pub side: Side,
    /// The lowest byte that may be used.
    pub min: u64,
    /// The highest byte that may be used.
    pub max: u64,
    /// The length in bytes.
    pub len: u64,
    /// The alignment in bytes, a power of two.
    pub align: u64,
}

/// The area that was found. If there is none, the reason, or `None` if nothing is there.
pub type Answer = Result<Extent, Option<String>>;

/// How an operation failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The error that the caller gets.
    pub errno: Errno,
    /// The reason, for the report.
    pub why: String,
}

impl Failure {
    /// Returns the failure that has this errno; `EINVAL` if the number is not one.
    pub fn new(errno: i32, why: impl Display) -> Self {
        let known = u64::try_from(errno).ok().and_then(Errno::from_any_number);
        Self { errno: known.unwrap_or(Errno::INVALID), why: why.to_string() }
    }

    /// Returns `EINVAL` with this reason.
    pub fn invalid(why: impl Display) -> Self {
        Self { errno: Errno::INVALID, why: why.to_string() }
    }
}

/// Why a record cannot be executed.
#[derive(Debug, Error)]
pub enum Refusal {
    /// The library does not have this operation.
    #[error("the library does not support {0}")]
    Unsupported(&'static str),
    /// An area cannot be put there.
    #[error("the area cannot be placed: {0}")]
    Area(String),
    /// A property cannot have this value.
    #[error("{0}")]
    Setting(String),
    /// No process of such a system can do it.
    #[error("{0}")]
    Host(String),
    /// This machine or this user lacks what is named; another may have it.
    #[error("this needs {0}")]
    Lacks(String),
    /// No address space has this name.
    #[error("there is no address space `{0}`")]
    NoSpace(String),
    /// An address space has this name already.
    #[error("there is already an address space `{0}`")]
    TakenName(String),
}
