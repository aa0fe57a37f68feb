//! Reads the records of a trace one by one. After each it has the plain model of each address space, the edits so far, and the counts. The
//! other files of the folder implement the operations. They change a layout only through [`Builder::lay`], [`Builder::clear`] and
//! [`Builder::edit`].

use super::super::layout_model::{Bounds, Edit, LayoutModel, Region};
use super::super::limits;
use super::super::packed::{Backings, PackedAttrs};
use super::super::query::{FailedQuery, Query, Subject, ask};
use super::data::{Check, Fault, History, Space, Step, Tally};
use super::state::State;
use anyhow::{Result, bail};
use std::collections::{HashMap, HashSet};
use vmaple_trace::{
    Access, Found, Line, LockFlags, Name, Object, Operation, Outcome, Placement, Reader, Record, Setting, TraceError, TraceFault,
};

/// The state while a trace is read.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) history: History,
    pub(super) states: Vec<State>,
    pub(super) names: HashMap<Name, usize>,
    /// Children before their first operation, each with the layout that it inherited.
    pub(super) unborn: HashMap<Name, State>,
    pub(super) current: usize,
    pub(super) window: Bounds,
    /// The block that is being read.
    pub(super) block: Option<usize>,
    line: u64,
    threads: HashSet<u32>,
}

/// All addresses.
pub(super) const EVERYWHERE: Bounds = Bounds { start: 0, last: u64::MAX };

impl Builder {
    pub(super) fn new(file: String) -> Self {
        let history = History {
            file,
            spaces: Vec::new(),
            steps: Vec::new(),
            operation_lines: Vec::new(),
            checks: Vec::new(),
            block_lines: Vec::new(),
            faults: Vec::new(),
            backings: Backings::default(),
            tally: Tally::default(),
            cases: Vec::new(),
            differences: Vec::new(),
        };
        Self {
            history,
            states: vec![State::default()],
            names: HashMap::new(),
            unborn: HashMap::new(),
            current: 0,
            window: EVERYWHERE,
            block: None,
            line: 0,
            threads: HashSet::new(),
        }
    }

    /// Reads a trace to its end.
    pub(super) fn read(mut self, reader: Reader, mut witness: impl FnMut(&Line)) -> Result<History> {
        for line in reader {
            let line = line?;
            self.line = line.number;
            witness(&line);
            if let Err(error) = self.record(line) {
                let file = self.history.file;
                return Err(if error.is::<TraceError>() { error } else { error.context(format!("{file}:{}", self.line)) });
            }
        }
        self.keep_start();
        let finished = |state: State| Space { start: state.start, finish: state.model.areas().collect(), heap: state.heap };
        self.history.spaces = self.states.into_iter().map(finished).collect();
        self.history.tally.threads = self.threads.len();
        Ok(self.history)
    }

    fn record(&mut self, line: Line) -> Result<()> {
        if let Some(stamp) = line.stamp {
            // an adversarial trace may name any number of threads; past this their number says nothing
            if self.threads.len() < 1 << 20 {
                self.threads.insert(stamp.tid);
            }
        }
        match line.record {
            Record::Set(setting) => {
                self.set(setting);
                Ok(())
            }
            Record::Area(area) => self.area(&area),
            Record::Operation(operation, outcome) => self.operation(&operation, outcome),
            Record::Fork(outcome) => self.fork(outcome),
            Record::As(name) => self.switch(name),
            Record::Exit => self.exit(),
            Record::Grew(extent) => self.grew(extent),
            Record::Fault { addr, access, found, .. } => self.fault(addr, access, found),
            Record::Lookup { addr, found } => self.lookup(addr, found),
            Record::Find { addr, found } => self.find(addr, found),
            Record::Gap { side, min, max, len, align, outcome } => self.gap(side, (min, max), len, align, outcome),
            Record::Maps | Record::Cover => {
                self.block_begins();
                Ok(())
            }
            Record::Expected(expected) => self.block_line(&expected),
            Record::End => self.block_ends(),
            // these concern the exact list of areas, their marks and owners, or the kernel, and not the index
            Record::Count(_)
            | Record::Vm(_)
            | Record::Seq(_)
            | Record::With(_)
            | Record::Own(_)
            | Record::Unrecorded(_)
            | Record::Needs(_) => Ok(()),
            Record::Reset => self.reset(),
            Record::Case(words) => {
                self.case(&words);
                Ok(())
            }
            Record::Window(extent) => {
                self.window = Bounds { start: extent.start, last: extent.last() };
                Ok(())
            }
        }
    }

