//! What came of which operation, and how often. `fuzz` counts, and prints it in the end.

use super::step::Step;
use crate::trace::{Access, Errno, Operation};
use std::collections::BTreeMap;
use std::fmt;

/// Successes and errors of each operation.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<&'static str, (u64, BTreeMap<Errno, u64>)>);

impl Table {
    pub(super) fn count(&mut self, step: &Step, told: Result<(), Errno>) {
        let (successes, errors) = self.0.entry(name(step)).or_default();
        match told {
            Ok(()) => *successes += 1,
            Err(errno) => *errors.entry(errno).or_default() += 1,
        }
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Set(_) => "set",
        Step::Touch(_, Access::Write) => "fault w",
        Step::Touch(..) => "fault r",
        Step::Fork(_) => "fork",
        Step::Do(operation) => match operation {
            Operation::Mmap { .. } => "mmap",
            Operation::Munmap { .. } => "munmap",
            Operation::Mprotect { .. } => "mprotect",
            Operation::Mremap { .. } => "mremap",
            Operation::Brk { .. } => "brk",
            Operation::Madvise { .. } => "madvise",
            Operation::Mlock { .. } => "mlock",
            Operation::Munlock { .. } => "munlock",
            Operation::Mseal { .. } => "mseal",
            Operation::Mlockall { .. } => "mlockall",
            Operation::Munlockall => "munlockall",
        },
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.iter().map(|(name, (successes, errors))| {
            let errors: Vec<String> = errors.iter().map(|(errno, count)| format!("{errno} {count}")).collect();
            [(*name).to_owned(), successes.to_string(), errors.join("  ")]
        });
        let mut table = crate::table::plain();
        table.set_header(["operation", "done", "refused"]).add_rows(rows);
        writeln!(f, "{table}")
    }
}
