//! One step of a sequence: only data. `generate` makes them, `fuzz` takes them, `shrink` leaves some out.

use super::super::space::Failure;
use crate::trace::{Access, Operation, Outcome, Setting};

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Set(Setting),
    Do(Operation),
    Touch(u64, Access),
    Fork(Follow),
}

/// With whom it goes on after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Parent,
    Child,
}

/// What was told, as a trace has it.
pub(super) fn outcome(told: &Result<u64, Failure>) -> Outcome {
    match told {
        Ok(value) => Outcome::Value(*value),
        Err(failure) => Outcome::Failed(failure.errno),
    }
}
