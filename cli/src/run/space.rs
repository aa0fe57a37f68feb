//! What executes: an address space that does one operation at a time and tells its layout. The runner comes in; `model`
//! is the library's, and another one may be that of a process that makes the system calls.

use super::layout::{around, within};
use super::report::Difference;
use std::fmt::Display;
use thiserror::Error;
use vmaple_host::Need;
use vmaple_trace::{Access, Area, Context, Errno, Extent, Operation, Setting, Side, VmCounts, With};

/// An address space that scenarios are executed in.
///
/// A *refusal* is none of its answers: it says that the question cannot be put here, and ends the scenario.
pub(crate) trait Space: Sized {
    /// Begins an empty one, with all defaults.
    fn begin() -> Result<Self, Refusal>;

    /// `needs`: whether the machine has what the rest of the case needs. Only where the kernel is asked does it matter.
    fn needs(&mut self, _: &[Need]) -> Result<(), Refusal> {
        Ok(())
    }

    /// `set`: from here on.
    fn set(&mut self, setting: Setting) -> Result<(), Refusal>;

    /// `area`: puts one in place as it stands, whatever the limits. No write cycle is counted for it.
    fn place(&mut self, area: &Area) -> Result<(), Refusal>;

    /// `with`: what the next operation has beside its arguments.
    fn note(&mut self, with: &With) -> Result<(), Refusal> {
        Err(Refusal::Host(format!("no process can be told `{with}`")))
    }

    /// `own`: the private areas there have pages of their own from now on.
    fn own(&mut self, extent: Extent) -> Result<(), Refusal> {
        Err(Refusal::Host(format!("nothing but faults gives {extent} pages")))
    }

    /// A system call.
    fn apply(&mut self, operation: &Operation) -> Result<Result<u64, Failure>, Refusal>;

    /// `fault`: the area that serves it.
    fn fault(&mut self, addr: u64, access: Access, context: Context) -> Result<Answer, Refusal>;

    /// `grew`: what the area there is, when it has grown to this.
    fn grow(&mut self, to: Extent) -> Result<Answer, Refusal>;

    /// `lookup`: the area that contains the address.
    fn lookup(&self, addr: u64) -> Result<Answer, Refusal>;

    /// `find`: the first area that ends above the address.
    fn find(&self, addr: u64) -> Result<Answer, Refusal>;

    /// `gap`: where there is room. No write cycle is counted for the question.
    fn gap(&mut self, gap: &Gap) -> Result<Result<u64, Failure>, Refusal>;

    /// All areas, in order.
    fn layout(&self) -> Result<Vec<Area>, Refusal>;

    /// How many areas there are; with a window, those that have something in it.
    fn count(&self, window: Option<Extent>) -> Result<u64, Refusal> {
        Ok(within(self.layout()?, window).len() as u64)
    }

    /// The lines that show the layout around an address, or its first areas.
    fn around(&self, addr: Option<u64>) -> Result<Vec<String>, Refusal> {
        Ok(around(&self.layout()?, addr))
    }

    /// All five counters.
    fn vm(&self) -> Result<VmCounts, Refusal>;

    /// The write cycles since this was last asked.
    fn write_cycles(&mut self) -> Result<u64, Refusal>;

    /// `fork`: a copy.
    fn fork(&mut self) -> Result<Result<Self, Failure>, Refusal>;

    /// What is wrong in it that no question asks for, when all is done.
    fn verdict(&self) -> Result<(), Failure>;

    /// What differed since this was last asked, where there are two to be compared.
    fn divergences(&mut self) -> Vec<Difference> {
        Vec::new()
    }

    /// What comes of a scenario whose record is refused.
    fn on_refusal() -> OnRefusal {
        OnRefusal::Ends
    }
}

/// What comes of a scenario whose record is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnRefusal {
    /// It is not executed further.
    Ends,
    /// The case is not, and that is told; the next `reset` begins anew.
    SkipsTheCase,
}

/// What free room is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) side: Side,
    /// The lowest byte that may be used.
    pub(crate) min: u64,
    /// The highest byte that may be used.
    pub(crate) max: u64,
    pub(crate) len: u64,
    pub(crate) align: u64,
}

/// An area, or why there is none, if more is to be said than that.
pub(crate) type Answer = Result<Extent, Option<String>>;

/// How an operation failed: what the caller is told, and the reason.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    pub(crate) why: String,
}

impl Failure {
    /// The failure that an error of the library is.
    pub(crate) fn new(errno: i32, why: impl Display) -> Self {
        let known = u64::try_from(errno).ok().and_then(Errno::from_any_number);
        Self { errno: known.unwrap_or(Errno::INVALID), why: why.to_string() }
    }

    /// `EINVAL`, for the reason given.
    pub(crate) fn invalid(why: impl Display) -> Self {
        Self { errno: Errno::INVALID, why: why.to_string() }
    }
}

/// Why a record cannot be executed.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// The address space that executes cannot do it yet, or never.
    #[error("{0} is not in the library yet")]
    Unsupported(&'static str),
    /// An area cannot be put there.
    #[error("the area cannot be placed: {0}")]
    Area(String),
    /// A property cannot have this value.
    #[error("{0}")]
    Setting(String),
    /// No process of this system can do it.
    #[error("{0}")]
    Host(String),
    /// Another machine can do it, or another user: this one lacks what is named.
    #[error("this needs {0}")]
    Lacks(String),
    /// No address space has this name.
    #[error("there is no address space `{0}`")]
    NoSpace(String),
    /// An address space has this name already.
    #[error("there is an address space `{0}` already")]
    TakenName(String),
}