    fn operation(&mut self, operation: &Operation, outcome: Outcome) -> Result<()> {
        self.counted(operation.word())?;
        self.history.tally.failed += u64::from(matches!(outcome, Outcome::Failed(_)));
        match *operation {
            Operation::Mmap { addr, len, prot, flags, ref object, offset } => self.mmap(addr, len, prot, flags, object, offset, outcome),
            Operation::Munmap { addr, len } => self.munmap(addr, len, outcome),
            Operation::Mprotect { addr, len, prot } => self.mprotect(addr, len, prot, -1, outcome),
            Operation::PkeyMprotect { addr, len, prot, key } => self.mprotect(addr, len, prot, key, outcome),
            Operation::PkeyAlloc { .. } => {
                self.pkey_alloc(outcome);
                Ok(())
            }
            Operation::PkeyFree { key } => {
                self.pkey_free(key, outcome);
                Ok(())
            }
            Operation::Mremap { addr, old_len, new_len, flags, new_addr } => self.mremap(addr, old_len, new_len, flags, new_addr, outcome),
            Operation::Brk { addr: _ } => self.brk(outcome),
            Operation::Madvise { addr, len, advice } => self.madvise(addr, len, advice, outcome),
            Operation::Mlock { addr, len } => self.mlock(addr, len, LockFlags::EMPTY, outcome),
            Operation::Mlock2 { addr, len, flags } => self.mlock(addr, len, flags, outcome),
            Operation::Munlock { addr, len } => self.munlock(addr, len, outcome),
            Operation::Mseal { addr, len } => self.mseal(addr, len, outcome),
            Operation::Mlockall { flags } => self.mlockall(flags, outcome),
            Operation::Munlockall => self.munlockall(outcome),
            Operation::Mark { .. } => Ok(()),
        }
    }

    /// Counts an operation. The edits that follow belong to it.
    pub(super) fn counted(&mut self, word: &'static str) -> Result<()> {
        if self.history.operation_lines.len() == limits::OPERATIONS {
            bail!("read more than {} operations, expected at most that", limits::OPERATIONS);
        }
        self.history.operation_lines.push(self.line);
        *self.history.tally.calls.entry(word).or_default() += 1;
        Ok(())
    }

    fn set(&mut self, setting: Setting) {
        let settings = &mut self.states[self.current].settings;
        match setting {
            Setting::Page(bytes) => settings.page = bytes,
            Setting::BrkStart(address) => settings.brk_start = address,
            Setting::Overcommit(mode) => settings.overcommit = mode,
            Setting::Pkeys(_) | Setting::PkeysAllocated(_) | Setting::PkeyExecuteOnly(_) => self.keys().set(setting),
            Setting::Brk(address) => self.states[self.current].brk = Some(address),
            Setting::Placement(Placement::Hugetlb(bytes)) => settings.huge_page = bytes,
            // these decide places and refusals, which the recording gives
            Setting::TaskSize(_)
            | Setting::MmapMinAddr(_)
            | Setting::MmapBase(_)
            | Setting::MmapLegacyBase(_)
            | Setting::LoadedData(_)
            | Setting::GuardGap(_)
            | Setting::MaxMapCount(_)
            | Setting::Limit(..)
            | Setting::Privileged(_)
            | Setting::Capabilities(_)
            | Setting::Placement(_) => {}
        }
    }

    fn case(&mut self, words: &str) {
        if self.history.cases.len() < limits::CASES {
            self.history.cases.push((self.line, words.chars().take(200).collect()));
        }
    }

    fn fault(&mut self, address: u64, access: Access, found: Found) -> Result<()> {
        if self.history.faults.len() == limits::FAULTS {
            bail!("read more than {} faults, expected at most that", limits::FAULTS);
        }
        // a fault below a stack may have made it grow: then the recorded area contains the address, and ends in an area of the model
        if let Found::Area(extent) = found
            && self.model().lookup(address).is_none()
            && extent.contains(address)
            && self.model().lookup(extent.last()).is_some()
        {
            self.grew(extent)?;
        }
        let mapped = self.model().lookup(address).is_some();
        self.history.tally.faults_mapped += u64::from(mapped);
        self.history.faults.push(Fault {
            address,
            space: self.space(),
            after: self.edits(),
            operation: number(self.history.operation_lines.len()),
            access,
            mapped,
        });
        self.lookup(address, found)
    }

    /// Returns the present layout.
    pub(super) fn model(&self) -> &LayoutModel {
        &self.states[self.current].model
    }

