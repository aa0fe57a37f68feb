//! The results of operations, counted. Called by `fuzz`, which prints the table at the end, and `play`.

use super::step::{Refused, Step};
use std::collections::BTreeMap;
use std::fmt;
use vmaple_trace::{Access, Operation};

/// The refusals that each operation can have here. A run that is long enough has all of them; one that did not occur is shown with a 0.
const REFUSALS: [(&str, &[&str]); 17] = [
    ("brk", &["break kept"]),
    ("fault r", &["no access"]),
    ("fault w", &["no access"]),
    ("fork", &[]),
    ("madvise", &["EAGAIN", "EINVAL", "ENOMEM", "EPERM"]),
    ("mlock", &["EINVAL", "ENOMEM", "EPERM"]),
    ("mlockall", &["EINVAL", "ENOMEM", "EPERM"]),
    ("mmap", &["EAGAIN", "EEXIST", "EINVAL", "ENOMEM", "EOPNOTSUPP", "EOVERFLOW", "EPERM"]),
    ("mprotect", &["EINVAL", "ENOMEM", "EPERM"]),
    ("pkey_alloc", &["EINVAL", "ENOSPC"]),
    ("pkey_free", &["EINVAL"]),
    ("pkey_mprotect", &["EINVAL", "ENOMEM", "EPERM"]),
    ("mremap", &["EAGAIN", "EFAULT", "EINVAL", "ENOMEM", "EPERM"]),
    ("mseal", &["EINVAL", "ENOMEM"]),
    ("munlock", &["EINVAL", "ENOMEM"]),
    ("munlockall", &[]),
    ("munmap", &["EINVAL", "ENOMEM", "EPERM"]),
];

/// The numbers of successes and refusals of each operation, and of what was left out, by what it needs.
#[derive(Debug)]
pub(super) struct Table {
    done: BTreeMap<&'static str, (u64, BTreeMap<String, u64>)>,
    left_out: BTreeMap<(&'static str, String), u64>,
}

impl Default for Table {
    fn default() -> Self {
        let row = |refusals: &[&str]| (0, refusals.iter().map(|refused| ((*refused).to_owned(), 0)).collect());
        let done = REFUSALS.into_iter().map(|(name, refusals)| (name, row(refusals))).collect();
        Self { done, left_out: BTreeMap::new() }
    }
}

impl Table {
    /// Counts a step for which this machine or this user lacks something.
    pub(super) fn leave_out(&mut self, step: &Step, need: &str) {
        *self.left_out.entry((name(step), need.to_owned())).or_default() += 1;
    }

    pub(super) fn count(&mut self, step: &Step, refused: Option<Refused>) {
        let (successes, refusals) = self.done.entry(name(step)).or_default();
        match refused {
            None => *successes += 1,
            Some(refused) => *refusals.entry(refused.to_string()).or_default() += 1,
        }
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Set(_) => "set",
        Step::Touch(_, Access::Write) => "fault w",
        Step::Touch(..) => "fault r",
        Step::Fork(_) => "fork",
        // One row for both.
        Step::Do(Operation::Mlock2 { .. }) => "mlock",
        Step::Do(operation) => operation.word(),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<14} {:>8}  refused", "operation", "done")?;
        for (name, (successes, refusals)) in &self.done {
            let refusals: Vec<String> = refusals.iter().map(|(refused, count)| format!("{refused} {count}")).collect();
            writeln!(f, "{name:<14} {successes:>8}  {}", refusals.join("  "))?;
        }
        self.left_out.iter().try_for_each(|((name, need), count)| writeln!(f, "left out: {name} needs {need}, {count} times"))
    }
}
