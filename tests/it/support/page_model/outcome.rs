//! The outcome of an operation of any kind. Called by `drive.rs`.

use vmaple::ErrorCode;
use vmaple::mm::{
    BrkError, LayoutError, MadviseError, MlockError, MmapError, MprotectError, MremapError, MsealError, MunmapError, PkeyAllocError,
    PkeyFreeError, ProtectionKey,
};

/// What an operation returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done(u64),
    Refused(i32),
    /// Refused by a limit on numbers, or because a payload may not be split.
    Short(i32),
    /// Another thread has locked the VMA.
    Busy,
}

/// What an operation returns, as a number.
pub(crate) trait Value {
    fn value(self) -> u64;
}

impl Value for u64 {
    fn value(self) -> u64 {
        self
    }
}

impl Value for () {
    fn value(self) -> u64 {
        0
    }
}

impl Value for ProtectionKey {
    fn value(self) -> u64 {
        self.number().into()
    }
}

/// The errors of the operations, by their kind.
pub(crate) trait Refusal: Copy {
    fn sort(self) -> Outcome;
}

fn layout(error: LayoutError) -> Outcome {
    match error {
        LayoutError::Wait(_) => Outcome::Busy,
        LayoutError::Sealed { .. } | LayoutError::HugePage { .. } | LayoutError::GuardGap { .. } => Outcome::Refused(error.errno()),
        LayoutError::TooMany { .. } | LayoutError::Limit(_) | LayoutError::Unsplittable { .. } => Outcome::Short(error.errno()),
        other => panic!("nothing else is short here: {other}"),
    }
}

macro_rules! refusals {
    ($($error:ident $($short:ident)?;)*) => { $(
        impl Refusal for $error {
            fn sort(self) -> Outcome {
                match self {
                    Self::Layout(error) => layout(error),
                    $(Self::$short { .. } => Outcome::Short(self.errno()),)?
                    other => Outcome::Refused(other.errno()),
                }
            }
        }
    )* };
}

impl Refusal for PkeyAllocError {
    fn sort(self) -> Outcome {
        Outcome::Refused(self.errno())
    }
}

impl Refusal for PkeyFreeError {
    fn sort(self) -> Outcome {
        Outcome::Refused(self.errno())
    }
}

refusals! {
    MmapError LockLimit;
    MunmapError;
    MprotectError;
    MremapError LockLimit;
    BrkError LockLimit;
    MadviseError Again;
    MlockError;
    MsealError;
}