    /// Returns the number of edits so far.
    pub(super) fn edits(&self) -> u32 {
        number(self.history.steps.len())
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    pub(super) fn space(&self) -> u32 {
        number(self.current)
    }

    pub(super) fn page(&self) -> u64 {
        self.states[self.current].settings.page
    }

    /// Rounds a length up to pages.
    pub(super) fn whole_pages(&self, len: u64) -> Option<u64> {
        len.checked_next_multiple_of(self.page())
    }

    /// Returns the range of a call that succeeded, or `None` if it is empty.
    pub(super) fn extent(&self, start: u64, len: u64) -> Result<Option<Bounds>> {
        let last = self.whole_pages(len).and_then(|len| match len.checked_sub(1) {
            Some(less_one) => start.checked_add(less_one).map(Some),
            None => Some(None),
        });
        match last {
            Some(last) => Ok(last.map(|last| Bounds { start, last })),
            None => bail!("read {len:#x} bytes at {start:#x}, expected a range that does not wrap"),
        }
    }

    /// Records one edit and applies it to the plain model.
    pub(super) fn edit(&mut self, edit: Edit) -> Result<()> {
        if self.history.steps.len() == limits::EDITS {
            bail!("the history makes more than {} edits, expected at most that", limits::EDITS);
        }
        self.keep_start();
        let operation = number(self.history.operation_lines.len()).saturating_sub(1);
        self.history.steps.push(Step { space: self.space(), operation, edit });
        self.states[self.current].model.apply(&edit);
        Ok(())
    }

    /// Keeps the layout before the first edit as the starting layout.
    fn keep_start(&mut self) {
        if self.history.steps.is_empty() {
            self.states[0].start = self.states[0].model.areas().collect();
        }
    }

    /// Puts an area in place of what is mapped there, as one edit. It merges with the neighbours that it continues, as in Linux.
    pub(super) fn lay(&mut self, area: Region) -> Result<()> {
        let Region { start, last, attrs } = area;
        let model = self.model();
        if model.lookup(start).is_some_and(|there| there.last >= last && there.attrs == attrs) {
            return Ok(());
        }
        let mergeable = !attrs.stays_alone() && !self.is_special(attrs);
        let continues = |there: &Region| mergeable && there.attrs == attrs;
        let below = start.checked_sub(1).and_then(|at| model.lookup(at)).filter(continues);
        let above = last.checked_add(1).and_then(|at| model.lookup(at)).filter(continues);
        let free = model.intersecting(Bounds { start, last }).next().is_none();
        self.edit(match (free, below, above) {
            (true, None, None) => Edit::Insert(area),
            (true, Some(below), None) => Edit::ExtendUp { from: below.last, to: last },
            (true, None, Some(above)) => Edit::ExtendDown { from: above.start, to: start },
            (_, below, above) => {
                Edit::Replace(Region { start: below.map_or(start, |area| area.start), last: above.map_or(last, |area| area.last), attrs })
            }
        })
    }

    /// Removes everything in a range, as one edit, unless nothing is there.
    pub(super) fn clear(&mut self, extent: Bounds) -> Result<()> {
        if self.model().intersecting(extent).next().is_none() {
            return Ok(());
        }
        self.edit(Edit::Remove(extent))
    }

    /// Changes the attributes of what is mapped in a range, area by area, upward.
    pub(super) fn rewrite(&mut self, extent: Bounds, change: impl Fn(PackedAttrs) -> PackedAttrs) -> Result<()> {
        let areas: Vec<Region> = self.model().intersecting(extent).collect();
        for area in areas {
            let attrs = change(area.attrs);
            if attrs != area.attrs {
                self.lay(Region { start: area.start.max(extent.start), last: area.last.min(extent.last), attrs })?;
            }
        }
        Ok(())
    }

    /// Returns the part of a range before its first hole.
    pub(super) fn before_hole(&self, extent: Bounds) -> Option<Bounds> {
        match self.model().holes(extent).first() {
            None => Some(extent),
            Some(hole) if hole.start == extent.start => None,
            Some(hole) => Some(Bounds { start: extent.start, last: hole.start - 1 }),
        }
    }

    pub(super) fn is_special(&self, attrs: PackedAttrs) -> bool {
        matches!(self.history.backings.object(attrs.backing()), Object::Special(_))
    }

    /// Records a query, and asks the plain model at once.
    pub(super) fn query(&mut self, line: u64, query: Query) -> Result<()> {
        if self.history.checks.len() == limits::QUERIES {
            bail!("read more than {} blocks and queries, expected at most that", limits::QUERIES);
        }
        let (block, backings) = (&self.history.block_lines, &self.history.backings);
        let mismatches = ask(self.model(), &query, line, block, backings);
        let failed = |mismatch| FailedQuery { subject: Subject::Model, mismatch };
        self.history.differences.extend(mismatches.into_iter().map(failed));
        self.history.checks.push(Check { space: self.space(), after: self.edits(), line, query });
        Ok(())
    }

    /// Returns the error for a line that does not have what is expected there.
    pub(super) fn refuse(&self, read: &str, expected: &'static str) -> anyhow::Error {
        let fault = TraceFault::unexpected(read, expected);
        TraceError { file: self.history.file.clone(), line: self.line, fault }.into()
    }
}

/// Converts a count. `limits` keeps every list far below 2^32 entries.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
