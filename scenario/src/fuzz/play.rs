//! Executes the steps of a sequence with the library and the kernel in step, and returns each as a record.
//!
//! Called by `fuzz` and `shrink`.

use super::step::{BASE, Follow, HEAP, Refused, Step, need, outcome, refused};
use super::table::Table;
use crate::diff::Both;
use crate::space::{Refusal, Space as _};
use vmaple_host::Host;
use vmaple_trace::{Context, ForkOutcome, Found, Name, Record, Setting};

/// The sequence in progress, and its address spaces.
pub(super) struct Play {
    pub(super) current: Both,
    /// Parents and children that are no longer current. They stay alive, because they share private pages.
    others: Vec<Both>,
}

/// The result of a step.
pub(super) enum Seen {
    Same,
    Different,
}

impl Play {
    /// Begins a sequence: an address space with the scene.
    pub(super) fn begin() -> Result<Self, Refusal> {
        let mut current = Both::begin()?;
        for setting in scene() {
            current.set(setting)?;
        }
        Ok(Self { current, others: Vec::new() })
    }

    /// Executes a step. Returns its records, with the library's results, and whether the two differ.
    pub(super) fn take(&mut self, step: &Step, table: &mut Table) -> Result<(Vec<Record>, Seen), Refusal> {
        let mut records = Vec::new();
        match step {
            Step::Set(setting) => {
                self.current.set(*setting)?;
                records.push(Record::Set(*setting));
            }
            Step::Do(operation) => {
                if let Some(need) = need(operation).filter(|need| !Host::probe().has(*need)) {
                    return Err(Refusal::Lacks(need.to_string()));
                }
                let result = self.current.apply(operation)?;
                table.count(step, refused(operation, &result));
                records.push(Record::Operation(operation.clone(), outcome(&result)));
            }
            Step::Touch(addr, access) => {
                let answer = self.current.fault(*addr, *access, Context::User)?;
                table.count(step, answer.is_err().then_some(Refused::Fault));
                let found = answer.map_or(Found::None, Found::Area);
                records.push(Record::Fault { addr: *addr, access: *access, context: Context::User, found });
            }
            Step::Fork(follow) => self.fork(*follow, table, &mut records)?,
        }
        let seen = if self.current.divergences().is_empty() { Seen::Same } else { Seen::Different };
        Ok((records, seen))
    }

    fn fork(&mut self, follow: Follow, table: &mut Table, records: &mut Vec<Record>) -> Result<(), Refusal> {
        let forked = self.current.fork()?;
        table.count(&Step::Fork(follow), forked.as_ref().err().map(|failure| Refused::Errno(failure.errno)));
        let Ok(child) = forked else { return Ok(()) };
        let Some(name) = Name::new(format!("child{}", self.others.len()).as_bytes()) else { return Ok(()) };
        records.push(Record::Fork(ForkOutcome::Child(name.clone())));
        if follow == Follow::Child {
            records.push(Record::As(name));
            let parent = std::mem::replace(&mut self.current, child);
            self.others.push(parent);
        } else {
            self.others.push(child);
        }
        // a difference found in the fork is reported by the current space
        for other in &mut self.others {
            for difference in other.divergences() {
                self.current.add(difference);
            }
        }
        Ok(())
    }
}

/// Executes a sequence again. Returns its records up to the step that shows a difference; `None` if none does.
pub(super) fn replay(steps: &[Step]) -> Result<Option<Vec<Record>>, Refusal> {
    let mut play = Play::begin()?;
    let (mut table, mut records) = (Table::default(), Vec::new());
    for step in steps {
        let (of_step, seen) = play.take(step, &mut table)?;
        records.extend(of_step);
        if matches!(seen, Seen::Different) {
            return Ok(Some(records));
        }
    }
    Ok(None)
}

/// Returns the settings that every sequence begins with, the machine's protection keys among them.
pub(super) fn scene() -> [Setting; 3] {
    [Setting::Pkeys(Host::probe().protection_keys), Setting::MmapBase(BASE), Setting::BrkStart(HEAP)]
}
