//! The outcome of an operation, whichever it was. Called by `drive.rs`.

use vmaple::ErrorCode;
use vmaple::mm::{
    BrkError, LayoutError, MadviseError, MlockError, MmapError, MprotectError, MremapError, MsealError, MunmapError, PkeyAllocError,
    PkeyFreeError, ProtectionKey,
};

/// What an operation told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Done(u64),
    Refused(i32),
    /// By a limit on numbers, or by a payload that may not be split.
    Short(i32),
    /// Somebody has locked the VMA.
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

/// The errors of the operations, sorted.
pub(crate) trait Refusal: Copy {
    fn sort(self) -> Told;
}

fn layout(error: LayoutError) -> Told {
    match error {
        LayoutError::Wait(_) => Told::Busy,
        LayoutError::Sealed { .. } | LayoutError::HugePage { .. } | LayoutError::GuardGap { .. } => Told::Refused(error.errno()),
        LayoutError::TooMany { .. } | LayoutError::Limit(_) | LayoutError::Unsplittable { .. } => Told::Short(error.errno()),
        other => panic!("nothing else is short here: {other}"),
    }
}

macro_rules! refusals {
    ($($error:ident $($short:ident)?;)*) => { $(
        impl Refusal for $error {
            fn sort(self) -> Told {
                match self {
                    Self::Layout(error) => layout(error),
                    $(Self::$short { .. } => Told::Short(self.errno()),)?
                    other => Told::Refused(other.errno()),
                }
            }
        }
    )* };
}

impl Refusal for PkeyAllocError {
    fn sort(self) -> Told {
        Told::Refused(self.errno())
    }
}

impl Refusal for PkeyFreeError {
    fn sort(self) -> Told {
        Told::Refused(self.errno())
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
